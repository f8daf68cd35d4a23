//! A value to its message.

use super::ProtobufError;
use super::wire::Writer;
use crate::quantity::Quantity;
use crate::schema::{Node, Shape};
use crate::{Map, Value, time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BAD: fn(&'static str) -> ProtobufError = ProtobufError::BadValue;

pub(super) fn message(
    node: Node<'_>,
    value: &Value,
    out: &mut Writer,
    depth: usize,
) -> Result<(), ProtobufError> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError::TooDeep)?;
    let Value::Object(map) = value else { return Err(BAD(node.go_type())) };
    level(node, map, 0, [0, 0], out, depth)
}

/// Writes the fields that stand in the struct in line that `way` leads to, `level` steps deep.
fn level(
    node: Node<'_>,
    map: &Map,
    level_number: usize,
    way: [u8; 2],
    out: &mut Writer,
    depth: usize,
) -> Result<(), ProtobufError> {
    let mut in_line: Vec<u8> = Vec::new();
    for (name, value) in map.iter() {
        let Some(field) = node.field(name) else { continue };
        let Some(row) = field.table_field() else { continue };
        let numbers = row.numbers();
        let parents: &[u8] = match numbers {
            [0, 0, _] => &[],
            [0, ref parents @ .., _] => parents,
            [ref parents @ .., _] => parents,
        };
        if parents.len() < level_number || parents[..level_number] != way[..level_number] {
            continue;
        }
        match parents.get(level_number) {
            Some(parent) if !in_line.contains(parent) => in_line.push(*parent),
            Some(_) => {}
            None if numbers[2] == 0 || value.is_null() => {}
            None => write_field(row.name(), field, numbers[2], value, out, depth)?,
        }
    }
    for parent in in_line {
        let mut way = way;
        way[level_number] = parent;
        out.message(parent, |inner| level(node, map, level_number + 1, way, inner, depth))?;
    }
    Ok(())
}

fn write_field(
    name: &'static str,
    node: Node<'_>,
    number: u8,
    value: &Value,
    out: &mut Writer,
    depth: usize,
) -> Result<(), ProtobufError> {
    match (node.shape(), value) {
        (Shape::List, Value::Array(items)) => {
            items.iter().try_for_each(|item| single(name, node.inner(), number, item, out, depth))
        }
        (Shape::Map, Value::Object(map)) => map.iter().try_for_each(|(key, value)| {
            out.message(number, |entry| {
                entry.bytes(1, key.as_bytes());
                single(name, node.inner(), 2, value, entry, depth)
            })
        }),
        _ => single(name, node, number, value, out, depth),
    }
}

fn single(
    name: &'static str,
    node: Node<'_>,
    number: u8,
    value: &Value,
    out: &mut Writer,
    depth: usize,
) -> Result<(), ProtobufError> {
    match (node.shape(), value) {
        (Shape::Struct, Value::Object(_)) => {
            out.message(number, |inner| message(node, value, inner, depth))?;
        }
        (Shape::String, Value::String(text)) => out.bytes(number, text.as_bytes()),
        (Shape::Bool, Value::Bool(truth)) => out.int(number, i64::from(*truth)),
        (Shape::Int32 | Shape::Int64, Value::Int(int)) => out.int(number, *int),
        (Shape::Double, _) => out.double(number, value.as_f64().ok_or(BAD(name))?),
        (Shape::Bytes, Value::String(text)) => {
            out.bytes(number, &STANDARD.decode(text.as_bytes()).map_err(|_| BAD(name))?);
        }
        (Shape::Strings, Value::Array(items)) => out.message(number, |inner| {
            items.iter().try_for_each(|item| {
                inner.bytes(1, item.as_str().ok_or(BAD(name))?.as_bytes());
                Ok(())
            })
        })?,
        (Shape::Quantity, Value::String(text)) => {
            let quantity: Quantity = text.parse().map_err(|_| BAD(name))?;
            let text = quantity.to_string();
            out.message(number, |inner| {
                inner.bytes(1, text.as_bytes());
                Ok(())
            })?;
        }
        (Shape::IntOrString, _) => out.message(number, |inner| {
            let (kind, int, text) = match value {
                Value::Int(int) => (0, *int, ""),
                Value::String(text) => (1, 0, &**text),
                _ => return Err(BAD(name)),
            };
            inner.int(1, kind);
            inner.int(2, int);
            inner.bytes(3, text.as_bytes());
            Ok(())
        })?,
        (Shape::Time | Shape::MicroTime, Value::String(text)) => {
            let time = time::parse(text).ok_or(BAD(name))?;
            // Before 1970 nanoseconds count up from the second below.
            let nanos = i64::from(time.subsec_nanosecond());
            let (seconds, nanos) = match nanos < 0 {
                true => (time.as_second() - 1, nanos + 1_000_000_000),
                false => (time.as_second(), nanos),
            };
            out.message(number, |inner| {
                inner.int(1, seconds);
                inner.int(2, nanos);
                Ok::<(), ProtobufError>(())
            })?;
        }
        // A missing time is an empty message.
        (Shape::Time | Shape::MicroTime, Value::Null) => out.bytes(number, b""),
        (Shape::RawExtension | Shape::FieldsV1 | Shape::Json, _) => {
            out.message(number, |inner| {
                inner.bytes(1, &value.to_json());
                Ok::<(), ProtobufError>(())
            })?;
        }
        (Shape::SchemaOrArray | Shape::SchemaOrBool | Shape::SchemaOrStrings, _) => {
            out.message(number, |inner| schema_or(name, node, value, inner, depth))?;
        }
        _ => return Err(BAD(name)),
    }
    Ok(())
}

/// The three unions of a CRD's schema.
fn schema_or(
    name: &'static str,
    node: Node<'_>,
    value: &Value,
    out: &mut Writer,
    depth: usize,
) -> Result<(), ProtobufError> {
    let shape = node.shape();
    let schema = |number: u8, value: &Value, out: &mut Writer| {
        out.message(number, |inner| message(node.inner(), value, inner, depth))
    };
    match value {
        Value::Bool(allows) if shape == Shape::SchemaOrBool => out.int(1, i64::from(*allows)),
        Value::Object(_) if shape == Shape::SchemaOrBool => {
            out.int(1, 1);
            schema(2, value, out)?;
        }
        Value::Object(_) => schema(1, value, out)?,
        Value::Array(items) if shape == Shape::SchemaOrArray => {
            items.iter().try_for_each(|item| schema(2, item, out))?;
        }
        Value::Array(items) if shape == Shape::SchemaOrStrings => {
            items.iter().try_for_each(|item| {
                out.bytes(2, item.as_str().ok_or(BAD(name))?.as_bytes());
                Ok(())
            })?;
        }
        _ => return Err(BAD(name)),
    }
    Ok(())
}
