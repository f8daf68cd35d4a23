//! Tables: objects as people read them, with upstream's columns for built-in kinds and those that a
//! CRD declares for its own.

mod cells;
mod cells_network;
mod json_path;
mod pod;
#[cfg(test)]
mod tests;

pub use json_path::JsonPath;

use crate::{Resource, Value};
use jiff::Timestamp;

const COLUMNS: &str = include_str!("columns.txt");

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// `name` for the column that holds the object's name.
    pub format: String,
    /// 0 for columns that are always shown; others only in wide output.
    pub priority: i64,
    /// What it says.
    pub description: String,
    expression: String,
}

impl Column {
    fn new(name: &str, kind: &str, priority: i64, expression: &str) -> Self {
        let (kind, format) = if kind == "name" { ("string", "name") } else { (kind, "") };
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: format.to_owned(),
            priority,
            description: String::new(),
            expression: expression.to_owned(),
        }
    }
}

/// The columns of a resource.
pub fn columns(resource: &Resource) -> Vec<Column> {
    let name = || Column::new("Name", "name", 0, ".metadata.name");
    let age = || Column::new("Age", "string", 0, "@age");
    if let Some(custom) = &resource.custom {
        let mut all = vec![name()];
        if custom.columns.is_empty() {
            all.push(Column { kind: "date".to_owned(), ..age() });
        }
        all.extend(custom.columns.iter().map(custom_column));
        return all;
    }
    let group = if resource.group.is_empty() { "core" } else { &resource.group };
    let line = COLUMNS.lines().find(|line| {
        let kind = line.split(';').next().unwrap_or_default();
        kind.split_once(' ') == Some((group, &resource.kind))
    });
    let Some(line) = line else { return vec![name(), age()] };
    let mut all: Vec<Column> = line.split("; ").skip(1).filter_map(read_column).collect();
    if !all.iter().any(|column| column.format == "name") {
        all.insert(0, name());
    }
    all
}

fn read_column(text: &str) -> Option<Column> {
    let mut parts = text.splitn(4, '|');
    let (name, kind, priority) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Column::new(name, kind, priority.parse().ok()?, parts.next()?))
}

fn custom_column(column: &Value) -> Column {
    let text = |name: &str| column.str_at(&[name]).to_owned();
    Column {
        name: text("name"),
        kind: text("type"),
        format: text("format"),
        priority: column.int_at(&["priority"]).unwrap_or_default(),
        description: text("description"),
        expression: format!("${}", column.str_at(&["jsonPath"])),
    }
}

/// The cells of an object's row, one for each column. Ages are those at `now`.
pub fn cells(columns: &[Column], object: &Value, now: Timestamp) -> Vec<Value> {
    columns.iter().map(|column| cell(column, object, now)).collect()
}

fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let expression = column.expression.as_str();
    if let Some(path) = expression.strip_prefix('$') {
        return custom_cell(column, path, object, now);
    }
    if let Some(function) = expression.strip_prefix('@') {
        let (function, argument) = function.split_once('.').unwrap_or((function, ""));
        return cells::call(function, argument, object, now);
    }
    if let Some(path) = expression.strip_prefix("#.") {
        let count = match cells::at(object, path) {
            Some(Value::Array(items)) => items.len(),
            Some(Value::Object(map)) => map.len(),
            _ => 0,
        };
        return cells::number(count, &column.kind);
    }
    let (path, otherwise) = match expression.split_once('?') {
        Some((path, "")) => (path, Some("<none>")),
        Some((path, otherwise)) => (path, Some(otherwise)),
        None => (expression, None),
    };
    match cells::at(object, path.trim_start_matches('.')) {
        Some(value) if !(value.is_empty() && otherwise.is_some() && value.as_i64().is_none()) => {
            match (column.kind.as_str(), value) {
                ("string", Value::Int(_) | Value::Bool(_)) => Value::from(value.to_string()),
                _ => value.clone(),
            }
        }
        _ => match (otherwise, column.kind.as_str()) {
            (Some(otherwise), _) => Value::from(otherwise),
            (None, "integer") => Value::Int(0),
            (None, "boolean") => Value::Bool(false),
            _ => Value::from(""),
        },
    }
}

/// A CRD's cell: the first value that the path finds, when it has the column's type.
fn custom_cell(column: &Column, path: &str, object: &Value, now: Timestamp) -> Value {
    let Ok(path) = path.parse::<JsonPath>() else { return Value::Null };
    let found = path.find(object);
    let Some(value) = found.first() else { return Value::Null };
    match (column.kind.as_str(), *value) {
        ("integer", Value::Int(_)) | ("boolean", Value::Bool(_)) => (*value).clone(),
        ("integer", value) => value.as_i64().map_or(Value::Null, Value::Int),
        ("number", Value::Int(_) | Value::Float(_)) => (*value).clone(),
        ("date", Value::String(text)) => cells::since(text, now),
        ("string", Value::String(_)) if found.len() == 1 => (*value).clone(),
        ("string", _) => {
            let texts: Vec<String> = found
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect();
            Value::from(texts.join(","))
        }
        _ => Value::Null,
    }
}

/// Conditions that a row carries: a pod that has ended is marked as completed.
pub fn row_conditions(resource: &Resource, object: &Value) -> Option<Value> {
    if !resource.is("", "Pod") {
        return None;
    }
    let phase = object.str_at(&["status", "phase"]);
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(crate::value!([{
        "type": "Completed", "status": "True", "reason": phase, "message": message,
    }]))
}
