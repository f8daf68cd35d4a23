//! What a node may do: what the role `system:node` says, but of secrets, config maps and volumes only
//! those that pods on it use.

use super::User;
use crate::at_rest;
use crate::request::Request;
use crate::server::Server;
use holm_api::Value;
use holm_store::RangeRequest;

/// The node that a user is.
#[must_use]
pub fn node_of(user: &User) -> Option<&str> {
    if !user.is_in("system:nodes") {
        return None;
    }
    user.name.strip_prefix("system:node:")
}

/// Whether a node may do this; why not, where there is more to say than that no rule allows it.
///
/// # Errors
/// The reason.
pub async fn may(server: &Server, node: &str, request: &Request) -> Result<(), String> {
    let rules = server.rules.rules();
    let role = rules.role("", "system:node").ok_or("the role system:node is missing")?;
    if !role.iter().any(|rule| rule.allows(request)) {
        return Err(String::new());
    }
    let kind = match (&*request.group, &*request.resource) {
        ("", "secrets") => "secret",
        ("", "configmaps") => "configmap",
        ("", "persistentvolumeclaims") => "claim",
        ("", "serviceaccounts") => "account",
        _ => return Ok(()),
    };
    if request.name.is_empty() {
        return Err(format!("can only read resources of this type by name, on node {node:?}"));
    }
    let registry = server.registry();
    let pods = registry.by_path("", "v1", "pods").ok_or("there are no pods")?;
    let range = RangeRequest::latest(at_rest::range(pods, &request.namespace));
    let range = server.store.range(range).await.map_err(|error| error.to_string())?;
    let uses = range
        .entries
        .iter()
        .filter_map(at_rest::object_of)
        .filter(|pod| pod.str_at(&["spec", "nodeName"]) == node)
        .any(|pod| refers(&pod, kind, &request.name));
    match uses {
        true => Ok(()),
        false => Err(format!("no relationship found between node {node:?} and this object")),
    }
}

/// Whether a pod uses an object by this name.
fn refers(pod: &Value, kind: &str, name: &str) -> bool {
    let spec = &pod["spec"];
    if kind == "account" {
        return spec.str_at(&["serviceAccountName"]) == name;
    }
    let volumes = spec.items_at(&["volumes"]);
    let is = |value: &Value, path: &[&str]| value.str_at(path) == name;
    let in_volume = |volume: &Value| match kind {
        "secret" => {
            is(volume, &["secret", "secretName"])
                || is(volume, &["csi", "nodePublishSecretRef", "name"])
        }
        "configmap" => is(volume, &["configMap", "name"]),
        _ => is(volume, &["persistentVolumeClaim", "claimName"]),
    };
    let projected = |volume: &Value| {
        let source = if kind == "secret" { "secret" } else { "configMap" };
        let sources = volume.items_at(&["projected", "sources"]);
        sources.iter().any(|it| is(it, &[source, "name"]))
    };
    if volumes.iter().any(|it| in_volume(it) || projected(it)) {
        return true;
    }
    if kind == "secret" && spec.items_at(&["imagePullSecrets"]).iter().any(|it| is(it, &["name"])) {
        return true;
    }
    let (whole, one) = match kind {
        "secret" => ("secretRef", "secretKeyRef"),
        "configmap" => ("configMapRef", "configMapKeyRef"),
        _ => return false,
    };
    ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| spec.items_at(&[list]))
        .any(|container| {
            container.items_at(&["envFrom"]).iter().any(|it| is(it, &[whole, "name"]))
                || container.items_at(&["env"]).iter().any(|it| is(it, &["valueFrom", one, "name"]))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_api::value;

    #[test]
    fn only_members_of_the_nodes_are_nodes() {
        assert_eq!(node_of(&User::new("system:node:a", &["system:nodes"])), Some("a"));
        assert_eq!(node_of(&User::new("system:node:a", &[])), None);
        assert_eq!(node_of(&User::new("a", &["system:nodes"])), None);
    }

    #[test]
    fn a_pod_uses_what_it_names_anywhere() {
        let pod = value!({"spec": {
            "serviceAccountName": "bot",
            "imagePullSecrets": [{"name": "s1"}],
            "volumes": [
                {"secret": {"secretName": "s2"}},
                {"configMap": {"name": "c1"}},
                {"persistentVolumeClaim": {"claimName": "p1"}},
                {"projected": {"sources": [{"secret": {"name": "s3"}}, {"configMap": {"name": "c2"}}]}},
            ],
            "containers": [{
                "envFrom": [{"secretRef": {"name": "s4"}}, {"configMapRef": {"name": "c3"}}],
                "env": [{"valueFrom": {"secretKeyRef": {"name": "s5"}}}],
            }],
        }});
        for (kind, names) in [
            ("secret", &["s1", "s2", "s3", "s4", "s5"][..]),
            ("configmap", &["c1", "c2", "c3"]),
            ("claim", &["p1"]),
            ("account", &["bot"]),
        ] {
            for name in names {
                assert!(refers(&pod, kind, name), "{kind} {name}");
            }
            assert!(!refers(&pod, kind, "other"));
        }
        assert!(!refers(&pod, "configmap", "s2") && !refers(&pod, "secret", "c1"));
    }
}
