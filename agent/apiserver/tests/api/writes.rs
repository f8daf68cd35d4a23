//! Creations, changes and deletions, as Kubernetes documents them.

use super::fixture::start;
use holm_api::value;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

#[tokio::test]
async fn names_are_generated_and_differ() {
    let fixture = start().await;
    let object = value!({"metadata": {"generateName": "gen-"}});
    let name = |it: &holm_api::Value| it.str_at(&["metadata", "name"]).to_owned();
    let (a, b) = (fixture.create(MAPS, &object).await, fixture.create(MAPS, &object).await);
    assert!(name(&a).starts_with("gen-") && name(&a).len() == 9);
    assert_ne!(name(&a), name(&b));
    assert_ne!(a.str_at(&["metadata", "uid"]), b.str_at(&["metadata", "uid"]));
}

#[tokio::test]
async fn an_update_of_an_old_state_is_a_conflict() {
    let fixture = start().await;
    let first =
        fixture.create(MAPS, &value!({"metadata": {"name": "a"}, "data": {"k": "1"}})).await;
    let path = format!("{MAPS}/a");
    let mut second = first.clone();
    second.set(&["data", "k"], "2");
    let answer = fixture.call("PUT", &path, &second).await.value();
    let version = answer.str_at(&["metadata", "resourceVersion"]).to_owned();
    assert_ne!(version, first.str_at(&["metadata", "resourceVersion"]));
    let late = fixture.call("PUT", &path, &second).await;
    assert_eq!((late.code, late.value().str_at(&["reason"])), (409, "Conflict"));
    let mut same = answer.clone();
    same.remove(&["metadata", "managedFields"]);
    let unchanged = fixture.call("PUT", &path, &same).await.value();
    assert_eq!(unchanged.str_at(&["metadata", "resourceVersion"]), version, "nothing is written");
}

#[tokio::test]
async fn a_dry_run_keeps_nothing() {
    let fixture = start().await;
    let object = value!({"metadata": {"name": "a"}});
    let dry = fixture.call("POST", &format!("{MAPS}?dryRun=All"), &object).await;
    assert_eq!(dry.code, 201);
    assert!(!dry.value().str_at(&["metadata", "uid"]).is_empty());
    assert_eq!(fixture.get(&format!("{MAPS}/a")).await.code, 404);
    fixture.create(MAPS, &object).await;
    let taken = fixture.call("POST", &format!("{MAPS}?dryRun=All"), &object).await;
    assert_eq!(taken.code, 409);
    let deleted = fixture.send("DELETE", &format!("{MAPS}/a?dryRun=All"), "", b"").await;
    assert_eq!(deleted.code, 200);
    assert_eq!(fixture.get(&format!("{MAPS}/a")).await.code, 200);
}

#[tokio::test]
async fn finalizers_keep_an_object_until_the_last_is_gone() {
    let fixture = start().await;
    let object = value!({"metadata": {"name": "a", "finalizers": ["acme.com/x"]}});
    fixture.create(MAPS, &object).await;
    let path = format!("{MAPS}/a");
    let marked = fixture.send("DELETE", &path, "", b"").await.value();
    assert!(!marked.str_at(&["metadata", "deletionTimestamp"]).is_empty());
    assert_eq!(fixture.get(&path).await.code, 200);
    let none = value!({"metadata": {"finalizers": null}});
    assert_eq!(fixture.patch(&path, "merge-patch+json", &none).await.code, 200);
    assert_eq!(fixture.get(&path).await.code, 404);
}

#[tokio::test]
async fn preconditions_of_a_deletion_must_hold() {
    let fixture = start().await;
    let object = fixture.create(MAPS, &value!({"metadata": {"name": "a"}})).await;
    let path = format!("{MAPS}/a");
    let other = value!({"preconditions": {"uid": "other"}});
    let answer = fixture.call("DELETE", &path, &other).await;
    assert_eq!(answer.code, 409);
    assert!(answer.value().str_at(&["message"]).contains("UID in precondition: other"));
    let uid = object.str_at(&["metadata", "uid"]);
    let right = value!({"preconditions": {"uid": uid}});
    let answer = fixture.call("DELETE", &path, &right).await.value();
    assert_eq!(answer.str_at(&["status"]), "Success");
    assert_eq!(answer.str_at(&["details", "uid"]), uid);
}

#[tokio::test]
async fn a_collection_is_deleted_as_far_as_selected() {
    let fixture = start().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let object = value!({"metadata": {"name": name, "labels": {"l": label}}});
        fixture.create(MAPS, &object).await;
    }
    let deleted = fixture.send("DELETE", &format!("{MAPS}?labelSelector=l%3Dx"), "", b"").await;
    assert_eq!(deleted.value().items_at(&["items"]).len(), 2);
    let left = fixture.get(MAPS).await.value();
    assert_eq!(left.items_at(&["items"])[0].str_at(&["metadata", "name"]), "b");
}

fn deployment() -> holm_api::Value {
    value!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 1_i64,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "a", "image": "b"}]},
            },
        },
    })
}

#[tokio::test]
async fn status_and_scale_are_parts_of_their_own() {
    let fixture = start().await;
    fixture.create(DEPLOYMENTS, &deployment()).await;
    let path = format!("{DEPLOYMENTS}/web");
    let status = value!({"status": {"replicas": 4_i64}, "spec": {"replicas": 9_i64}});
    let merge = "merge-patch+json";
    let answer = fixture.patch(&format!("{path}/status"), merge, &status).await.value();
    assert_eq!(answer.int_at(&["status", "replicas"]), Some(4));
    assert_eq!(answer.int_at(&["spec", "replicas"]), Some(1));
    let both = fixture.patch(&path, merge, &status).await.value();
    assert_eq!(both.int_at(&["spec", "replicas"]), Some(9));
    assert_eq!(both.int_at(&["metadata", "generation"]), Some(2));
    let scale = fixture.get(&format!("{path}/scale")).await.value();
    assert_eq!(scale.str_at(&["kind"]), "Scale");
    assert_eq!(scale.int_at(&["spec", "replicas"]), Some(9));
    assert_eq!(scale.str_at(&["status", "selector"]), "app=web");
    let less = value!({"spec": {"replicas": {-1_i64}}});
    assert_eq!(fixture.patch(&format!("{path}/scale"), merge, &less).await.code, 422);
    let mut scale = scale;
    scale.set(&["spec", "replicas"], 2_i64);
    let scaled = fixture.call("PUT", &format!("{path}/scale"), &scale).await.value();
    assert_eq!(scaled.int_at(&["spec", "replicas"]), Some(2));
    let late = fixture.call("PUT", &format!("{path}/scale"), &scale).await;
    assert_eq!(late.code, 409, "the version that it was read at is over");
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_of_or_dropped() {
    let fixture = start().await;
    let with = |name: &str| value!({"metadata": {"name": name}, "oops": 1_i64});
    let post = |mode: &str| format!("{MAPS}?fieldValidation={mode}");
    let strict = fixture.call("POST", &post("Strict"), &with("a")).await;
    assert_eq!(strict.code, 400);
    assert!(strict.value().str_at(&["message"]).contains("unknown field"));
    let warned = fixture.call("POST", &post("Warn"), &with("b")).await;
    assert_eq!(warned.code, 201);
    assert!(warned.header("warning").unwrap().contains("unknown field"));
    assert!(warned.value().get("oops").is_none());
    let ignored = fixture.call("POST", &post("Ignore"), &with("c")).await;
    assert!(ignored.code == 201 && ignored.header("warning").is_none());
    let twice = br#"{"metadata":{"name":"d"},"data":{"k":"1","k":"2"}}"#;
    let head = "content-type: application/json\r\n";
    let strict = fixture.send("POST", &post("Strict"), head, twice).await;
    assert_eq!(strict.code, 400);
    assert!(strict.value().str_at(&["message"]).contains("duplicate field"));
}

#[tokio::test]
async fn writers_own_what_they_apply() {
    let fixture = start().await;
    let path = |manager: &str| format!("{MAPS}/a?fieldManager={manager}");
    let apply = "apply-patch+yaml";
    let config = |value: &str| value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": value}});
    let first = fixture.patch(&path("one"), apply, &config("1")).await;
    assert_eq!(first.code, 201);
    assert_eq!(fixture.patch(&path("one"), apply, &config("2")).await.code, 200);
    let conflict = fixture.patch(&path("two"), apply, &config("3")).await;
    assert_eq!(conflict.code, 409);
    let status = conflict.value();
    let cause = &status["details"].items_at(&["causes"])[0];
    assert_eq!(cause.str_at(&["reason"]), "FieldManagerConflict");
    assert_eq!(cause.str_at(&["field"]), ".data.k");
    let forced = format!("{}&force=true", path("two"));
    let taken = fixture.patch(&forced, apply, &config("3")).await.value();
    assert_eq!(taken.str_at(&["data", "k"]), "3");
    let nothing = value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let left = fixture.patch(&path("two"), apply, &nothing).await.value();
    assert!(left.at(&["data", "k"]).is_none(), "what its only owner leaves out goes");
}

#[tokio::test]
async fn a_namespace_that_is_going_takes_nothing_new() {
    let fixture = start().await;
    let spaces = "/api/v1/namespaces";
    let object = value!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}});
    fixture.create(spaces, &object).await;
    let marked = fixture.send("DELETE", "/api/v1/namespaces/a", "", b"").await.value();
    assert_eq!(marked.str_at(&["status", "phase"]), "Terminating");
    let maps = "/api/v1/namespaces/a/configmaps";
    let refused = fixture.call("POST", maps, &value!({"metadata": {"name": "x"}})).await;
    assert_eq!(refused.code, 403);
    assert!(refused.value().str_at(&["message"]).contains("being terminated"));
}

#[tokio::test]
async fn a_definition_adds_a_resource_and_takes_it_away_again() {
    let fixture = start().await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition = value!({
        "metadata": {"name": "widgets.acme.com"},
        "spec": {
            "group": "acme.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "properties": {"size": {"type": "integer", "default": 3_i64}},
                }}}},
                "subresources": {"status": {}},
            }],
        },
    });
    fixture.create(definitions, &definition).await;
    let widgets = "/apis/acme.com/v1/namespaces/default/widgets";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while fixture.get(widgets).await.code != 200 {
        assert!(std::time::Instant::now() < deadline);
    }
    let widget = value!({
        "apiVersion": "acme.com/v1", "kind": "Widget",
        "metadata": {"name": "a"}, "spec": {"odd": true}, "status": {"x": 1_i64},
    });
    let made = fixture.create(widgets, &widget).await;
    assert_eq!(made["spec"], value!({"size": 3_i64}), "defaulted and pruned");
    let groups = fixture.get("/apis/acme.com/v1").await.value();
    assert_eq!(groups.items_at(&["resources"])[0].str_at(&["kind"]), "Widget");
    let shapes = fixture.get("/openapi/v3/apis/acme.com/v1").await.value();
    assert!(shapes["components"]["schemas"].get("com.acme.v1.Widget").is_some());
    let wrong = value!({"apiVersion": "acme.com/v1", "kind": "Widget", "metadata": {"name": "b"}, "spec": {"size": "x"}});
    assert!(matches!(fixture.call("POST", widgets, &wrong).await.code, 400 | 422));
    fixture.send("DELETE", &format!("{definitions}/widgets.acme.com"), "", b"").await;
    while fixture.get(widgets).await.code != 404 {
        assert!(std::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn objects_get_the_defaults_and_checks_of_their_kind() {
    let fixture = start().await;
    let made = fixture.create(DEPLOYMENTS, &deployment()).await;
    assert_eq!(made.str_at(&["spec", "strategy", "type"]), "RollingUpdate");
    assert_eq!(made.int_at(&["spec", "revisionHistoryLimit"]), Some(10));
    let mut bad = deployment();
    bad.set(&["metadata", "name"], "bad");
    bad.set(&["spec", "selector", "matchLabels", "app"], "other");
    let refused = fixture.call("POST", DEPLOYMENTS, &bad).await;
    assert_eq!(refused.code, 422);
    let message = refused.value().str_at(&["message"]).to_owned();
    assert!(message.contains("`selector` does not match template `labels`"), "{message}");
    // An event of one group is seen in the other, in its own words.
    let event = value!({
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "R", "message": "it happened", "type": "Normal",
    });
    fixture.create("/api/v1/namespaces/default/events", &event).await;
    let seen = fixture.get("/apis/events.k8s.io/v1/namespaces/default/events/e").await.value();
    assert_eq!(seen.str_at(&["note"]), "it happened");
    assert_eq!(seen.str_at(&["apiVersion"]), "events.k8s.io/v1");
}
