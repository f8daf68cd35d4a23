//! A [`Value`] to JSON text, without white space.

use super::Value;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// Appends the JSON text of `value`.
pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
    // Writing to memory fails only for maps whose keys are no text, and ours always are.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(value) => to.serialize_bool(*value),
            Self::Int(value) => to.serialize_i64(*value),
            Self::Float(value) => to.serialize_f64(*value),
            Self::String(text) => to.serialize_str(text),
            Self::Array(items) => {
                let mut sequence = to.serialize_seq(Some(items.len()))?;
                for item in items {
                    sequence.serialize_element(item)?;
                }
                sequence.end()
            }
            Self::Object(map) => {
                let mut members = to.serialize_map(Some(map.len()))?;
                for (name, value) in map.iter() {
                    members.serialize_entry(name.as_str(), value)?;
                }
                members.end()
            }
        }
    }
}
