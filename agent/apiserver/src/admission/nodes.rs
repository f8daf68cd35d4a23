//! NodeRestriction: a node changes only itself and what runs on it. Pure.

use super::{Attempt, Operation};
use holm_api::{Status, Value};

/// The node that a user is.
pub(crate) fn node_of(user: &crate::auth::User) -> Option<&str> {
    if !user.is_in("system:nodes") {
        return None;
    }
    user.name.strip_prefix("system:node:")
}

/// Labels under which a node may say things of itself.
const OWN_LABELS: [&str; 2] = ["kubelet.kubernetes.io/", "node.kubernetes.io/"];
const OWN_KEYS: [&str; 8] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
];

/// Refuses what a node does beyond itself.
pub(super) fn restriction(attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
    let Some(node) = node_of(attempt.writing.user) else { return Ok(()) };
    let place = attempt.place;
    let current = attempt.old.unwrap_or(object);
    let refuse = |why: String| Err(attempt.forbidden(object, why));
    let (group, kind) = (&*place.resource.group, &*place.resource.kind);
    match (group, kind, place.subresource) {
        ("", "Node", _) => {
            let name = match place.name {
                "" => object.str_at(&["metadata", "name"]),
                name => name,
            };
            if name != node {
                return refuse(format!("node {node:?} is not allowed to modify node {name:?}"));
            }
            match forbidden_label(attempt.old, object) {
                Some(label) if attempt.operation != Operation::Delete => {
                    refuse(format!("is not allowed to modify labels: {label}"))
                }
                _ => Ok(()),
            }
        }
        ("", "Pod", "") if attempt.operation == Operation::Create => {
            let mirror = "kubernetes.io/config.mirror";
            if object["metadata"]["annotations"].str_at(&[mirror]).is_empty() {
                return refuse(format!(
                    "pod does not have {mirror:?} annotation, node {node:?} can only create mirror pods"
                ));
            }
            if object.str_at(&["spec", "nodeName"]) != node {
                return refuse(format!(
                    "node {node:?} can only create pods with spec.nodeName set to itself"
                ));
            }
            Ok(())
        }
        ("", "Pod", _) if current.str_at(&["spec", "nodeName"]) != node => {
            refuse(format!("node {node:?} can only change pods with spec.nodeName set to itself"))
        }
        ("coordination.k8s.io", "Lease", _) if place.namespace == "kube-node-lease" => {
            let name = if place.name.is_empty() {
                object.str_at(&["metadata", "name"])
            } else {
                place.name
            };
            if name == node {
                return Ok(());
            }
            refuse(
                "can only access node lease with the same name as the requesting node".to_owned(),
            )
        }
        ("storage.k8s.io", "CSINode", _) if !place.name.is_empty() && place.name != node => {
            refuse("can only access CSINode with the same name as the requesting node".to_owned())
        }
        _ => Ok(()),
    }
}

/// A label that the change touches and that is not the node's to change.
fn forbidden_label(old: Option<&Value>, new: &Value) -> Option<String> {
    let labels = |object: &Value| object.at(&["metadata", "labels"]).cloned().unwrap_or_default();
    let (old, new) = (old.map(labels).unwrap_or_default(), labels(new));
    let names = |labels: &Value| -> Vec<String> {
        let map = labels.as_object();
        map.map(|it| it.keys().map(|key| key.as_str().to_owned()).collect()).unwrap_or_default()
    };
    names(&old).into_iter().chain(names(&new)).filter(|key| old.get(key) != new.get(key)).find(
        |key| {
            let domain = key.split('/').next().unwrap_or_default();
            let ours = key.contains('/')
                && (domain.ends_with("kubernetes.io") || domain.ends_with("k8s.io"));
            let own = OWN_KEYS.contains(&key.as_str())
                || OWN_LABELS.iter().any(|prefix| {
                    key.starts_with(prefix)
                        || domain.ends_with(&format!(".{}", prefix.trim_end_matches('/')))
                });
            ours && !own
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_api::value;

    #[test]
    fn only_members_of_the_nodes_are_nodes() {
        use crate::auth::User;
        assert_eq!(node_of(&User::new("system:node:a", &["system:nodes"])), Some("a"));
        assert_eq!(node_of(&User::new("system:node:a", &[])), None);
        assert_eq!(node_of(&User::new("a", &["system:nodes"])), None);
    }

    #[test]
    fn a_node_sets_only_its_own_labels() {
        let with = |key: &str| {
            let mut node = value!({"metadata": {}});
            node.set(&["metadata", "labels", key], "x");
            node
        };
        for (key, forbidden) in [
            ("kubernetes.io/hostname", false),
            ("acme.com/x", false),
            ("plain", false),
            ("node.kubernetes.io/x", false),
            ("node-restriction.kubernetes.io/x", true),
            ("node-role.kubernetes.io/control-plane", true),
        ] {
            assert_eq!(forbidden_label(None, &with(key)).is_some(), forbidden, "{key}");
            assert_eq!(forbidden_label(Some(&with(key)), &with(key)), None);
        }
    }
}
