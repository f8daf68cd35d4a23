//! Whether an object of a CRD keeps the rules of its schema, with upstream's messages.
//!
//! Rules in CEL (`x-kubernetes-validations`) are not evaluated here.

use crate::field::{FieldError, Path, Wrong, quote};
use crate::{Value, time};
use regex::Regex;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Checks `value` against a `JSONSchemaProps`.
pub fn check(schema: &Value, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if value.is_null() && schema.bool_at(&["nullable"]) {
        return;
    }
    if check_type(schema, value, path, errors).is_none() {
        return;
    }
    check_enum(schema, value, path, errors);
    match value {
        Value::String(text) => check_text(schema, text, path, errors),
        Value::Int(_) | Value::Float(_) => check_number(schema, value, path, errors),
        Value::Array(items) => check_items(schema, items, path, errors),
        Value::Object(_) => check_members(schema, value, path, errors),
        Value::Null | Value::Bool(_) => {}
    }
    check_alternatives(schema, value, path, errors);
}

/// `spec.size in body WHAT`, as the library behind upstream words it.
fn in_body(path: &Path, what: &str) -> String {
    format!("{} in body {what}", path.as_str())
}

fn invalid(path: &Path, bad: impl Into<Value>, what: &str) -> FieldError {
    FieldError::invalid(path, bad, &in_body(path, what))
}

/// `None` when the type is wrong, after which nothing else is worth saying.
fn check_type(
    schema: &Value,
    value: &Value,
    path: &Path,
    errors: &mut Vec<FieldError>,
) -> Option<()> {
    let wanted = schema.str_at(&["type"]);
    let has = value.kind_name();
    let int_or_string = schema.bool_at(&["x-kubernetes-int-or-string"]);
    let fits = match wanted {
        "" if int_or_string => matches!(has, "integer" | "string"),
        "" => true,
        "number" => matches!(has, "integer" | "number"),
        "integer" => has == "integer" || value.as_i64().is_some(),
        other => other == has,
    };
    if fits {
        return Some(());
    }
    let wanted = if wanted.is_empty() { "integer,string" } else { wanted };
    let detail = in_body(path, &format!("must be of type {wanted}: {}", quote(has)));
    errors.push(FieldError::type_invalid(path, has, &detail));
    None
}

fn check_enum(schema: &Value, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let allowed = schema.items_at(&["enum"]);
    if !allowed.is_empty() && !allowed.contains(value) {
        let texts: Vec<String> = allowed
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        errors.push(FieldError::not_supported(path, value, &texts));
    }
}

fn size(schema: &Value, rule: &str) -> Option<usize> {
    schema.int_at(&[rule]).and_then(|size| usize::try_from(size).ok())
}

fn check_text(schema: &Value, text: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let length = text.chars().count();
    if let Some(max) = size(schema, "maxLength").filter(|max| length > *max) {
        errors.push(FieldError::too_long(path, max));
    }
    if let Some(min) = size(schema, "minLength").filter(|min| length < *min) {
        errors.push(invalid(path, text, &format!("should be at least {min} chars long")));
    }
    let pattern = schema.str_at(&["pattern"]);
    if !pattern.is_empty() {
        match Regex::new(pattern) {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => errors.push(invalid(path, text, &format!("should match '{pattern}'"))),
            Err(_) => {
                let why = format!("should match '{pattern}', but pattern is invalid");
                errors.push(invalid(path, text, &why));
            }
        }
    }
    let format = schema.str_at(&["format"]);
    if !has_format(format, text) {
        let what = format!("must be of type {format}: {}", quote(text));
        errors.push(invalid(path, text, &what));
    }
}

/// Formats that upstream checks; others are hints.
fn has_format(format: &str, text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    match format {
        "date-time" | "datetime" => time::parse(text).is_some(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => text.split_once('/').is_some_and(|(address, length)| {
            let most = if address.parse::<Ipv4Addr>().is_ok() {
                32
            } else if address.parse::<Ipv6Addr>().is_ok() {
                128
            } else {
                return false;
            };
            length.parse::<u8>().is_ok_and(|length| length <= most)
        }),
        "mac" => {
            let parts: Vec<&str> = text.split([':', '-']).collect();
            parts.len() == 6 && parts.iter().all(|part| hex(part, 2))
        }
        "uuid" | "uuid3" | "uuid4" | "uuid5" => {
            let plain = text.replace('-', "");
            hex(&plain, 32)
        }
        "byte" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        "hostname" => crate::names::dns_subdomain(&text.to_lowercase()).is_empty(),
        "email" => text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !host.is_empty() && !host.contains('@')
        }),
        _ => true,
    }
}

fn check_number(schema: &Value, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let number = value.as_f64().unwrap_or_default();
    let bound = |rule: &str| schema.get(rule).and_then(|bound| Some((bound.as_f64()?, bound)));
    if let Some((max, text)) = bound("maximum") {
        let exclusive = schema.bool_at(&["exclusiveMaximum"]);
        if number > max || (exclusive && number == max) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            errors.push(invalid(path, value, &format!("should be less than{or_equal} {text}")));
        }
    }
    if let Some((min, text)) = bound("minimum") {
        let exclusive = schema.bool_at(&["exclusiveMinimum"]);
        if number < min || (exclusive && number == min) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            errors.push(invalid(path, value, &format!("should be greater than{or_equal} {text}")));
        }
    }
    if let Some((factor, text)) = bound("multipleOf") {
        let ratio = number / factor;
        if factor > 0.0 && (ratio - ratio.round()).abs() > 1e-9 {
            errors.push(invalid(path, value, &format!("should be a multiple of {text}")));
        }
    }
    let fits = match (schema.str_at(&["format"]), value.as_i64()) {
        ("int32", Some(number)) => i32::try_from(number).is_ok(),
        ("int32" | "int64", None) => false,
        _ => true,
    };
    if !fits {
        let format = schema.str_at(&["format"]);
        errors.push(invalid(
            path,
            value,
            &format!("must be of type {format}: {}", quote(&value.to_string())),
        ));
    }
}

fn check_items(schema: &Value, items: &[Value], path: &Path, errors: &mut Vec<FieldError>) {
    let count = items.len();
    if let Some(max) = size(schema, "maxItems").filter(|max| count > *max) {
        errors.push(FieldError::too_many(path, count, max));
    }
    if let Some(min) = size(schema, "minItems").filter(|min| count < *min) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        errors.push(invalid(path, count, &format!("should have at least {min} items")));
    }
    let keys = schema.items_at(&["x-kubernetes-list-map-keys"]);
    let mut seen = std::collections::HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let identity = match schema.str_at(&["x-kubernetes-list-type"]) {
            "set" => Some(item.clone()),
            "map" => {
                let names = keys.iter().filter_map(Value::as_str);
                Some(Value::Object(names.map(|key| (key, item[key].clone())).collect()))
            }
            _ => None,
        };
        if let Some(identity) = identity.filter(|one| !seen.insert(one.to_string())) {
            errors.push(FieldError::duplicate(&path.index(index), identity));
        }
        if let Some(inner) = schema.get("items") {
            check(inner, item, &path.index(index), errors);
        }
    }
}

fn check_members(schema: &Value, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let Value::Object(map) = value else { return };
    for name in schema.items_at(&["required"]).iter().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            errors.push(FieldError::required(&path.child(name), ""));
        }
    }
    let count = i64::try_from(map.len()).unwrap_or(i64::MAX);
    if let Some(max) = size(schema, "maxProperties").filter(|max| map.len() > *max) {
        errors.push(FieldError::too_many(path, map.len(), max));
    }
    if let Some(min) = size(schema, "minProperties").filter(|min| map.len() < *min) {
        errors.push(invalid(path, count, &format!("should have at least {min} properties")));
    }
    let properties = schema.get("properties");
    let additional = schema.get("additionalProperties").filter(|one| one.is_object());
    for (name, value) in map.iter() {
        match (properties.and_then(|known| known.get(name)), additional) {
            (Some(inner), _) => check(inner, value, &path.child(name), errors),
            (None, Some(inner)) => check(inner, value, &path.child(name), errors),
            _ => {}
        }
    }
    if schema.bool_at(&["x-kubernetes-embedded-resource"]) {
        for name in ["apiVersion", "kind"] {
            if value.str_at(&[name]).is_empty() {
                errors.push(FieldError::required(&path.child(name), "must not be empty"));
            }
        }
    }
}

fn check_alternatives(schema: &Value, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let keeps = |schema: &Value| {
        let mut wrong = Vec::new();
        check(schema, value, path, &mut wrong);
        wrong.is_empty()
    };
    let mut complain = |what: &str| {
        let name = quote(path.as_str());
        errors.push(FieldError {
            path: path.clone(),
            wrong: Wrong::Invalid,
            body: format!(
                "Invalid value: {}: {name} {what}",
                if value.is_object() || value.as_array().is_some() {
                    "\"\"".to_owned()
                } else {
                    quote(&value.to_string())
                }
            ),
        });
    };
    let any_of = schema.items_at(&["anyOf"]);
    if !any_of.is_empty() && !any_of.iter().any(keeps) {
        complain("must validate at least one schema (anyOf)");
    }
    let one_of = schema.items_at(&["oneOf"]);
    if !one_of.is_empty() && one_of.iter().filter(|one| keeps(one)).count() != 1 {
        complain("must validate one and only one schema (oneOf)");
    }
    if schema.get("not").is_some_and(|not| not.is_object() && keeps(not)) {
        complain("must not validate the schema (not)");
    }
    for inner in schema.items_at(&["allOf"]) {
        check(inner, value, path, errors);
    }
}
