//! JSON patch, RFC 6902, with the limits and messages of upstream's server.

use super::PatchError;
use crate::Value;

/// Upstream takes no more operations in one patch.
const MOST_OPERATIONS: usize = 10_000;
/// Copies may not make the object larger than what a body may be. Bytes.
const MOST_COPIED: usize = 3 << 20;

/// Applies `patch` to `object`. On an error the object is in an undefined state.
pub fn apply(object: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Array(operations) = patch else {
        return Err(malformed("a JSON patch must be an array of operations"));
    };
    if operations.len() > MOST_OPERATIONS {
        return Err(PatchError::Unfit(format!(
            "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut copied = 0;
    for operation in operations {
        perform(object, operation, &mut copied)?;
    }
    Ok(())
}

fn perform(object: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), PatchError> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let path = text("path").ok_or_else(|| malformed("an operation lacks its path"))?;
    let from = || text("from").ok_or_else(|| malformed("an operation lacks its from"));
    // An absent value is `null`, as upstream's library has it.
    let value = || operation.get("value").cloned().unwrap_or_default();
    match text("op").unwrap_or_default() {
        "add" => add(object, path, value()),
        "remove" => remove(object, path, "remove").map(drop),
        "replace" => {
            let missing = || unfit("replace", path, "missing value");
            *find_mut(object, path)?.ok_or_else(missing)? = value();
            Ok(())
        }
        "move" => {
            let from = from()?;
            if path.starts_with(from) && path[from.len()..].starts_with('/') {
                return Err(unfit("move", path, "a value cannot be moved into itself"));
            }
            let moved = remove(object, from, "move")?;
            add(object, path, moved)
        }
        "copy" => {
            let from = from()?;
            let found =
                find_mut(object, from)?.ok_or_else(|| unfit("copy", from, "missing value"))?;
            let copy = found.clone();
            *copied += copy.to_json().len();
            if *copied > MOST_COPIED {
                return Err(PatchError::Unfit(
                    "Unable to complete the copy, the accumulated size increase of copies exceeds the limit"
                        .to_owned(),
                ));
            }
            add(object, path, copy)
        }
        "test" => {
            let found = find_mut(object, path)?;
            let equal = match (found, value()) {
                (None, Value::Null) => true,
                (None, _) => false,
                (Some(found), value) => *found == value,
            };
            if equal {
                Ok(())
            } else {
                Err(PatchError::Unfit(format!("testing value {path} failed: test failed")))
            }
        }
        other => Err(malformed(&format!("Unexpected kind: {other}"))),
    }
}

fn malformed(message: &str) -> PatchError {
    PatchError::Malformed(message.to_owned())
}

fn unfit(operation: &str, path: &str, why: &str) -> PatchError {
    PatchError::Unfit(format!(
        "{operation} operation does not apply: doc is missing path: {path}: {why}"
    ))
}

/// The steps of a pointer, without its escapes.
fn steps(path: &str) -> Result<Vec<String>, PatchError> {
    match path.strip_prefix('/') {
        None if path.is_empty() => Ok(vec![]),
        None => Err(unfit("add", path, "missing value")),
        Some(rest) => {
            Ok(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
        }
    }
}

fn find_mut<'a>(object: &'a mut Value, path: &str) -> Result<Option<&'a mut Value>, PatchError> {
    Ok(follow(object, &steps(path)?))
}

fn follow<'a>(object: &'a mut Value, steps: &[String]) -> Option<&'a mut Value> {
    steps.iter().try_fold(object, |here, step| match here {
        Value::Object(map) => map.get_mut(step),
        Value::Array(items) => {
            let at = position(step, items.len())?;
            items.get_mut(at)
        }
        _ => None,
    })
}

/// An index; negative ones count from the end, as upstream's library lets them.
fn position(step: &str, length: usize) -> Option<usize> {
    let number: i64 = step.parse().ok()?;
    if number < 0 {
        return length.checked_sub(usize::try_from(number.unsigned_abs()).ok()?);
    }
    usize::try_from(number).ok()
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), PatchError> {
    let steps = steps(path)?;
    let Some((last, parents)) = steps.split_last() else {
        *object = value;
        return Ok(());
    };
    match follow(object, parents) {
        Some(Value::Object(map)) => {
            map.insert(last, value);
            Ok(())
        }
        Some(Value::Array(items)) => {
            let at = if last == "-" {
                items.len()
            } else {
                position(last, items.len() + 1)
                    .filter(|at| *at <= items.len())
                    .ok_or_else(|| unfit("add", path, "invalid index referenced"))?
            };
            items.insert(at, value);
            Ok(())
        }
        _ => Err(unfit("add", path, "missing value")),
    }
}

fn remove(object: &mut Value, path: &str, operation: &str) -> Result<Value, PatchError> {
    let missing = || unfit(operation, path, "missing value");
    let steps = steps(path)?;
    let (last, parents) = steps.split_last().ok_or_else(missing)?;
    match follow(object, parents) {
        Some(Value::Object(map)) => map.remove(last).ok_or_else(missing),
        Some(Value::Array(items)) => {
            let at = position(last, items.len()).filter(|at| *at < items.len());
            at.map(|at| items.remove(at)).ok_or_else(missing)
        }
        _ => Err(missing()),
    }
}
