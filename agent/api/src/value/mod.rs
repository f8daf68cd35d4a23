//! What a JSON document holds, compactly: numbers are `i64` or `f64`, objects are sorted vectors.
//!
//! The methods carry the names that `serde_json` made common. Must never know a Kubernetes type.

mod decode;
mod encode;
mod map;
mod serde_view;
#[cfg(test)]
mod tests;

pub use decode::{DecodeError, Decoded, decode, decode_value};
pub use map::{Key, Map};
pub use serde_view::{ViewError, from_value, to_value};

/// A JSON value. Two objects are equal when they hold the same members, in whatever order they were
/// written.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction and exponent that fits.
    Int(i64),
    /// Any other number; always finite.
    Float(f64),
    /// Text.
    String(Box<str>),
    /// `[…]`
    Array(Vec<Value>),
    /// `{…}`
    Object(Map),
}

static NULL: Value = Value::Null;

impl Value {
    /// An empty object.
    pub fn object() -> Self {
        Self::Object(Map::new())
    }

    /// The member `key`, when this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// The member `key`, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.as_object_mut()?.get_mut(key)
    }

    /// Follows member names, as in `pod.at(&["metadata", "name"])`.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Follows member names, to change what is there.
    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |value, key| value.get_mut(key))
    }

    /// The text at `path`; empty when it is absent or no text.
    pub fn str_at(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// The whole number at `path`.
    pub fn int_at(&self, path: &[&str]) -> Option<i64> {
        self.at(path).and_then(Value::as_i64)
    }

    /// The truth value at `path`; false when it is absent.
    pub fn bool_at(&self, path: &[&str]) -> bool {
        self.at(path).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The elements at `path`; none when it is absent or no array.
    pub fn items_at(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Sets the value at `path` and makes the objects that lead there. What stands in the way and is
    /// no object is replaced.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let mut here = self;
        for key in path {
            here = here.make_object().entry(key);
        }
        *here = value.into();
    }

    /// Takes out the value at `path`.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        self.at_mut(parents)?.as_object_mut()?.remove(last)
    }

    /// This as an object; what was none is replaced by an empty one.
    pub fn make_object(&mut self) -> &mut Map {
        if !self.is_object() {
            *self = Self::object();
        }
        match self {
            Self::Object(map) => map,
            _ => unreachable!("it was made an object above"),
        }
    }

    /// This as an array; what was none is replaced by an empty one.
    pub fn make_array(&mut self) -> &mut Vec<Value> {
        if !matches!(self, Self::Array(_)) {
            *self = Self::Array(Vec::new());
        }
        match self {
            Self::Array(items) => items,
            _ => unreachable!("it was made an array above"),
        }
    }

    /// The text, when this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, when this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, when it is whole and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9.0e18 => {
                Some(*value as i64)
            }
            _ => None,
        }
    }

    /// The number, possibly rounded.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements, when this is an array.
    pub fn as_array(&self) -> Option<&Vec<Value>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The elements, to change them.
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members, when this is an object.
    pub fn as_object(&self) -> Option<&Map> {
        match self {
            Self::Object(map) => Some(map),
            _ => None,
        }
    }

    /// The members, to change them.
    pub fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Object(map) => Some(map),
            _ => None,
        }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether this is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Whether this is `null`, zero, false, or an empty text, array or object: what Go's `omitempty`
    /// leaves out.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Float(value) => *value == 0.0,
            Self::String(text) => text.is_empty(),
            Self::Array(items) => items.is_empty(),
            Self::Object(map) => map.is_empty(),
        }
    }

    /// Takes the value out and leaves `null`.
    pub fn take(&mut self) -> Value {
        std::mem::take(self)
    }

    /// What JSON calls this kind of value.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Float(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// The value as JSON text without white space.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        encode::write(self, &mut out);
        out
    }
}

/// `value["key"]` reads a member; an absent one reads as `null`.
impl std::ops::Index<&str> for Value {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&NULL)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_json()))
    }
}

macro_rules! from_values {
    ($($from:ty => $variant:ident($convert:expr);)*) => {$(
        impl From<$from> for Value {
            fn from(from: $from) -> Self {
                let convert: fn($from) -> _ = $convert;
                Self::$variant(convert(from))
            }
        }
    )*};
}

from_values! {
    bool => Bool(|value| value);
    i64 => Int(|value| value);
    i32 => Int(i64::from);
    u32 => Int(i64::from);
    u16 => Int(i64::from);
    f64 => Float(|value| value);
    &str => String(|text| Box::from(text));
    &String => String(|text| Box::from(text.as_str()));
    String => String(String::into_boxed_str);
    Box<str> => String(|text| text);
    Vec<Value> => Array(|items| items);
    Map => Object(|map| map);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(from: Option<T>) -> Self {
        from.map_or(Self::Null, Into::into)
    }
}

impl From<&Value> for Value {
    fn from(from: &Value) -> Self {
        from.clone()
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

/// Writes a [`Value`] as JSON: `value!({"kind": "Pod", "spec": {"nodeName": name}})`. Expressions
/// that are more than one token stand in parentheses or braces.
#[macro_export]
macro_rules! value {
    (null) => { $crate::Value::Null };
    ([$($item:tt),* $(,)?]) => { $crate::Value::Array(vec![$($crate::value!($item)),*]) };
    ({$($key:tt : $value:tt),* $(,)?}) => {{
        #[allow(unused_mut)]
        let mut map = $crate::value::Map::new();
        $(map.insert($key, $crate::value!($value));)*
        $crate::Value::Object(map)
    }};
    ($other:expr) => { $crate::Value::from($other) };
}
