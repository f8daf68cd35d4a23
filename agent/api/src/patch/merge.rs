//! JSON merge patch, RFC 7386.

use crate::Value;

/// Merges `patch` into `target`.
pub fn apply(target: &mut Value, patch: Value) {
    match patch {
        Value::Object(members) => {
            let map = target.make_object();
            for (name, value) in members {
                if value.is_null() {
                    map.remove(&name);
                } else {
                    apply(map.entry(&name), value);
                }
            }
        }
        other => *target = other,
    }
}
