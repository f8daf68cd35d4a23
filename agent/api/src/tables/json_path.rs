//! The part of JSONPath that CRDs use for columns: members, indices, `[*]`, and filters that compare
//! a member with a text or a number.

use crate::Value;
use std::str::FromStr;

/// A path that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Index(i64),
    All,
    /// Members of the path, whether they must be equal, and the text compared with.
    Filter(Vec<String>, bool, String),
}

/// The text is no path of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JSONPath that columns can have")]
pub struct JsonPathError;

impl FromStr for JsonPath {
    type Err = JsonPathError;

    fn from_str(text: &str) -> Result<Self, JsonPathError> {
        let mut rest = text.trim();
        rest = rest.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(rest);
        rest = rest.strip_prefix('$').unwrap_or(rest);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let end = closing(inside).ok_or(JsonPathError)?;
                steps.push(bracket(&inside[..end])?);
                rest = &inside[end + 1..];
                continue;
            }
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let mut name = String::new();
            let mut characters = rest.char_indices();
            let end = loop {
                match characters.next() {
                    // A backslash takes away the meaning of a dot in a name.
                    Some((_, '\\')) => name.extend(characters.next().map(|(_, c)| c)),
                    Some((at, '.' | '[')) => break at,
                    Some((_, c)) => name.push(c),
                    None => break rest.len(),
                }
            };
            rest = &rest[end..];
            match name.as_str() {
                "" if rest.is_empty() => {}
                "" => return Err(JsonPathError),
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Member(name)),
            }
        }
        Ok(Self(steps))
    }
}

/// Where the bracket ends that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ']') => return Some(at),
            _ => {}
        }
    }
    None
}

fn unquoted(text: &str) -> Option<&str> {
    let text = text.trim();
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}

fn bracket(text: &str) -> Result<Step, JsonPathError> {
    let text = text.trim();
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(name) = unquoted(text) {
        return Ok(Step::Member(name.to_owned()));
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|inner| inner.strip_suffix(')')) {
        let (path, equal, value) = match (filter.split_once("=="), filter.split_once("!=")) {
            (Some((path, value)), _) => (path, true, value),
            (None, Some((path, value))) => (path, false, value),
            _ => return Err(JsonPathError),
        };
        let path = path.trim().strip_prefix('@').ok_or(JsonPathError)?;
        let members = path.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let value = unquoted(value).unwrap_or(value.trim());
        return Ok(Step::Filter(members, equal, value.to_owned()));
    }
    text.parse().map(Step::Index).map_err(|_| JsonPathError)
}

impl JsonPath {
    /// The values that the path leads to.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| follow(step, value)).collect();
        }
        found
    }
}

fn follow<'a>(step: &Step, value: &'a Value) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Member(name), Value::Object(map)) => map.get(name).into_iter().collect(),
        (Step::Index(index), Value::Array(items)) => {
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let at = if *index < 0 { index + length } else { *index };
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        (Step::All, Value::Array(items)) => items.iter().collect(),
        (Step::All, Value::Object(map)) => map.values().collect(),
        (Step::Filter(path, equal, wanted), Value::Array(items)) => items
            .iter()
            .filter(|item| {
                let found = path.iter().try_fold(*item, |value, name| value.get(name));
                let text = found.map(|value| match value {
                    Value::String(text) => text.to_string(),
                    other => other.to_string(),
                });
                text.is_some_and(|text| (text == *wanted) == *equal)
            })
            .collect(),
        _ => vec![],
    }
}
