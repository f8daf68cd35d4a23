//! Lists and watches, as Kubernetes documents them.

use super::fixture::start;
use holm_api::value;
use holm_store::Store;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_list_goes_on_where_its_token_says() {
    let fixture = start().await;
    for n in 0..7 {
        fixture.create(MAPS, &value!({"metadata": {"name": {format!("c{n}")}}})).await;
    }
    let first = fixture.get(&format!("{MAPS}?limit=3")).await.value();
    assert_eq!(first.items_at(&["items"]).len(), 3);
    assert_eq!(first.int_at(&["metadata", "remainingItemCount"]), Some(4));
    let token = first.str_at(&["metadata", "continue"]).to_owned();
    fixture.create(MAPS, &value!({"metadata": {"name": "c35"}})).await;
    let rest = fixture.get(&format!("{MAPS}?limit=10&continue={token}")).await.value();
    let names: Vec<_> =
        rest.items_at(&["items"]).iter().map(|it| it.str_at(&["metadata", "name"])).collect();
    assert_eq!(names, ["c3", "c4", "c5", "c6"], "what came later is not in it");
    assert_eq!(
        rest.str_at(&["metadata", "resourceVersion"]),
        first.str_at(&["metadata", "resourceVersion"])
    );
}

#[tokio::test]
async fn a_token_whose_revision_is_gone_goes_on_at_the_newest_one() {
    let fixture = start().await;
    for name in ["a", "b", "c"] {
        fixture.create(MAPS, &value!({"metadata": {"name": name}})).await;
    }
    let first = fixture.get(&format!("{MAPS}?limit=1")).await.value();
    let token = first.str_at(&["metadata", "continue"]).to_owned();
    fixture.create(MAPS, &value!({"metadata": {"name": "d"}})).await;
    fixture.store.compact(fixture.store.revision()).await.unwrap();
    let gone = fixture.get(&format!("{MAPS}?limit=10&continue={token}")).await;
    assert_eq!(gone.code, 410);
    assert_eq!(gone.value().str_at(&["reason"]), "Expired");
    let token = gone.value().str_at(&["metadata", "continue"]).to_owned();
    let rest = fixture.get(&format!("{MAPS}?limit=10&continue={token}")).await.value();
    let names: Vec<_> =
        rest.items_at(&["items"]).iter().map(|it| it.str_at(&["metadata", "name"])).collect();
    assert_eq!(names, ["b", "c", "d"]);
}

#[tokio::test]
async fn a_watch_with_initial_events_tells_when_they_end() {
    let fixture = start().await;
    fixture.create(MAPS, &value!({"metadata": {"name": "a"}})).await;
    let path = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=5"
    );
    let mut watch = fixture.watch(&path).await;
    assert_eq!(watch.next_name().await, ("ADDED".to_owned(), "a".to_owned()));
    let (kind, bookmark) = watch.next().await.unwrap();
    assert_eq!(kind, "BOOKMARK");
    let annotations = &bookmark["metadata"]["annotations"];
    assert_eq!(annotations.str_at(&["k8s.io/initial-events-end"]), "true");
    assert!(!bookmark.str_at(&["metadata", "resourceVersion"]).is_empty());
    fixture.create(MAPS, &value!({"metadata": {"name": "b"}})).await;
    assert_eq!(watch.next_name().await, ("ADDED".to_owned(), "b".to_owned()));
    assert!(watch.next().await.is_none(), "and it ends in its time");
}

#[tokio::test]
async fn a_watch_sees_objects_enter_and_leave_its_selection() {
    let fixture = start().await;
    let revision = fixture.store.revision();
    let path = format!("{MAPS}?watch=1&resourceVersion={revision}&labelSelector=l%3Din");
    let mut watch = fixture.watch(&path).await;
    let with = |label: &str| value!({"metadata": {"name": "a", "labels": {"l": label}}});
    fixture.create(MAPS, &with("out")).await;
    for label in ["in", "in2", "in"] {
        let answer = fixture.call("PUT", &format!("{MAPS}/a"), &with(label)).await;
        assert_eq!(answer.code, 200);
    }
    let mut changed = with("in");
    changed.set(&["data", "k"], "v");
    fixture.call("PUT", &format!("{MAPS}/a"), &changed).await;
    fixture.send("DELETE", &format!("{MAPS}/a"), "", b"").await;
    for expected in ["ADDED", "DELETED", "ADDED", "MODIFIED", "DELETED"] {
        let (kind, object) = watch.next().await.unwrap();
        assert_eq!(kind, expected, "{object}");
        assert_eq!(object.str_at(&["metadata", "labels", "l"]), "in", "the last state in it");
    }
}

#[tokio::test]
async fn a_watch_from_a_lost_revision_is_told_to_begin_anew() {
    let fixture = start().await;
    let revision = fixture.store.revision();
    fixture.create(MAPS, &value!({"metadata": {"name": "a"}})).await;
    fixture.store.compact(fixture.store.revision()).await.unwrap();
    let mut watch = fixture.watch(&format!("{MAPS}?watch=1&resourceVersion={revision}")).await;
    let (kind, status) = watch.next().await.unwrap();
    assert_eq!((kind.as_str(), status.int_at(&["code"])), ("ERROR", Some(410)));
    assert_eq!(status.str_at(&["reason"]), "Expired");
}

#[tokio::test]
async fn answers_come_as_tables_and_as_metadata_alone() {
    let fixture = start().await;
    fixture.create(MAPS, &value!({"metadata": {"name": "a"}, "data": {"k": "v"}})).await;
    let accept = "accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n";
    let table = fixture.send("GET", MAPS, accept, b"").await.value();
    assert_eq!(table.str_at(&["kind"]), "Table");
    assert_eq!(table.items_at(&["rows"])[0].items_at(&["cells"])[0].as_str(), Some("a"));
    let accept = "accept: application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io\r\n";
    let list = fixture.send("GET", MAPS, accept, b"").await.value();
    assert_eq!(list.str_at(&["kind"]), "PartialObjectMetadataList");
    let item = &list.items_at(&["items"])[0];
    assert_eq!(item.str_at(&["metadata", "name"]), "a");
    assert!(item.get("data").is_none());
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_take_it() {
    let fixture = start().await;
    let long = "x".repeat(200_000);
    fixture.create(MAPS, &value!({"metadata": {"name": "a"}, "data": {"k": long}})).await;
    let plain = fixture.get(&format!("{MAPS}/a")).await;
    let packed = fixture.send("GET", &format!("{MAPS}/a"), "accept-encoding: gzip\r\n", b"").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut unpacked)
        .unwrap();
    assert_eq!(unpacked, plain.body);
    assert!(packed.body.len() < 10_000);
}

#[tokio::test]
async fn a_list_of_many_is_sent_in_parts_and_is_whole() {
    let fixture = start().await;
    for n in 0..1203 {
        fixture.create(MAPS, &value!({"metadata": {"name": {format!("c{n:04}")}}})).await;
    }
    for accept in ["", "accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n"] {
        let list = fixture.send("GET", MAPS, accept, b"").await.value();
        let items = if accept.is_empty() { "items" } else { "rows" };
        assert_eq!(list.items_at(&[items]).len(), 1203);
        assert!(!list.str_at(&["metadata", "resourceVersion"]).is_empty());
    }
    let some = fixture.get(&format!("{MAPS}?limit=700")).await.value();
    assert_eq!(some.items_at(&["items"]).len(), 700);
    assert_eq!(some.int_at(&["metadata", "remainingItemCount"]), Some(503));
}

#[tokio::test]
async fn a_list_by_name_has_that_object_alone() {
    let fixture = start().await;
    for name in ["a", "ab", "b"] {
        fixture.create(MAPS, &value!({"metadata": {"name": name}})).await;
    }
    for (selector, expected) in [
        ("metadata.name%3Da", &["a"][..]),
        ("metadata.name%3Dnone", &[]),
        ("metadata.name!%3Da", &["ab", "b"]),
    ] {
        let list = fixture.get(&format!("{MAPS}?fieldSelector={selector}")).await.value();
        let items = list.items_at(&["items"]).iter();
        let names: Vec<_> = items.map(|it| it.str_at(&["metadata", "name"])).collect();
        assert_eq!(names, expected, "{selector}");
    }
}
