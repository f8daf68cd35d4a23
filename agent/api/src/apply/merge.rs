//! Values of two writers: merged, compared, and pruned by sets of fields.

use super::fields::{Fields, is_whole, step_of};
use crate::schema::{ListKind, Node, Shape};
use crate::{Map, Value};
use std::collections::HashMap;

/// Whether the elements of the list at `node` are merged one by one.
fn is_shared_list(node: Node<'_>) -> bool {
    node.shape() == Shape::List && node.list_kind() != ListKind::Atomic
}

fn child<'a>(node: Node<'a>, name: &str) -> Node<'a> {
    node.member(name).unwrap_or_else(|| Node::any())
}

/// Merges `config` into `object`: what it says wins, what it does not say stays.
pub fn merge(node: Node<'_>, object: &mut Value, config: &Value) {
    match (&mut *object, config) {
        (Value::Object(own), Value::Object(said)) if !is_whole(node) => {
            for (name, value) in said.iter() {
                merge(child(node, name), own.entry(name), value);
            }
        }
        (Value::Array(own), Value::Array(said)) if is_shared_list(node) => {
            merge_lists(node, own, said);
        }
        _ => *object = config.clone(),
    }
}

/// Elements that the config names take its order; the others stay behind the element that they
/// stood behind.
fn merge_lists(node: Node<'_>, own: &mut Vec<Value>, said: &[Value]) {
    let mut order: HashMap<String, usize> = HashMap::new();
    for (at, item) in said.iter().enumerate() {
        order.insert(step_of(node, item), at);
    }
    let mut merged: Vec<Option<Value>> = said.iter().map(|_| None).collect();
    // Elements that only the object has, with how many named ones stood before them.
    let mut others: Vec<(usize, Value)> = Vec::new();
    let mut named = 0;
    for mut item in std::mem::take(own) {
        match order.get(&step_of(node, &item)) {
            Some(at) if merged[*at].is_none() => {
                if node.list_kind() == ListKind::Map {
                    merge(node.inner(), &mut item, &said[*at]);
                }
                merged[*at] = Some(item);
                named += 1;
            }
            Some(_) => {}
            None => others.push((named, item)),
        }
    }
    let mut others = others.into_iter().peekable();
    let mut seen = 0;
    for (at, slot) in merged.into_iter().enumerate() {
        while others.peek().is_some_and(|(before, _)| *before <= seen && slot.is_some()) {
            own.extend(others.next().map(|(_, item)| item));
        }
        seen += usize::from(slot.is_some());
        own.push(slot.unwrap_or_else(|| said[at].clone()));
    }
    own.extend(others.map(|(_, item)| item));
}

/// What changed between two values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Fields that are new or have another value.
    pub changed: Fields,
    /// Fields that are gone.
    pub removed: Fields,
}

/// Compares two objects field by field.
pub fn compare(node: Node<'_>, before: &Value, after: &Value) -> Difference {
    let mut difference = Difference::default();
    let mut path = Vec::new();
    compare_values(node, Some(before), Some(after), &mut path, &mut difference);
    difference
}

fn add_all(fields: &mut Fields, path: &[String], node: Node<'_>, value: &Value, element: bool) {
    let (leaf, below) = Fields::under(node, value);
    let mut addition = below;
    let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
    let member = leaf || element || empty;
    for (index, step) in path.iter().enumerate().rev() {
        let mut outer = Fields::default();
        if index + 1 == path.len() && member {
            outer.insert(&[step]);
        }
        outer = outer.union(&nested(step, addition));
        addition = outer;
    }
    *fields = fields.union(&addition);
}

fn nested(step: &str, below: Fields) -> Fields {
    let mut outer = Fields::default();
    outer.put_below(step, below);
    outer
}

fn compare_values(
    node: Node<'_>,
    before: Option<&Value>,
    after: Option<&Value>,
    path: &mut Vec<String>,
    difference: &mut Difference,
) {
    let element = path.last().is_some_and(|step| !step.starts_with("f:"));
    match (before, after) {
        (None, None) => {}
        (None, Some(after)) => add_all(&mut difference.changed, path, node, after, element),
        (Some(before), None) => add_all(&mut difference.removed, path, node, before, element),
        (Some(Value::Object(old)), Some(Value::Object(new))) if !is_whole(node) => {
            let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(name)));
            for name in names {
                let (one, other) = (old.get(name), new.get(name));
                if one == other {
                    continue;
                }
                path.push(format!("f:{name}"));
                compare_values(child(node, name), one, other, path, difference);
                path.pop();
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if is_shared_list(node) => {
            let by_step = |items: &[Value]| -> HashMap<String, usize> {
                items.iter().enumerate().map(|(at, item)| (step_of(node, item), at)).collect()
            };
            let (old_steps, new_steps) = (by_step(old), by_step(new));
            for (step, at) in &old_steps {
                let other = new_steps.get(step).map(|at| &new[*at]);
                path.push(step.clone());
                compare_values(node.inner(), Some(&old[*at]), other, path, difference);
                path.pop();
            }
            for (step, at) in new_steps.iter().filter(|(step, _)| !old_steps.contains_key(*step)) {
                path.push(step.clone());
                compare_values(node.inner(), None, Some(&new[*at]), path, difference);
                path.pop();
            }
        }
        (Some(before), Some(after)) if before == after => {}
        (Some(_), Some(after)) => add_all(&mut difference.changed, path, node, after, element),
    }
}

/// Takes out of `object` what is in `last` and neither in `kept` nor around what is.
pub fn prune(node: Node<'_>, object: &mut Value, last: &Fields, kept: &Fields) {
    for (step, below) in last.steps() {
        match kept.below(step) {
            None => remove_step(node, object, step),
            Some(kept) => {
                let Some((child, value)) = follow(node, object, step) else { continue };
                prune(child, value, below, kept);
            }
        }
    }
}

/// Takes the fields of a set out of `object`.
pub fn remove_fields(node: Node<'_>, object: &mut Value, gone: &Fields) {
    prune(node, object, gone, &Fields::default());
}

fn follow<'n, 'v>(
    node: Node<'n>,
    object: &'v mut Value,
    step: &str,
) -> Option<(Node<'n>, &'v mut Value)> {
    match (object, step.strip_prefix("f:")) {
        (Value::Object(map), Some(name)) => Some((child(node, name), map.get_mut(name)?)),
        (Value::Array(items), None) => {
            let found = items.iter_mut().find(|item| step_of(node, item) == step)?;
            Some((node.inner(), found))
        }
        _ => None,
    }
}

fn remove_step(node: Node<'_>, object: &mut Value, step: &str) {
    match (object, step.strip_prefix("f:")) {
        (Value::Object(map), Some(name)) => {
            map.remove(name);
        }
        (Value::Array(items), None) => items.retain(|item| step_of(node, item) != step),
        _ => {}
    }
}

/// Elements of a list that is merged must differ; upstream's message when they do not.
pub fn check_lists(node: Node<'_>, value: &Value) -> Result<(), String> {
    fn check(node: Node<'_>, value: &Value, path: &str) -> Result<(), String> {
        match value {
            Value::Object(map) if !is_whole(node) => map.iter().try_for_each(|(name, value)| {
                check(child(node, name), value, &format!("{path}.{name}"))
            }),
            Value::Array(items) if is_shared_list(node) => {
                let mut seen = std::collections::HashSet::new();
                items.iter().try_for_each(|item| {
                    let step = step_of(node, item);
                    let text = {
                        let mut one = Fields::default();
                        one.insert(&[&step]);
                        one.paths().concat()
                    };
                    if !seen.insert(step) {
                        return Err(format!("{path}: duplicate entries for key {text}"));
                    }
                    check(node.inner(), item, &format!("{path}{text}"))
                })
            }
            _ => Ok(()),
        }
    }
    check(node, value, "")
        .map_err(|why| format!("failed to create typed patch object: errors:\n  {why}"))
}
