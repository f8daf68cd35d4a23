//! Tables, as people read lists: a name, an age, and what a custom resource says of itself.

use holm_api::{Resource, Value, value};

/// A table without rows. Descriptions are left out of what a watch repeats.
pub fn empty(_resource: &Resource, version: &str, columns: bool) -> Value {
    let mut table = value!({
        "kind": "Table",
        "apiVersion": {format!("meta.k8s.io/{version}")},
        "metadata": {},
        "columnDefinitions": [],
        "rows": [],
    });
    if columns {
        table.set(
            &["columnDefinitions"],
            value!([
                {"name": "Name", "type": "string", "format": "name", "priority": 0_i64,
                 "description": "Name of the object in its namespace"},
                {"name": "Age", "type": "date", "format": "", "priority": 0_i64,
                 "description": "Since when it exists"},
            ]),
        );
    }
    table
}

/// The row of an object, with its metadata, which clients use to tell rows apart.
pub fn row(_resource: &Resource, object: &Value) -> Value {
    let created = object.str_at(&["metadata", "creationTimestamp"]);
    let age = match holm_api::time::parse(created) {
        Some(created) => {
            let seconds = jiff::Timestamp::now().duration_since(created).as_secs();
            holm_api::time::age(seconds)
        }
        None => "<unknown>".to_owned(),
    };
    value!({
        "cells": [{object.str_at(&["metadata", "name"])}, age],
        "object": {crate::respond::partial(object, "v1")},
    })
}
