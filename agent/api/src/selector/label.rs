//! Label selectors: `app=web,tier in (a, b),!canary`, and the `matchLabels` form of objects.

use super::SelectorError;
use crate::field::{FieldError, Path};
use crate::{Map, Value, names};
use std::fmt;

/// How a label's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// The value is one of the list.
    In,
    /// The label is absent or its value is none of the list.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The value is a number greater than the one given.
    Gt,
    /// The value is a number less than the one given.
    Lt,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label's key.
    pub key: String,
    /// The comparison.
    pub operator: Operator,
    /// What is compared with, sorted; empty where the operator takes none.
    pub values: Vec<String>,
}

/// Conditions of which all must hold. The empty one matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    /// The conditions, sorted by key.
    pub requirements: Vec<LabelRequirement>,
    /// Set for the absent `LabelSelector` of an object, which matches nothing.
    pub nothing: bool,
}

impl LabelRequirement {
    fn matches(&self, labels: Option<&Map>) -> bool {
        let value = labels.and_then(|labels| labels.get(&self.key));
        let text = value.and_then(Value::as_str);
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
        let operand = || number(self.values.first().map(String::as_str));
        match self.operator {
            Operator::Exists => text.is_some(),
            Operator::DoesNotExist => text.is_none(),
            Operator::In => text.is_some_and(|text| self.values.iter().any(|one| one == text)),
            Operator::NotIn => text.is_none_or(|text| self.values.iter().all(|one| one != text)),
            Operator::Gt => number(text).zip(operand()).is_some_and(|(have, than)| have > than),
            Operator::Lt => number(text).zip(operand()).is_some_and(|(have, than)| have < than),
        }
    }
}

impl LabelSelector {
    /// Matches everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether all conditions hold for these labels.
    pub fn matches(&self, labels: Option<&Map>) -> bool {
        !self.nothing && self.requirements.iter().all(|one| one.matches(labels))
    }

    /// Whether it matches whatever labels there are.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        let mut requirements = parser.requirements()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a `LabelSelector` object; an absent one matches nothing, an empty one everything. The
    /// object is expected to be valid: conditions that are not match nothing.
    pub fn from_value(selector: Option<&Value>) -> Self {
        let Some(Value::Object(selector)) = selector else {
            return Self { requirements: vec![], nothing: true };
        };
        let mut result = Self::everything();
        let equal = |(key, value): (&crate::value::Key, &Value)| LabelRequirement {
            key: key.to_string(),
            operator: Operator::In,
            values: vec![value.as_str().unwrap_or_default().to_owned()],
        };
        if let Some(Value::Object(labels)) = selector.get("matchLabels") {
            result.requirements.extend(labels.iter().map(equal));
        }
        for one in selector.get("matchExpressions").map_or(&[][..], |value| value.items_at(&[])) {
            let operator = match one.str_at(&["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                "Gt" => Operator::Gt,
                "Lt" => Operator::Lt,
                _ => {
                    result.nothing = true;
                    continue;
                }
            };
            let values = one.items_at(&["values"]);
            result.requirements.push(LabelRequirement {
                key: one.str_at(&["key"]).to_owned(),
                operator,
                values: values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            });
        }
        result
    }

    /// A selector for exactly these labels, as the older kinds' `spec.selector` maps are meant.
    pub fn from_map(labels: Option<&Map>) -> Self {
        let selector = labels.map(|labels| {
            let mut selector = Value::object();
            selector.set(&["matchLabels"], labels.clone());
            selector
        });
        Self::from_value(selector.as_ref())
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let LabelRequirement { key, operator, values } = one;
            let list = values.join(",");
            match (operator, values.len()) {
                (Operator::Exists, _) => write!(f, "{comma}{key}")?,
                (Operator::DoesNotExist, _) => write!(f, "{comma}!{key}")?,
                (Operator::In, 1) => write!(f, "{comma}{key}={list}")?,
                (Operator::NotIn, 1) => write!(f, "{comma}{key}!={list}")?,
                (Operator::In, _) => write!(f, "{comma}{key} in ({list})")?,
                (Operator::NotIn, _) => write!(f, "{comma}{key} notin ({list})")?,
                (Operator::Gt, _) => write!(f, "{comma}{key}>{list}")?,
                (Operator::Lt, _) => write!(f, "{comma}{key}<{list}")?,
            }
        }
        Ok(())
    }
}

const SYMBOLS: &str = "()!,=<>";

/// Words, and the operators between them.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("==") || rest.starts_with("!=") {
            2
        } else if SYMBOLS.contains(first) {
            1
        } else {
            rest.find(|c: char| SYMBOLS.contains(c) || c.is_whitespace()).unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

fn is_word(token: &str) -> bool {
    !token.is_empty() && !token.starts_with(|c| SYMBOLS.contains(c))
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirements(&mut self) -> Result<Vec<LabelRequirement>, SelectorError> {
        let mut all = Vec::new();
        if self.peek().is_empty() {
            return Ok(all);
        }
        loop {
            let token = self.peek();
            if token != "!" && !is_word(token) {
                return Err(found(token, "!, identifier, or 'end of string'"));
            }
            let one = self.requirement().map_err(|SelectorError(why)| {
                SelectorError(format!("unable to parse requirement: {why}"))
            })?;
            all.push(one);
            match self.next() {
                "" => return Ok(all),
                "," => {
                    let after = self.peek();
                    if after != "!" && !is_word(after) {
                        return Err(found(after, "identifier after ','"));
                    }
                }
                token => return Err(found(token, "',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<LabelRequirement, SelectorError> {
        let absent = self.peek() == "!";
        if absent {
            self.next();
        }
        let key = self.next();
        if !is_word(key) {
            return Err(found(key, "identifier"));
        }
        if absent {
            return checked(key, Operator::DoesNotExist, vec![]);
        }
        if matches!(self.peek(), "" | ",") {
            return checked(key, Operator::Exists, vec![]);
        }
        let token = self.next();
        let operator = match token {
            "=" | "==" | "in" => Operator::In,
            "!=" | "notin" => Operator::NotIn,
            ">" => Operator::Gt,
            "<" => Operator::Lt,
            _ => return Err(found(token, "in, notin, =, ==, !=, gt, lt")),
        };
        let values = match token {
            "in" | "notin" => self.list()?,
            _ if matches!(self.peek(), "" | ",") => vec![String::new()],
            _ => {
                let value = self.next();
                if !is_word(value) {
                    return Err(found(value, "identifier"));
                }
                vec![value.to_owned()]
            }
        };
        checked(key, operator, values)
    }

    /// `(a, b, )`: an empty place is an empty value.
    fn list(&mut self) -> Result<Vec<String>, SelectorError> {
        let open = self.next();
        if open != "(" {
            return Err(SelectorError(format!("found '{open}' expected: '('")));
        }
        let mut values = Vec::new();
        let mut before = "";
        loop {
            let token = self.next();
            match token {
                ")" => {
                    if before == "," || before.is_empty() {
                        values.push(String::new());
                    }
                    values.sort();
                    values.dedup();
                    return Ok(values);
                }
                "," => {
                    if before == "," || before.is_empty() {
                        values.push(String::new());
                    }
                }
                word if is_word(word) && !is_word(before) => values.push(word.to_owned()),
                other => return Err(found(other, "',', ')' or identifier")),
            }
            before = token;
        }
    }
}

fn found(token: &str, expected: &str) -> SelectorError {
    SelectorError(format!("found '{token}', expected: {expected}"))
}

fn checked(
    key: &str,
    operator: Operator,
    values: Vec<String>,
) -> Result<LabelRequirement, SelectorError> {
    let mut errors = Vec::new();
    let root = Path::root();
    let wrong = names::qualified_name(key);
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(&root.child("key"), key, &wrong.join("; ")));
    }
    let numeric = matches!(operator, Operator::Gt | Operator::Lt);
    for (index, value) in values.iter().enumerate() {
        if numeric && value.parse::<i64>().is_err() {
            let message = "for 'Gt', 'Lt' operators, the value must be an integer";
            errors.push(FieldError::invalid(&root.child("values").index(index), value, message));
        }
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(
                &root.child("values").index(index).key(key),
                value,
                &wrong.join("; "),
            ));
        }
    }
    let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
    match texts.as_slice() {
        [] => Ok(LabelRequirement { key: key.to_owned(), operator, values }),
        [one] => Err(SelectorError(one.clone())),
        many => Err(SelectorError(format!("[{}]", many.join(", ")))),
    }
}
