use super::*;
use crate::schema::Schema;
use crate::{Gvk, value};

fn read(text: &str) -> Fields {
    Fields::read(&crate::value::decode_value(text.as_bytes()).unwrap())
}

#[test]
fn sets_are_joined_and_taken_apart() {
    let one = read(r#"{"f:a":{},"f:b":{"f:c":{},"f:d":{}}}"#);
    let other = read(r#"{"f:b":{"f:d":{},"f:e":{}},"f:x":{}}"#);
    assert_eq!(
        one.union(&other),
        read(r#"{"f:a":{},"f:b":{"f:c":{},"f:d":{},"f:e":{}},"f:x":{}}"#)
    );
    assert_eq!(one.intersection(&other), read(r#"{"f:b":{"f:d":{}}}"#));
    assert_eq!(one.difference(&other), read(r#"{"f:a":{},"f:b":{"f:c":{}}}"#));
    assert!(one.difference(&one).is_empty());
    assert_eq!(one.union(&one), one);
}

#[test]
fn field_and_what_is_below_it_are_told_apart() {
    let both = read(r#"{"f:a":{".":{},"f:b":{}}}"#);
    let below = read(r#"{"f:a":{"f:b":{}}}"#);
    assert_eq!(both.difference(&below), read(r#"{"f:a":{}}"#));
    assert_eq!(both.intersection(&below), below);
    assert_eq!(both.without_below(&read(r#"{"f:a":{}}"#)), Fields::default());
    assert_eq!(both.write().to_string(), r#"{"f:a":{".":{},"f:b":{}}}"#);
}

#[test]
fn fields_are_put_in_and_taken_out_by_path() {
    let mut fields = Fields::default();
    fields.insert(&["f:a", "f:b"]);
    fields.insert(&["f:a", "f:c"]);
    fields.remove(&["f:a", "f:b"]);
    assert_eq!(fields, read(r#"{"f:a":{"f:c":{}}}"#));
    fields.remove(&["f:a", "f:c"]);
    assert!(fields.is_empty());
    fields.remove(&["f:not", "f:there"]);
}

#[test]
fn keys_in_another_order_are_the_same_element() {
    let one = read(r#"{"f:p":{"k:{\"protocol\":\"TCP\",\"port\":80}":{}}}"#);
    let other = read(r#"{"f:p":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{}}}"#);
    assert_eq!(one, other);
}

#[test]
fn malformed_sets_lose_what_cannot_be_read() {
    assert_eq!(read(r#"{"f:a":5,"k:{x":{},"f:b":{}}"#), read(r#"{"f:b":{}}"#));
    assert_eq!(read("[]"), Fields::default());
}

#[test]
fn paths_read_as_messages_have_them() {
    let fields = read(
        r#"{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}}},"f:list":{"v:\"x\"":{},"i:3":{}}}}"#,
    );
    assert_eq!(
        fields.paths(),
        [
            ".spec.containers[name=\"c\"]",
            ".spec.containers[name=\"c\"].image",
            ".spec.list[3]",
            ".spec.list[=\"x\"]",
        ]
    );
}

#[test]
fn atomic_values_are_owned_as_a_whole() {
    let pod = Schema::built_in(&Gvk::of("v1", "Pod")).unwrap();
    let object = value!({"spec": {
        "nodeSelector": {"a": "b"},
        "containers": [{"name": "c", "command": ["x", "y"]}],
        "securityContext": {},
    }});
    let fields = Fields::of_value(pod.node(), &object);
    assert_eq!(
        fields,
        read(
            r#"{"f:spec":{"f:nodeSelector":{},"f:securityContext":{},
                "f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{},"f:command":{}}}}}"#
        )
    );
}
