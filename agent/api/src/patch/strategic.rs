//! Strategic merge patch: a merge patch that knows which lists to merge, and by what.
//!
//! Directives: `$patch: replace|delete|merge`, `$retainKeys`, `$setElementOrder/NAME`,
//! `$deleteFromPrimitiveList/NAME`.

use super::PatchError;
use crate::schema::{Node, Shape};
use crate::{Map, Value};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Merges `patch` into `object`, whose place in the schema is `node`.
pub fn apply(node: Node<'_>, object: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else {
        return Err(malformed("a strategic merge patch must be an object"));
    };
    merge_object(node, object.make_object(), patch)
}

fn malformed(message: &str) -> PatchError {
    PatchError::Malformed(message.to_owned())
}

fn merge_object(node: Node<'_>, object: &mut Map, patch: &Map) -> Result<(), PatchError> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => {
            *object = without_directives(patch);
            return Ok(());
        }
        Some("delete") => {
            *object = Map::new();
            return Ok(());
        }
        Some(other) => return Err(malformed(&format!("Unknown patch type found: {other}"))),
    }
    if let Some(kept) = patch.get(RETAIN_KEYS) {
        retain_keys(object, kept, patch)?;
    }
    for (name, value) in patch.iter() {
        if name.starts_with('$') {
            if let Some(list) = name.strip_prefix(DELETE) {
                delete_scalars(object, list, value)?;
            }
            continue;
        }
        let field = node.member(name).unwrap_or_else(|| Node::any());
        merge_member(field, object, name, value)?;
    }
    for (name, order) in patch.iter() {
        if let Some(list) = name.strip_prefix(ORDER) {
            let key = node.member(list).and_then(Node::merge_key);
            let changed = patch.get(list).and_then(Value::as_array);
            set_order(object, list, key, order, changed)?;
        }
    }
    Ok(())
}

fn merge_member(
    field: Node<'_>,
    object: &mut Map,
    name: &str,
    patch: &Value,
) -> Result<(), PatchError> {
    match (object.get_mut(name), patch) {
        (_, Value::Null) => {
            object.remove(name);
        }
        (Some(Value::Object(own)), Value::Object(patch)) => {
            // A list that is replaced as a whole, or any JSON, is merged all the same, as upstream's.
            merge_object(field, own, patch)?;
            if patch.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                object.remove(name);
            }
        }
        (Some(Value::Array(own)), Value::Array(patch)) if field.patch_merges() => {
            merge_list(field, own, patch)?;
        }
        (_, Value::Object(patch)) => {
            let mut fresh = Map::new();
            merge_object(field, &mut fresh, patch)?;
            if patch.get(DIRECTIVE).and_then(Value::as_str) != Some("delete") {
                object.insert(name, fresh);
            }
        }
        (_, Value::Array(patch)) if field.shape() == Shape::List && field.patch_merges() => {
            let mut fresh = Vec::new();
            merge_list(field, &mut fresh, patch)?;
            object.insert(name, fresh);
        }
        (_, Value::Array(items)) => {
            object.insert(name, items.iter().map(strip).collect::<Vec<Value>>());
        }
        (_, other) => {
            object.insert(name, other.clone());
        }
    }
    Ok(())
}

/// Drops the members that `kept` does not name. All that the patch sets must be named.
fn retain_keys(object: &mut Map, kept: &Value, patch: &Map) -> Result<(), PatchError> {
    let Value::Array(kept) = kept else {
        return Err(malformed("invalid patch format of retainKeys: not a list"));
    };
    let is_kept = |name: &str| kept.iter().any(|one| one.as_str() == Some(name));
    let mut set = patch.iter().filter(|(name, value)| !name.starts_with('$') && !value.is_null());
    if set.any(|(name, _)| !is_kept(name)) {
        return Err(malformed("patch format of retainKeys: a key is set that is not retained"));
    }
    object.retain(|name, _| is_kept(name));
    Ok(())
}

fn delete_scalars(object: &mut Map, list: &str, gone: &Value) -> Result<(), PatchError> {
    let Value::Array(gone) = gone else {
        return Err(malformed("invalid patch format of deleteFromPrimitiveList: not a list"));
    };
    if let Some(Value::Array(items)) = object.get_mut(list) {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

fn merge_list(field: Node<'_>, own: &mut Vec<Value>, patch: &[Value]) -> Result<(), PatchError> {
    let Some(key) = field.merge_key() else {
        for item in patch {
            if item.is_object() {
                return Err(malformed("a list of scalars is patched with objects"));
            }
            if !own.contains(item) {
                own.push(item.clone());
            }
        }
        return Ok(());
    };
    if patch.iter().any(|item| directive(item) == Some("replace")) {
        // The list becomes what else the patch holds.
        *own = patch.iter().filter(|item| directive(item).is_none()).map(strip).collect();
        return Ok(());
    }
    for item in patch {
        let Value::Object(members) = item else {
            return Err(malformed("a list of objects is patched with something else"));
        };
        let Some(name) = members.get(key) else {
            return Err(malformed(&format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        };
        let found = own.iter().position(|one| one.get(key) == Some(name));
        match (directive(item), found) {
            (Some("delete"), _) => own.retain(|one| one.get(key) != Some(name)),
            (None | Some("merge"), Some(at)) => {
                merge_object(field.inner(), own[at].make_object(), members)?;
            }
            (None | Some("merge"), None) => {
                let mut fresh = Map::new();
                merge_object(field.inner(), &mut fresh, members)?;
                own.push(Value::Object(fresh));
            }
            (Some(other), _) => {
                return Err(malformed(&format!("Unknown patch type found: {other}")));
            }
        }
    }
    Ok(())
}

fn directive(item: &Value) -> Option<&str> {
    item.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default())
}

/// Puts the elements that `order` names into its order; what the server has beside them stays behind
/// the element that it stood behind.
fn set_order(
    object: &mut Map,
    list: &str,
    key: Option<&str>,
    order: &Value,
    changed: Option<&Vec<Value>>,
) -> Result<(), PatchError> {
    let Value::Array(order) = order else {
        return Err(malformed("invalid patch format of setElementOrder: not a list"));
    };
    let same = |item: &Value, named: &Value| match key {
        None => item == named,
        Some(key) => item.get(key).is_some() && item.get(key) == named.get(key),
    };
    for item in changed.into_iter().flatten().filter(|item| directive(item).is_none()) {
        if !order.iter().any(|named| same(item, named)) {
            return Err(malformed(&format!(
                "The order in patch list:\n{item}\n doesn't match $setElementOrder list:\n{}",
                Value::Array(order.clone())
            )));
        }
    }
    let Some(Value::Array(items)) = object.get_mut(list) else { return Ok(()) };
    let place = |item: &Value| order.iter().position(|named| same(item, named));
    let (mut named, mut others): (Vec<Value>, Vec<(usize, Value)>) = (Vec::new(), Vec::new());
    for item in std::mem::take(items) {
        // Others remember how many named elements stood before them.
        match place(&item) {
            Some(_) => named.push(item),
            None => others.push((named.len(), item)),
        }
    }
    named.sort_by_key(|item| place(item));
    let mut others = others.into_iter().peekable();
    for (at, item) in named.into_iter().enumerate() {
        while others.peek().is_some_and(|(before, _)| *before <= at) {
            items.extend(others.next().map(|(_, item)| item));
        }
        items.push(item);
    }
    items.extend(others.map(|(_, item)| item));
    Ok(())
}

/// The value without directives, as it is kept where nothing is merged.
fn strip(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        Value::Array(items) => Value::Array(items.iter().map(strip).collect()),
        other => other.clone(),
    }
}

fn without_directives(map: &Map) -> Map {
    let kept = map.iter().filter(|(name, value)| !is_directive(name) && !value.is_null());
    kept.map(|(name, value)| (name, strip(value))).collect()
}

fn is_directive(name: &str) -> bool {
    name == DIRECTIVE || name == RETAIN_KEYS || name.starts_with(ORDER) || name.starts_with(DELETE)
}
