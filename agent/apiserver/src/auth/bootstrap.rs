//! What every cluster has from its first start: namespaces, and the default roles and bindings.
//! Written again when missing; rules that a cluster added to a default role stay.

use super::User;
use crate::server::Server;
use crate::verbs::{Place, Writing};
use holm_api::options::WriteOptions;
use holm_api::{Status, Value, value};

const ROLES: &str = include_str!("roles.txt");
const GROUP: &str = "rbac.authorization.k8s.io";
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// The server itself, when it writes.
#[must_use]
pub fn server_user() -> User {
    User::new("system:apiserver", &[super::MASTERS])
}

/// Writes what is missing.
///
/// # Errors
/// When the store fails, or a default is refused.
pub async fn write(server: &Server) -> Result<(), Status> {
    for name in NAMESPACES {
        create(server, "", "namespaces", "", &value!({"metadata": {"name": name}})).await?;
    }
    for (plural, object) in defaults() {
        let namespace = object.str_at(&["metadata", "namespace"]).to_owned();
        create(server, GROUP, plural, &namespace, &object).await?;
    }
    Ok(())
}

async fn create(
    server: &Server,
    group: &str,
    plural: &str,
    namespace: &str,
    object: &Value,
) -> Result<(), Status> {
    let registry = server.registry();
    let resource = registry.by_path(group, "v1", plural).ok_or_else(Status::no_such_resource)?;
    let name = object.str_at(&["metadata", "name"]);
    let place = Place { resource, namespace, name, subresource: "" };
    match server.get(place).await {
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(()),
    }
    let user = server_user();
    let writing = Writing::new(&user, WriteOptions::default(), "kube-apiserver");
    server.create(place, object.clone(), &writing).await.map(drop)
}

/// The default roles and bindings with their plural names.
fn defaults() -> Vec<(&'static str, Value)> {
    let mut found: Vec<(&'static str, Value)> = Vec::new();
    for line in ROLES.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(rule) = line.strip_prefix("  ") {
            if let (Some((_, role)), Some(rule)) = (found.last_mut(), read_rule(rule)) {
                role.make_object().entry("rules").make_array().push(rule);
            }
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["role", name, labels @ ..] => found.push(("clusterroles", role(name, labels))),
            ["bind", name, subjects @ ..] => {
                let object = binding(name, subjects);
                found.push(("clusterrolebindings", object));
            }
            _ => {}
        }
    }
    found
}

fn metadata(name: &str) -> Value {
    value!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}

fn role(name: &str, labels: &[&str]) -> Value {
    let mut role = value!({
        "metadata": {metadata(name)},
        "rules": [],
    });
    for label in labels {
        match label.strip_prefix("from:") {
            Some(label) => {
                let key = format!("rbac.authorization.k8s.io/aggregate-to-{label}");
                let mut selector = Value::object();
                selector.set(&["matchLabels", &key], "true");
                let selectors = role.make_object().entry("aggregationRule").make_object();
                selectors.entry("clusterRoleSelectors").make_array().push(selector);
            }
            None => {
                let key = format!("rbac.authorization.k8s.io/aggregate-to-{label}");
                role.set(&["metadata", "labels", &key], "true");
            }
        }
    }
    role
}

fn binding(name: &str, subjects: &[&str]) -> Value {
    let subjects: Value = subjects
        .iter()
        .filter_map(|it| it.split_once('='))
        .map(|(kind, name)| match (kind, name.split_once('/')) {
            ("ServiceAccount", Some((namespace, name))) => {
                value!({"kind": kind, "name": name, "namespace": namespace})
            }
            _ => value!({"apiGroup": GROUP, "kind": kind, "name": name}),
        })
        .collect();
    value!({
        "metadata": {metadata(name)},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
        "subjects": subjects,
    })
}

/// `verbs groups resources` or `verbs paths`, lists with commas; `core` is the core group.
fn read_rule(text: &str) -> Option<Value> {
    let list = |text: &str| -> Value {
        text.split(',').map(|it| if it == "core" { "" } else { it }).collect()
    };
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        [verbs, paths] => Some(value!({"verbs": {list(verbs)}, "nonResourceURLs": {list(paths)}})),
        [verbs, groups, resources] => Some(value!({
            "verbs": {list(verbs)}, "apiGroups": {list(groups)}, "resources": {list(resources)},
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::rbac::Rules;
    use http::Method;

    #[test]
    fn every_line_is_a_role_a_binding_or_a_rule() {
        let rules = ROLES.lines().filter(|it| it.starts_with("  ")).count();
        let read: usize =
            defaults().iter().map(|(_, object)| object.items_at(&["rules"]).len()).sum();
        assert_eq!(rules, read);
        let names: Vec<_> =
            defaults().iter().map(|(_, it)| it.str_at(&["metadata", "name"]).to_owned()).collect();
        for name in ["cluster-admin", "admin", "edit", "view", "system:discovery", "system:node"] {
            assert!(names.iter().any(|it| it == name), "{name}");
        }
    }

    #[test]
    fn by_default_everyone_discovers_and_nobody_else_reads() {
        let mut rules = Rules::default();
        for (plural, object) in defaults() {
            rules.set(plural, "", object.str_at(&["metadata", "name"]), Some(&object));
        }
        let get = |path: &str| crate::request::read(&Method::GET, path, false).unwrap();
        let ann = User::new("ann", &[]);
        assert!(rules.allow(&ann, &get("/apis")) && rules.allow(&ann, &get("/openapi/v3")));
        assert!(!rules.allow(&ann, &get("/api/v1/pods")));
        assert!(rules.allow(&User::anonymous(), &get("/livez")));
        assert!(!rules.allow(&User::anonymous(), &get("/apis")));
        let review = crate::request::read(
            &Method::POST,
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            false,
        );
        assert!(rules.allow(&ann, &review.unwrap()));
    }
}
