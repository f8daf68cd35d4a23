//! Reads the published definitions, and joins them with what the Go structs say.

use crate::go_structs::{self, Structs};
use crate::{GeneratorError, facts};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Definitions that the published ones lack.
const EXTRA: &str = include_str!("../extra.json");

/// The resources that are served: types that none of them reaches are left out.
const ROWS: &str = include_str!("../../src/resource/rows.txt");

/// What holds a field's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Single,
    List,
    Map,
}

/// A type by its name, or one that needs no row; the numbers are those of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    Scalar(u16),
    Type(String),
}

/// What the table calls those that need no row. The order is the number; the reader has the same.
pub const SCALARS: [&str; 17] = [
    "string",
    "boolean",
    "int32",
    "int64",
    "double",
    "byte",
    "strings",
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
];

/// How a list's elements are told apart when two writers merge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    Unsaid = 0,
    Atomic = 1,
    Set = 2,
    Map = 3,
}

/// A field of a type.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub container: Container,
    pub element: Element,
    /// Numbers in protobuf, from the outermost struct that stands in line to its own.
    pub numbers: Vec<u8>,
    pub required: bool,
    pub pointer: bool,
    pub omit_empty: bool,
    pub list_type: ListType,
    pub keys: Vec<String>,
    pub atomic_map: bool,
    pub patch_merge: bool,
    pub patch_retain_keys: bool,
    pub merge_key: Option<String>,
    pub default: Option<String>,
}

/// A type with fields.
#[derive(Debug, Clone)]
pub struct Type {
    pub name: String,
    pub atomic: bool,
    /// Group, version, kind.
    pub kinds: Vec<[String; 3]>,
    pub fields: Vec<Field>,
}

/// Reads all types that have fields and that a served kind reaches, sorted by name.
pub fn read(path: &Path, structs: &Structs) -> Result<Vec<Type>, GeneratorError> {
    let in_file = |source| GeneratorError::Json { path: path.display().to_string(), source };
    let document: Value = serde_json::from_slice(&crate::read(path)?).map_err(in_file)?;
    let extra: Value = serde_json::from_str(EXTRA).map_err(in_file)?;
    let find = |name: &str| {
        let found = [&document["$defs"][name], &extra[name]].into_iter().find(|one| !one.is_null());
        found.ok_or_else(|| facts(name, "there is no such definition"))
    };
    let all = [&document["$defs"], &extra].into_iter().filter_map(Value::as_object).flatten();
    let mut wanted: Vec<String> =
        all.filter(|(_, one)| is_served(one)).map(|(name, _)| name.clone()).collect();
    let mut types = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        if types.contains_key(&name) {
            continue;
        }
        let read = read_type(&name, find(&name)?, structs)?;
        wanted.extend(read.fields.iter().filter_map(|field| match &field.element {
            Element::Type(name) => Some(name.clone()),
            Element::Scalar(_) => None,
        }));
        types.insert(name, read);
    }
    Ok(types.into_values().collect())
}

/// Whether the definition is of a kind in a version that a row serves, or of the API's own kinds.
fn is_served(definition: &Value) -> bool {
    let rows = || {
        ROWS.lines().filter_map(|row| {
            let mut columns = row.split(' ');
            Some((columns.next()?, columns.next()?))
        })
    };
    kinds(&definition["x-kubernetes-group-version-kind"]).iter().any(|[group, version, _]| {
        let group = if group.is_empty() { "core" } else { group };
        group == "meta.k8s.io" || rows().any(|row| row == (group, version.as_str()))
    })
}

fn read_type(name: &str, definition: &Value, structs: &Structs) -> Result<Type, GeneratorError> {
    let required = texts(&definition["required"]);
    let mut fields = Vec::new();
    for (field, schema) in definition["properties"].as_object().into_iter().flatten() {
        let here = || format!("{name}.{field}");
        let (container, element) = shape(schema).ok_or_else(|| {
            facts(here(), format!("a shape that the table cannot carry: {schema}"))
        })?;
        let found = go_structs::find(structs, name, field);
        let inline = matches!(field.as_str(), "apiVersion" | "kind")
            && !definition["x-kubernetes-group-version-kind"].is_null();
        if found.is_none() && !inline {
            return Err(facts(here(), "no Go struct has this field"));
        }
        let (numbers, go) = match found {
            Some((numbers, go)) => (numbers, Some(go)),
            None => (vec![0], None),
        };
        let strategy = schema["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
        fields.push(Field {
            name: field.clone(),
            container,
            element,
            numbers,
            required: required.iter().any(|one| one == field),
            pointer: go.is_some_and(|go| go.go_type.starts_with('*')),
            omit_empty: go.is_none_or(|go| go.omit_empty),
            list_type: match schema["x-kubernetes-list-type"].as_str() {
                None => ListType::Unsaid,
                Some("atomic") => ListType::Atomic,
                Some("set") => ListType::Set,
                Some("map") => ListType::Map,
                Some(other) => return Err(facts(here(), format!("list type {other}"))),
            },
            keys: texts(&schema["x-kubernetes-list-map-keys"]),
            atomic_map: schema["x-kubernetes-map-type"] == "atomic",
            patch_merge: strategy.split(',').any(|one| one == "merge"),
            patch_retain_keys: strategy.split(',').any(|one| one == "retainKeys"),
            merge_key: schema["x-kubernetes-patch-merge-key"].as_str().map(str::to_owned),
            default: go.and_then(|go| go.default.clone()),
        });
    }
    Ok(Type {
        name: name.to_owned(),
        atomic: definition["x-kubernetes-map-type"] == "atomic",
        kinds: kinds(&definition["x-kubernetes-group-version-kind"]),
        fields,
    })
}

fn kinds(list: &Value) -> Vec<[String; 3]> {
    let all = list.as_array().map_or(&[][..], Vec::as_slice);
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    all.iter()
        // Options and watch events belong to every group: the core group's row stands for all.
        .filter(|one| all.len() < 4 || (one["group"] == "" && one["version"] == "v1"))
        .map(|one| [text(one, "group"), text(one, "version"), text(one, "kind")])
        .collect()
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn shape(schema: &Value) -> Option<(Container, Element)> {
    let element = element(schema);
    if let Some(element) = element {
        return Some((Container::Single, element));
    }
    match type_of(schema)? {
        "array" => Some((Container::List, self::element(&schema["items"])?)),
        "object" => {
            let values = &schema["additionalProperties"];
            let list_of_text = type_of(values) == Some("array")
                && self::element(&values["items"]) == Some(Element::Scalar(0));
            match list_of_text {
                true => Some((Container::Map, Element::Scalar(6))),
                false => Some((Container::Map, self::element(values)?)),
            }
        }
        _ => None,
    }
}

fn element(schema: &Value) -> Option<Element> {
    let scalar = |name: &str| {
        let at = SCALARS.iter().position(|scalar| *scalar == name)?;
        Some(Element::Scalar(u16::try_from(at).ok()?))
    };
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next()?;
        return scalar(name).or_else(|| Some(Element::Type(name.to_owned())));
    }
    match (type_of(schema)?, schema["format"].as_str()) {
        ("string", Some("byte")) => scalar("byte"),
        ("string", _) => scalar("string"),
        ("boolean", _) => scalar("boolean"),
        ("integer", Some("int32")) => scalar("int32"),
        ("integer", _) => scalar("int64"),
        ("number", _) => scalar("double"),
        _ => None,
    }
}

/// The type, whether `null` is allowed beside it or not.
fn type_of(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}
