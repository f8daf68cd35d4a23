//! Reads the fields of an object one by one and remembers which: what nobody read is refused, so
//! that no field is ever ignored in silence. Collects every problem instead of the first. Pure.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::document::{Node, Value};

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; 0 when it is not known.
    pub line: u64,
    /// `spec.containers[0].image`
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Where problems are collected.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Notes a problem.
    pub fn add(&self, line: u64, path: &str, message: impl Into<String>) {
        let (path, message) = (path.to_owned(), message.into());
        self.0.borrow_mut().push(Problem { line, path, message });
    }

    /// All problems, in the order of the text.
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut problems = self.0.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// One value with its place.
#[derive(Clone)]
pub struct Field<'a> {
    node: &'a Node,
    /// `spec.containers[0].image`
    pub path: String,
    problems: &'a Problems,
}

impl<'a> Field<'a> {
    /// The root of a document.
    pub fn root(node: &'a Node, problems: &'a Problems) -> Self {
        Self { node, path: String::new(), problems }
    }

    /// Notes a problem with this value.
    pub fn problem(&self, message: impl Into<String>) {
        self.problems.add(self.node.line, &self.path, message);
    }

    fn expected(&self, what: &str) {
        self.problem(format!("is {}, but must be {what}", self.node.value.kind()));
    }

    /// As an object.
    pub fn object(&self) -> Option<Object<'a>> {
        let Value::Map(fields) = &self.node.value else {
            self.expected("an object");
            return None;
        };
        Some(Object {
            fields,
            field: self.clone(),
            read: RefCell::default(),
            known: RefCell::default(),
        })
    }

    /// As a text.
    pub fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            // YAML takes an unquoted 8080 or true for something else.
            Value::Number(_) | Value::Bool(_) => {
                self.expected("a text: put it in quotes");
                None
            }
            _ => {
                self.expected("a text");
                None
            }
        }
    }

    /// As a quantity, which may be written as a number.
    pub fn quantity_text(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.expected("a quantity such as 500m or 64Mi");
                None
            }
        }
    }

    /// As a user or group id.
    pub fn id(&self) -> Option<u32> {
        u32::try_from(self.integer(0, i64::from(i32::MAX))?).ok()
    }

    /// As a list.
    pub fn items(&self) -> Vec<Field<'a>> {
        let Value::List(items) = &self.node.value else {
            self.expected("a list");
            return Vec::new();
        };
        let field = |(index, node)| {
            let path = format!("{}[{index}]", self.path);
            Field { node, path, problems: self.problems }
        };
        items.iter().enumerate().map(field).collect()
    }

    fn bool(&self) -> Option<bool> {
        let Value::Bool(value) = self.node.value else {
            self.expected("true or false");
            return None;
        };
        Some(value)
    }

    fn integer(&self, least: i64, most: i64) -> Option<i64> {
        let Value::Number(number) = &self.node.value else {
            self.expected("a whole number");
            return None;
        };
        let value = number.as_i64().filter(|value| (least..=most).contains(value));
        if value.is_none() {
            self.problem(format!("{number} is not a whole number from {least} to {most}"));
        }
        value
    }
}

/// An object that is being read.
pub struct Object<'a> {
    fields: &'a [(String, Node)],
    field: Field<'a>,
    read: RefCell<BTreeSet<&'a str>>,
    /// Names that exist, for suggestions.
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Object<'a> {
    /// The object's own place.
    pub fn field(&self) -> &Field<'a> {
        &self.field
    }

    /// Notes a problem with one of its fields, or with their combination.
    pub fn problem(&self, name: &str, message: impl Into<String>) {
        match self.find(name) {
            Some(field) => field.problem(message),
            None => self.field.problems.add(self.field.node.line, &self.path_of(name), message),
        }
    }

    fn path_of(&self, name: &str) -> String {
        if self.field.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.field.path)
        }
    }

    fn find(&self, name: &str) -> Option<Field<'a>> {
        let (_, node) = self.fields.iter().find(|(field, _)| field == name)?;
        // An explicit null means absent, as everywhere in Kubernetes.
        (node.value != Value::Null).then(|| Field {
            node,
            path: self.path_of(name),
            problems: self.field.problems,
        })
    }

    /// A field of any kind.
    pub fn get(&self, name: &'static str) -> Option<Field<'a>> {
        self.known.borrow_mut().insert(name);
        if let Some((field, _)) = self.fields.iter().find(|(field, _)| field == name) {
            self.read.borrow_mut().insert(field);
        }
        self.find(name)
    }

    /// A text.
    pub fn text(&self, name: &'static str) -> Option<&'a str> {
        self.get(name)?.text()
    }

    /// A text that has to be there.
    pub fn required_text(&self, name: &'static str) -> Option<&'a str> {
        let Some(field) = self.get(name) else {
            self.problem(name, "is missing");
            return None;
        };
        let text = field.text()?;
        if text.is_empty() {
            field.problem("is empty");
            return None;
        }
        Some(text)
    }

    /// A text that has to parse.
    pub fn parsed<T: FromStr>(&self, name: &'static str, what: &str) -> Option<T> {
        let field = self.get(name)?;
        let text = field.text()?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            field.problem(format!("{text:?} is not {what}"));
        }
        parsed
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let field = self.get(name)?;
        let text = field.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            field.problem(format!("{text:?} is not one of {}", words.join(", ")));
        }
        found
    }

    /// `true` or `false`; absent is `false`.
    pub fn flag(&self, name: &'static str) -> bool {
        self.optional_flag(name).unwrap_or(false)
    }

    /// `true`, `false` or absent.
    pub fn optional_flag(&self, name: &'static str) -> Option<bool> {
        self.get(name)?.bool()
    }

    /// A whole number within bounds.
    pub fn integer(&self, name: &'static str, least: i64, most: i64) -> Option<i64> {
        self.get(name)?.integer(least, most)
    }

    /// A user or group id.
    pub fn id(&self, name: &'static str) -> Option<u32> {
        self.get(name)?.id()
    }

    /// An object.
    pub fn object(&self, name: &'static str) -> Option<Object<'a>> {
        self.get(name)?.object()
    }

    /// A list; absent is empty.
    pub fn items(&self, name: &'static str) -> Vec<Field<'a>> {
        self.get(name).map(|field| field.items()).unwrap_or_default()
    }

    /// A list of objects; absent is empty.
    pub fn objects(&self, name: &'static str) -> Vec<Object<'a>> {
        self.items(name).iter().filter_map(Field::object).collect()
    }

    /// A list of texts; absent is empty.
    pub fn texts(&self, name: &'static str) -> Vec<String> {
        self.items(name).iter().filter_map(Field::text).map(str::to_owned).collect()
    }

    /// An object whose values are texts; absent is empty.
    pub fn text_map(&self, name: &'static str) -> BTreeMap<String, String> {
        let Some(object) = self.object(name) else { return BTreeMap::new() };
        let entries = object.fields.iter().filter_map(|(key, node)| {
            let path = object.path_of(key);
            let text = Field { node, path, problems: object.field.problems }.text()?;
            Some((key.clone(), text.to_owned()))
        });
        entries.collect()
    }

    /// Fields of an object whose names are free, such as resources.
    pub fn entries(&self) -> Vec<(&'a str, Field<'a>)> {
        let entry = |(name, node): &'a (String, Node)| {
            self.read.borrow_mut().insert(name);
            let path = self.path_of(name);
            (name.as_str(), Field { node, path, problems: self.field.problems })
        };
        self.fields.iter().map(entry).collect()
    }

    /// Fields that exist in Kubernetes and have no effect on a static pod of this node.
    pub fn allow(&self, names: &[&'static str]) {
        for name in names {
            self.get(name);
        }
    }

    /// Fields that exist in Kubernetes and that Holm does not do yet.
    pub fn refuse(&self, names: &[&'static str]) {
        for name in names {
            if let Some(field) = self.get(name) {
                let empty = match &field.node.value {
                    Value::List(items) => items.is_empty(),
                    Value::Map(fields) => fields.is_empty(),
                    Value::Bool(value) => !value,
                    _ => false,
                };
                if !empty {
                    field.problem("is not supported yet");
                }
            }
        }
    }

    /// Ends the reading: fields that nobody asked for do not exist.
    pub fn finish(&self) {
        let (read, known) = (self.read.borrow(), self.known.borrow());
        for (name, node) in self.fields {
            if read.contains(name.as_str()) {
                continue;
            }
            let nearest = known
                .iter()
                .map(|other| (distance(name, other), other))
                .min()
                .filter(|(distance, _)| *distance <= 3);
            let hint = nearest.map(|(_, other)| format!("; did you mean {other}?"));
            let message = format!("no such field{}", hint.unwrap_or_default());
            self.field.problems.add(node.line, &self.path_of(name), message);
        }
    }
}

/// Levenshtein distance, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;

    fn problems(text: &str, read: impl Fn(&Object<'_>)) -> Vec<String> {
        let nodes = document::read(text.as_bytes()).unwrap();
        let problems = Problems::default();
        let root = Field::root(&nodes[0], &problems).object().unwrap();
        read(&root);
        root.finish();
        problems.into_sorted().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn field_that_nobody_reads_is_refused_with_a_suggestion() {
        let found = problems("image: x\nhostNetwrk: true\nfoo: 1\n", |object| {
            assert_eq!(object.text("image"), Some("x"));
            assert!(!object.flag("hostNetwork"));
        });
        assert_eq!(
            found,
            [
                "line 2: hostNetwrk: no such field; did you mean hostNetwork?",
                "line 3: foo: no such field"
            ]
        );
    }

    #[test]
    fn wrong_types_say_what_would_be_right() {
        let found = problems("a: 8080\nb: yes please\nc: [1]\nd: 70000\ne: x\nf: q\n", |object| {
            assert_eq!(object.text("a"), None);
            assert_eq!(object.optional_flag("b"), None);
            assert!(object.object("c").is_none());
            assert_eq!(object.integer("d", 1, 65535), None);
            assert!(object.items("e").is_empty());
            assert_eq!(object.word("f", &[("x", 1), ("y", 2)]), None);
            assert_eq!(object.required_text("g"), None);
        });
        assert_eq!(
            found,
            [
                "line 1: a: is a number, but must be a text: put it in quotes",
                "line 1: g: is missing",
                "line 2: b: is a text, but must be true or false",
                "line 3: c: is a list, but must be an object",
                "line 4: d: 70000 is not a whole number from 1 to 65535",
                "line 5: e: is a text, but must be a list",
                "line 6: f: \"q\" is not one of x, y",
            ]
        );
    }

    #[test]
    fn unsupported_field_is_refused_unless_it_says_nothing() {
        let found = problems("a: {x: 1}\nb: {}\nc: []\nd: false\ne: null\nf: true\n", |object| {
            object.refuse(&["a", "b", "c", "d", "e", "f"]);
        });
        assert_eq!(found, ["line 1: a: is not supported yet", "line 6: f: is not supported yet"]);
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("Image", "image"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
