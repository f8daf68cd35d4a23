//! Canonical JSON, the byte form that signatures and key identifiers are computed over.
//!
//! Keys in order of their bytes, no white space, only quote and backslash escaped. Floating-point
//! numbers have no canonical form and are refused. See <http://wiki.laptop.org/go/Canonical_JSON>.

use serde_json::Value;

/// The value holds a number that is not an integer of 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no integer of 64 bits: it has no canonical form")]
pub struct NotCanonical(String);

/// The canonical bytes of `value`.
pub fn encode(value: &Value) -> Result<Vec<u8>, NotCanonical> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(true) => out.extend(b"true"),
        Value::Bool(false) => out.extend(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend(number.to_string().as_bytes());
        }
        Value::Number(number) => return Err(NotCanonical(number.to_string())),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            // Not left to the map: a feature of serde_json, set anywhere, would change its order.
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by(|one, two| one.0.as_bytes().cmp(two.0.as_bytes()));
            out.push(b'{');
            for (i, (name, field)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write(field, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(value: &Value) -> String {
        String::from_utf8(encode(value).unwrap()).unwrap()
    }

    #[test]
    fn keys_are_sorted_by_bytes_and_white_space_is_gone() {
        let value: Value =
            serde_json::from_str("{ \"b\" : [ 1 , true, null ], \"a\":{}, \"B\": -7 }").unwrap();
        assert_eq!(text(&value), r#"{"B":-7,"a":{},"b":[1,true,null]}"#);
    }

    #[test]
    fn only_quote_and_backslash_are_escaped() {
        assert_eq!(text(&json!("a\"b\\c\nd\u{1}é")), "\"a\\\"b\\\\c\nd\u{1}é\"");
    }

    #[test]
    fn number_without_a_canonical_form_is_refused() {
        assert_eq!(encode(&json!([1.5])), Err(NotCanonical("1.5".into())));
        assert_eq!(text(&json!(u64::MAX)), u64::MAX.to_string());
    }
}
