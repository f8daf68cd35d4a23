use super::*;
use crate::value;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn members_are_found_whatever_order_they_were_written_in() {
    let value = decode_value(br#"{"z":1,"a":{"c":"x","b":[true,null,1.5]}}"#).unwrap();
    assert_eq!(value.int_at(&["z"]), Some(1));
    assert_eq!(value.str_at(&["a", "c"]), "x");
    assert_eq!(value["a"]["b"].as_array().unwrap().len(), 3);
    assert_eq!(value, value!({"a": {"b": [true, null, 1.5], "c": "x"}, "z": 1}));
}

#[test]
fn member_that_occurs_twice_is_reported_with_its_path() {
    let text = br#"{"a":1,"spec":{"list":[{"n":1},{"n":1,"n":2,"n":3}],"x":1,"x":2},"a":3}"#;
    let decoded = decode(text).unwrap();
    assert_eq!(decoded.duplicates, ["spec.list[1].n", "spec.x", "a"]);
    assert_eq!(decoded.value, value!({"a": 3, "spec": {"list": [{"n": 1}, {"n": 3}], "x": 2}}));
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let text = "[".repeat(100_000);
    assert!(decode(text.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
}

#[test]
fn text_after_the_document_is_an_error() {
    assert!(decode(b"{} {}").is_err());
    assert!(decode(b"").is_err());
}

#[test]
fn whole_numbers_stay_whole_and_large_ones_become_fractions() {
    let value = decode_value(b"[9223372036854775807,-1,18446744073709551615,1e3]").unwrap();
    let items = value.as_array().unwrap();
    assert_eq!(items[0], Value::Int(i64::MAX));
    assert_eq!(items[1], Value::Int(-1));
    assert_eq!(items[2], Value::Float(18_446_744_073_709_551_615.0));
    assert_eq!(items[3].as_i64(), Some(1000));
}

#[test]
fn setting_a_path_makes_what_leads_there() {
    let mut value = value!({"metadata": 3});
    value.set(&["metadata", "labels", "app"], "web");
    assert_eq!(value, value!({"metadata": {"labels": {"app": "web"}}}));
    assert_eq!(value.remove(&["metadata", "labels", "app"]), Some(Value::from("web")));
    assert_eq!(value.remove(&["metadata", "labels", "app"]), None);
}

#[test]
fn typed_view_reads_options_lists_and_maps() {
    #[derive(serde::Deserialize, serde::Serialize, PartialEq, Debug)]
    struct Typed {
        name: String,
        replicas: Option<i32>,
        #[serde(default)]
        labels: BTreeMap<String, String>,
        ports: Vec<u16>,
    }
    let value = value!({"name": "x", "replicas": null, "labels": {"a": "b"}, "ports": [80, 443]});
    let typed: Typed = from_value(&value).unwrap();
    assert_eq!((typed.replicas, typed.ports.len(), typed.labels["a"].as_str()), (None, 2, "b"));
    assert_eq!(to_value(&typed).unwrap(), value);
    assert!(from_value::<Typed>(&value!({"name": 5})).is_err());
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1.0e9..1.0e9f64).prop_map(|number| Value::Float(number + 0.123)),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            proptest::collection::btree_map(".{0,6}", inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_survives_its_text(value in any_value()) {
        let decoded = decode(&value.to_json()).unwrap();
        prop_assert!(decoded.duplicates.is_empty());
        prop_assert_eq!(decoded.value, value);
    }

    #[test]
    fn value_reads_what_serde_json_wrote(value in any_value()) {
        let peer: serde_json::Value = serde_json::from_slice(&value.to_json()).unwrap();
        prop_assert_eq!(decode_value(peer.to_string().as_bytes()).unwrap(), value);
    }

    #[test]
    fn bytes_that_are_no_json_are_refused_calmly(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(&bytes);
    }
}
