//! Validation of objects, with upstream's messages. Rules for one field are rows of `rules.txt`; rules
//! between fields are functions for a struct or a kind; [`metadata`] is common to all.
//!
//! What is checked here needs nothing but the object and the one that it replaces. Objects have
//! their defaults set already.

mod change;
mod metadata;
mod pod;
mod rules;
mod service;
mod structs;
#[cfg(test)]
mod tests;
mod workload;

pub use metadata::{generated_name_base, name_rule};

use crate::field::{FieldError, Path};
use crate::schema::{Node, Schema, Shape};
use crate::{Resource, Value, crd};

/// What is wrong with a new object.
pub fn create(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::check(resource, object, &mut errors);
    body(resource, object, &mut errors);
    errors
}

/// What is wrong with an object that replaces `old`, through `subresource` (empty for the object
/// itself).
pub fn update(
    resource: &Resource,
    object: &Value,
    old: &Value,
    subresource: &str,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::check(resource, object, &mut errors);
    metadata::check_update(object, old, &mut errors);
    // A status is checked for its shape when it is read; its rules are the writer's business.
    if subresource != "status" || resource.custom.is_some() {
        body(resource, object, &mut errors);
    }
    if subresource.is_empty() || subresource == "resize" || subresource == "ephemeralcontainers" {
        change::check(resource, object, old, subresource, &mut errors);
    }
    errors
}

fn body(resource: &Resource, object: &Value, errors: &mut Vec<FieldError>) {
    match (&resource.schema, &resource.custom) {
        (Schema::BuiltIn(_), _) => {
            for (name, field) in resource.schema.node().fields() {
                // Metadata has rules of its own, and a status none.
                if !matches!(name, "metadata" | "status" | "apiVersion" | "kind")
                    && let Some(value) = object.get(name)
                {
                    walk(field, value, &Path::new(name), errors);
                }
            }
            if let Schema::BuiltIn(id) = &resource.schema {
                rules::check_type(*id, object, &Path::root(), errors);
            }
            workload::check_kind(resource, object, errors);
            service::check_kind(resource, object, errors);
            structs::check_kind(resource, object, errors);
        }
        (Schema::Custom(_), Some(custom)) => {
            crd::check(&custom.schema, object, &Path::root(), errors);
        }
        (Schema::Custom(_), None) => {}
    }
}

/// Checks a value and all below it: rows of the text, then the functions of its struct.
fn walk(node: Node<'_>, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match (node.shape(), value) {
        (Shape::Struct, Value::Object(map)) => {
            let id = node.table_type();
            if let Some(id) = id {
                rules::check_type(id, value, path, errors);
            }
            for (name, value) in map.iter() {
                if !matches!(value, Value::Object(_) | Value::Array(_)) {
                    continue;
                }
                if let Some(field) = node.field(name) {
                    walk(field, value, &path.child(name), errors);
                }
            }
            if let Some(id) = id {
                structs::check(id.name(), value, path, errors);
            }
        }
        (Shape::List, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                walk(node.inner(), item, &path.index(index), errors);
            }
        }
        (Shape::Map, Value::Object(map)) => {
            for (key, value) in map.iter() {
                walk(node.inner(), value, &path.key(key), errors);
            }
        }
        _ => {}
    }
}
