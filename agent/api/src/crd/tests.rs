use super::*;
use crate::decode::{Fill, normalize};
use crate::field::Path;
use crate::{Gvk, defaults, value};

fn definition() -> Value {
    value!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {
            "group": "stable.example.com",
            "scope": "Namespaced",
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas",
                }},
                "selectableFields": [{"jsonPath": ".spec.cron"}],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "required": ["spec"],
                    "properties": {
                        "spec": {
                            "type": "object",
                            "required": ["cron"],
                            "properties": {
                                "cron": {"type": "string", "pattern": "^(\\d+|\\*)( (\\d+|\\*)){4}$"},
                                "replicas": {"type": "integer", "minimum": 1i64, "maximum": 10i64, "default": 1i64},
                                "mode": {"type": "string", "enum": ["a", "b"]},
                                "port": {"x-kubernetes-int-or-string": true},
                                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                                "list": {
                                    "type": "array",
                                    "maxItems": 2i64,
                                    "x-kubernetes-list-type": "map",
                                    "x-kubernetes-list-map-keys": ["name"],
                                    "items": {
                                        "type": "object",
                                        "properties": {"name": {"type": "string", "default": "x"}},
                                    },
                                },
                            },
                        },
                        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                    },
                }},
            }],
        },
    })
}

fn row() -> Resource {
    rows(&definition()).unwrap().remove(0)
}

#[test]
fn definition_becomes_a_row_for_each_served_version() {
    let row = row();
    assert_eq!(row.gvk(), Gvk::of("stable.example.com/v1", "CronTab"));
    assert_eq!((&*row.list_kind, row.namespaced), ("CronTabList", true));
    assert_eq!(row.subresources.len(), 2);
    assert_eq!(row.scale.as_ref().unwrap().spec_replicas, "spec.replicas");
    assert_eq!(row.custom.as_ref().unwrap().selectable, ["spec.cron"]);
    let registry = crate::resource::Registry::built_in();
    let added = registry.with_custom("stable.example.com", "crontabs", vec![row]);
    assert!(added.by_path("stable.example.com", "v1", "crontabs").is_some());
    let gone = added.with_custom("stable.example.com", "crontabs", vec![]);
    assert!(gone.by_path("stable.example.com", "v1", "crontabs").is_none());
}

#[test]
fn unknown_fields_are_pruned_except_where_they_are_kept() {
    let mut object = value!({
        "apiVersion": "stable.example.com/v1",
        "kind": "CronTab",
        "metadata": {"name": "a", "odd": 1i64},
        "spec": {"cron": "x", "odd": 1i64, "free": {"any": {"thing": 1i64}}, "list": [{"odd": 1i64}]},
    });
    let row = row();
    let unknown = normalize(row.schema.node(), &mut object, Fill::Whole).unwrap();
    assert_eq!(unknown, ["metadata.odd", "spec.list[0].odd", "spec.odd"]);
    defaults::set(&row, &mut object);
    assert_eq!(
        object["spec"],
        value!({
            "cron": "x",
            "replicas": 1i64,
            "free": {"any": {"thing": 1i64}},
            "list": [{"name": "x"}],
        })
    );
}

#[test]
fn rules_are_checked_with_upstreams_messages() {
    let schema = row().custom.unwrap().schema.clone();
    let check = |spec: Value| -> Vec<String> {
        let mut errors = Vec::new();
        super::check(&schema, &value!({"spec": spec}), &Path::root(), &mut errors);
        errors.iter().map(FieldError::to_string).collect()
    };
    assert_eq!(check(value!({"cron": "* * * * 5", "port": "http", "mode": "a"})), [""; 0]);
    assert_eq!(check(value!({})), ["spec.cron: Required value"]);
    assert_eq!(
        check(value!({"cron": "x"})),
        [
            r#"spec.cron: Invalid value: "x": spec.cron in body should match '^(\d+|\*)( (\d+|\*)){4}$'"#
        ]
    );
    let cron = "* * * * *";
    assert_eq!(
        check(value!({"cron": cron, "replicas": 0i64})),
        [
            "spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1"
        ]
    );
    assert_eq!(
        check(value!({"cron": cron, "replicas": "many"})),
        [
            r#"spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#
        ]
    );
    assert_eq!(
        check(value!({"cron": cron, "mode": "c"})),
        [r#"spec.mode: Unsupported value: "c": supported values: "a", "b""#]
    );
    assert_eq!(
        check(value!({"cron": cron, "list": [{"name": "a"}, {"name": "a"}]})),
        [r#"spec.list[1]: Duplicate value: {"name":"a"}"#]
    );
    assert_eq!(
        check(value!({"cron": cron, "list": [{}, {"name": "b"}, {"name": "c"}]})),
        ["spec.list: Too many: 3: must have at most 2 items"]
    );
}

#[test]
fn alternatives_are_checked() {
    let schema = value!({
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        "not": {"required": ["c"]},
    });
    let count = |object: Value| {
        let mut errors = Vec::new();
        super::check(&schema, &object, &Path::new("spec"), &mut errors);
        errors.len()
    };
    assert_eq!(count(value!({"a": 1i64})), 0);
    assert_eq!(count(value!({"a": 1i64, "b": 1i64})), 1);
    assert_eq!(count(value!({"c": 1i64})), 2);
}

#[test]
fn definition_that_breaks_rules_is_told_where() {
    assert_eq!(validate(&definition(), None), vec![]);
    let wrong = |path: &[&str], value: Value| -> String {
        let mut crd = definition();
        crd.set(path, value);
        let texts: Vec<String> = validate(&crd, None).iter().map(FieldError::to_string).collect();
        texts.join("; ")
    };
    assert!(wrong(&["metadata", "name"], "x".into()).contains("must be spec.names.plural"));
    assert!(wrong(&["spec", "scope"], "Odd".into()).contains("supported values: \"Cluster\""));
    assert!(wrong(&["spec", "versions"], value!([])).contains("exactly one version"));
    let mut version = definition()["spec"]["versions"].clone();
    let schema = ["schema", "openAPIV3Schema", "properties", "spec", "properties", "odd"];
    version.as_array_mut().unwrap()[0].set(&schema, value!({}));
    assert!(wrong(&["spec", "versions"], version).contains(
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[odd].type: Required value"
    ));
    let mut other = definition();
    other.set(&["spec", "group"], "other.example.com");
    assert!(validate(&other, Some(&definition())).iter().any(|e| e.body.contains("immutable")));
}

#[test]
fn names_are_accepted_unless_another_has_them() {
    let status = conditions(&definition(), &[], "2026-01-02T03:04:05Z");
    assert_eq!(status.items_at(&["conditions"])[1].str_at(&["status"]), "True");
    assert_eq!(status["storedVersions"], value!(["v1"]));
    let mut rival = definition();
    rival.set(&["metadata", "name"], "others.stable.example.com");
    rival.set(&["status", "acceptedNames"], value!({"plural": "others", "kind": "CronTab"}));
    let status = conditions(&definition(), &[&rival], "2026-01-02T03:04:05Z");
    assert_eq!(status.items_at(&["conditions"])[0].str_at(&["reason"]), "KindConflict");
    assert_eq!(status.items_at(&["conditions"])[1].str_at(&["status"]), "False");
}

#[test]
fn versions_are_preferred_by_stability_then_age() {
    let mut versions = ["v1alpha1", "v2", "foo", "v1", "v1beta2", "v10", "v1beta1"];
    versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
}
