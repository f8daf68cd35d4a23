//! Typed reading of one table: every getter either yields a value with its place, or adds a
//! problem and yields nothing. Never stops at the first problem.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Refusal, Report};
use crate::schema::Section;

/// A value and the byte offset where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) at: usize,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, at: usize) -> Self {
        Self { value, at }
    }
}

/// Turns the text of a value into what it means.
pub(crate) type Parse<T> = fn(&str) -> Result<T, Refusal>;

/// One table of the document, its unknown keys already refused.
pub(crate) struct Table<'d> {
    section: &'static Section,
    entries: &'d DeTable<'d>,
    report: &'d Report,
    /// Where the table stands.
    pub(crate) at: usize,
}

impl<'d> Table<'d> {
    pub(crate) fn open(
        section: &'static Section,
        entries: &'d DeTable<'d>,
        at: usize,
        report: &'d Report,
    ) -> Self {
        if !section.is_free() {
            for key in entries.keys() {
                if !section.keys.contains(&key.get_ref().as_ref()) {
                    report.add(
                        key.span().start,
                        format!("unknown key \"{}\" in {}", key.get_ref(), section.heading()),
                        section.advice(key.get_ref()),
                    );
                }
            }
        }
        Self { section, entries, report, at }
    }

    pub(crate) fn problem(&self, at: usize, what: impl Into<String>, right: impl Into<String>) {
        self.report.add(at, what, right);
    }

    pub(crate) fn refuse(&self, at: usize, refusal: Refusal) {
        self.report.refuse(at, refusal);
    }

    fn value(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        debug_assert!(
            self.section.is_free() || self.section.keys.contains(&key),
            "{key} is read but not listed in the schema"
        );
        self.entries.get(key)
    }

    /// Where `key`'s value stands, when the table has it.
    pub(crate) fn place(&self, key: &str) -> Option<usize> {
        self.value(key).map(|value| value.span().start)
    }

    pub(crate) fn bool(&self, key: &str) -> Option<At<bool>> {
        let value = self.value(key)?;
        let read = value.get_ref().as_bool();
        self.typed(key, value, read, "a boolean", || "write true or false".into())
    }

    pub(crate) fn integer(&self, key: &str, range: RangeInclusive<i64>) -> Option<At<i64>> {
        let value = self.value(key)?;
        let right = || format!("write a whole number from {} to {}", range.start(), range.end());
        let text = self.typed(key, value, value.get_ref().as_integer(), "an integer", right)?;
        let number = i64::from_str_radix(text.value.as_str(), text.value.radix()).ok();
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(At::new(number, text.at)),
            None => {
                self.problem(text.at, format!("\"{key}\" is out of range"), right());
                None
            }
        }
    }

    pub(crate) fn text(&self, key: &str) -> Option<At<&'d str>> {
        text_of(self.report, key, self.value(key)?)
    }

    pub(crate) fn parsed<T>(&self, key: &str, parse: Parse<T>) -> Option<At<T>> {
        let text = self.text(key)?;
        accept(self.report, text, parse)
    }

    /// An array of texts; elements that are refused are left out.
    pub(crate) fn list<T>(&self, key: &str, parse: Parse<T>) -> Option<Vec<At<T>>> {
        let value = self.value(key)?;
        let right = || "write a list in brackets, such as [\"a\", \"b\"]".into();
        let array = self.typed(key, value, value.get_ref().as_array(), "an array", right)?;
        let texts = array.value.iter().filter_map(|item| text_of(self.report, key, item));
        Some(texts.filter_map(|text| accept(self.report, text, parse)).collect())
    }

    pub(crate) fn table(&self, key: &str, section: &'static Section) -> Option<Table<'d>> {
        let value = self.value(key)?;
        let right = || format!("give \"{key}\" keys of its own, such as {}", example(section));
        let entries = self.typed(key, value, value.get_ref().as_table(), "a table", right)?;
        Some(Table::open(section, entries.value, entries.at, self.report))
    }

    /// The tables of an array of tables.
    pub(crate) fn tables(&self, key: &str, section: &'static Section) -> Vec<Table<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let right = || match section.path {
            "network.links[]" | "wifi[]" => format!("begin each entry with {}", section.heading()),
            _ => format!("write {key} = [{}]", example(section)),
        };
        let array = value.get_ref().as_array();
        let Some(array) = self.typed(key, value, array, "an array of tables", right) else {
            return Vec::new();
        };
        let tables = array.value.iter().filter_map(|item| {
            let entries = item.get_ref().as_table();
            let entries = self.typed(key, item, entries, "a table", right)?;
            Some(Table::open(section, entries.value, entries.at, self.report))
        });
        tables.collect()
    }

    /// The keys that the document chose, with their places.
    pub(crate) fn free_keys(&self) -> Vec<At<&'d str>> {
        debug_assert!(self.section.is_free());
        let keys = self.entries.keys();
        keys.map(|key| At::new(key.get_ref().as_ref(), key.span().start)).collect()
    }

    /// A text, or a whole number or boolean taken as its text; for values that go to the
    /// kernel as text anyway.
    pub(crate) fn text_or_number(&self, key: &str) -> Option<At<String>> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .map(|number| number.to_string()),
            _ => None,
        };
        let right = || "write a whole number, or a text in quotes".into();
        self.typed(key, value, text, "a text or an integer", right)
    }

    fn typed<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        read: Option<T>,
        wanted: &str,
        right: impl Fn() -> String,
    ) -> Option<At<T>> {
        typed(self.report, key, value, read, wanted, right)
    }
}

fn typed<T>(
    report: &Report,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    read: Option<T>,
    wanted: &str,
    right: impl Fn() -> String,
) -> Option<At<T>> {
    let at = value.span().start;
    if read.is_none() {
        let is = match value.get_ref().type_str() {
            kind @ ("integer" | "array") => format!("an {kind}"),
            kind => format!("a {kind}"),
        };
        report.add(at, format!("\"{key}\" must be {wanted}, and this is {is}"), right());
    }
    read.map(|read| At::new(read, at))
}

fn text_of<'d>(report: &Report, key: &str, value: &'d Spanned<DeValue<'d>>) -> Option<At<&'d str>> {
    let right = || match value.get_ref() {
        // Not the value itself: it may be a password.
        DeValue::Integer(_) | DeValue::Float(_) => "put it in quotes".into(),
        _ => "write a text in quotes".into(),
    };
    typed(report, key, value, value.get_ref().as_str(), "a string", right)
}

fn accept<T>(report: &Report, text: At<&str>, parse: Parse<T>) -> Option<At<T>> {
    match parse(text.value) {
        Ok(value) => Some(At::new(value, text.at)),
        Err(refusal) => {
            report.refuse(text.at, refusal);
            None
        }
    }
}

/// A table as it may be written, to show the form only.
fn example(section: &Section) -> String {
    let keys: Vec<String> = section.keys.iter().take(2).map(|key| format!("{key} = …")).collect();
    if keys.is_empty() { "{ name = … }".into() } else { format!("{{ {} }}", keys.join(", ")) }
}
