//! What a pod gets that its author did not say: tolerations, a priority, a service account.

use super::Attempt;
use crate::server::Server;
use crate::verbs::{Listed, Place};
use holm_api::options::ListOptions;
use holm_api::{Status, Value, value};

/// Seconds that a pod stays on a node that is not ready, unless it says otherwise.
const TOLERATION_SECONDS: i64 = 300;
const TOKEN_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Seconds that a pod's token is good; the node renews it.
const TOKEN_SECONDS: i64 = 3607;

/// DefaultTolerationSeconds.
pub(super) fn default_tolerations(pod: &mut Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = pod.items_at(&["spec", "tolerations"]).iter().any(|it| {
            let (its_key, effect) = (it.str_at(&["key"]), it.str_at(&["effect"]));
            (its_key == key || its_key.is_empty()) && matches!(effect, "NoExecute" | "")
        });
        if !tolerated {
            let tolerations = pod.make_object().entry("spec").make_object().entry("tolerations");
            tolerations.make_array().push(value!({
                "effect": "NoExecute", "key": key, "operator": "Exists",
                "tolerationSeconds": TOLERATION_SECONDS,
            }));
        }
    }
}

/// Priority: the class's number, or that of the default class.
pub(super) async fn priority(
    server: &Server,
    attempt: &Attempt<'_>,
    pod: &mut Value,
) -> Result<(), Status> {
    let registry = server.registry();
    let Some(classes) = registry.by_path("scheduling.k8s.io", "v1", "priorityclasses") else {
        return Ok(());
    };
    let name = pod.str_at(&["spec", "priorityClassName"]).to_owned();
    let class = match name.as_str() {
        "" => default_class(server, classes).await?,
        "system-cluster-critical" => Some(value!({"value": 2_000_000_000_i64})),
        "system-node-critical" => Some(value!({"value": 2_000_001_000_i64})),
        name => {
            let place = Place { resource: classes, namespace: "", name, subresource: "" };
            match server.get(place).await {
                Ok(class) => Some(class.value()?),
                Err(error) if error.is_not_found() => {
                    let why = format!("no PriorityClass with name {name} was found");
                    return Err(attempt.forbidden(pod, why));
                }
                Err(error) => return Err(error),
            }
        }
    };
    let class = class.unwrap_or_default();
    let number = class.int_at(&["value"]).unwrap_or(0);
    let said = pod.int_at(&["spec", "priority"]);
    if said.is_some_and(|said| said != number) {
        return Err(attempt.forbidden(
            pod,
            "the integer value of priority must not be provided in pod spec; priority admission controller computed a different value from the PriorityClass name",
        ));
    }
    pod.set(&["spec", "priority"], number);
    let default_name = class.str_at(&["metadata", "name"]);
    if name.is_empty() && !default_name.is_empty() {
        pod.set(&["spec", "priorityClassName"], default_name);
    }
    if pod.str_at(&["spec", "preemptionPolicy"]).is_empty() {
        let policy = class.str_at(&["preemptionPolicy"]);
        let policy = if policy.is_empty() { "PreemptLowerPriority" } else { policy };
        pod.set(&["spec", "preemptionPolicy"], policy);
    }
    Ok(())
}

async fn default_class(
    server: &Server,
    classes: &holm_api::Resource,
) -> Result<Option<Value>, Status> {
    let place = Place { resource: classes, namespace: "", name: "", subresource: "" };
    let options = ListOptions::default();
    let mut listed = Listed::begin(place, &options)?;
    let (page, _) = server.next_page(&mut listed, &options).await.map_err(|it| it.status)?;
    let objects = page.entries.iter().filter_map(crate::at_rest::object_of);
    // Of several, the lowest counts.
    Ok(objects.filter(|it| it.bool_at(&["globalDefault"])).min_by_key(|it| it.int_at(&["value"])))
}

/// ServiceAccount: the account must exist, and its token is mounted unless somebody objects.
pub(super) async fn service_account(
    server: &Server,
    attempt: &Attempt<'_>,
    pod: &mut Value,
) -> Result<(), Status> {
    // A pod that a node runs by itself has no account.
    if !pod["metadata"]["annotations"].str_at(&["kubernetes.io/config.mirror"]).is_empty() {
        return Ok(());
    }
    if pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        pod.set(&["spec", "serviceAccountName"], "default");
    }
    let name = pod.str_at(&["spec", "serviceAccountName"]).to_owned();
    pod.set(&["spec", "serviceAccount"], name.as_str());
    let registry = server.registry();
    let Some(accounts) = registry.by_path("", "v1", "serviceaccounts") else { return Ok(()) };
    let namespace = attempt.place.namespace;
    let place = Place { resource: accounts, namespace, name: &name, subresource: "" };
    let account = server.get(place).await.map_err(|error| {
        let why = format!("error looking up service account {namespace}/{name}: {}", error.message);
        attempt.forbidden(pod, why)
    })?;
    let account = account.value()?;
    let says = |object: &Value, path: &[&str]| object.at(path).and_then(Value::as_bool);
    let mounts = says(pod, &["spec", "automountServiceAccountToken"])
        .or(says(&account, &["automountServiceAccountToken"]))
        .unwrap_or(true);
    if mounts {
        let [a, b] = server.random::<2>()?;
        mount_token(pod, &format!("kube-api-access-{a:02x}{b:02x}"));
    }
    if pod.items_at(&["spec", "imagePullSecrets"]).is_empty() {
        let secrets = account.items_at(&["imagePullSecrets"]).to_vec();
        if !secrets.is_empty() {
            pod.set(&["spec", "imagePullSecrets"], secrets);
        }
    }
    Ok(())
}

/// RuntimeClass: the class must exist, and says what it costs and where it can run.
pub(super) async fn runtime_class(
    server: &Server,
    attempt: &Attempt<'_>,
    pod: &mut Value,
) -> Result<(), Status> {
    let name = pod.str_at(&["spec", "runtimeClassName"]).to_owned();
    let registry = server.registry();
    let Some(classes) = registry.by_path("node.k8s.io", "v1", "runtimeclasses") else {
        return Ok(());
    };
    if name.is_empty() {
        return Ok(());
    }
    let place = Place { resource: classes, namespace: "", name: &name, subresource: "" };
    let class = match server.get(place).await {
        Ok(class) => class.value()?,
        Err(error) if error.is_not_found() => {
            let why = format!("pod rejected: RuntimeClass {name:?} not found");
            return Err(attempt.forbidden(pod, why));
        }
        Err(error) => return Err(error),
    };
    if let Some(overhead) = class.at(&["overhead", "podFixed"]) {
        if pod.at(&["spec", "overhead"]).is_some_and(|said| said != overhead) {
            let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            return Err(attempt.forbidden(pod, why));
        }
        pod.set(&["spec", "overhead"], overhead);
    }
    if let Some(selector) = class.at(&["scheduling", "nodeSelector"]).and_then(Value::as_object) {
        for (key, value) in selector.iter() {
            pod.set(&["spec", "nodeSelector", key.as_str()], value);
        }
    }
    let tolerations = class["scheduling"].items_at(&["tolerations"]).to_vec();
    if !tolerations.is_empty() {
        let own = pod.make_object().entry("spec").make_object().entry("tolerations");
        own.make_array().extend(tolerations);
    }
    Ok(())
}

/// Mounts the account's token, the cluster's authority and the namespace where none is mounted.
fn mount_token(pod: &mut Value, volume: &str) {
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let Some(containers) = pod.at_mut(&["spec", list]).and_then(Value::as_array_mut) else {
            continue;
        };
        for container in containers {
            let has = container
                .items_at(&["volumeMounts"])
                .iter()
                .any(|it| it.str_at(&["mountPath"]) == TOKEN_MOUNT);
            if !has {
                mounted = true;
                let mounts = container.make_object().entry("volumeMounts").make_array();
                mounts.push(value!({"name": volume, "mountPath": TOKEN_MOUNT, "readOnly": true}));
            }
        }
    }
    if !mounted {
        return;
    }
    let volumes = pod.make_object().entry("spec").make_object().entry("volumes").make_array();
    volumes.push(value!({
        "name": volume,
        "projected": {"defaultMode": 420_i64, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }},
            {"downwardAPI": {"items": [{
                "path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
            }]}},
        ]},
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_tolerates_a_node_that_fails_for_a_while() {
        let mut pod = value!({"spec": {"tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
        ]}});
        default_tolerations(&mut pod);
        let tolerations = pod.items_at(&["spec", "tolerations"]);
        assert_eq!(tolerations.len(), 2);
        assert_eq!(tolerations[1].str_at(&["key"]), "node.kubernetes.io/unreachable");
        assert_eq!(tolerations[1].int_at(&["tolerationSeconds"]), Some(300));
        let before = pod.clone();
        default_tolerations(&mut pod);
        assert_eq!(pod, before);
    }

    #[test]
    fn tokens_are_mounted_where_none_is() {
        let mut pod = value!({"spec": {"containers": [
            {"name": "a"},
            {"name": "b", "volumeMounts": [{"name": "own", "mountPath": TOKEN_MOUNT}]},
        ]}});
        mount_token(&mut pod, "v");
        assert_eq!(pod["spec"].items_at(&["volumes"]).len(), 1);
        let containers = pod["spec"].items_at(&["containers"]);
        assert_eq!(containers[0].items_at(&["volumeMounts"])[0].str_at(&["name"]), "v");
        assert_eq!(containers[1].items_at(&["volumeMounts"]).len(), 1);
        let before = pod.clone();
        mount_token(&mut pod, "v");
        assert_eq!(pod, before, "and none is mounted twice");
    }
}
