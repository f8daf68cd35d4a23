use super::*;
use crate::decode::{Fill, normalize};
use crate::sample::{self, Random};
use crate::value;
use proptest::prelude::*;

#[test]
fn every_kind_survives_protobuf() {
    for gvk in sample::kinds() {
        let schema = Schema::built_in(&gvk).unwrap();
        for seed in 1..20 {
            let object = sample::object(schema.node(), &gvk, &mut Random::new(seed));
            let body = encode(&object).unwrap_or_else(|error| panic!("{gvk}: {error}: {object}"));
            let mut back = decode(&body, &gvk).unwrap_or_else(|error| panic!("{gvk}: {error}"));
            normalize(schema.node(), &mut back, Fill::Whole).unwrap();
            assert_eq!(back, object, "{gvk}, seed {seed}");
        }
    }
}

#[test]
fn bytes_are_those_that_go_writes() {
    // From the field numbers of the published messages: metadata 1 (name 1, namespace 3), data 2.
    let object = value!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "b"},
        "data": {"k": "v"},
    });
    let mut expected = b"k8s\0".to_vec();
    expected.extend(b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap");
    expected
        .extend(b"\x12\x10\x12\x06\x0a\x01k\x12\x01v\x0a\x06\x0a\x01a\x1a\x01b\x1a\x00\x22\x00");
    assert_eq!(encode(&object).unwrap(), expected);
}

#[test]
fn structs_in_line_are_messages_of_their_own() {
    let volume = crate::schema::TypeId::of_name("io.k8s.api.core.v1.Volume").unwrap();
    let object = value!({"name": "v", "emptyDir": {}});
    let bytes = encode_object(Node::of_type(volume), &object).unwrap();
    assert_eq!(bytes, b"\x0a\x01v\x12\x02\x12\x00");
    let back = decode::message(Node::of_type(volume), &bytes, 9).unwrap();
    assert_eq!(back, object);
}

#[test]
fn zero_values_that_go_writes_anyway_are_no_members() {
    // metadata { name: "a", generateName: "", creationTimestamp: {} }, and immutable: false, which
    // is a pointer.
    let raw = b"\x0a\x07\x0a\x01a\x12\x00\x42\x00\x20\x00";
    let schema = Schema::built_in(&Gvk::of("v1", "ConfigMap")).unwrap();
    let back = decode_object(schema.node(), &Gvk::of("v1", "ConfigMap"), raw).unwrap();
    assert_eq!(back["metadata"], value!({"name": "a"}));
    assert_eq!(back["immutable"], Value::Bool(false));
}

#[test]
fn damaged_bodies_are_refused() {
    let gvk = Gvk::of("v1", "Pod");
    assert_eq!(decode(b"{}", &gvk), Err(ProtobufError::NoMagic));
    assert_eq!(decode(b"k8s\0\x12\x05ab", &gvk), Err(ProtobufError::Truncated));
    assert_eq!(
        decode(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", &gvk),
        Err(ProtobufError::Truncated)
    );
    let odd = envelope(&Gvk::of("v1", "Odd"), b"");
    assert_eq!(decode(&odd, &gvk), Err(ProtobufError::UnknownKind("Odd".into())));
    let wrong = envelope(&gvk, b"\x08\x01");
    assert!(matches!(decode(&wrong, &gvk), Err(ProtobufError::WireType { .. })));
}

#[test]
fn endless_nesting_is_refused() {
    let crd = Gvk::of("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let schema = crate::schema::TypeId::of_name(
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
    )
    .unwrap();
    // `not` holds another schema.
    let number = schema.field("not").unwrap().numbers()[2];
    let mut raw = Vec::new();
    for _ in 0..5000 {
        let mut out = Writer::default();
        out.bytes(number, &raw);
        raw = out.into_bytes();
    }
    let result = decode::message(Node::of_type(schema), &raw, DEEPEST);
    assert_eq!(result, Err(ProtobufError::TooDeep));
    assert!(Schema::built_in(&crd).is_some());
}

#[test]
fn list_is_made_of_its_items_messages() {
    let gvk = Gvk::of("v1", "ConfigMap");
    let schema = Schema::built_in(&gvk).unwrap();
    let one = encode_object(schema.node(), &value!({"metadata": {"name": "a"}})).unwrap();
    let raw = list_message(&value!({"resourceVersion": "7"}), [&one[..], &one[..]]).unwrap();
    let list = decode(&envelope(&Gvk::of("v1", "ConfigMapList"), &raw), &gvk).unwrap();
    assert_eq!(list.items_at(&["items"]).len(), 2);
    assert_eq!(list.str_at(&["metadata", "resourceVersion"]), "7");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_calmly(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let gvk = Gvk::of("v1", "Pod");
        let mut body = MAGIC.to_vec();
        body.extend(&bytes);
        let _ = decode(&body, &gvk);
        let _ = decode(&envelope(&gvk, &bytes), &gvk);
    }
}
