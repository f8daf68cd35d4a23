//! Rules between the fields of one struct, wherever it stands, and of kinds with little of their own.

use super::{metadata, pod};
use crate::field::{FieldError, Path};
use crate::{Resource, Value, names};

/// Bytes that the values of a ConfigMap or a Secret may have together.
const MOST_DATA: usize = 1 << 20;

/// Checks a struct by the name of its type.
pub(super) fn check(name: &str, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match name {
        "io.k8s.api.core.v1.PodSpec" => pod::check_spec(value, path, errors),
        "io.k8s.api.core.v1.PodTemplateSpec" => {
            let at = path.child("metadata");
            metadata::labels(value.at(&["metadata", "labels"]), &at.child("labels"), errors);
            let annotations = value.at(&["metadata", "annotations"]);
            metadata::annotations(annotations, &at.child("annotations"), errors);
        }
        "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector" => selector(value, path, errors),
        "io.k8s.api.core.v1.Volume" => one_of(value, path, &["name"], "volume", errors),
        "io.k8s.api.core.v1.EnvVar"
            if value.get("valueFrom").is_some() && !value.str_at(&["value"]).is_empty() =>
        {
            let at = path.child("valueFrom");
            let detail = "may not be specified when `value` is not empty";
            errors.push(FieldError::invalid(&at, "", detail));
        }
        "io.k8s.api.core.v1.EnvVarSource" => {
            exactly_one(
                value,
                path,
                &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"],
                errors,
            );
        }
        "io.k8s.api.core.v1.Probe" => {
            handler(value, path, &["exec", "httpGet", "tcpSocket", "grpc"], errors)
        }
        "io.k8s.api.core.v1.LifecycleHandler" => {
            handler(value, path, &["exec", "httpGet", "tcpSocket", "sleep"], errors);
        }
        "io.k8s.api.core.v1.NodeSelectorRequirement" => {
            node_requirement(value, path, errors);
        }
        "io.k8s.api.core.v1.HostPathVolumeSource" => {
            let text = value.str_at(&["path"]);
            if text.split('/').any(|part| part == "..") {
                errors.push(FieldError::invalid(
                    &path.child("path"),
                    text,
                    "must not contain '..'",
                ));
            }
        }
        "io.k8s.api.networking.v1.HTTPIngressPath" => ingress_path(value, path, errors),
        "io.k8s.api.rbac.v1.PolicyRule" => policy_rule(value, path, errors),
        _ => {}
    }
}

/// Checks what a kind says as a whole.
pub(super) fn check_kind(resource: &Resource, object: &Value, errors: &mut Vec<FieldError>) {
    match (&*resource.group, &*resource.kind) {
        ("", "ConfigMap") => data(object, &["data", "binaryData"], errors),
        ("", "Secret") => {
            data(object, &["data"], errors);
            secret_type(object, errors);
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            binding(resource, object, errors);
        }
        ("policy", "PodDisruptionBudget")
            if object.at(&["spec", "minAvailable"]).is_some()
                && object.at(&["spec", "maxUnavailable"]).is_some() =>
        {
            let detail = "minAvailable and maxUnavailable cannot be both set";
            let bad = object["spec"].clone();
            errors.push(FieldError::invalid(&Path::new("spec"), bad, detail));
        }
        ("networking.k8s.io", "Ingress") => ingress(object, errors),
        ("", "PersistentVolume") => {
            let known = [
                "capacity",
                "accessModes",
                "claimRef",
                "persistentVolumeReclaimPolicy",
                "storageClassName",
                "mountOptions",
                "volumeMode",
                "nodeAffinity",
                "volumeAttributesClassName",
            ];
            one_of(&object["spec"], &Path::new("spec"), &known, "volume", errors);
        }
        ("", "PersistentVolumeClaim") => {
            let at = Path::new("spec.resources").key("storage");
            if object.str_at(&["spec", "resources", "requests", "storage"]).is_empty() {
                errors.push(FieldError::required(&at, ""));
            }
        }
        ("scheduling.k8s.io", "PriorityClass") => {
            let name = object.str_at(&["metadata", "name"]);
            let value = object.int_at(&["value"]).unwrap_or_default();
            let is_system = matches!(name, "system-node-critical" | "system-cluster-critical");
            if name.starts_with("system-") && !is_system {
                let detail = "priority class names with 'system-' prefix are reserved for system use only. error: ".to_owned() + name + " is not a known system priority class";
                errors.push(FieldError::forbidden(&Path::new("metadata.name"), &detail));
            }
            if value > 1_000_000_000 && !is_system {
                let detail = "maximum allowed value of a user defined priority is 1000000000";
                errors.push(FieldError::forbidden(&Path::new("value"), detail));
            }
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            errors.extend(crate::crd::validate(object, None));
        }
        ("", "Namespace") => {
            for (index, name) in object.items_at(&["spec", "finalizers"]).iter().enumerate() {
                let text = name.as_str().unwrap_or_default();
                for wrong in names::qualified_name(text) {
                    errors.push(FieldError::invalid(
                        &Path::new("spec.finalizers").index(index),
                        text,
                        &wrong,
                    ));
                }
            }
        }
        _ => {}
    }
}

/// A label selector: its operators with or without values.
fn selector(value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    metadata::labels(value.get("matchLabels"), &path.child("matchLabels"), errors);
    for (index, one) in value.items_at(&["matchExpressions"]).iter().enumerate() {
        let at = path.child("matchExpressions").index(index);
        let values = one.items_at(&["values"]);
        match one.str_at(&["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&at.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&at.child("values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.push(FieldError::invalid(
                    &at.child("operator"),
                    other,
                    "not a valid selector operator",
                ));
            }
        }
        let key = one.str_at(&["key"]);
        for wrong in names::qualified_name(key) {
            errors.push(FieldError::invalid(&at.child("key"), key, &wrong));
        }
        for (number, value) in values.iter().filter_map(Value::as_str).enumerate() {
            for wrong in names::label_value(value) {
                errors.push(FieldError::invalid(&at.child("values").index(number), value, &wrong));
            }
        }
    }
}

fn node_requirement(value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let values = value.items_at(&["values"]);
    let at = path.child("values");
    match value.str_at(&["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(FieldError::required(
                &at,
                "must be specified when `operator` is 'In' or 'NotIn'",
            ));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&at, detail));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(&at, detail));
        }
        _ => {}
    }
}

/// Beside the members in `common`, exactly one may be there.
fn one_of(value: &Value, path: &Path, common: &[&str], what: &str, errors: &mut Vec<FieldError>) {
    let sources: Vec<&str> = value
        .as_object()
        .into_iter()
        .flat_map(|map| map.keys())
        .map(|name| name.as_str())
        .filter(|name| !common.contains(name))
        .collect();
    match sources.as_slice() {
        [] => errors.push(FieldError::required(path, &format!("must specify a {what} type"))),
        [_] => {}
        [_, more @ ..] => {
            for name in more {
                let detail = format!("may not specify more than 1 {what} type");
                errors.push(FieldError::forbidden(&path.child(name), &detail));
            }
        }
    }
}

fn exactly_one(value: &Value, path: &Path, members: &[&str], errors: &mut Vec<FieldError>) {
    let count = members.iter().filter(|name| value.get(name).is_some()).count();
    if count != 1 {
        let detail = match count {
            0 => format!("must specify one of: `{}`", members.join("`, `")),
            _ => "may not have more than one field specified at a time".to_owned(),
        };
        errors.push(FieldError::invalid(path, "", &detail));
    }
}

fn handler(value: &Value, path: &Path, members: &[&str], errors: &mut Vec<FieldError>) {
    let mut there = members.iter().filter(|name| value.get(name).is_some());
    if there.next().is_none() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
    for name in there {
        let detail = "may not specify more than 1 handler type";
        errors.push(FieldError::forbidden(&path.child(name), detail));
    }
}

fn data(object: &Value, members: &[&str], errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (index, member) in members.iter().enumerate() {
        let values = object.get(member).and_then(Value::as_object);
        for (key, value) in values.into_iter().flat_map(|map| map.iter()) {
            let at = Path::new(member).key(key);
            for wrong in names::config_map_key(key) {
                errors.push(FieldError::invalid(&at, key.as_str(), &wrong));
            }
            if index > 0 && object.at(&[members[0], key]).is_some() {
                let detail = "duplicate of key present in data";
                errors.push(FieldError::invalid(&at, key.as_str(), detail));
            }
            let length = value.as_str().map_or(0, str::len);
            // Three bytes are four characters of base64.
            let is_text = *member == "data" && members.len() > 1;
            size += if is_text { length } else { length / 4 * 3 };
        }
    }
    if size > MOST_DATA {
        let at = if members.len() > 1 { Path::root() } else { Path::new("data") };
        errors.push(FieldError::too_long(&at, MOST_DATA));
    }
}

fn secret_type(object: &Value, errors: &mut Vec<FieldError>) {
    let wanted: &[&str] = match object.str_at(&["type"]) {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/service-account-token" => {
            let at = Path::new("metadata.annotations").key("kubernetes.io/service-account.name");
            let name =
                object.at(&["metadata", "annotations", "kubernetes.io/service-account.name"]);
            if name.is_none_or(Value::is_empty) {
                errors.push(FieldError::required(&at, ""));
            }
            &[]
        }
        _ => &[],
    };
    for key in wanted {
        if object.at(&["data", key]).is_none() {
            errors.push(FieldError::required(&Path::new("data").key(key), ""));
        }
    }
}

fn binding(resource: &Resource, object: &Value, errors: &mut Vec<FieldError>) {
    let kind = object.str_at(&["roleRef", "kind"]);
    let supported: &[&str] = match &*resource.kind {
        "RoleBinding" => &["ClusterRole", "Role"],
        _ => &["ClusterRole"],
    };
    if !kind.is_empty() && !supported.contains(&kind) {
        errors.push(FieldError::not_supported(&Path::new("roleRef.kind"), kind, supported));
    }
    let group = object.str_at(&["roleRef", "apiGroup"]);
    if group != "rbac.authorization.k8s.io" {
        let at = Path::new("roleRef.apiGroup");
        errors.push(FieldError::not_supported(&at, group, &["rbac.authorization.k8s.io"]));
    }
    for (index, subject) in object.items_at(&["subjects"]).iter().enumerate() {
        let at = Path::new("subjects").index(index);
        let (kind, group) = (subject.str_at(&["kind"]), subject.str_at(&["apiGroup"]));
        let wanted = if kind == "ServiceAccount" { "" } else { "rbac.authorization.k8s.io" };
        if matches!(kind, "ServiceAccount" | "User" | "Group") && group != wanted {
            errors.push(FieldError::not_supported(&at.child("apiGroup"), group, &[wanted]));
        }
        let namespace = subject.str_at(&["namespace"]);
        if kind == "ServiceAccount" && namespace.is_empty() {
            errors.push(FieldError::required(&at.child("namespace"), ""));
        }
    }
}

fn policy_rule(value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let some = |name: &str| !value.items_at(&[name]).is_empty();
    if some("nonResourceURLs") {
        if some("apiGroups") || some("resources") || some("resourceNames") {
            let at = path.child("nonResourceURLs");
            let bad = value["nonResourceURLs"].clone();
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&at, bad, detail));
        }
        return;
    }
    if !some("apiGroups") {
        let detail = "resource rules must supply at least one api group";
        errors.push(FieldError::required(&path.child("apiGroups"), detail));
    }
    if !some("resources") {
        let detail = "resource rules must supply at least one resource";
        errors.push(FieldError::required(&path.child("resources"), detail));
    }
}

fn ingress(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = Path::new("spec");
    let rules = object.items_at(&["spec", "rules"]);
    if rules.is_empty() && object.at(&["spec", "defaultBackend"]).is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(&spec, object["spec"].clone(), detail));
    }
    for (index, rule) in rules.iter().enumerate() {
        let host = rule.str_at(&["host"]);
        let at = spec.child("rules").index(index).child("host");
        let wrong = match host {
            "" => vec![],
            host if host.contains('*') => names::wildcard_subdomain(host),
            host => names::dns_subdomain(host),
        };
        errors.extend(wrong.iter().map(|detail| FieldError::invalid(&at, host, detail)));
        if host.parse::<std::net::IpAddr>().is_ok() {
            errors.push(FieldError::invalid(&at, host, "must be a DNS name, not an IP address"));
        }
    }
}

fn ingress_path(value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let text = value.str_at(&["path"]);
    let kind = value.str_at(&["pathType"]);
    let at = path.child("path");
    if matches!(kind, "Exact" | "Prefix") {
        if !text.starts_with('/') {
            errors.push(FieldError::invalid(&at, text, "must be an absolute path"));
        }
        for part in ["//", "/./", "/../", "%2f", "%2F"] {
            if text.contains(part) {
                errors.push(FieldError::invalid(&at, text, &format!("must not contain '{part}'")));
            }
        }
    }
    let backend = &value["backend"];
    let at = path.child("backend");
    match (backend.get("service"), backend.get("resource")) {
        (None, None) => errors.push(FieldError::required(&at, "")),
        (Some(_), Some(_)) => {
            let detail = "cannot set both resource and service backends";
            errors.push(FieldError::invalid(&at, "", detail));
        }
        (Some(service), None) => {
            let port = &service["port"];
            if port.int_at(&["number"]).is_none() && port.str_at(&["name"]).is_empty() {
                let detail = "port name or number is required";
                errors.push(FieldError::required(&at.child("service").child("port"), detail));
            }
        }
        (None, Some(_)) => {}
    }
}
