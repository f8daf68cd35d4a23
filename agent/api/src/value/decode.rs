//! JSON text to a [`Value`]. Bounded in depth; names that occur twice in an object are reported.

use super::{Key, Map, Value};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The text is no JSON, or nests too deeply (128 levels).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// A document and what was noticed while it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The document.
    pub value: Value,
    /// Paths of members that occur more than once, such as `spec.containers[0].name`. The last
    /// occurrence is the one in `value`.
    pub duplicates: Vec<String>,
}

/// Reads one JSON document.
pub fn decode(text: &[u8]) -> Result<Decoded, DecodeError> {
    let mut duplicates = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Seed { duplicates: &mut duplicates }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| DecodeError(error.to_string()))?;
    Ok(Decoded { value, duplicates })
}

/// Reads one JSON document that this program wrote, where duplicates are no concern.
pub fn decode_value(text: &[u8]) -> Result<Value, DecodeError> {
    decode(text).map(|decoded| decoded.value)
}

/// `duplicates` collects paths from the leaf upwards: each level puts its own name in front of what
/// its children added, so that nothing is paid while there are none.
pub(super) struct Seed<'a> {
    pub(super) duplicates: &'a mut Vec<String>,
}

impl Seed<'_> {
    fn prefix(&mut self, from: usize, name: impl fmt::Display) {
        for path in &mut self.duplicates[from..] {
            let separator = if path.starts_with('[') { "" } else { "." };
            *path = format!("{name}{separator}{path}");
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if value.is_finite() { Ok(Value::Float(value)) } else { Err(E::custom("number too large")) }
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let noticed = self.duplicates.len();
            let Some(item) = from.next_element_seed(Seed { duplicates: &mut *self.duplicates })?
            else {
                break;
            };
            self.prefix(noticed, format_args!("[{}]", items.len()));
            items.push(item);
        }
        items.shrink_to_fit();
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut from: A) -> Result<Value, A::Error> {
        let mut members: Vec<(Key, Value)> = Vec::new();
        while let Some(name) = from.next_key_seed(KeySeed)? {
            let noticed = self.duplicates.len();
            let value = from.next_value_seed(Seed { duplicates: &mut *self.duplicates })?;
            self.prefix(noticed, &name);
            members.push((name, value));
        }
        let (map, twice) = Map::from_members(members);
        self.duplicates.extend(twice.iter().map(Key::to_string));
        Ok(Value::Object(map))
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Key, D::Error> {
        from.deserialize_any(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(Key::from(name))
    }

    // YAML and typed maps have keys that are no text.
    fn visit_bool<E>(self, name: bool) -> Result<Key, E> {
        Ok(Key::from(name.to_string()))
    }

    fn visit_i64<E>(self, name: i64) -> Result<Key, E> {
        Ok(Key::from(name.to_string()))
    }

    fn visit_u64<E>(self, name: u64) -> Result<Key, E> {
        Ok(Key::from(name.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Key, E> {
        Err(E::custom("a member's name must be text"))
    }
}

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut duplicates = Vec::new();
        let value = from.deserialize_any(Seed { duplicates: &mut duplicates })?;
        match duplicates.first() {
            None => Ok(value),
            Some(path) => Err(D::Error::custom(format_args!("duplicate field {path:?}"))),
        }
    }
}
