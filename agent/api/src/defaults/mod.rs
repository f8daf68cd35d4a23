//! Defaults: what the server puts where a client says nothing. Most are rows of `table.txt`, and what
//! the published schema marks; those that depend on other fields are functions in [`kinds`].
//!
//! Setting them twice changes nothing.

mod kinds;
#[cfg(test)]
mod tests;

pub use kinds::quality_of_service;

use crate::schema::structural::Structural;
use crate::schema::{Node, Schema, Shape, TypeId};
use crate::{Resource, Value};
use std::sync::LazyLock;

static ROWS: LazyLock<Vec<(TypeId, &'static str, Value)>> = LazyLock::new(read_rows);

const TEXT: &str = include_str!("table.txt");

/// Rows sorted by type. A row that names nothing is left out; a test sees to it that there is none.
fn read_rows() -> Vec<(TypeId, &'static str, Value)> {
    let mut rows: Vec<_> = TEXT.lines().filter_map(read_row).collect();
    rows.sort_by_key(|(id, _, _)| *id);
    rows
}

fn read_row(line: &'static str) -> Option<(TypeId, &'static str, Value)> {
    let mut columns = line.splitn(3, ' ');
    let (name, field, json) = (columns.next()?, columns.next()?, columns.next()?);
    let name = if name.starts_with("io.") { name.to_owned() } else { format!("io.k8s.api.{name}") };
    let id = TypeId::of_name(&name)?;
    id.field(field)?;
    Some((id, field, crate::value::decode_value(json.as_bytes()).ok()?))
}

/// Sets the defaults of an object.
pub fn set(resource: &Resource, object: &mut Value) {
    match &resource.schema {
        Schema::BuiltIn(_) => {
            kinds::before(resource, object);
            of_place(resource.schema.node(), object);
            kinds::after(resource, object);
        }
        Schema::Custom(schema) => of_custom(schema, object),
    }
}

/// Sets the defaults of a part of an object, such as a pod's template, at its place in the table.
pub fn of_place(node: Node<'_>, value: &mut Value) {
    match (node.shape(), value) {
        (Shape::Struct, value @ Value::Object(_)) => {
            if let Some(id) = node.table_type() {
                of_type(id, value);
            }
            let Value::Object(map) = value else { return };
            for (name, value) in map.iter_mut() {
                if matches!(value, Value::Object(_) | Value::Array(_))
                    && let Some(field) = node.field(name)
                {
                    of_place(field, value);
                }
            }
        }
        (Shape::List, Value::Array(items)) => {
            items.iter_mut().for_each(|item| of_place(node.inner(), item));
        }
        (Shape::Map, Value::Object(map)) => {
            map.iter_mut().for_each(|(_, value)| of_place(node.inner(), value));
        }
        _ => {}
    }
}

fn of_type(id: TypeId, value: &mut Value) {
    kinds::of_struct(id.name(), value);
    let map = value.make_object();
    let first = ROWS.partition_point(|(other, _, _)| *other < id);
    for (_, field, default) in ROWS[first..].iter().take_while(|(other, _, _)| *other == id) {
        if !map.contains_key(field) {
            map.insert(*field, default.clone());
        }
    }
    for field in id.fields() {
        let Some(json) = field.default_json() else { continue };
        if map.contains_key(field.name()) {
            continue;
        }
        if let Ok(default) = crate::value::decode_value(json.as_bytes()) {
            // A zero that Go would not write is no default.
            if !default.is_empty() || field.is_pointer() || !field.omits_empty() {
                map.insert(field.name(), default);
            }
        }
    }
}

/// Sets a CRD's defaults, from the outside inwards, as its structural schema says them.
pub fn of_custom(schema: &Structural, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, property) in &schema.properties {
                let absent = match map.get(name) {
                    None => true,
                    // `null` where none may be counts as nothing when there is a default.
                    Some(value) => value.is_null() && !property.nullable,
                };
                match (&property.default, absent) {
                    (Some(default), true) => {
                        map.insert(&**name, default.clone());
                    }
                    (None, true) => continue,
                    _ => {}
                }
                if let Some(value) = map.get_mut(name) {
                    of_custom(property, value);
                }
            }
            if let Some(inner) = &schema.additional {
                map.iter_mut().for_each(|(_, value)| of_custom(inner, value));
            }
        }
        Value::Array(items) => {
            if let Some(inner) = &schema.items {
                items.iter_mut().for_each(|item| of_custom(inner, item));
            }
        }
        _ => {}
    }
}
