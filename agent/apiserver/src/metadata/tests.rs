use super::*;
use holm_api::resource::Registry;
use holm_api::value;

fn deployments() -> Resource {
    let registry = Registry::built_in();
    Resource::clone(registry.by_path("apps", "v1", "deployments").unwrap())
}

fn outside() -> Outside {
    let mut random = [7; 21];
    random[16..].copy_from_slice(&[0, 1, 2, 26, 27]);
    Outside { now: Timestamp::from_second(1_800_000_000).unwrap(), random }
}

#[test]
fn identities_are_of_version_4() {
    assert_eq!(uid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(uid([0; 16]), "00000000-0000-4000-8000-000000000000");
}

#[test]
fn a_name_is_generated_where_only_its_beginning_is_given() {
    let mut object = value!({"metadata": {"generateName": "web-"}});
    for_create(&deployments(), &mut object, outside()).unwrap();
    assert_eq!(object.str_at(&["metadata", "name"]), "web-bcd9b");
    let long = "a".repeat(80);
    assert_eq!(generated_name(&long, [0; 5]).len(), 63);
    assert_eq!(generated_name(&"é".repeat(40), [0; 5]), format!("{}bbbbb", "é".repeat(29)));
}

#[test]
fn an_object_without_a_name_or_with_a_bad_one_is_refused() {
    let mut object = value!({"metadata": {}});
    let error = for_create(&deployments(), &mut object, outside()).unwrap_err();
    assert_eq!(
        error.message,
        "Deployment.apps \"\" is invalid: metadata.name: Required value: name or generateName is required"
    );
    let mut object = value!({"metadata": {"name": "No_Name"}});
    assert_eq!(for_create(&deployments(), &mut object, outside()).unwrap_err().code, 422);
}

#[test]
fn a_body_must_be_what_its_path_says() {
    let resource = deployments();
    let fit = |mut object: Value| fit_path(&resource, &mut object, "a", "web").map(|()| object);
    let object = fit(value!({"spec": {}})).unwrap();
    assert_eq!(object.str_at(&["apiVersion"]), "apps/v1");
    assert_eq!(object.str_at(&["metadata", "namespace"]), "a");
    for wrong in [
        value!({"apiVersion": "v1"}),
        value!({"apiVersion": "apps/v1", "kind": "Pod"}),
        value!({"metadata": {"namespace": "b"}}),
        value!({"metadata": {"name": "other"}}),
    ] {
        assert_eq!(fit(wrong).unwrap_err().code, 400);
    }
}

fn existing() -> Value {
    value!({
        "metadata": {"name": "web", "uid": "u", "generation": 3_i64, "resourceVersion": "9"},
        "spec": {"replicas": 1_i64},
        "status": {"replicas": 1_i64},
    })
}

#[test]
fn an_update_changes_what_is_wanted_and_not_the_status() {
    let mut new = existing();
    new.set(&["spec", "replicas"], 2_i64);
    new.set(&["status", "replicas"], 2_i64);
    new.set(&["metadata", "generation"], 77_i64);
    for_update(&deployments(), &existing(), &mut new, "").unwrap();
    assert_eq!(new.int_at(&["spec", "replicas"]), Some(2));
    assert_eq!(new.int_at(&["status", "replicas"]), Some(1));
    assert_eq!(new.int_at(&["metadata", "generation"]), Some(4));
    let mut same = existing();
    same.set(&["metadata", "labels", "a"], "b");
    for_update(&deployments(), &existing(), &mut same, "").unwrap();
    assert_eq!(same.int_at(&["metadata", "generation"]), Some(3), "labels want nothing");
}

#[test]
fn an_update_of_the_status_changes_nothing_else() {
    let mut new = existing();
    new.set(&["spec", "replicas"], 2_i64);
    new.set(&["status", "replicas"], 2_i64);
    for_update(&deployments(), &existing(), &mut new, "status").unwrap();
    assert_eq!(new.int_at(&["spec", "replicas"]), Some(1));
    assert_eq!(new.int_at(&["status", "replicas"]), Some(2));
    assert_eq!(new.int_at(&["metadata", "generation"]), Some(3));
}

#[test]
fn an_update_of_another_object_or_state_is_a_conflict() {
    let mut new = existing();
    new.set(&["metadata", "resourceVersion"], "8");
    let error = for_update(&deployments(), &existing(), &mut new, "").unwrap_err();
    assert!(error.is_conflict() && error.message.contains("has been modified"));
    let mut new = existing();
    new.set(&["metadata", "uid"], "other");
    assert!(for_update(&deployments(), &existing(), &mut new, "").unwrap_err().is_conflict());
}

#[test]
fn a_deleted_object_waits_for_its_finalizers() {
    let mut object = value!({"metadata": {"name": "a", "finalizers": ["x"]}});
    assert!(!is_over(&object));
    mark_deleted(&mut object, outside().now, 0);
    assert!(!is_over(&object));
    object.remove(&["metadata", "finalizers"]);
    assert!(is_over(&object));
    mark_deleted(&mut object, outside().now, 30);
    assert!(!is_over(&object), "and for its time");
}
