//! Tables, as people read lists.

use holm_api::{Resource, Value, tables, value};

/// A table without rows. What a watch repeats has no columns.
pub fn empty(resource: &Resource, version: &str, columns: bool) -> Value {
    let mut table = value!({
        "kind": "Table",
        "apiVersion": {format!("meta.k8s.io/{version}")},
        "metadata": {},
        "columnDefinitions": [],
        "rows": [],
    });
    if columns {
        let columns: Value = tables::columns(resource)
            .iter()
            .map(|column| {
                value!({
                    "name": {column.name.as_str()}, "type": {column.kind.as_str()},
                    "format": {column.format.as_str()}, "priority": {column.priority},
                    "description": {column.description.as_str()},
                })
            })
            .collect();
        table.set(&["columnDefinitions"], columns);
    }
    table
}

/// The row of an object, with its metadata, which clients use to tell rows apart.
pub fn row(resource: &Resource, object: &Value) -> Value {
    let columns = tables::columns(resource);
    let cells: Value =
        tables::cells(&columns, object, jiff::Timestamp::now()).into_iter().collect();
    let mut row = value!({"cells": cells, "object": {crate::respond::partial(object, "v1")}});
    if let Some(conditions) = tables::row_conditions(resource, object) {
        row.set(&["conditions"], conditions);
    }
    row
}
