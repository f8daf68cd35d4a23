//! A CRD's schema to the shape that the server walks, and the rules that make a schema structural.

use crate::Value;
use crate::field::{FieldError, Path};
use crate::schema::structural::{Kind, Structural};

/// Schemas that nest deeper than this are refused.
const DEEPEST: usize = 60;

/// Reads a schema. What is not structural is told in `errors`.
pub fn structural(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) -> Structural {
    if schema.is_null() {
        return Structural { kind: Kind::Object, preserve_unknown: true, ..Structural::default() };
    }
    let root = read(schema, path, errors, 0);
    if root.kind != Kind::Object {
        let kind = path.child("type");
        match schema.str_at(&["type"]) {
            "" => errors.push(FieldError::required(&kind, "must not be empty at the root")),
            other => errors.push(FieldError::invalid(&kind, other, "must be object at the root")),
        }
    }
    root
}

fn read(schema: &Value, path: &Path, errors: &mut Vec<FieldError>, depth: usize) -> Structural {
    let mut shape = Structural::default();
    if depth > DEEPEST {
        errors.push(FieldError::forbidden(path, "nests too deeply"));
        return shape;
    }
    let flag = |name: &str| schema.bool_at(&[name]);
    shape.nullable = flag("nullable");
    shape.preserve_unknown = flag("x-kubernetes-preserve-unknown-fields");
    shape.embedded = flag("x-kubernetes-embedded-resource");
    let int_or_string = flag("x-kubernetes-int-or-string");
    shape.kind = match schema.str_at(&["type"]) {
        "object" => Kind::Object,
        "array" => Kind::Array,
        "string" => Kind::String,
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "boolean" => Kind::Boolean,
        "" if int_or_string => Kind::IntOrString,
        "" => Kind::Unsaid,
        other => {
            let supported = ["array", "boolean", "integer", "number", "object", "string"];
            errors.push(FieldError::not_supported(&path.child("type"), other, &supported));
            Kind::Unsaid
        }
    };
    if shape.kind == Kind::Unsaid && !shape.preserve_unknown && depth > 0 {
        let detail = "must not be empty for specified object fields";
        errors.push(FieldError::required(&path.child("type"), detail));
    }
    shape.default = schema.get("default").cloned();
    shape.atomic = schema.str_at(&["x-kubernetes-map-type"]) == "atomic";
    read_list_type(schema, &mut shape, path, errors);
    for forbidden in ["$ref", "definitions", "dependencies", "patternProperties", "additionalItems"]
    {
        if schema.get(forbidden).is_some_and(|value| !value.is_empty()) {
            errors.push(FieldError::forbidden(
                &path.child(forbidden),
                &format!("{forbidden} is not supported"),
            ));
        }
    }
    if flag("uniqueItems") {
        errors.push(FieldError::forbidden(
            &path.child("uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ));
    }
    if let Some(Value::Object(properties)) = schema.get("properties") {
        let below = path.child("properties");
        for (name, property) in properties.iter() {
            let property = read(property, &below.key(name), errors, depth + 1);
            shape.properties.push((name.as_str().into(), property));
        }
    }
    match schema.get("additionalProperties") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(additional) => {
            let below = path.child("additionalProperties");
            if !shape.properties.is_empty() {
                let detail = "additionalProperties and properties are mutual exclusive";
                errors.push(FieldError::forbidden(&below, detail));
            }
            shape.additional = Some(Box::new(match additional {
                Value::Bool(_) => Structural { preserve_unknown: true, ..Structural::default() },
                additional => read(additional, &below, errors, depth + 1),
            }));
        }
    }
    match schema.get("items") {
        Some(items @ Value::Object(_)) => {
            shape.items = Some(Box::new(read(items, &path.child("items"), errors, depth + 1)));
        }
        Some(Value::Array(_)) => {
            let detail = "items must be a schema object and not an array";
            errors.push(FieldError::forbidden(&path.child("items"), detail));
        }
        _ if shape.kind == Kind::Array => {
            errors.push(FieldError::required(&path.child("items"), "must be specified"));
        }
        _ => {}
    }
    shape
}

fn read_list_type(
    schema: &Value,
    shape: &mut Structural,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let at = path.child("x-kubernetes-list-type");
    shape.list_type = match schema.str_at(&["x-kubernetes-list-type"]) {
        "" => 0,
        "atomic" => 1,
        "set" => 2,
        "map" => 3,
        other => {
            errors.push(FieldError::not_supported(&at, other, &["atomic", "map", "set"]));
            0
        }
    };
    if shape.list_type != 0 && shape.kind != Kind::Array {
        errors.push(FieldError::invalid(
            &path.child("type"),
            schema.str_at(&["type"]),
            "must be array if x-kubernetes-list-type is specified",
        ));
    }
    let keys = path.child("x-kubernetes-list-map-keys");
    let named = schema.items_at(&["x-kubernetes-list-map-keys"]).iter();
    shape.list_keys = named.filter_map(Value::as_str).map(Box::from).collect();
    if shape.list_type == 3 && shape.list_keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&keys, detail));
    }
    let known = schema.at(&["items", "properties"]);
    for (index, key) in shape.list_keys.iter().enumerate() {
        if known.is_none_or(|known| known.get(key).is_none()) {
            errors.push(FieldError::invalid(
                &keys.index(index),
                &**key,
                "entries must all be names of item properties",
            ));
        }
    }
}
