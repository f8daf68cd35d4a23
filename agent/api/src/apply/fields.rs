//! A set of fields, and its form in `managedFields` (`FieldsV1`).
//!
//! Steps of a path are kept as they are written: `f:NAME`, `k:{"name":"c"}`, `v:"x"`, `i:0`.

use crate::schema::{ListKind, Node, Shape};
use crate::{Map, Value};
use std::collections::BTreeMap;

/// A set of fields. A step can be in the set itself, hold others that are, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(BTreeMap<Box<str>, Entry>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Entry {
    member: bool,
    below: Fields,
}

impl Entry {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl Fields {
    /// Whether no field is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the field at `path` into the set.
    pub fn insert(&mut self, path: &[&str]) {
        if let Some((first, rest)) = path.split_first() {
            let entry = self.0.entry((*first).into()).or_default();
            match rest {
                [] => entry.member = true,
                rest => entry.below.insert(rest),
            }
        }
    }

    /// Takes the field at `path`, and all below it, out of the set.
    pub fn remove(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.0.remove(*first);
        } else if let Some(entry) = self.0.get_mut(*first) {
            entry.below.remove(rest);
            if entry.is_empty() {
                self.0.remove(*first);
            }
        }
    }

    /// Takes out the step itself, and keeps what is below it.
    pub(super) fn disown(&mut self, step: &str) {
        if let Some(entry) = self.0.get_mut(step) {
            entry.member = false;
            if entry.is_empty() {
                self.0.remove(step);
            }
        }
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = (&str, &Fields)> {
        self.0.iter().map(|(step, entry)| (&**step, &entry.below))
    }

    /// What is below a step; `None` when neither it nor anything below it is in the set.
    pub(super) fn below(&self, step: &str) -> Option<&Fields> {
        self.0.get(step).map(|entry| &entry.below)
    }

    /// Puts what is below a step, without the step itself.
    pub(super) fn put_below(&mut self, step: &str, below: Fields) {
        self.put(step, false, below);
    }

    fn put(&mut self, step: &str, member: bool, below: Fields) {
        if member || !below.is_empty() {
            self.0.insert(step.into(), Entry { member, below });
        }
    }

    /// The fields of both.
    pub fn union(&self, other: &Self) -> Self {
        let mut result = self.clone();
        for (step, theirs) in &other.0 {
            let own = result.0.entry(step.clone()).or_default();
            own.member |= theirs.member;
            own.below = own.below.union(&theirs.below);
        }
        result
    }

    /// The fields that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut result = Self::default();
        for (step, own) in &self.0 {
            if let Some(theirs) = other.0.get(step) {
                let below = own.below.intersection(&theirs.below);
                result.put(step, own.member && theirs.member, below);
            }
        }
        result
    }

    /// The fields that `other` does not have.
    pub fn difference(&self, other: &Self) -> Self {
        let mut result = Self::default();
        for (step, own) in &self.0 {
            match other.0.get(step) {
                None => {
                    result.0.insert(step.clone(), own.clone());
                }
                Some(theirs) => {
                    let below = own.below.difference(&theirs.below);
                    result.put(step, own.member && !theirs.member, below);
                }
            }
        }
        result
    }

    /// The fields that are neither in `other` nor below one that is.
    pub fn without_below(&self, other: &Self) -> Self {
        let mut result = Self::default();
        for (step, own) in &self.0 {
            match other.0.get(step) {
                None => {
                    result.0.insert(step.clone(), own.clone());
                }
                Some(theirs) if theirs.member => {}
                Some(theirs) => {
                    result.put(step, own.member, own.below.without_below(&theirs.below));
                }
            }
        }
        result
    }

    /// Every field that a value has.
    pub fn of_value(node: Node<'_>, value: &Value) -> Self {
        let mut fields = Self::default();
        if let Value::Object(map) = value {
            fields.add_members(node, map);
        }
        fields
    }

    fn add_members(&mut self, node: Node<'_>, map: &Map) {
        let is_struct = node.shape() == Shape::Struct;
        for (name, value) in map.iter() {
            let known = if is_struct { node.field(name) } else { None };
            let child = known.or_else(|| node.member(name)).unwrap_or_else(|| Node::any());
            let (leaf, below) = Self::under(child, value);
            let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
            self.put(&format!("f:{name}"), leaf || empty || known.is_none(), below);
        }
    }

    /// Whether the value at `node` is owned as a whole, and the fields below it that are owned.
    pub(super) fn under(node: Node<'_>, value: &Value) -> (bool, Self) {
        let mut fields = Self::default();
        match value {
            Value::Object(map) if !is_whole(node) => fields.add_members(node, map),
            Value::Array(items)
                if node.shape() == Shape::List && node.list_kind() != ListKind::Atomic =>
            {
                for item in items {
                    let below = match node.list_kind() {
                        ListKind::Map => Self::under(node.inner(), item).1,
                        _ => Self::default(),
                    };
                    fields.put(&step_of(node, item), true, below);
                }
            }
            _ => return (true, fields),
        }
        (false, fields)
    }

    /// Reads `fieldsV1`. What it cannot be is skipped.
    pub fn read(value: &Value) -> Self {
        let mut fields = Self::default();
        for (step, below) in value.as_object().into_iter().flat_map(Map::iter) {
            let Some(map) = below.as_object() else { continue };
            if step.as_str() == "." {
                continue;
            }
            let member = map.is_empty() || map.contains_key(".");
            let step = match step.split_once(':') {
                // Other writers may order keys otherwise.
                Some(("k", key)) => match crate::value::decode_value(key.as_bytes()) {
                    Ok(key) => format!("k:{key}"),
                    Err(_) => continue,
                },
                _ => step.to_string(),
            };
            fields.put(&step, member, Self::read(below));
        }
        fields
    }

    /// Writes `fieldsV1`.
    pub fn write(&self) -> Value {
        let members = self.0.iter().map(|(step, entry)| {
            let mut below = entry.below.write();
            if entry.member && !entry.below.is_empty() {
                below.make_object().insert(".", Value::object());
            }
            (step.to_string(), below)
        });
        Value::Object(members.collect())
    }

    /// Each field as messages write it: `.spec.containers[name="c"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.add_paths("", &mut paths);
        paths
    }

    fn add_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        for (step, entry) in &self.0 {
            let text = match step.split_once(':') {
                Some(("f", name)) => format!("{prefix}.{name}"),
                Some(("k", key)) => format!("{prefix}[{}]", keys_as_text(key)),
                Some(("v", value)) => format!("{prefix}[={value}]"),
                _ => format!("{prefix}[{}]", step.trim_start_matches("i:")),
            };
            if entry.member {
                paths.push(text.clone());
            }
            entry.below.add_paths(&text, paths);
        }
    }
}

fn keys_as_text(key: &str) -> String {
    let Ok(Value::Object(keys)) = crate::value::decode_value(key.as_bytes()) else {
        return key.to_owned();
    };
    let texts: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
    texts.join(",")
}

/// Whether one writer owns an object as a whole: it is atomic, or nothing is known of what is in it.
pub(super) fn is_whole(node: Node<'_>) -> bool {
    match node.shape() {
        Shape::Struct | Shape::Map => node.is_atomic(),
        // What a CRD keeps without describing it is merged like a map, as upstream deduces it.
        Shape::Json => node.is_built_in(),
        _ => true,
    }
}

/// The step that leads to an element of a list.
pub(super) fn step_of(node: Node<'_>, item: &Value) -> String {
    if node.list_kind() != ListKind::Map {
        return format!("v:{item}");
    }
    let mut keys = Map::new();
    for key in node.list_keys() {
        if let Some(value) = item.get(key) {
            keys.insert(key, value.clone());
        } else if let Some(default) = default_of(node, key) {
            keys.insert(key, default);
        }
    }
    format!("k:{}", Value::Object(keys))
}

/// The published default of a key: ports are told apart by a protocol that need not be said.
fn default_of(node: Node<'_>, key: &str) -> Option<Value> {
    let field = node.inner().field(key)?;
    match (field.table_field(), field.structural()) {
        (Some(row), _) => crate::value::decode_value(row.default_json()?.as_bytes()).ok(),
        (_, Some(schema)) => schema.default.clone(),
        _ => None,
    }
}
