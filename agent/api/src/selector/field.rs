//! Field selectors: `status.phase!=Running,metadata.name=web`.

use super::SelectorError;
use crate::Value;
use std::fmt;

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field's path, such as `spec.nodeName`.
    pub field: String,
    /// Whether the values must be equal, rather than differ.
    pub equal: bool,
    /// What is compared with.
    pub value: String,
}

/// Conditions of which all must hold. The empty one matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    /// The conditions, in the order in which they were written.
    pub requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Reads the text form. A backslash takes away the meaning of `\`, `,` and `=`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for term in split_terms(text).into_iter().filter(|term| !term.is_empty()) {
            let wrong =
                || SelectorError(format!("invalid selector: '{text}'; can't understand '{term}'"));
            let (field, equal, value) = split_term(term).ok_or_else(wrong)?;
            let value = unescape(value).ok_or_else(|| {
                SelectorError(format!("invalid field selector: invalid escape sequence in {value}"))
            })?;
            requirements.push(FieldRequirement { field: field.to_owned(), equal, value });
        }
        Ok(Self { requirements })
    }

    /// Whether all conditions hold. `read` gives a field's text; an absent field reads as empty.
    pub fn matches(&self, read: impl Fn(&str) -> String) -> bool {
        self.requirements.iter().all(|one| (read(&one.field) == one.value) == one.equal)
    }

    /// Whether all conditions hold for the fields at these very paths of `object`.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(|field| text_at(object, field))
    }

    /// The value that `field` must have, when there is such a condition.
    pub fn required(&self, field: &str) -> Option<&str> {
        let mut all = self.requirements.iter();
        all.find(|one| one.equal && one.field == field).map(|one| one.value.as_str())
    }

    /// Whether it matches whatever fields there are.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }
}

/// The text of the field at a dotted path.
pub(crate) fn text_at(object: &Value, field: &str) -> String {
    let found = field.split('.').try_fold(object, |value, name| value.get(name));
    match found {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.to_string(),
        Some(other) => other.to_string(),
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if one.equal { "=" } else { "!=" };
            let value = one.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", one.field)?;
        }
        Ok(())
    }
}

/// Splits at commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Splits at the first operator.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    term.char_indices().find_map(|(at, _)| {
        let rest = &term[at..];
        [("!=", false), ("==", true), ("=", true)].into_iter().find_map(|(operator, equal)| {
            rest.strip_prefix(operator).map(|value| (&term[..at], equal, value))
        })
    })
}

fn unescape(value: &str) -> Option<String> {
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                _ => return None,
            },
            ',' | '=' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}
