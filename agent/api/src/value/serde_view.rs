//! Typed views: a [`Value`] read into, or made from, any type that serde knows, without text between.

use super::{Key, Value};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// The value does not have the shape of the type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ViewError(String);

impl serde::de::Error for ViewError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Reads `value` as a `T`.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, ViewError> {
    T::deserialize(value)
}

/// Writes a `T` as a value.
pub fn to_value<T: serde::Serialize>(from: &T) -> Result<Value, ViewError> {
    let text = serde_json::to_vec(from).map_err(|error| ViewError(error.to_string()))?;
    super::decode_value(&text).map_err(|error| ViewError(error.to_string()))
}

impl<'de> IntoDeserializer<'de, ViewError> for &'de Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> IntoDeserializer<'de, ViewError> for &'de Key {
    type Deserializer = serde::de::value::BorrowedStrDeserializer<'de, ViewError>;

    fn into_deserializer(self) -> Self::Deserializer {
        serde::de::value::BorrowedStrDeserializer::new(self.as_str())
    }
}

impl<'de> serde::Deserializer<'de> for &'de Value {
    type Error = ViewError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ViewError> {
        match self {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            Value::Object(map) => visitor.visit_map(MapDeserializer::new(map.iter())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ViewError> {
        match self {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ViewError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ViewError> {
        match self {
            Value::String(text) => {
                let text: &str = text;
                serde::Deserializer::deserialize_enum(
                    IntoDeserializer::<ViewError>::into_deserializer(text),
                    name,
                    variants,
                    visitor,
                )
            }
            Value::Object(map) => visitor.visit_enum(serde::de::value::MapAccessDeserializer::new(
                MapDeserializer::new(map.iter()),
            )),
            _ => Err(ViewError(format!("{name} cannot be read from a {}", self.kind_name()))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
