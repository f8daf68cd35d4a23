use super::*;
use crate::schema::Schema;
use crate::{Gvk, Value, value};
use proptest::prelude::*;

fn json_patch(object: &str, patch: &str) -> Result<Value, PatchError> {
    let mut object = crate::value::decode_value(object.as_bytes()).unwrap();
    json::apply(&mut object, &crate::value::decode_value(patch.as_bytes()).unwrap())?;
    Ok(object)
}

#[test]
fn json_patch_follows_the_examples_of_its_rfc() {
    for (object, patch, expected) in [
        (
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/baz","value":"q"}]"#,
            r#"{"baz":"q","foo":"bar"}"#,
        ),
        (
            r#"{"f":["a","b"]}"#,
            r#"[{"op":"add","path":"/f/1","value":"q"}]"#,
            r#"{"f":["a","q","b"]}"#,
        ),
        (r#"{"f":["a"]}"#, r#"[{"op":"add","path":"/f/-","value":["b"]}]"#, r#"{"f":["a",["b"]]}"#),
        (r#"{"a":1,"b":2}"#, r#"[{"op":"remove","path":"/a"}]"#, r#"{"b":2}"#),
        (r#"{"f":["a","b"]}"#, r#"[{"op":"remove","path":"/f/0"}]"#, r#"{"f":["b"]}"#),
        (r#"{"a":1}"#, r#"[{"op":"replace","path":"/a","value":2}]"#, r#"{"a":2}"#),
        (
            r#"{"a":{"x":1},"b":{}}"#,
            r#"[{"op":"move","from":"/a/x","path":"/b/y"}]"#,
            r#"{"a":{},"b":{"y":1}}"#,
        ),
        (r#"{"f":[1,2,3]}"#, r#"[{"op":"move","from":"/f/0","path":"/f/2"}]"#, r#"{"f":[2,3,1]}"#),
        (
            r#"{"a":{"x":1}}"#,
            r#"[{"op":"copy","from":"/a","path":"/b"}]"#,
            r#"{"a":{"x":1},"b":{"x":1}}"#,
        ),
        (
            r#"{"a/b":1,"m~n":2}"#,
            r#"[{"op":"test","path":"/a~1b","value":1},{"op":"remove","path":"/m~0n"}]"#,
            r#"{"a/b":1}"#,
        ),
        (r#"{"a":1}"#, r#"[{"op":"replace","path":"","value":{"b":1}}]"#, r#"{"b":1}"#),
    ] {
        assert_eq!(json_patch(object, patch).unwrap().to_string(), expected, "{patch}");
    }
}

#[test]
fn json_patch_that_does_not_fit_is_refused() {
    for patch in [
        r#"[{"op":"remove","path":"/x"}]"#,
        r#"[{"op":"replace","path":"/x","value":1}]"#,
        r#"[{"op":"add","path":"/x/y","value":1}]"#,
        r#"[{"op":"add","path":"/f/5","value":1}]"#,
        r#"[{"op":"test","path":"/a","value":2}]"#,
        r#"[{"op":"move","from":"/o","path":"/o/p"}]"#,
        r#"[{"op":"copy","from":"/x","path":"/y"}]"#,
    ] {
        let error = json_patch(r#"{"a":1,"f":[1],"o":{}}"#, patch).unwrap_err();
        assert!(matches!(error, PatchError::Unfit(_)), "{patch}: {error}");
    }
    for patch in [r#"{}"#, r#"[{"op":"odd","path":"/a"}]"#, r#"[{"op":"add"}]"#] {
        let error = json_patch("{}", patch).unwrap_err();
        assert!(matches!(error, PatchError::Malformed(_)), "{patch}: {error}");
    }
}

#[test]
fn merge_patch_follows_its_rfc() {
    let mut object = value!({"a": "b", "c": {"d": "e", "f": "g"}, "l": [1i64, 2i64]});
    merge::apply(&mut object, value!({"a": "z", "c": {"f": null}, "l": [3i64], "n": {"x": null}}));
    assert_eq!(object, value!({"a": "z", "c": {"d": "e"}, "l": [3i64], "n": {}}));
}

fn strategic(object: Value, patch: Value) -> Result<Value, String> {
    let pod = Schema::built_in(&Gvk::of("v1", "Pod")).unwrap();
    let mut object = object;
    strategic::apply(pod.node(), &mut object, &patch).map_err(|error| error.to_string())?;
    Ok(object)
}

fn two_containers() -> Value {
    value!({"spec": {"containers": [
        {"name": "a", "image": "1", "ports": [{"containerPort": 80i64, "name": "web"}]},
        {"name": "b", "image": "1"},
    ]}})
}

#[test]
fn lists_merge_by_their_key_and_scalars_by_value() {
    let patch = value!({
        "metadata": {"finalizers": ["x"]},
        "spec": {"containers": [
            {"name": "b", "image": "2"},
            {"name": "c", "image": "3", "ports": [{"containerPort": 1i64}]},
        ]},
    });
    let mut object = two_containers();
    object.set(&["metadata", "finalizers"], vec![Value::from("y")]);
    let result = strategic(object, patch).unwrap();
    assert_eq!(result["metadata"]["finalizers"], value!(["y", "x"]));
    let containers = result["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 3);
    assert_eq!(containers[1], value!({"name": "b", "image": "2"}));
    assert_eq!(containers[0]["ports"].as_array().unwrap().len(), 1);
}

#[test]
fn directives_delete_replace_and_order() {
    let delete = value!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}});
    let result = strategic(two_containers(), delete).unwrap();
    assert_eq!(result["spec"]["containers"].as_array().unwrap().len(), 1);

    let replace = value!({"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}});
    let result = strategic(two_containers(), replace).unwrap();
    assert_eq!(result["spec"]["containers"], value!([{"name": "z"}]));

    let order = value!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}});
    let result = strategic(two_containers(), order).unwrap();
    assert_eq!(result.items_at(&["spec", "containers"])[0].str_at(&["name"]), "b");

    let whole = value!({"spec": {"$patch": "replace", "nodeName": "n"}});
    assert_eq!(strategic(two_containers(), whole).unwrap(), value!({"spec": {"nodeName": "n"}}));
}

#[test]
fn union_members_are_dropped_by_retain_keys() {
    let object = value!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    let patch = value!({"spec": {"volumes": [
        {"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}},
    ]}});
    let result = strategic(object, patch).unwrap();
    assert_eq!(result["spec"]["volumes"], value!([{"name": "v", "hostPath": {"path": "/x"}}]));
}

#[test]
fn scalars_are_deleted_from_lists_that_merge() {
    let object = value!({"metadata": {"finalizers": ["a", "b", "c"]}});
    let patch = value!({"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["b"],
        "$setElementOrder/finalizers": ["c", "a"],
    }});
    let result = strategic(object, patch).unwrap();
    assert_eq!(result["metadata"]["finalizers"], value!(["c", "a"]));
}

#[test]
fn patches_without_sense_are_refused() {
    for (patch, part) in [
        (value!({"spec": {"$patch": "odd"}}), "Unknown patch type"),
        (value!({"spec": {"containers": [{"image": "x"}]}}), "merge key: name"),
        (value!({"spec": {"containers": ["x"]}}), "list of objects"),
        (value!({"spec": {"$setElementOrder/containers": "x"}}), "setElementOrder"),
        (value!([]), "must be an object"),
    ] {
        let error = strategic(two_containers(), patch).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

proptest! {
    #[test]
    fn any_patch_is_applied_or_refused_calmly(text in r#"[{}\[\]":,a-c$0-9]{0,40}"#, path in "(/[a-c0-2~-]{0,2}){0,3}", op in "add|remove|replace|move|copy|test") {
        if let Ok(patch) = crate::value::decode_value(text.as_bytes()) {
            let _ = strategic(two_containers(), patch.clone());
            let mut object = two_containers();
            merge::apply(&mut object, patch.clone());
            let mut object = value!({"a": [1i64, {"b": 2i64}], "c": {}});
            let operation = value!([{"op": op, "path": path, "value": patch, "from": "/a/1"}]);
            let _ = json::apply(&mut object, &operation);
        }
    }
}
