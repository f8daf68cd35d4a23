use super::table::{Container, Element};
use super::*;

fn of(name: &str) -> TypeId {
    TypeId::of_name(name).unwrap()
}

#[test]
fn table_knows_kinds_fields_and_how_they_are_shared() {
    let pod = Schema::built_in(&Gvk::of("v1", "Pod")).unwrap();
    let ports = pod.node().field("spec").unwrap().field("containers").unwrap();
    assert_eq!((ports.shape(), ports.list_kind()), (Shape::List, ListKind::Map));
    assert_eq!(ports.list_keys().collect::<Vec<_>>(), ["name"]);
    let ports = ports.inner().field("ports").unwrap();
    assert_eq!(ports.list_keys().collect::<Vec<_>>(), ["containerPort", "protocol"]);
    assert_eq!(ports.merge_key(), Some("containerPort"));
    let protocol = ports.inner().field("protocol").unwrap().table_field().unwrap();
    assert_eq!(protocol.default_json(), Some("\"TCP\""));
    assert!(pod.node().field("specs").is_none());
}

#[test]
fn every_name_of_the_table_can_be_read() {
    let mut fields = 0;
    for id in all_types() {
        assert_eq!(TypeId::of_name(id.name()), Some(id));
        for field in id.fields() {
            fields += 1;
            assert_eq!(id.field(field.name()), Some(field), "{}.{}", id.name(), field.name());
            assert_eq!(known_name(field.name()), Some(field.name()));
            if let Element::Type(inner) = field.element() {
                assert!(!inner.name().is_empty());
            }
            if let Some(json) = field.default_json() {
                crate::value::decode(json.as_bytes()).unwrap();
            }
        }
    }
    assert!(fields > 2500, "{fields}");
}

#[test]
fn fields_of_structs_in_line_carry_the_way_to_them() {
    let volume = of("io.k8s.api.core.v1.Volume");
    assert_eq!(volume.field("name").unwrap().numbers(), [0, 0, 1]);
    assert_eq!(volume.field("hostPath").unwrap().numbers(), [0, 2, 1]);
    let rule = of("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations");
    assert_eq!(rule.field("apiGroups").unwrap().numbers(), [2, 2, 1]);
    let data = of("io.k8s.api.core.v1.Secret").field("data").unwrap();
    assert_eq!(data.container(), Container::Map);
    assert_eq!(Node::of_field(data).inner().shape(), Shape::Bytes);
}

#[test]
fn every_resource_has_a_list_type_in_the_table() {
    for resource in crate::resource::Registry::built_in().iter() {
        let list = Gvk { kind: resource.list_kind.clone(), ..resource.gvk() };
        if resource.verbs.has(crate::resource::Verb::List) {
            assert!(Schema::built_in(&list).is_some(), "{list}");
        }
    }
}
