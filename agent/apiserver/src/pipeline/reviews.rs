//! Questions that are posted and not kept: who am I, may I, may they, whose token is this, and a
//! token for an account.

use super::Call;
use super::serve_resource::read_value;
use crate::auth::service_accounts::ISSUER;
use crate::auth::{self, AUTHENTICATED, User};
use crate::negotiate::{Encoding, PROTOBUF};
use crate::request::Request;
use crate::respond::{self, Answer};
use crate::server::Server;
use crate::verbs::Place;
use holm_api::{Gvk, Map, Status, Value, value};

/// Shortest and longest life of a token in seconds.
const TOKEN_SECONDS: std::ops::RangeInclusive<i64> = 600..=(1 << 32);

impl Server {
    /// Answers a review; `None` for everything else.
    pub(super) async fn review(
        &self,
        call: &Call,
        place: Place<'_>,
    ) -> Result<Option<Answer>, Status> {
        let kind = match (&*place.resource.group, place.subresource) {
            ("authentication.k8s.io" | "authorization.k8s.io", "") => &*place.resource.kind,
            ("", "token") if place.resource.kind == "ServiceAccount" => "TokenRequest",
            _ => return Ok(None),
        };
        let expected = match kind {
            "TokenRequest" => Gvk::of("authentication.k8s.io/v1", kind),
            _ => place.resource.gvk(),
        };
        let mut object = read_value(&call.headers, &call.body, &expected)?;
        let status = match kind {
            "SelfSubjectReview" => value!({"userInfo": {user_value(&call.user)}}),
            "SelfSubjectAccessReview" => self.may_they(&call.user, &object).await?,
            "SubjectAccessReview" | "LocalSubjectAccessReview" => {
                let user = read_user(&object["spec"]);
                if kind == "LocalSubjectAccessReview" {
                    let namespace = object.str_at(&["spec", "resourceAttributes", "namespace"]);
                    if namespace != place.namespace {
                        return Err(Status::bad_request(
                            "spec.resourceAttributes.namespace must match metadata.namespace",
                        ));
                    }
                }
                self.may_they(&user, &object).await?
            }
            "SelfSubjectRulesReview" => {
                let namespace = object.str_at(&["spec", "namespace"]).to_owned();
                self.rules_review(&call.user, &namespace)
            }
            "TokenReview" => self.token_review(&object).await,
            "TokenRequest" => self.token_request(place, &object).await?,
            _ => return Ok(None),
        };
        object.set(&["apiVersion"], expected.api_version());
        object.set(&["kind"], kind);
        if object.get("metadata").is_none() {
            object.set(&["metadata"], Value::object());
        }
        object.set(&["status"], status);
        let accepted = super::accepted(&call.headers, place.resource)?;
        if accepted.encoding == Encoding::Protobuf {
            let body = respond::encode_protobuf(&object)?;
            return Ok(Some(respond::bytes(201, PROTOBUF, body)));
        }
        Ok(Some(respond::json(201, &object)))
    }

    async fn may_they(&self, user: &User, review: &Value) -> Result<Value, Status> {
        let spec = &review["spec"];
        let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
        if resource.is_object() == path.is_object() {
            return Err(Status::bad_request(
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ));
        }
        let request = match resource.is_object() {
            true => Request {
                is_resource: true,
                verb: known_verb(resource.str_at(&["verb"])),
                group: resource.str_at(&["group"]).to_owned(),
                version: resource.str_at(&["version"]).to_owned(),
                namespace: resource.str_at(&["namespace"]).to_owned(),
                resource: resource.str_at(&["resource"]).to_owned(),
                subresource: resource.str_at(&["subresource"]).to_owned(),
                name: resource.str_at(&["name"]).to_owned(),
                ..Request::default()
            },
            false => Request {
                verb: known_verb(path.str_at(&["verb"])),
                path: path.str_at(&["path"]).to_owned(),
                ..Request::default()
            },
        };
        Ok(match self.may(user, &request).await {
            Ok(()) => value!({"allowed": true}),
            Err(why) => value!({"allowed": false, "reason": why}),
        })
    }

    fn rules_review(&self, user: &User, namespace: &str) -> Value {
        let rules = self.rules.rules();
        let (mut resources, mut paths) = (Vec::new(), Vec::new());
        if user.is_in(auth::MASTERS) {
            resources.push(value!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
            paths.push(value!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
        }
        for rule in rules.of(user, namespace) {
            match rule.is_of_paths() {
                true => paths.push(rule.to_value()),
                false => resources.push(rule.to_value()),
            }
        }
        value!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
    }

    async fn token_review(&self, review: &Value) -> Value {
        let token = review.str_at(&["spec", "token"]);
        let wanted: Vec<&str> =
            review["spec"].items_at(&["audiences"]).iter().filter_map(Value::as_str).collect();
        let audiences = if wanted.is_empty() { vec![ISSUER] } else { wanted };
        match self.user_of_token(token, &audiences).await {
            Some((user, good)) => {
                let good: Value = good.iter().map(String::as_str).collect();
                value!({"authenticated": true, "user": {user_value(&user)}, "audiences": good})
            }
            None => value!({"user": {}, "error": "invalid bearer token"}),
        }
    }

    /// Signs a token for an account, bound to what the request names.
    async fn token_request(&self, place: Place<'_>, request: &Value) -> Result<Value, Status> {
        let account = Place { subresource: "", ..place };
        let object = self.get(account).await?.value()?;
        let spec = &request["spec"];
        let seconds = spec.int_at(&["expirationSeconds"]).unwrap_or(3600);
        if !TOKEN_SECONDS.contains(&seconds) {
            let path = holm_api::field::Path::new("spec.expirationSeconds");
            let why = "may not specify a duration less than 10 minutes or larger than 2^32 seconds";
            let error = holm_api::field::FieldError::invalid(&path, seconds, why);
            let what = holm_api::status::of("authentication.k8s.io", "TokenRequest");
            return Err(Status::invalid(what, place.name, &[error]));
        }
        let mut audiences: Vec<Value> = spec.items_at(&["audiences"]).to_vec();
        if audiences.is_empty() {
            audiences.push(ISSUER.into());
        }
        let mut cluster = value!({
            "namespace": {place.namespace},
            "serviceaccount": {
                "name": {place.name}, "uid": {object.str_at(&["metadata", "uid"])},
            },
        });
        self.bind(place, &spec["boundObjectRef"], &mut cluster).await?;
        let now = self.now().as_second();
        let id = crate::metadata::uid(self.random()?);
        let claims = value!({
            "iss": ISSUER, "aud": audiences, "iat": now, "nbf": now, "exp": {now + seconds},
            "jti": id, "kubernetes.io": cluster,
            "sub": {format!("system:serviceaccount:{}:{}", place.namespace, place.name)},
        });
        let token = self.signer.sign(&claims).ok_or_else(|| Status::internal("cannot sign"))?;
        let end = jiff::Timestamp::from_second(now + seconds).unwrap_or_else(|_| self.now());
        Ok(value!({"token": token, "expirationTimestamp": {holm_api::time::seconds(end)}}))
    }

    /// Writes what a token is bound to into its claims.
    async fn bind(
        &self,
        place: Place<'_>,
        bound: &Value,
        cluster: &mut Value,
    ) -> Result<(), Status> {
        if !bound.is_object() {
            return Ok(());
        }
        let (kind, plural) = match bound.str_at(&["kind"]) {
            "Pod" => ("pod", "pods"),
            "Secret" => ("secret", "secrets"),
            "Node" => ("node", "nodes"),
            other => {
                return Err(Status::bad_request(format!(
                    "cannot bind token to object of type {other:?}"
                )));
            }
        };
        let registry = self.registry();
        let resource = registry.by_path("", "v1", plural).ok_or_else(Status::no_such_resource)?;
        let namespace = if kind == "node" { "" } else { place.namespace };
        let name = bound.str_at(&["name"]);
        let target = Place { resource, namespace, name, subresource: "" };
        let object = self.get(target).await?.value()?;
        let (uid, wanted) = (object.str_at(&["metadata", "uid"]), bound.str_at(&["uid"]));
        if !wanted.is_empty() && wanted != uid {
            return Err(Status::conflict(
                resource.group_resource(),
                name,
                format_args!(
                    "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
                ),
            ));
        }
        let account = object.str_at(&["spec", "serviceAccountName"]);
        if kind == "pod" && account != place.name {
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                place.name
            )));
        }
        cluster.set(&[kind], value!({"name": name, "uid": uid}));
        let node = object.str_at(&["spec", "nodeName"]);
        if kind == "pod" && !node.is_empty() {
            cluster.set(&["node", "name"], node);
        }
        Ok(())
    }
}

/// The verb as a rule compares it. A verb that nobody knows is allowed by `*` alone.
fn known_verb(verb: &str) -> &'static str {
    const VERBS: [&str; 20] = [
        "get",
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection",
        "proxy",
        "head",
        "post",
        "put",
        "options",
        "impersonate",
        "bind",
        "escalate",
        "use",
        "approve",
        "sign",
        "attest",
    ];
    VERBS.into_iter().find(|it| *it == verb).unwrap_or(if verb == "*" { "*" } else { "unknown" })
}

fn read_user(spec: &Value) -> User {
    let texts = |items: &[Value]| -> Vec<String> {
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut user = User {
        name: spec.str_at(&["user"]).to_owned(),
        uid: spec.str_at(&["uid"]).to_owned(),
        groups: texts(spec.items_at(&["groups"])),
        ..User::default()
    };
    if let Some(extra) = spec.get("extra").and_then(Value::as_object) {
        for (name, values) in extra.iter() {
            let values = values.as_array().map(|it| texts(it)).unwrap_or_default();
            user.extra.insert(name.as_str().to_owned(), values);
        }
    }
    user
}

fn user_value(user: &User) -> Value {
    let mut value = Map::new();
    value.insert("username", user.name.as_str());
    if !user.uid.is_empty() {
        value.insert("uid", user.uid.as_str());
    }
    value.insert("groups", user.groups.iter().map(String::as_str).collect::<Value>());
    if !user.extra.is_empty() {
        let mut extra = Map::new();
        for (name, values) in &user.extra {
            extra.insert(name.as_str(), values.iter().map(String::as_str).collect::<Value>());
        }
        value.insert("extra", extra);
    }
    debug_assert!(user.is_in(AUTHENTICATED) || !user.groups.is_empty());
    Value::Object(value)
}
