//! Who asks: by certificate, or by a bearer token of one of three kinds.

use crate::at_rest;
use crate::auth::service_accounts::{Claims, ISSUER};
use crate::auth::{AUTHENTICATED, User};
use crate::server::Server;
use crate::verbs::Place;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use holm_api::{Status, Value};
use http::{HeaderMap, header};

impl Server {
    /// Who sends a request; nobody in particular where it does not say.
    ///
    /// # Errors
    /// 401 for a token that is not good.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
        shown: Option<User>,
    ) -> Result<User, Status> {
        if let Some(user) = shown {
            return Ok(user);
        }
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(User::anonymous()) };
        let text = value.to_str().map_err(|_| Status::unauthorized())?;
        let Some((scheme, token)) = text.trim().split_once(' ') else {
            return Ok(User::anonymous());
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Ok(User::anonymous());
        }
        let known = self.user_of_token(token.trim(), &[ISSUER]).await;
        known.map(|(user, _)| user).ok_or_else(Status::unauthorized)
    }

    /// Whose token this is, if it is good for one of the audiences, and for which.
    pub(super) async fn user_of_token(
        &self,
        token: &str,
        audiences: &[&str],
    ) -> Option<(User, Vec<String>)> {
        if let Some(user) = self.settings.tokens.get(token) {
            return Some((user.clone(), vec![ISSUER.to_owned()]));
        }
        if let Some((id, secret)) = token.split_once('.').filter(|(id, _)| id.len() == 6) {
            let user = self.bootstrap_user(id, secret).await?;
            return Some((user, vec![ISSUER.to_owned()]));
        }
        let claims = self.signer.verify(token)?;
        let now = self.now().as_second();
        let good: Vec<String> = audiences
            .iter()
            .filter(|it| claims.hold(&[**it], now))
            .map(|it| (*it).to_owned())
            .collect();
        if good.is_empty() {
            return None;
        }
        Some((self.service_account(&claims).await?, good))
    }

    /// The account of a token: it, and what the token is bound to, must still be the same.
    async fn service_account(&self, claims: &Claims) -> Option<User> {
        let (namespace, name) =
            (claims.of_cluster(&["namespace"]), claims.of_cluster(&["serviceaccount", "name"]));
        let uid = claims.of_cluster(&["serviceaccount", "uid"]);
        if self.uid_of("serviceaccounts", namespace, name).await? != uid {
            return None;
        }
        let mut user = User {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.to_owned(),
            ],
            ..User::default()
        };
        let key = "authentication.kubernetes.io/credential-id".to_owned();
        user.extra.insert(key, vec![format!("JTI={}", claims.id())]);
        for (kind, plural) in [("pod", "pods"), ("secret", "secrets"), ("node", "nodes")] {
            let bound = claims.of_cluster(&[kind, "name"]);
            if bound.is_empty() {
                continue;
            }
            let space = if kind == "node" { "" } else { namespace };
            let bound_uid = claims.of_cluster(&[kind, "uid"]);
            // A node is told to whoever asks, and its end does not end the token.
            if kind != "node" && self.uid_of(plural, space, bound).await? != bound_uid {
                return None;
            }
            let extra = |part: &str| format!("authentication.kubernetes.io/{kind}-{part}");
            user.extra.insert(extra("name"), vec![bound.to_owned()]);
            user.extra.insert(extra("uid"), vec![bound_uid.to_owned()]);
        }
        Some(user)
    }

    async fn uid_of(&self, plural: &str, namespace: &str, name: &str) -> Option<String> {
        let registry = self.registry();
        let resource = registry.by_path("", "v1", plural)?;
        let place = Place { resource, namespace, name, subresource: "" };
        let object = self.get(place).await.ok()?.value().ok()?;
        Some(object.str_at(&["metadata", "uid"]).to_owned())
    }

    /// Whose bootstrap token this is: a secret in `kube-system` says so, until it expires.
    async fn bootstrap_user(&self, id: &str, secret: &str) -> Option<User> {
        let registry = self.registry();
        let resource = registry.by_path("", "v1", "secrets")?;
        let name = format!("bootstrap-token-{id}");
        let key = at_rest::key(resource, "kube-system", &name);
        let entry = self.store.get(&key).await.ok()??;
        let object = at_rest::object_of(&entry)?;
        bootstrap_token(&object, id, secret, self.now())
    }
}

/// The user of a bootstrap token's secret, if the token is the one it has.
fn bootstrap_token(object: &Value, id: &str, secret: &str, now: jiff::Timestamp) -> Option<User> {
    if object.str_at(&["type"]) != "bootstrap.kubernetes.io/token" {
        return None;
    }
    let read = |name: &str| {
        let text = object.str_at(&["data", name]);
        String::from_utf8(BASE64.decode(text).ok()?).ok()
    };
    let same = ring::digest::digest(&ring::digest::SHA256, read("token-secret")?.as_bytes());
    let given = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    // Digests are compared, so that time tells nothing of the secret.
    if same.as_ref() != given.as_ref() || read("token-id")? != id {
        return None;
    }
    if read("usage-bootstrap-authentication").as_deref() != Some("true") {
        return None;
    }
    let expires = read("expiration").unwrap_or_default();
    if !expires.is_empty() && holm_api::time::parse(&expires).is_none_or(|it| it <= now) {
        return None;
    }
    let groups = read("auth-extra-groups").unwrap_or_default();
    let mut all = vec!["system:bootstrappers"];
    all.extend(groups.split(',').filter(|it| it.starts_with("system:bootstrappers:")));
    Some(User::new(&format!("system:bootstrap:{id}"), &all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_api::value;

    fn secret(expires: &str) -> Value {
        value!({"type": "bootstrap.kubernetes.io/token", "data": {
            "token-id": {BASE64.encode("abcdef")},
            "token-secret": {BASE64.encode("0123456789abcdef")},
            "usage-bootstrap-authentication": {BASE64.encode("true")},
            "auth-extra-groups": {BASE64.encode("system:bootstrappers:x,system:masters")},
            "expiration": {BASE64.encode(expires)},
        }})
    }

    #[test]
    fn a_bootstrap_token_is_good_until_it_expires_and_gives_no_other_groups() {
        let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        let check = |secret: &Value, text| bootstrap_token(secret, "abcdef", text, now);
        let user = check(&secret(""), "0123456789abcdef").unwrap();
        assert_eq!(user.name, "system:bootstrap:abcdef");
        assert_eq!(user.groups, ["system:bootstrappers", "system:bootstrappers:x", AUTHENTICATED]);
        assert!(check(&secret(""), "wrong").is_none());
        assert!(check(&secret("2020-01-01T00:00:00Z"), "0123456789abcdef").is_none());
        assert!(check(&secret("2100-01-01T00:00:00Z"), "0123456789abcdef").is_some());
        assert!(check(&secret("soon"), "0123456789abcdef").is_none());
        assert!(check(&value!({"data": {}}), "").is_none());
    }
}
