//! Errors about one field, worded as upstream words them, and the path to it.

use crate::Value;
use std::fmt;

/// Where a field is, as in `spec.containers[0].name` or `metadata.labels[a/b]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(String);

impl Path {
    /// The object itself.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// A path that is written out, such as `metadata.name`.
    pub fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// The field `name` in it.
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// The element at `index`, counted from 0.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The member `key` of a map.
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// A value must be there.
    Required,
    /// The value is malformed or out of range.
    Invalid,
    /// The value is none of those allowed.
    NotSupported,
    /// The value must be unique and is not.
    Duplicate,
    /// The value may not be set here and now.
    Forbidden,
    /// What the value refers to does not exist.
    NotFound,
    /// Too many bytes.
    TooLong,
    /// Too many elements.
    TooMany,
    /// Too few elements.
    TooFew,
    /// Too few bytes.
    TooShort,
    /// The value is of another type.
    Type,
    /// The check itself failed.
    Internal,
}

impl Wrong {
    /// The cause's `reason` in a `Status`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::NotFound => "FieldValueNotFound",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::TooShort => "FieldValueTooShort",
            Self::Type => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::Type => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not found",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::TooShort => "Too short",
            Self::Internal => "Internal error",
        }
    }
}

/// One error about one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where.
    pub path: Path,
    /// What.
    pub wrong: Wrong,
    /// The message without the path: `Invalid value: "x": must be …`.
    pub body: String,
}

impl FieldError {
    fn new(path: &Path, wrong: Wrong, bad: Option<&Value>, detail: &str) -> Self {
        let mut body = wrong.title().to_owned();
        if let Some(bad) = bad {
            body.push_str(": ");
            match bad {
                Value::String(text) => body.push_str(&quote(text)),
                other => body.push_str(&other.to_string()),
            }
        }
        if !detail.is_empty() {
            body.push_str(": ");
            body.push_str(detail);
        }
        Self { path: path.clone(), wrong, body }
    }

    /// A value must be there.
    pub fn required(path: &Path, detail: &str) -> Self {
        Self::new(path, Wrong::Required, None, detail)
    }

    /// The value is malformed or out of range.
    pub fn invalid(path: &Path, bad: impl Into<Value>, detail: &str) -> Self {
        Self::new(path, Wrong::Invalid, Some(&bad.into()), detail)
    }

    /// The value is of another type.
    pub fn type_invalid(path: &Path, bad: impl Into<Value>, detail: &str) -> Self {
        Self::new(path, Wrong::Type, Some(&bad.into()), detail)
    }

    /// The value is none of `supported`.
    pub fn not_supported(path: &Path, bad: impl Into<Value>, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|text| quote(text)).collect();
        let detail = match quoted.as_slice() {
            [] => String::new(),
            some => format!("supported values: {}", some.join(", ")),
        };
        Self::new(path, Wrong::NotSupported, Some(&bad.into()), &detail)
    }

    /// The value must be unique and is not.
    pub fn duplicate(path: &Path, bad: impl Into<Value>) -> Self {
        Self::new(path, Wrong::Duplicate, Some(&bad.into()), "")
    }

    /// The value may not be set here and now.
    pub fn forbidden(path: &Path, detail: &str) -> Self {
        Self::new(path, Wrong::Forbidden, None, detail)
    }

    /// What the value refers to does not exist.
    pub fn not_found(path: &Path, bad: impl Into<Value>) -> Self {
        Self::new(path, Wrong::NotFound, Some(&bad.into()), "")
    }

    /// More than `max` bytes.
    pub fn too_long(path: &Path, max: usize) -> Self {
        let bytes = if max == 1 { "byte" } else { "bytes" };
        Self::new(path, Wrong::TooLong, None, &format!("may not be more than {max} {bytes}"))
    }

    /// More than `max` elements.
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        let items = if max == 1 { "item" } else { "items" };
        let actual = Value::Int(i64::try_from(actual).unwrap_or(i64::MAX));
        let detail = format!("must have at most {max} {items}");
        Self::new(path, Wrong::TooMany, Some(&actual), &detail)
    }

    /// The check itself failed.
    pub fn internal(path: &Path, detail: &str) -> Self {
        Self::new(path, Wrong::Internal, None, detail)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body)
    }
}

/// Text in double quotes, escaped as Go's `%q` does for what occurs in names and messages.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_upstreams_do() {
        let path = Path::new("spec").child("ports").index(1).child("name");
        let texts: Vec<String> = [
            FieldError::required(&path, ""),
            FieldError::invalid(&path, "a\"b", "must be nice"),
            FieldError::invalid(&Path::root().child("x").key("a/b"), 5i64, "too odd"),
            FieldError::not_supported(&path, "SCTP6", &["TCP", "UDP"]),
            FieldError::duplicate(&path, crate::value!({"port": 1})),
            FieldError::too_many(&path, 5, 1),
            FieldError::too_long(&path, 63),
        ]
        .iter()
        .map(FieldError::to_string)
        .collect();
        assert_eq!(
            texts,
            [
                "spec.ports[1].name: Required value",
                r#"spec.ports[1].name: Invalid value: "a\"b": must be nice"#,
                "x[a/b]: Invalid value: 5: too odd",
                r#"spec.ports[1].name: Unsupported value: "SCTP6": supported values: "TCP", "UDP""#,
                r#"spec.ports[1].name: Duplicate value: {"port":1}"#,
                "spec.ports[1].name: Too many: 5: must have at most 1 item",
                "spec.ports[1].name: Too long: may not be more than 63 bytes",
            ]
        );
    }
}
