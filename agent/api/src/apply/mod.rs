//! Server-side apply: who owns which field, and what becomes of an object when owners write.
//!
//! [`fields`] is the set of fields and its `FieldsV1` form, [`merge`] joins and compares values,
//! [`managers`] reads and writes `metadata.managedFields`; here they come together.

pub mod fields;
pub mod managers;
pub mod merge;
#[cfg(test)]
mod tests;

use crate::schema::Node;
use crate::status::Cause;
use crate::{Resource, Status, Value};
use fields::Fields;
use managers::{Manager, Managers, Operation};

/// What a write is, beside its values.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The shape of the objects.
    pub node: Node<'a>,
    /// `apiVersion` of the request.
    pub api_version: &'a str,
    /// Who writes.
    pub manager: &'a str,
    /// The subresource that is written; empty for the object itself.
    pub subresource: &'a str,
    /// The time, in RFC 3339 to the second.
    pub now: &'a str,
    /// Whether fields of other owners are taken over.
    pub force: bool,
    /// Fields that this endpoint does not set, such as `status`.
    pub ignored: &'a Fields,
}

/// The fields that a write to `subresource` (empty for the object itself) of a resource leaves as
/// they are.
pub fn ignored_fields(resource: &Resource, subresource: &str) -> Fields {
    let mut ignored = Fields::default();
    let has_status = resource.subresource("status").is_some();
    match subresource {
        "" if has_status => ignored.insert(&["f:status"]),
        "status" => ignored.insert(&["f:spec"]),
        _ => {}
    }
    ignored
}

/// Fields that belong to nobody: they say which object it is, or the server sets them.
const NOBODYS: [&[&str]; 11] = [
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:clusterName"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
];

fn stripped(mut fields: Fields, ignored: &Fields) -> Fields {
    for path in NOBODYS {
        fields.remove(path);
    }
    // `metadata` as such belongs to nobody either, only what is in it.
    fields.disown("f:metadata");
    fields.without_below(ignored)
}

/// Merges what `config` says into `live` (`None` when the object is new) and returns the object with
/// its new `managedFields`. `config` is in sparse form; defaults are for the caller to set after.
pub fn apply(write: &Write<'_>, live: Option<&Value>, config: &Value) -> Result<Value, Status> {
    if config.at(&["metadata", "managedFields"]).is_some_and(|list| !list.is_empty()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    merge::check_lists(write.node, config).map_err(Status::bad_request)?;
    let empty = Value::object();
    let before = live.map_or(&empty, |live| live);
    let mut managers = Managers::read(before);
    if let Some(live) = live.filter(|_| managers.is_empty()) {
        let owned = stripped(Fields::of_value(write.node, live), &Fields::default());
        let first =
            Manager { operation: Operation::Update, ..manager(write, "before-first-apply") };
        managers.set(first, owned, None);
    }
    let own = Manager { operation: Operation::Apply, ..manager(write, write.manager) };
    let last = managers.fields_of(&own).cloned().unwrap_or_default();
    let config_fields = stripped(Fields::of_value(write.node, config), write.ignored);
    let mut config = config.clone();
    merge::remove_fields(write.node, &mut config, write.ignored);
    let mut object = before.clone();
    merge::merge(write.node, &mut object, &config);
    // What this manager applied before and does not any more goes, unless others own it.
    let mut kept = config_fields.clone();
    for (other, fields) in managers.iter() {
        if *other != own {
            kept = kept.union(fields);
        }
    }
    merge::prune(write.node, &mut object, &last, &kept);
    let difference = merge::compare(write.node, before, &object);
    let changed = stripped(difference.changed, &Fields::default());
    let mut conflicts = Vec::new();
    for (other, fields) in managers.iter().filter(|(other, _)| **other != own) {
        let mutual = fields.intersection(&changed);
        conflicts.extend(mutual.paths().into_iter().map(|path| (other.clone(), path)));
    }
    if !conflicts.is_empty() && !write.force {
        return Err(conflict(&managers, &conflicts));
    }
    managers.take_away(&own, &changed, &difference.removed);
    let touched = last != config_fields;
    let time = if touched { Some(write.now) } else { None };
    managers.set(own, config_fields, time);
    managers.write(&mut object);
    Ok(object)
}

/// Gives the writer of an update, a create or a patch the fields that it changed. `live` is the
/// object before, `object` the one after, whose `managedFields` are written anew.
///
/// An `object` that came with an empty `managedFields` list has its owners forgotten, as upstream
/// lets clients do.
pub fn update(write: &Write<'_>, live: Option<&Value>, object: &mut Value) {
    let empty = Value::object();
    let before = live.map_or(&empty, |live| live);
    let said = object.at(&["metadata", "managedFields"]).and_then(Value::as_array).cloned();
    let mut managers = match said {
        // An explicit list replaces the owners; one empty entry resets them.
        Some(list) if !list.is_empty() => Managers::read(object),
        _ => Managers::read(before),
    };
    let difference = merge::compare(write.node, before, object);
    let own = manager(write, write.manager);
    let changed = stripped(difference.changed, write.ignored);
    if !changed.is_empty() || !difference.removed.is_empty() {
        managers.take_away(&own, &changed, &difference.removed);
        let had = managers.fields_of(&own).cloned().unwrap_or_default();
        let owned = had.union(&changed).difference(&difference.removed);
        let time = (owned != had || !changed.is_empty()).then_some(write.now);
        managers.set(own, owned, time);
        managers.cap();
    }
    managers.write(object);
}

fn manager(write: &Write<'_>, name: &str) -> Manager {
    Manager {
        name: name.to_owned(),
        operation: Operation::Update,
        api_version: write.api_version.to_owned(),
        subresource: write.subresource.to_owned(),
    }
}

fn conflict(managers: &Managers, conflicts: &[(Manager, String)]) -> Status {
    let named = |manager: &Manager| managers.describe(manager);
    let message = match conflicts {
        [(manager, path)] => {
            format!("Apply failed with 1 conflict: conflict with {}: {path}", named(manager))
        }
        many => {
            let mut parts: Vec<String> = Vec::new();
            let mut last = None;
            for (manager, path) in many {
                if last != Some(manager) {
                    parts.push(format!("conflicts with {}:", named(manager)));
                    last = Some(manager);
                }
                parts.push(format!("- {path}"));
            }
            format!("Apply failed with {} conflicts: {}", many.len(), parts.join("\n"))
        }
    };
    let causes = conflicts
        .iter()
        .map(|(manager, path)| Cause {
            reason: "FieldManagerConflict".to_owned(),
            message: format!("conflict with {}", named(manager)),
            field: path.clone(),
        })
        .collect();
    Status::plain(409, "Conflict", message).with(|details| details.causes = causes)
}
