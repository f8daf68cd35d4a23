//! The shapes of resources as OpenAPI, made from the table when they are asked for. Pure. A document
//! is addressed with a hash of its content, so that clients keep what did not change.

use crate::parameters::Parameters;
use crate::respond::{self, Answer};
use holm_api::resource::{Registry, Verb};
use holm_api::schema::{ListKind, Node, Schema, Shape, TypeId};
use holm_api::{Resource, Value, value};
use http::{HeaderValue, header};
use std::collections::BTreeSet;

/// The answer to a path under `/openapi`; `None` for a document that there is not.
pub fn answer(registry: &Registry, path: &str, parameters: &Parameters) -> Option<Answer> {
    if path == "/openapi/v2" {
        return Some(cached(&version_2(registry), parameters));
    }
    let rest = path.strip_prefix("/openapi/v3")?;
    if rest.is_empty() || rest == "/" {
        return Some(respond::json(200, &index(registry)));
    }
    let (group, version) = match rest.strip_prefix('/')?.split('/').collect::<Vec<_>>()[..] {
        ["api", version] => ("", version),
        ["apis", group, version] => (group, version),
        _ => return None,
    };
    let document = version_3(registry, group, version)?;
    Some(cached(&document, parameters))
}

/// A document that stays good as long as its hash is asked for.
fn cached(document: &Value, parameters: &Parameters) -> Answer {
    let body = document.to_json();
    let hash = hash(&body);
    let mut answer = respond::bytes(200, "application/json", body);
    let headers = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        headers.insert(header::ETAG, tag);
    }
    if parameters.get("hash") == hash {
        let forever = HeaderValue::from_static("public, immutable");
        headers.insert(header::CACHE_CONTROL, forever);
    }
    answer
}

fn hash(body: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02X}")).collect()
}

fn group_versions(registry: &Registry) -> BTreeSet<(String, String)> {
    registry.iter().map(|it| (it.group.to_string(), it.version.to_string())).collect()
}

fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn index(registry: &Registry) -> Value {
    let mut paths = Value::object();
    for (group, version) in group_versions(registry) {
        let Some(document) = version_3(registry, &group, &version) else { continue };
        let root = root(&group, &version);
        let url = format!("/openapi/v3/{root}?hash={}", hash(&document.to_json()));
        paths.set(&[&root], value!({"serverRelativeURL": url}));
    }
    value!({"paths": paths})
}

fn rows<'a>(
    registry: &'a Registry,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = &'a Resource> {
    registry.iter().map(|it| &**it).filter(move |it| it.group == group && it.version == version)
}

fn version_3(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut shapes =
        Shapes { prefix: "#/components/schemas/", done: Value::object(), left: vec![] };
    let mut paths = Value::object();
    for resource in rows(registry, group, version) {
        shapes.add_resource(resource);
        add_paths(resource, &mut paths);
    }
    if paths.is_empty() {
        return None;
    }
    let schemas = shapes.finish();
    Some(value!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": {format!("v1.{}.0", crate::health::MINOR)}},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn version_2(registry: &Registry) -> Value {
    let mut shapes = Shapes { prefix: "#/definitions/", done: Value::object(), left: vec![] };
    let mut paths = Value::object();
    for resource in registry.iter() {
        shapes.add_resource(resource);
        add_paths(resource, &mut paths);
    }
    let definitions = shapes.finish();
    value!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": {format!("v1.{}.0", crate::health::MINOR)}},
        "paths": paths,
        "definitions": definitions,
    })
}

/// What clients look for in paths: which kind they are about, and which parameters a patch takes.
fn add_paths(resource: &Resource, paths: &mut Value) {
    let kind = value!({
        "group": {&*resource.group}, "version": {&*resource.version}, "kind": {&*resource.kind},
    });
    let space = resource.namespaced.then_some("{namespace}");
    let collection = resource.gvr().path(space);
    for (path, verbs) in [
        (collection.clone(), [(Verb::List, "get", "list"), (Verb::Create, "post", "post")]),
        (
            format!("{collection}/{{name}}"),
            [(Verb::Get, "get", "get"), (Verb::Patch, "patch", "patch")],
        ),
    ] {
        for (verb, method, action) in verbs {
            if !resource.verbs.has(verb) {
                continue;
            }
            let mut names = vec!["pretty"];
            if matches!(verb, Verb::Create | Verb::Patch) {
                names.extend(["dryRun", "fieldManager", "fieldValidation"]);
            }
            let parameters: Value = names
                .into_iter()
                .map(|name| value!({"name": name, "in": "query", "schema": {"type": "string"}}))
                .collect();
            paths.set(
                &[&path, method],
                value!({
                    "x-kubernetes-action": action,
                    "x-kubernetes-group-version-kind": {kind.clone()},
                    "parameters": parameters,
                    "responses": {"200": {"description": "OK"}},
                }),
            );
        }
    }
}

/// The types that were met, and what is written of them.
struct Shapes {
    prefix: &'static str,
    done: Value,
    left: Vec<TypeId>,
}

impl Shapes {
    fn add_resource(&mut self, resource: &Resource) {
        if let Schema::BuiltIn(id) = resource.schema {
            self.left.push(id);
        }
    }

    fn finish(mut self) -> Value {
        while let Some(id) = self.left.pop() {
            let name = id.name();
            if self.done.get(name).is_none() {
                let schema = self.type_schema(id);
                self.done.set(&[name], schema);
            }
        }
        self.done
    }

    fn type_schema(&mut self, id: TypeId) -> Value {
        let node = Node::of_type(id);
        let mut schema = value!({"type": "object"});
        let mut required = Vec::new();
        for field in id.fields() {
            let property = self.node_schema(Node::of_field(field));
            schema.set(&["properties", field.name()], property);
            if field.is_required() {
                required.push(field.name());
            }
        }
        if !required.is_empty() {
            schema.set(&["required"], required.into_iter().collect::<Value>());
        }
        if node.is_atomic() {
            schema.set(&["x-kubernetes-map-type"], "atomic");
        }
        let kinds: Value = id
            .kinds()
            .map(
                |(group, version, kind)| value!({"group": group, "version": version, "kind": kind}),
            )
            .collect();
        if !kinds.is_empty() {
            schema.set(&["x-kubernetes-group-version-kind"], kinds);
        }
        schema
    }

    fn node_schema(&mut self, node: Node<'_>) -> Value {
        let mut schema = match node.shape() {
            Shape::Struct => {
                let Some(id) = node.table_type() else { return value!({"type": "object"}) };
                self.left.push(id);
                return value!({"$ref": {format!("{}{}", self.prefix, id.name())}});
            }
            Shape::Map => {
                let inner = self.node_schema(node.inner());
                value!({"type": "object", "additionalProperties": inner})
            }
            Shape::List => {
                let inner = self.node_schema(node.inner());
                value!({"type": "array", "items": inner})
            }
            Shape::String | Shape::Quantity => value!({"type": "string"}),
            Shape::IntOrString => value!({"type": "string", "format": "int-or-string"}),
            Shape::Bytes => value!({"type": "string", "format": "byte"}),
            Shape::Time | Shape::MicroTime => value!({"type": "string", "format": "date-time"}),
            Shape::Bool => value!({"type": "boolean"}),
            Shape::Int32 => value!({"type": "integer", "format": "int32"}),
            Shape::Int64 => value!({"type": "integer", "format": "int64"}),
            Shape::Double => value!({"type": "number", "format": "double"}),
            Shape::Strings => value!({"type": "array", "items": {"type": "string"}}),
            Shape::RawExtension | Shape::FieldsV1 => value!({"type": "object"}),
            Shape::Json | Shape::SchemaOrArray | Shape::SchemaOrBool | Shape::SchemaOrStrings => {
                value!({})
            }
        };
        if node.shape() == Shape::List {
            let kind = match node.list_kind() {
                ListKind::Atomic => "atomic",
                ListKind::Set => "set",
                ListKind::Map => "map",
            };
            schema.set(&["x-kubernetes-list-type"], kind);
            let keys: Value = node.list_keys().collect();
            if !keys.is_empty() {
                schema.set(&["x-kubernetes-list-map-keys"], keys);
            }
        }
        if node.patch_merges() {
            schema.set(&["x-kubernetes-patch-strategy"], "merge");
        }
        if let Some(key) = node.merge_key() {
            schema.set(&["x-kubernetes-patch-merge-key"], key);
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_to_a_schema() {
        let registry = Registry::built_in();
        for (group, version) in group_versions(&registry) {
            let document = version_3(&registry, &group, &version).unwrap();
            let text = document.to_string();
            let schemas = document.at(&["components", "schemas"]).unwrap();
            for part in text.split("#/components/schemas/").skip(1) {
                let name = part.split('"').next().unwrap();
                assert!(schemas.get(name).is_some(), "{group}/{version}: {name}");
            }
        }
    }

    #[test]
    fn clients_find_the_kind_and_that_fields_are_validated() {
        let registry = Registry::built_in();
        let apps = version_3(&registry, "apps", "v1").unwrap();
        let patch =
            &apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"].str_at(&["kind"]), "Deployment");
        let parameters = patch.items_at(&["parameters"]);
        assert!(parameters.iter().any(|it| it.str_at(&["name"]) == "fieldValidation"));
        let containers = apps
            .at(&[
                "components",
                "schemas",
                "io.k8s.api.core.v1.PodSpec",
                "properties",
                "containers",
            ])
            .unwrap();
        assert_eq!(containers.str_at(&["x-kubernetes-patch-merge-key"]), "name");
    }

    #[test]
    fn an_index_names_documents_with_their_hash() {
        let registry = Registry::built_in();
        let index = index(&registry);
        let url = index["paths"]["apis/apps/v1"].str_at(&["serverRelativeURL"]);
        let hash = url.split("hash=").nth(1).unwrap();
        let query = Parameters::read(Some(&format!("hash={hash}")));
        let answer = answer(&registry, "/openapi/v3/apis/apps/v1", &query).unwrap();
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "public, immutable");
    }
}
