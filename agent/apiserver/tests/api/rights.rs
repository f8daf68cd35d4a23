//! Tokens, impersonation, and who may do what.

use super::fixture::{Fixture, start};
use holm_api::value;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn as_user(fixture: &Fixture, user: &str, method: &str, path: &str, body: &[u8]) -> u16 {
    let head = format!("impersonate-user: {user}\r\ncontent-type: application/json\r\n");
    fixture.send(method, path, &head, body).await.code
}

#[tokio::test]
async fn what_no_rule_allows_is_forbidden() {
    let fixture = start().await;
    assert_eq!(as_user(&fixture, "ann", "GET", MAPS, b"").await, 403);
    assert_eq!(as_user(&fixture, "ann", "GET", "/apis", b"").await, 200);
    let binding = value!({
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:aggregate-to-view"},
        "subjects": [{"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    fixture.create(bindings, &binding).await;
    // Rules follow the store a moment later.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while as_user(&fixture, "ann", "GET", MAPS, b"").await != 200 {
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(as_user(&fixture, "ann", "POST", MAPS, b"{}").await, 403);
    assert_eq!(as_user(&fixture, "ann", "GET", "/api/v1/configmaps", b"").await, 403);
    // And she cannot give herself more.
    let mut more = binding.clone();
    more.set(&["metadata", "name"], "more");
    more.set(&["roleRef", "name"], "cluster-admin");
    assert_eq!(as_user(&fixture, "ann", "POST", bindings, &more.to_json()).await, 403);
}

#[tokio::test]
async fn tokens_of_accounts_are_good_until_the_account_is_gone() {
    let fixture = start().await;
    fixture.create(ACCOUNTS, &value!({"metadata": {"name": "bot"}})).await;
    let path = format!("{ACCOUNTS}/bot/token");
    let short = fixture.call("POST", &path, &value!({"spec": {"expirationSeconds": 5_i64}})).await;
    assert_eq!(short.code, 422);
    let answer = fixture.create(&path, &value!({"spec": {"audiences": ["acme"]}})).await;
    let token = answer.str_at(&["status", "token"]).to_owned();
    assert_eq!(answer.str_at(&["kind"]), "TokenRequest");
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review =
        |audience: &str| value!({"spec": {"token": {token.as_str()}, "audiences": [audience]}});
    let good = fixture.create(reviews, &review("acme")).await;
    assert!(good.bool_at(&["status", "authenticated"]));
    assert_eq!(good.str_at(&["status", "user", "username"]), "system:serviceaccount:default:bot");
    let other = fixture.create(reviews, &review("other")).await;
    assert!(!other.bool_at(&["status", "authenticated"]));
    fixture.send("DELETE", &format!("{ACCOUNTS}/bot"), "", b"").await;
    let gone = fixture.create(reviews, &review("acme")).await;
    assert!(!gone.bool_at(&["status", "authenticated"]));
}

#[tokio::test]
async fn keys_for_tokens_are_published() {
    let fixture = start().await;
    let found = fixture.get("/.well-known/openid-configuration").await.value();
    assert_eq!(found.str_at(&["issuer"]), "https://kubernetes.default.svc.cluster.local");
    let keys = fixture.get("/openid/v1/jwks").await.value();
    assert_eq!(keys.items_at(&["keys"])[0].str_at(&["crv"]), "P-256");
}

#[tokio::test]
async fn reviews_answer_for_oneself_and_for_others() {
    let fixture = start().await;
    let reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let ask = |user: &str, verb: &str| value!({"spec": {"user": user, "resourceAttributes": {"verb": verb, "resource": "pods"}}});
    let answer = fixture.create(reviews, &ask("ann", "get")).await;
    assert!(!answer.bool_at(&["status", "allowed"]));
    let mut master = ask("root", "delete");
    master.set(&["spec", "groups"], value!(["system:masters"]));
    assert!(fixture.create(reviews, &master).await.bool_at(&["status", "allowed"]));
    let both = value!({"spec": {"user": "x"}});
    assert_eq!(fixture.call("POST", reviews, &both).await.code, 400);
    let me = fixture.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", &value!({})).await;
    assert_eq!(me.str_at(&["status", "userInfo", "username"]), "system:apiserver");
}

#[tokio::test]
async fn pods_past_their_namespaces_level_or_quota_are_refused() {
    let fixture = start().await;
    fixture.create(ACCOUNTS, &value!({"metadata": {"name": "default"}})).await;
    let label =
        value!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    fixture.patch("/api/v1/namespaces/default", "merge-patch+json", &label).await;
    let quota = value!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}});
    fixture.create("/api/v1/namespaces/default/resourcequotas", &quota).await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |name: &str, host: bool| value!({"metadata": {"name": name}, "spec": {"hostNetwork": host, "containers": [{"name": "a", "image": "b"}]}});
    let refused = fixture.call("POST", pods, &pod("bad", true)).await;
    assert_eq!(refused.code, 403);
    let message = refused.value().str_at(&["message"]).to_owned();
    assert!(
        message.contains("violates PodSecurity \"baseline:latest\": host namespaces"),
        "{message}"
    );
    let made = fixture.create(pods, &pod("good", false)).await;
    assert_eq!(made.str_at(&["spec", "serviceAccountName"]), "default");
    assert_eq!(made["spec"].items_at(&["tolerations"]).len(), 2);
    let refused = fixture.call("POST", pods, &pod("more", false)).await;
    let message = refused.value().str_at(&["message"]).to_owned();
    assert!(
        message.contains("exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"),
        "{message}"
    );
}
