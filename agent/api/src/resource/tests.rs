use super::*;

#[test]
fn every_row_of_the_text_is_read() {
    let registry = Registry::built_in();
    assert_eq!(registry.iter().count(), rows::lines().count());
    assert!(registry.iter().count() > 60);
}

#[test]
fn resources_are_found_by_path_and_by_kind() {
    let registry = Registry::built_in();
    let deployments = registry.by_path("apps", "v1", "deployments").unwrap();
    assert_eq!(deployments.kind, "Deployment");
    assert_eq!(deployments.short_names, ["deploy"]);
    assert!(deployments.namespaced && deployments.verbs.has(Verb::DeleteCollection));
    let scale = deployments.subresource("scale").unwrap();
    assert_eq!(scale.kind.as_ref().unwrap().to_string(), "autoscaling/v1, Kind=Scale");
    let pod = registry.by_kind(&Gvk::of("v1", "Pod")).unwrap();
    assert_eq!(pod.gvr().path(Some("x")), "/api/v1/namespaces/x/pods");
    assert_eq!(deployments.gvr().path(None), "/apis/apps/v1/deployments");
    assert!(registry.by_path("apps", "v1", "pods").is_none());
}

#[test]
fn namespaces_cannot_be_deleted_as_a_collection() {
    let registry = Registry::built_in();
    let namespaces = registry.by_path("", "v1", "namespaces").unwrap();
    assert!(!namespaces.verbs.has(Verb::DeleteCollection));
    assert!(!namespaces.namespaced);
}

#[test]
fn events_of_both_groups_are_stored_as_one() {
    let registry = Registry::built_in();
    let one = registry.by_path("events.k8s.io", "v1", "events").unwrap();
    let other = registry.by_path("", "v1", "events").unwrap();
    assert_eq!(one.storage, other.storage);
}
