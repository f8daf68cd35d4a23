//! Whatever comes in, a `Status` goes out, and the server serves on.

use super::fixture::{Answer, Fixture, start};
use holm_api::value;
use tokio::io::AsyncWriteExt;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn is_status(answer: &Answer, code: u16) {
    assert_eq!(answer.code, code, "{}", String::from_utf8_lossy(&answer.body));
    let value = answer.value();
    assert_eq!(value.str_at(&["kind"]), "Status");
    assert_eq!(value.int_at(&["code"]), Some(i64::from(code)));
    assert!(!value.str_at(&["message"]).is_empty());
}

async fn serves(fixture: &Fixture) {
    assert_eq!(fixture.get("/readyz").await.code, 200);
}

#[tokio::test]
async fn bodies_that_make_no_sense_are_refused() {
    let fixture = start().await;
    let json = "content-type: application/json\r\n";
    let deep = "[".repeat(100_000);
    let deep_object = format!("{}1{}", r#"{"data":"#.repeat(5000), "}".repeat(5000));
    for body in [
        "",
        "{",
        "null",
        "[]",
        "1",
        "\"x\"",
        r#"{"kind":"ConfigMap","metadata":5}"#,
        r#"{"metadata":{"name":"a"},"data":{"k":5}}"#,
        r#"{"metadata":{"name":["a"]}}"#,
        r#"{"metadata":{"name":"a","labels":"x"}}"#,
        r#"{"apiVersion":"v9","kind":"ConfigMap","metadata":{"name":"a"}}"#,
        r#"{"kind":"Pod","metadata":{"name":"a"}}"#,
        "\u{0}",
        &deep,
        &deep_object,
    ] {
        is_status(&fixture.send("POST", MAPS, json, body.as_bytes()).await, 400);
    }
    is_status(&fixture.send("POST", MAPS, json, b"{\"a\":\"\xff\xfe\"}").await, 400);
    let yaml = "content-type: application/yaml\r\n";
    for body in ["a: [", "&a [*a]", "- - - -", "\t", "a: b: c"] {
        is_status(&fixture.send("POST", MAPS, yaml, body.as_bytes()).await, 400);
    }
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    is_status(&fixture.send("POST", MAPS, yaml, bomb.as_bytes()).await, 400);
    let protobuf = "content-type: application/vnd.kubernetes.protobuf\r\n";
    for body in [&b""[..], b"k8s", b"k8s\0\x0a\xff\xff\xff\xff\x0f", b"k8s\0\x12\x80"] {
        is_status(&fixture.send("POST", MAPS, protobuf, body).await, 400);
    }
    // Protobuf of nothing is an object without a name.
    is_status(&fixture.send("POST", MAPS, protobuf, b"k8s\0").await, 422);
    serves(&fixture).await;
}

#[tokio::test]
async fn bodies_without_end_are_refused_before_they_are_read() {
    let fixture = start().await;
    let head = "content-type: application/json\r\n";
    let body = vec![b'x'; (3 << 20) + 1];
    is_status(&fixture.send("POST", MAPS, head, &body).await, 413);
    // Said to be huge, and never sent.
    let said = format!("POST {MAPS} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n");
    is_status(&fixture.raw(said.as_bytes()).await, 413);
    // In parts, without a length.
    let mut stream = fixture.connect().await;
    let head = format!("POST {MAPS} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let part = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    for _ in 0..5 {
        if stream.write_all(part.as_bytes()).await.is_err() {
            break;
        }
    }
    serves(&fixture).await;
}

#[tokio::test]
async fn types_that_are_not_spoken_are_refused() {
    let fixture = start().await;
    let body = value!({"metadata": {"name": "a"}}).to_json();
    for kind in ["text/plain", "application/cbor", "application/xml", "x"] {
        let head = format!("content-type: {kind}\r\n");
        is_status(&fixture.send("POST", MAPS, &head, &body).await, 415);
    }
    fixture.create(MAPS, &value!({"metadata": {"name": "a"}})).await;
    let path = format!("{MAPS}/a");
    is_status(&fixture.patch(&path, "json", &value!({})).await, 415);
    for accept in ["text/html", "application/cbor", "application/json;as=Odd;g=x"] {
        let head = format!("accept: {accept}\r\n");
        is_status(&fixture.send("GET", &path, &head, b"").await, 406);
    }
    serves(&fixture).await;
}

#[tokio::test]
async fn paths_that_lead_nowhere_are_refused() {
    let fixture = start().await;
    for (path, code) in [
        ("/api/v1/namespaces/../../etc/passwd", 400),
        ("/api/v1/namespaces/%2e%2e/pods", 400),
        ("/api/v1/namespaces/a%2fb/pods", 400),
        ("/api/v1//pods", 400),
        ("/api/v1/namespaces/a/pods/x%00y", 400),
        ("/api/v1/nothing", 404),
        ("/apis/nothing/v1/pods", 404),
        ("/api/v1/namespaces/default/nodes", 404),
        ("/api/v1/namespaces/default/configmaps/a/nothing", 404),
        ("/api/v1/namespaces/default/configmaps/a/b/c/d", 404),
        ("/nowhere", 404),
        ("/openapi/v3/apis/nothing/v1", 404),
        ("/healthz/nothing", 404),
    ] {
        is_status(&fixture.get(path).await, code);
    }
    for (method, path, code) in [
        ("POST", "/healthz", 405),
        ("TRACE", MAPS, 405),
        ("DELETE", "/api/v1/componentstatuses", 405),
        ("PUT", MAPS, 404),
    ] {
        let answer = fixture.send(method, path, "", b"").await;
        assert!(answer.code == code || answer.code == 405, "{method} {path}: {}", answer.code);
        assert_eq!(answer.value().str_at(&["kind"]), "Status");
    }
}

#[tokio::test]
async fn queries_that_make_no_sense_are_refused() {
    let fixture = start().await;
    for query in [
        "labelSelector=%3D%3D",
        "labelSelector=a+in+(",
        "fieldSelector=x",
        "fieldSelector=spec.nothing=1",
        "limit=many",
        "limit=-1",
        "continue=nonsense",
        "resourceVersion=x",
        "watch=1&timeoutSeconds=soon",
    ] {
        is_status(&fixture.get(&format!("{MAPS}?{query}")).await, 400);
    }
    is_status(&fixture.get(&format!("{MAPS}?resourceVersionMatch=Exact")).await, 422);
    is_status(&fixture.get(&format!("{MAPS}?sendInitialEvents=true")).await, 422);
    is_status(&fixture.get(&format!("{MAPS}?resourceVersion=999999999")).await, 504);
}

#[tokio::test]
async fn requests_that_are_no_http_end_their_connection_only() {
    let fixture = start().await;
    for bytes in [
        &b"\0\0\0\0"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
    ] {
        let mut stream = fixture.connect().await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
    }
    let huge = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    assert!(matches!(fixture.raw(huge.as_bytes()).await.code, 431 | 400));
    serves(&fixture).await;
}

#[tokio::test]
async fn patches_that_do_not_fit_are_refused() {
    let fixture = start().await;
    fixture.create(MAPS, &value!({"metadata": {"name": "a"}, "data": {"k": "v"}})).await;
    let path = format!("{MAPS}/a");
    let json = "json-patch+json";
    is_status(&fixture.patch(&path, json, &value!({"op": "add"})).await, 400);
    let missing = value!([{"op": "remove", "path": "/data/missing"}]);
    is_status(&fixture.patch(&path, json, &missing).await, 422);
    let kind = value!({"kind": "Pod"});
    is_status(&fixture.patch(&path, "merge-patch+json", &kind).await, 400);
    let name = value!({"metadata": {"name": "b"}});
    is_status(&fixture.patch(&path, "merge-patch+json", &name).await, 400);
    let wrong = value!({"data": {"k": 5_i64}});
    is_status(&fixture.patch(&path, "merge-patch+json", &wrong).await, 400);
    let apply = fixture.patch(&path, "apply-patch+yaml", &value!({"data": {}})).await;
    is_status(&apply, 422);
    assert!(apply.value().str_at(&["message"]).contains("fieldManager"));
}
