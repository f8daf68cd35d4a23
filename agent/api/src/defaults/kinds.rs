//! Defaults that depend on other fields: one function for a struct or a kind.

use crate::quantity::Quantity;
use crate::{Map, Resource, Value, value};

/// Sets `field` when it is absent.
fn absent(object: &mut Value, path: &[&str], default: impl Into<Value>) {
    if object.at(path).is_none_or(Value::is_null) {
        object.set(path, default);
    }
}

/// What has to be known of the whole object before its parts get their defaults.
pub(super) fn before(resource: &Resource, object: &mut Value) {
    match (&*resource.group, &*resource.kind) {
        ("", "LimitRange") => limit_range(object),
        ("batch", "Job") => job(object),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(object),
        ("", "Service") => service(object),
        ("networking.k8s.io", "NetworkPolicy") => network_policy(object),
        _ => {}
    }
}

/// What rests on defaults of the parts.
pub(super) fn after(resource: &Resource, object: &mut Value) {
    match (&*resource.group, &*resource.kind) {
        ("", "Namespace") => {
            // Every namespace can be selected by its name.
            let name = object.str_at(&["metadata", "name"]).to_owned();
            if !name.is_empty() {
                object.set(&["metadata", "labels", "kubernetes.io/metadata.name"], name);
            }
            if object.items_at(&["spec", "finalizers"]).is_empty()
                && object.at(&["metadata", "deletionTimestamp"]).is_none()
            {
                object.set(&["spec", "finalizers"], value!(["kubernetes"]));
            }
        }
        ("", "Pod") => pod(object),
        ("", "Node") => {
            let capacity = object.at(&["status", "capacity"]).cloned();
            if let Some(capacity) = capacity {
                absent(object, &["status", "allocatable"], capacity);
            }
        }
        ("", "ReplicationController") => labels_from_template(object, true),
        ("", "Endpoints") => {}
        ("apps", "Deployment") => {
            rolling(
                object,
                &["spec", "strategy"],
                value!({"maxUnavailable": "25%", "maxSurge": "25%"}),
            );
        }
        ("apps", "DaemonSet") => {
            let rolling_update = value!({"maxUnavailable": 1i64, "maxSurge": 0i64});
            rolling(object, &["spec", "updateStrategy"], rolling_update);
        }
        ("apps", "StatefulSet") => {
            rolling(object, &["spec", "updateStrategy"], value!({"partition": 0i64}));
            let claims = object.at_mut(&["spec", "volumeClaimTemplates"]);
            for claim in claims.and_then(Value::as_array_mut).into_iter().flatten() {
                claim.set(&["apiVersion"], "v1");
                claim.set(&["kind"], "PersistentVolumeClaim");
            }
        }
        ("autoscaling", "HorizontalPodAutoscaler") if resource.version == "v2" => {
            autoscaler(object);
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        _ => {}
    }
}

/// A strategy that rolls has its steps; `steps` are those that are not said.
fn rolling(object: &mut Value, path: &[&str], steps: Value) {
    let Some(strategy) = object.at_mut(path) else { return };
    if strategy.str_at(&["type"]) != "RollingUpdate" {
        return;
    }
    if let Value::Object(steps) = steps {
        for (name, step) in steps {
            absent(strategy, &["rollingUpdate", &name], step);
        }
    }
}

/// Defaults inside of one struct of the table, wherever it stands.
pub(super) fn of_struct(name: &str, value: &mut Value) {
    match name.strip_prefix("io.k8s.api.core.v1.") {
        Some("Container" | "EphemeralContainer") => container(value),
        Some("PodSpec") => pod_spec(value),
        // A volume without a source is an empty folder.
        Some("Volume")
            if value.as_object().is_some_and(|map| map.len() == 1 && map.contains_key("name")) =>
        {
            value.set(&["emptyDir"], Value::object());
        }
        Some("ISCSIVolumeSource" | "ISCSIPersistentVolumeSource") => {
            absent(value, &["iscsiInterface"], "default");
        }
        Some("RBDVolumeSource" | "RBDPersistentVolumeSource") => {
            absent(value, &["pool"], "rbd");
            absent(value, &["user"], "admin");
            absent(value, &["keyring"], "/etc/ceph/keyring");
        }
        _ => {}
    }
    if name == "io.k8s.api.resource.v1.ExactDeviceRequest"
        || name == "io.k8s.api.resource.v1.DeviceSubRequest"
    {
        let mode = value.str_at(&["allocationMode"]);
        if (mode.is_empty() || mode == "ExactCount") && value.int_at(&["count"]).is_none() {
            value.set(&["count"], 1i64);
        }
    }
}

fn container(value: &mut Value) {
    if value.at(&["imagePullPolicy"]).is_none() {
        let policy = match is_latest(value.str_at(&["image"])) {
            true => "Always",
            false => "IfNotPresent",
        };
        value.set(&["imagePullPolicy"], policy);
    }
    // What a container may have at most it also asks for, when it does not say otherwise.
    let limits = value.at(&["resources", "limits"]).and_then(Value::as_object).cloned();
    for (name, limit) in limits.into_iter().flatten() {
        let asked = value.at(&["resources", "requests"]).and_then(|asked| asked.get(&name));
        if asked.is_none() {
            value.set(&["resources", "requests", &name], limit);
        }
    }
}

/// Whether an image's tag is `latest`, said or not. A digest pins it.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn pod_spec(value: &mut Value) {
    // The old name of the account's field follows the new one.
    let account = value.str_at(&["serviceAccountName"]).to_owned();
    let old = value.str_at(&["serviceAccount"]).to_owned();
    if account.is_empty() && !old.is_empty() {
        value.set(&["serviceAccountName"], old);
    } else if !account.is_empty() {
        value.set(&["serviceAccount"], account);
    }
    if !value.bool_at(&["hostNetwork"]) {
        return;
    }
    for list in ["containers", "initContainers"] {
        let containers = value.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let ports = container.get_mut("ports").and_then(Value::as_array_mut);
            for port in ports.into_iter().flatten() {
                let number = port.int_at(&["containerPort"]).unwrap_or_default();
                if port.int_at(&["hostPort"]).unwrap_or_default() == 0 && number > 0 {
                    port.set(&["hostPort"], number);
                }
            }
        }
    }
}

fn pod(object: &mut Value) {
    absent(object, &["spec", "enableServiceLinks"], true);
    if object.at(&["status", "qosClass"]).is_none() {
        let class = quality_of_service(&object["spec"]);
        object.set(&["status", "qosClass"], class);
    }
}

/// The quality-of-service class that a pod's requests and limits amount to.
pub fn quality_of_service(spec: &Value) -> &'static str {
    let all = ["containers", "initContainers"];
    let containers = || all.iter().flat_map(|list| spec.items_at(&[list]));
    let amounts = |container: &Value, what: &str| -> Map {
        let found = container.at(&["resources", what]).and_then(Value::as_object);
        let relevant = found.into_iter().flat_map(Map::iter).filter(|(name, amount)| {
            let more = amount.as_str().and_then(|text| text.parse::<Quantity>().ok());
            matches!(name.as_str(), "cpu" | "memory")
                && more.is_some_and(|amount| amount.sign() > 0)
        });
        relevant.map(|(name, amount)| (name, amount.clone())).collect()
    };
    if containers()
        .all(|one| amounts(one, "requests").is_empty() && amounts(one, "limits").is_empty())
    {
        return "BestEffort";
    }
    let guaranteed = containers().all(|one| {
        let limits = amounts(one, "limits");
        limits.len() == 2 && amounts(one, "requests") == limits
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

fn service(object: &mut Value) {
    let ports = object.at_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        let number = port.int_at(&["port"]).unwrap_or_default();
        let target = port.get("targetPort");
        if target.is_none_or(|target| target.is_empty()) {
            port.set(&["targetPort"], number);
        }
    }
    let kind = object.str_at(&["spec", "type"]).to_owned();
    if object.str_at(&["spec", "sessionAffinity"]) == "ClientIP" {
        let timeout = ["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"];
        absent(object, &timeout, 10800i64);
    }
    if matches!(kind.as_str(), "" | "ClusterIP" | "NodePort" | "LoadBalancer") {
        absent(object, &["spec", "internalTrafficPolicy"], "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        absent(object, &["spec", "externalTrafficPolicy"], "Cluster");
    }
    if kind == "LoadBalancer" {
        absent(object, &["spec", "allocateLoadBalancerNodePorts"], true);
    }
}

/// Labels and selector of the older controllers come from their template.
fn labels_from_template(object: &mut Value, selector: bool) {
    let labels = object.at(&["spec", "template", "metadata", "labels"]).cloned();
    if let Some(labels) = labels.filter(|labels| !labels.is_empty()) {
        absent(object, &["metadata", "labels"], labels.clone());
        if selector {
            absent(object, &["spec", "selector"], labels);
        }
    }
}

fn job(object: &mut Value) {
    let said = |name: &str| object.at(&["spec", name]).is_some();
    if !said("parallelism") && !said("completions") {
        object.set(&["spec", "completions"], 1i64);
    }
    absent(object, &["spec", "parallelism"], 1i64);
    if object.at(&["spec", "backoffLimitPerIndex"]).is_some() {
        absent(object, &["spec", "backoffLimit"], i64::from(i32::MAX));
    }
    absent(object, &["spec", "backoffLimit"], 6i64);
    let policy = match object.at(&["spec", "podFailurePolicy"]) {
        Some(_) => "Failed",
        None => "TerminatingOrFailed",
    };
    absent(object, &["spec", "podReplacementPolicy"], policy);
    labels_from_template(object, false);
}

fn binding(object: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if object.str_at(&["roleRef", "apiGroup"]).is_empty() && object.get("roleRef").is_some() {
        object.set(&["roleRef", "apiGroup"], GROUP);
    }
    let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        if matches!(subject.str_at(&["kind"]), "User" | "Group") {
            absent(subject, &["apiGroup"], GROUP);
        }
    }
}

fn network_policy(object: &mut Value) {
    if object.items_at(&["spec", "policyTypes"]).is_empty() {
        let egress = !object.items_at(&["spec", "egress"]).is_empty();
        let kinds = if egress { value!(["Ingress", "Egress"]) } else { value!(["Ingress"]) };
        object.set(&["spec", "policyTypes"], kinds);
    }
}

/// Containers get the most as their default, and their default, or else the least, as their request.
fn limit_range(object: &mut Value) {
    let limits = object.at_mut(&["spec", "limits"]).and_then(Value::as_array_mut);
    for limit in limits.into_iter().flatten() {
        if limit.str_at(&["type"]) != "Container" {
            continue;
        }
        for (from, to) in
            [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")]
        {
            let amounts = limit.get(from).and_then(Value::as_object).cloned();
            for (name, amount) in amounts.into_iter().flatten() {
                absent(limit, &[to, &name], amount);
            }
        }
    }
}

fn autoscaler(object: &mut Value) {
    let Some(behavior) = object.at_mut(&["spec", "behavior"]) else { return };
    let policy =
        |kind: &str, amount: i64| value!({"type": kind, "value": amount, "periodSeconds": 15i64});
    let up = Value::Array(vec![policy("Pods", 4), policy("Percent", 100)]);
    let down = Value::Array(vec![policy("Percent", 100)]);
    for (name, policies) in [("scaleUp", up), ("scaleDown", down)] {
        absent(behavior, &[name, "policies"], policies);
        absent(behavior, &[name, "selectPolicy"], "Max");
        if name == "scaleUp" {
            absent(behavior, &[name, "stabilizationWindowSeconds"], 0i64);
        }
    }
}

fn definition(object: &mut Value) {
    let kind = object.str_at(&["spec", "names", "kind"]).to_owned();
    if !kind.is_empty() {
        absent(object, &["spec", "names", "singular"], kind.to_lowercase());
        absent(object, &["spec", "names", "listKind"], format!("{kind}List"));
    }
}
