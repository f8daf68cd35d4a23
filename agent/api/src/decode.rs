//! Documents to the form in which the server keeps them: unknown fields dropped and named, types
//! checked, quantities and times in their one spelling, zero values present or absent as Go's
//! encoding of the same object has them.

use crate::field::quote;
use crate::quantity::Quantity;
use crate::schema::{Node, Shape};
use crate::value::{self, DecodeError};
use crate::{Gvk, Map, Value, time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The document cannot be of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// It is no JSON.
    #[error(transparent)]
    Json(#[from] DecodeError),
    /// A value has the wrong type or form.
    #[error("{0}")]
    Shape(String),
}

/// Whether zero values and empty structs that Go would write are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// A whole object: as Go would write it.
    Whole,
    /// A part of an object, such as what is applied: nothing is added, nothing that was said is lost.
    Sparse,
}

/// A document that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The document in its kept form.
    pub value: Value,
    /// What strict validation refuses: `unknown field "…"`, `duplicate field "…"`.
    pub noticed: Vec<String>,
}

/// Reads JSON that is meant for the place `node`.
pub fn read(node: Node<'_>, text: &[u8]) -> Result<Read, ShapeError> {
    let decoded = value::decode(text)?;
    let mut value = decoded.value;
    let unknown = normalize(node, &mut value, Fill::Whole)?;
    let noticed = unknown
        .iter()
        .map(|path| format!("unknown field {}", quote(path)))
        .chain(decoded.duplicates.iter().map(|path| format!("duplicate field {}", quote(path))))
        .collect();
    Ok(Read { value, noticed })
}

/// The message of the 400 that a document of the wrong shape gets.
pub fn wrong_shape(gvk: &Gvk, why: impl std::fmt::Display) -> String {
    let Gvk { version, kind, .. } = gvk;
    format!("{kind} in version {} cannot be handled as a {kind}: {why}", quote(version))
}

/// The message of the 400 that strict validation gives for `noticed`.
pub fn strict_error(gvk: &Gvk, noticed: &[String]) -> String {
    wrong_shape(gvk, format!("strict decoding error: {}", noticed.join(", ")))
}

/// Brings `value` into its kept form. Returns the paths of unknown fields, which are dropped.
pub fn normalize(node: Node<'_>, value: &mut Value, fill: Fill) -> Result<Vec<String>, ShapeError> {
    let mut walk = Walk { unknown: Vec::new(), path: Vec::new(), owner: "", fill };
    walk.value(node, value)?;
    Ok(walk.unknown)
}

struct Walk<'a> {
    unknown: Vec<String>,
    path: Vec<Step<'a>>,
    /// The innermost Go struct, for messages.
    owner: &'static str,
    fill: Fill,
}

enum Step<'a> {
    Field(&'a str),
    Owned(Box<str>),
    Index(usize),
}

impl<'a> Walk<'a> {
    fn path(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => text.push_str(&format!("[{index}]")),
                Step::Field(_) | Step::Owned(_) if !text.is_empty() => text.push('.'),
                Step::Field(_) | Step::Owned(_) => {}
            }
            match step {
                Step::Field(name) => text.push_str(name),
                Step::Owned(name) => text.push_str(name),
                Step::Index(_) => {}
            }
        }
        text
    }

    /// Go's message for a value of the wrong type.
    fn mistyped(&self, node: Node<'_>, value: &Value) -> ShapeError {
        let kind = match value {
            Value::Bool(_) => "bool".to_owned(),
            Value::Int(number) => format!("number {number}"),
            Value::Float(number) => format!("number {number}"),
            other => other.kind_name().to_owned(),
        };
        let kind = if node.shape() == Shape::String {
            kind.split(' ').next().unwrap_or_default()
        } else {
            &kind
        };
        let names: Vec<&str> = self
            .path
            .iter()
            .filter_map(|step| match step {
                Step::Field(name) => Some(*name),
                Step::Owned(name) => Some(name),
                Step::Index(_) => None,
            })
            .collect();
        let go_type = node.go_type();
        let place = match names.as_slice() {
            [] => "Go value".to_owned(),
            names => format!("Go struct field {}.{}", self.owner, names.join(".")),
        };
        ShapeError::Shape(format!("json: cannot unmarshal {kind} into {place} of type {go_type}"))
    }

    fn value(&mut self, node: Node<'a>, value: &mut Value) -> Result<(), ShapeError> {
        if !node.is_built_in() {
            return self.custom(node, value);
        }
        match (node.shape(), &mut *value) {
            (Shape::Struct, Value::Object(map)) => return self.fields(node, map),
            (Shape::Map, Value::Object(map)) => {
                for (name, member) in map.iter_mut() {
                    self.path.push(Step::Owned(name.as_str().into()));
                    self.null_to_zero(node.inner(), member);
                    self.value(node.inner(), member)?;
                    self.path.pop();
                }
            }
            (Shape::List | Shape::Strings, Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push(Step::Index(index));
                    self.null_to_zero(node.inner(), item);
                    self.value(node.inner(), item)?;
                    self.path.pop();
                }
            }
            (Shape::String, Value::String(_))
            | (Shape::Bool, Value::Bool(_))
            | (Shape::Int64, Value::Int(_))
            | (Shape::Double, Value::Int(_))
            | (Shape::RawExtension | Shape::FieldsV1, Value::Object(_) | Value::Null)
            | (Shape::Json, _) => {}
            (Shape::IntOrString, Value::String(_)) => {}
            (Shape::Double, Value::Float(number)) => {
                // Go writes 5.0 as 5.
                if number.fract() == 0.0 && number.abs() < 9.0e15 {
                    *value = Value::Int(*number as i64);
                }
            }
            (Shape::IntOrString | Shape::Int32, Value::Int(number))
                if i32::try_from(*number).is_ok() => {}
            (Shape::Bytes, Value::String(text)) => check_base64(text)?,
            (Shape::Quantity, Value::String(_) | Value::Int(_) | Value::Float(_)) => {
                *value = quantity(value)?;
            }
            (Shape::Time | Shape::MicroTime, Value::String(text)) => {
                let micro = node.shape() == Shape::MicroTime;
                *value = normal_time(text, micro)?;
            }
            (Shape::SchemaOrArray | Shape::SchemaOrBool, Value::Object(map)) => {
                return self.fields(node.inner(), map);
            }
            (Shape::SchemaOrStrings, Value::Object(map)) => return self.fields(node.inner(), map),
            (Shape::SchemaOrArray | Shape::SchemaOrStrings, Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    if item.is_object() {
                        self.path.push(Step::Index(index));
                        self.value(node.inner(), item)?;
                        self.path.pop();
                    }
                }
            }
            (Shape::SchemaOrBool, Value::Bool(_)) => {}
            _ => return Err(self.mistyped(node, value)),
        }
        Ok(())
    }

    /// What Go makes of `null` among a list's or map's elements.
    fn null_to_zero(&self, node: Node<'_>, value: &mut Value) {
        if value.is_null() {
            *value = match node.shape() {
                Shape::Struct | Shape::Map => Value::object(),
                Shape::List | Shape::Strings => Value::Array(vec![]),
                Shape::String | Shape::Bytes => Value::from(""),
                Shape::Bool => Value::Bool(false),
                Shape::Int32 | Shape::Int64 | Shape::IntOrString | Shape::Double => Value::Int(0),
                Shape::Quantity => Value::from("0"),
                _ => Value::Null,
            };
        }
    }

    fn fields(&mut self, node: Node<'a>, map: &mut Map) -> Result<(), ShapeError> {
        let outer = std::mem::replace(&mut self.owner, node.go_type());
        let mut names_of_unknown = Vec::new();
        let mut failed = None;
        map.retain(|name, value| {
            if failed.is_some() {
                return true;
            }
            let Some(field) = node.field(name) else {
                names_of_unknown.push(name.to_owned());
                return false;
            };
            // Go reads `null` as nothing, except where any JSON may stand.
            if value.is_null() && field.shape() != Shape::Json {
                return false;
            }
            let known = field.table_field().map(|field| field.name());
            self.path.push(match known {
                Some(name) => Step::Field(name),
                None => Step::Owned(name.into()),
            });
            if let Err(error) = self.value(field, value) {
                failed = Some(error);
                return true;
            }
            self.path.pop();
            self.fill == Fill::Sparse || !is_left_out(field, value)
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let prefix = self.path();
        let dot = if prefix.is_empty() { "" } else { "." };
        self.unknown.extend(names_of_unknown.iter().map(|name| format!("{prefix}{dot}{name}")));
        if self.fill == Fill::Whole {
            fill_in(node, map);
        }
        self.owner = outer;
        Ok(())
    }

    /// Below a CRD's schema only unknown members matter here: its types are checked by validation.
    fn custom(&mut self, node: Node<'a>, value: &mut Value) -> Result<(), ShapeError> {
        match (node.shape(), value) {
            (Shape::Struct, Value::Object(map)) => {
                let mut names_of_unknown = Vec::new();
                let mut failed = None;
                map.retain(|name, value| {
                    if failed.is_some() {
                        return true;
                    }
                    let Some(field) = node.field(name) else {
                        names_of_unknown.push(name.to_owned());
                        return false;
                    };
                    self.path.push(Step::Owned(name.into()));
                    if let Err(error) = self.value(field, value) {
                        failed = Some(error);
                    }
                    self.path.pop();
                    true
                });
                if let Some(error) = failed {
                    return Err(error);
                }
                let prefix = self.path();
                let dot = if prefix.is_empty() { "" } else { "." };
                self.unknown
                    .extend(names_of_unknown.iter().map(|name| format!("{prefix}{dot}{name}")));
            }
            (Shape::Map, Value::Object(map)) => {
                for (name, member) in map.iter_mut() {
                    self.path.push(Step::Owned(name.as_str().into()));
                    self.value(node.inner(), member)?;
                    self.path.pop();
                }
            }
            (Shape::List, Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push(Step::Index(index));
                    self.value(node.inner(), item)?;
                    self.path.pop();
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether Go leaves this value out of the object: zero, and neither a pointer nor always written.
fn is_left_out(node: Node<'_>, value: &Value) -> bool {
    let Some(field) = node.table_field() else { return false };
    let zero = match node.shape() {
        // Structs are written even when they are empty, and so are quantities and the like.
        Shape::Struct | Shape::Quantity | Shape::IntOrString | Shape::RawExtension => false,
        Shape::Json | Shape::FieldsV1 | Shape::SchemaOrArray => false,
        Shape::SchemaOrBool | Shape::SchemaOrStrings | Shape::Time | Shape::MicroTime => false,
        _ => value.is_empty(),
    };
    zero && field.omits_empty() && !field.is_pointer()
}

/// Adds what Go writes although nobody said it: structs, and numbers and truth values that are
/// always there. Clients that are generated from the published schema insist on them.
fn fill_in(node: Node<'_>, map: &mut Map) {
    for (name, field) in node.fields() {
        let Some(row) = field.table_field() else { continue };
        if row.is_pointer() || row.numbers()[2] == 0 || map.contains_key(name) {
            continue;
        }
        match field.shape() {
            Shape::Struct => {
                let mut inner = Map::new();
                fill_in(field, &mut inner);
                map.insert(name, inner);
            }
            Shape::Int32 | Shape::Int64 if !row.omits_empty() => {
                map.insert(name, 0i64);
            }
            Shape::Bool if !row.omits_empty() => {
                map.insert(name, false);
            }
            _ => {}
        }
    }
}

fn quantity(value: &Value) -> Result<Value, ShapeError> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    let quantity: Quantity = text.parse().map_err(|error| ShapeError::Shape(format!("{error}")))?;
    Ok(Value::from(quantity.to_string()))
}

fn normal_time(text: &str, micro: bool) -> Result<Value, ShapeError> {
    let layout =
        if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    let parsed = time::parse(text).ok_or_else(|| {
        let text = quote(text);
        ShapeError::Shape(format!(
            "parsing time {text} as \"{layout}\": cannot parse {text} as a time"
        ))
    })?;
    Ok(Value::from(if micro { time::micros(parsed) } else { time::seconds(parsed) }))
}

/// Go takes base64 of the standard alphabet, with padding, and skips line breaks.
fn check_base64(text: &mut Box<str>) -> Result<(), ShapeError> {
    if text.contains(['\n', '\r']) {
        *text = text.replace(['\n', '\r'], "").into_boxed_str();
    }
    match STANDARD.decode(text.as_bytes()) {
        Ok(_) => Ok(()),
        Err(error) => {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _)
                | base64::DecodeError::InvalidLastSymbol { offset: at, .. } => at,
                _ => text.len(),
            };
            Err(ShapeError::Shape(format!("illegal base64 data at input byte {at}")))
        }
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
