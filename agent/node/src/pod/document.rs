//! A YAML or JSON text as a tree in which every value knows its line. Pure. Bounded by the
//! parser's budget, so that a hostile text can neither exhaust memory nor the stack.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::Spanned;

/// One value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Line in the file, from 1; 0 when it is not known.
    pub line: u64,
}

/// What YAML and JSON have in common.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// An object, in the order of the text.
    Map(Vec<(String, Node)>),
}

impl Value {
    /// Its kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }
}

/// A text that is no YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Line in the file, from 1; 0 when it is not known.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

/// No manifest is longer. The largest object that Kubernetes stores is 1.5 MiB.
pub const MAX_BYTES: usize = 1 << 20;

/// Reads all documents of a text. Empty ones are left out.
pub fn read(text: &[u8]) -> Result<Vec<Node>, SyntaxError> {
    if text.len() > MAX_BYTES {
        let message =
            format!("{} bytes are more than a manifest may have ({MAX_BYTES})", text.len());
        return Err(SyntaxError { line: 0, message });
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = &text[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        SyntaxError { line, message: "not UTF-8".to_owned() }
    })?;
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: 24, max_nodes: 50_000, max_documents: 256 },
    };
    let documents: Vec<Spanned<Kind>> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| SyntaxError {
            line: error.location().map_or(0, |location| location.line()),
            message: error.without_snippet().to_string(),
        })?;
    let nodes = documents.into_iter().map(Node::from);
    Ok(nodes.filter(|node| node.value != Value::Null).collect())
}

impl Node {
    /// The same value as JSON, without its lines.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect::<Vec<_>>().into(),
            Value::Map(fields) => {
                let fields = fields.iter().map(|(name, node)| (name.clone(), node.to_json()));
                serde_json::Value::Object(fields.collect())
            }
        }
    }

    /// A node without lines. The way back from a saved manifest.
    pub fn from_json(value: &serde_json::Value) -> Self {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => Value::Number(number.clone()),
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(items) => {
                Value::List(items.iter().map(Self::from_json).collect())
            }
            serde_json::Value::Object(fields) => Value::Map(
                fields.iter().map(|(name, value)| (name.clone(), Self::from_json(value))).collect(),
            ),
        };
        Self { value, line: 0 }
    }
}

impl From<Spanned<Kind>> for Node {
    fn from(spanned: Spanned<Kind>) -> Self {
        let line = spanned.referenced.line();
        let value = match spanned.value {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(value),
            Kind::Number(number) => Value::Number(number),
            Kind::Text(text) => Value::Text(text),
            Kind::List(items) => Value::List(items.into_iter().map(Self::from).collect()),
            Kind::Map(fields) => Value::Map(
                fields.into_iter().map(|(name, value)| (name, Self::from(value))).collect(),
            ),
        };
        Self { value, line }
    }
}

/// What the parser hands over, before lines and values are put together.
enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Kind>>),
    Map(Vec<(String, Spanned<Kind>)>),
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of YAML or JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        Kind::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Kind, E> {
        Number::from_f64(value).map(Kind::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Kind, A::Error> {
        let mut map: Vec<(String, Spanned<Kind>)> = Vec::new();
        while let Some((name, value)) = fields.next_entry::<String, _>()? {
            if map.iter().any(|(other, _)| *other == name) {
                return Err(A::Error::custom(format!("field {name:?} is there twice")));
            }
            map.push((name, value));
        }
        Ok(Kind::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field<'a>(node: &'a Node, name: &str) -> &'a Node {
        let Value::Map(fields) = &node.value else { panic!("{node:?}") };
        &fields.iter().find(|(field, _)| field == name).unwrap().1
    }

    #[test]
    fn values_know_their_lines() {
        let nodes = read(b"a: 1\nb:\n  - x\n  - y: true\n---\nc: \"7\"\n").unwrap();
        assert_eq!(nodes.len(), 2);
        assert_eq!(*field(&nodes[0], "a"), Node { value: Value::Number(1.into()), line: 1 });
        let Value::List(items) = &field(&nodes[0], "b").value else { panic!() };
        assert_eq!((items[0].line, items[1].line), (3, 4));
        assert_eq!(field(&items[1], "y").line, 4);
        assert_eq!(*field(&nodes[1], "c"), Node { value: Value::Text("7".into()), line: 6 });
    }

    #[test]
    fn json_is_read_like_yaml() {
        let text = br#"{"kind": "Pod", "list": [1, -2, 1.5, null, "x"], "on": false}"#;
        let json: serde_json::Value = serde_json::from_slice(text).unwrap();
        let node = &read(text).unwrap()[0];
        assert_eq!(node.to_json(), json);
        assert_eq!(Node::from_json(&json).to_json(), json);
    }

    #[test]
    fn empty_documents_are_left_out() {
        assert_eq!(read(b"").unwrap(), []);
        assert_eq!(read(b"---\n# nothing\n---\n").unwrap(), []);
        assert_eq!(read(b"---\na: 1\n---\n").unwrap().len(), 1);
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(read(b"a: 1\nb: }\n").unwrap_err().line, 2);
        let twice = read(b"a: 1\na: 2\n").unwrap_err();
        assert!(twice.line == 2 && !twice.message.is_empty(), "{twice:?}");
        assert_eq!(read(b"a: 1\nb: \xff\n").unwrap_err().line, 2);
    }

    #[test]
    fn alias_bombs_and_deep_nesting_are_refused() {
        let mut bomb = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..40 {
            let below = level - 1;
            bomb += &format!("a{level}: &a{level} [*a{below}, *a{below}]\n");
        }
        assert!(read(bomb.as_bytes()).is_err());
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
        assert!(read("{\"a\":".repeat(5_000).as_bytes()).is_err());
        assert!(read("- ".repeat(100_000).as_bytes()).is_err());
        assert!(read(&vec![b' '; MAX_BYTES + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&text);
        }

        #[test]
        fn any_yamlish_text_is_read_without_a_panic(text in "[-a:{}&*\\[\\]!|>#%@\"' \n\t0-9.e~<]{0,120}") {
            let _ = read(text.as_bytes());
        }
    }
}
