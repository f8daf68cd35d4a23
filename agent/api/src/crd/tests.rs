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

fn shape_errors(schema: Value) -> Vec<String> {
    let mut errors = Vec::new();
    super::structural(&schema, &Path::new("s"), &mut errors);
    errors.iter().map(FieldError::to_string).collect()
}

#[test]
fn schemas_that_are_not_structural_are_refused() {
    for (schema, expected) in [
        (value!({}), "s.type: Required value: must not be empty at the root"),
        (
            value!({"type": "array", "items": {"type": "string"}}),
            "s.type: Invalid value: \"array\": must be object at the root",
        ),
        (
            value!({"type": "object", "properties": {"a": {"type": "array"}}}),
            "s.properties[a].items: Required value: must be specified",
        ),
        (
            value!({"type": "object", "properties": {"a": {"type": "object",
                "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}}}),
            "s.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            value!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object"},
                "x-kubernetes-list-type": "map"}}}),
            "s.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (value!({"type": "object", "$ref": "x"}), "s.$ref: Forbidden: $ref is not supported"),
        (
            value!({"type": "object", "properties": {"a": {"type": "text"}}}),
            "s.properties[a].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ),
    ] {
        assert!(shape_errors(schema).contains(&expected.to_owned()), "{expected}");
    }
    assert_eq!(shape_errors(value!({"type": "object"})), [""; 0]);
    let mut deep = value!({"type": "object"});
    for _ in 0..80 {
        deep = value!({"type": "object", "properties": {"a": deep}});
    }
    assert!(shape_errors(deep).iter().any(|error| error.contains("nests too deeply")));
}

#[test]
fn formats_bounds_and_sizes_are_checked() {
    let wrong = |schema: Value, value: Value| {
        let mut errors = Vec::new();
        super::check(&schema, &value, &Path::new("x"), &mut errors);
        errors.len()
    };
    for (format, good, bad) in [
        ("date-time", "2026-01-02T03:04:05Z", "yesterday"),
        ("date", "2026-01-02", "2026-13-02"),
        ("ipv4", "10.0.0.1", "10.0.0"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
        ("mac", "00:11:22:33:44:55", "00:11:22"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("byte", "aGk=", "$"),
        ("email", "a@b", "a"),
        ("hostname", "a.b", "a_b"),
    ] {
        let schema = || value!({"type": "string", "format": format});
        assert_eq!(wrong(schema(), good.into()), 0, "{format}");
        assert_eq!(wrong(schema(), bad.into()), 1, "{format}");
    }
    assert_eq!(wrong(value!({"type": "string", "format": "unheard"}), "x".into()), 0);
    let number =
        value!({"type": "number", "minimum": 0i64, "exclusiveMinimum": true, "multipleOf": 0.5});
    assert_eq!(wrong(number.clone(), Value::Int(0)), 1);
    assert_eq!(wrong(number.clone(), Value::Float(1.5)), 0);
    assert_eq!(wrong(number, Value::Float(1.25)), 1);
    assert_eq!(wrong(value!({"type": "integer", "format": "int32"}), Value::Int(1 << 40)), 1);
    assert_eq!(wrong(value!({"type": "string", "maxLength": 2i64}), "éé".into()), 0);
    assert_eq!(wrong(value!({"type": "string", "minLength": 3i64}), "éé".into()), 1);
    assert_eq!(wrong(value!({"type": "object", "minProperties": 1i64}), value!({})), 1);
    assert_eq!(wrong(value!({"type": "string", "nullable": true}), Value::Null), 0);
    assert_eq!(wrong(value!({"type": "string"}), Value::Null), 1);
    assert_eq!(wrong(value!({"type": "string", "pattern": "("}), "x".into()), 1);
}

#[test]
fn columns_of_a_definition_are_those_of_its_tables() {
    let mut crd = definition();
    let columns = value!([
        {"name": "Cron", "type": "string", "jsonPath": ".spec.cron"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1i64},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]);
    let versions = crd.at_mut(&["spec", "versions"]).unwrap().as_array_mut().unwrap();
    versions[0].set(&["additionalPrinterColumns"], columns);
    let row = rows(&crd).unwrap().remove(0);
    let columns = crate::tables::columns(&row);
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["Name", "Cron", "Replicas", "Age"]);
    let object = value!({
        "metadata": {"name": "a", "creationTimestamp": "2026-01-02T03:00:00Z"},
        "spec": {"cron": "x", "replicas": 2i64},
    });
    let now = crate::time::parse("2026-01-02T03:01:00Z").unwrap();
    let cells = crate::tables::cells(&columns, &object, now);
    assert_eq!(cells, [Value::from("a"), "x".into(), Value::Int(2), "60s".into()]);
}
