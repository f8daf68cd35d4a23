use super::*;
use crate::schema::Schema;
use crate::value;

fn pod() -> Schema {
    Schema::built_in(&Gvk::of("v1", "Pod")).unwrap()
}

fn read_pod(text: &str) -> Result<Read, String> {
    read(pod().node(), text.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn unknown_and_duplicate_fields_are_named_and_dropped() {
    let read = read_pod(
        r#"{"metadata":{"name":"a","name":"b","labels":{"x":"y"}},
            "spec":{"nodeNam":"x","containers":[{"name":"c","imag":"x"}]}}"#,
    )
    .unwrap();
    assert_eq!(
        read.noticed,
        [
            r#"unknown field "spec.containers[0].imag""#,
            r#"unknown field "spec.nodeNam""#,
            r#"duplicate field "metadata.name""#,
        ]
    );
    assert_eq!(read.value.str_at(&["metadata", "name"]), "b");
    assert_eq!(read.value["spec"]["nodeNam"], Value::Null);
    let gvk = Gvk::of("v1", "Pod");
    assert_eq!(
        strict_error(&gvk, &read.noticed[1..2]),
        r#"Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.nodeNam""#
    );
}

#[test]
fn wrong_types_are_refused_as_go_refuses_them() {
    for (text, expected) in [
        (
            r#"{"spec":{"priority":"high"}}"#,
            "json: cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            r#"{"spec":{"nodeName":5}}"#,
            "json: cannot unmarshal number into Go struct field PodSpec.spec.nodeName of type string",
        ),
        (
            r#"{"spec":{"priority":3000000000}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (r#"[]"#, "json: cannot unmarshal array into Go value of type Pod"),
        (
            r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1x"}}}]}}"#,
            "unable to parse quantity's suffix",
        ),
    ] {
        assert_eq!(read_pod(text).unwrap_err(), expected, "{text}");
    }
    assert!(read_pod(r#"{"metadata":{"creationTimestamp":"yesterday"}}"#).is_err());
    assert!(read_pod("{").is_err());
}

#[test]
fn quantities_times_and_null_take_their_one_form() {
    let read = read_pod(
        r#"{"metadata":{"creationTimestamp":"2026-01-02T03:04:05.6+01:00","labels":null},
            "spec":{"containers":[{"name":"c","image":"","stdin":false,"resources":{"limits":
            {"cpu":0.5,"memory":"1024Mi"}}}],"hostNetwork":false,"securityContext":{}}}"#,
    )
    .unwrap();
    assert_eq!(read.noticed, [""; 0]);
    assert_eq!(read.value.str_at(&["metadata", "creationTimestamp"]), "2026-01-02T02:04:05Z");
    let container = value!({
        "name": "c",
        "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
    });
    assert_eq!(read.value["spec"], value!({"containers": [{container}], "securityContext": {}}));
    assert_eq!(read.value["status"], value!({}));
    assert_eq!(read.value["metadata"]["labels"], Value::Null);
}

#[test]
fn numbers_that_clients_insist_on_are_filled_in() {
    let set = Schema::built_in(&Gvk::of("apps/v1", "DaemonSet")).unwrap();
    let read = read(set.node(), b"{}").unwrap();
    assert_eq!(read.value.int_at(&["status", "desiredNumberScheduled"]), Some(0));
    let mut sparse = value!({"metadata": {"name": ""}});
    normalize(set.node(), &mut sparse, Fill::Sparse).unwrap();
    assert_eq!(sparse, value!({"metadata": {"name": ""}}));
}

#[test]
fn bytes_must_be_base64() {
    let secret = Schema::built_in(&Gvk::of("v1", "Secret")).unwrap();
    let secret = |text: &str| read(secret.node(), text.as_bytes()).map_err(|e| e.to_string());
    assert!(secret(r#"{"data":{"a":"aGk=","b":null}}"#).is_ok());
    assert_eq!(
        secret(r#"{"data":{"a":"a$k="}}"#).unwrap_err(),
        "illegal base64 data at input byte 1"
    );
}
