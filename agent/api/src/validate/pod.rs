//! Rules between the fields of a pod's spec, wherever one stands, and what an update of a pod may
//! change.

use super::change::without;
use crate::field::{FieldError, Path};
use crate::quantity::Quantity;
use crate::{Value, names};
use std::collections::HashSet;

/// Checks a `PodSpec`.
pub(super) fn check_spec(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut volumes = HashSet::new();
    for (index, volume) in spec.items_at(&["volumes"]).iter().enumerate() {
        let name = volume.str_at(&["name"]);
        if !volumes.insert(name) {
            let at = path.child("volumes").index(index).child("name");
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    let mut container_names = HashSet::new();
    let mut host_ports = HashSet::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in spec.items_at(&[list]).iter().enumerate() {
            let at = path.child(list).index(index);
            let name = container.str_at(&["name"]);
            if !name.is_empty() && !container_names.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
            if list == "containers" {
                host_ports_once(container, &at, &mut host_ports, errors);
            }
            check_container(container, list, &volumes, &at, errors);
        }
    }
    let host_network = spec.bool_at(&["hostNetwork"]);
    if host_network {
        for (index, container) in spec.items_at(&["containers"]).iter().enumerate() {
            for (number, port) in container.items_at(&["ports"]).iter().enumerate() {
                if port.int_at(&["hostPort"]) != port.int_at(&["containerPort"]) {
                    let at = path.child("containers").index(index).child("ports").index(number);
                    let bad = port["hostPort"].clone();
                    let detail = "must match `containerPort` when `hostNetwork` is true";
                    errors.push(FieldError::invalid(&at.child("hostPort"), bad, detail));
                }
            }
        }
    }
    if spec.bool_at(&["shareProcessNamespace"]) && spec.bool_at(&["hostPID"]) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        let at = path.child("shareProcessNamespace");
        errors.push(FieldError::invalid(&at, true, detail));
    }
    check_dns(spec, path, errors);
    check_tolerations(spec, path, errors);
}

fn check_dns(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("dnsConfig");
    let servers = spec.items_at(&["dnsConfig", "nameservers"]);
    if spec.str_at(&["dnsPolicy"]) == "None" && servers.is_empty() {
        let detail = "must provide `dnsConfig` when `dnsPolicy` is None";
        match spec.get("dnsConfig") {
            None => errors.push(FieldError::required(&at, detail)),
            Some(_) => errors.push(FieldError::required(
                &at.child("nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            )),
        }
    }
    if servers.len() > 3 {
        let detail = "must not have more than 3 nameservers";
        errors.push(FieldError::invalid(
            &at.child("nameservers"),
            Value::Array(servers.to_vec()),
            detail,
        ));
    }
}

fn check_tolerations(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (index, toleration) in spec.items_at(&["tolerations"]).iter().enumerate() {
        let at = path.child("tolerations").index(index);
        let operator = toleration.str_at(&["operator"]);
        let value = toleration.str_at(&["value"]);
        if toleration.str_at(&["key"]).is_empty() && operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(&at.child("operator"), operator, detail));
        }
        if operator == "Exists" && !value.is_empty() {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(&at.child("operator"), value, detail));
        }
        if toleration.at(&["tolerationSeconds"]).is_some()
            && toleration.str_at(&["effect"]) != "NoExecute"
        {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            let effect = toleration.str_at(&["effect"]);
            errors.push(FieldError::invalid(&at.child("effect"), effect, detail));
        }
    }
}

fn host_ports_once<'a>(
    container: &'a Value,
    path: &Path,
    taken: &mut HashSet<(i64, &'a str, &'a str)>,
    errors: &mut Vec<FieldError>,
) {
    for (index, port) in container.items_at(&["ports"]).iter().enumerate() {
        let number = port.int_at(&["hostPort"]).unwrap_or_default();
        if number == 0 {
            continue;
        }
        let (protocol, address) = (port.str_at(&["protocol"]), port.str_at(&["hostIP"]));
        if !taken.insert((number, protocol, address)) {
            let at = path.child("ports").index(index).child("hostPort");
            errors.push(FieldError::duplicate(&at, format!("{protocol}/{address}/{number}")));
        }
    }
}

fn check_container(
    container: &Value,
    list: &str,
    volumes: &HashSet<&str>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let image = container.str_at(&["image"]);
    if image.is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, detail));
    }
    let policy = container.str_at(&["restartPolicy"]);
    let is_sidecar = list == "initContainers" && policy == "Always";
    for probe in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
        if list != "containers" && !is_sidecar && container.get(probe).is_some() {
            let detail = match list {
                "initContainers" => {
                    "may not be set for init containers without restartPolicy=Always"
                }
                _ => "cannot be set for an Ephemeral Container",
            };
            errors.push(FieldError::forbidden(&path.child(probe), detail));
        }
    }
    for (probe, most) in [("livenessProbe", 1), ("startupProbe", 1)] {
        let threshold = container.int_at(&[probe, "successThreshold"]).unwrap_or(1);
        if threshold != most {
            let at = path.child(probe).child("successThreshold");
            errors.push(FieldError::invalid(&at, threshold, "must be 1"));
        }
    }
    let mut port_names = HashSet::new();
    for (index, port) in container.items_at(&["ports"]).iter().enumerate() {
        let name = port.str_at(&["name"]);
        if !name.is_empty() && !port_names.insert(name) {
            let at = path.child("ports").index(index).child("name");
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    check_mounts(container, volumes, path, errors);
    check_resources(&container["resources"], &path.child("resources"), errors);
    check_security(&container["securityContext"], &path.child("securityContext"), errors);
}

fn check_mounts(
    container: &Value,
    volumes: &HashSet<&str>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let mut paths = HashSet::new();
    for (index, mount) in container.items_at(&["volumeMounts"]).iter().enumerate() {
        let at = path.child("volumeMounts").index(index);
        let name = mount.str_at(&["name"]);
        if !name.is_empty() && !volumes.contains(name) {
            errors.push(FieldError::not_found(&at.child("name"), name));
        }
        let target = mount.str_at(&["mountPath"]);
        if !target.is_empty() && !paths.insert(target) {
            let detail = "must be unique";
            errors.push(FieldError::invalid(&at.child("mountPath"), target, detail));
        }
        let below = mount.str_at(&["subPath"]);
        for wrong in super::rules::relative_path(below) {
            errors.push(FieldError::invalid(&at.child("subPath"), below, &wrong));
        }
        if !below.is_empty() && !mount.str_at(&["subPathExpr"]).is_empty() {
            let bad = mount["subPathExpr"].clone();
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&at.child("subPathExpr"), bad, detail));
        }
    }
    for (index, device) in container.items_at(&["volumeDevices"]).iter().enumerate() {
        let name = device.str_at(&["name"]);
        if !name.is_empty() && !volumes.contains(name) {
            let at = path.child("volumeDevices").index(index).child("name");
            errors.push(FieldError::not_found(&at, name));
        }
    }
}

/// Names of resources that nodes have, and amounts that make sense.
pub(super) fn check_resources(resources: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let amount = |value: &Value| value.as_str().and_then(|text| text.parse::<Quantity>().ok());
    for kind in ["limits", "requests"] {
        let amounts = resources.get(kind).and_then(Value::as_object);
        for (name, value) in amounts.into_iter().flat_map(|map| map.iter()) {
            let at = path.child(kind).key(name);
            check_resource_name(name, &at, errors);
            let Some(quantity) = amount(value) else { continue };
            if quantity.sign() < 0 {
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(&at, value, detail));
            }
            let whole =
                !matches!(name.as_str(), "cpu" | "memory" | "storage" | "ephemeral-storage")
                    && !name.starts_with("hugepages-");
            if whole && quantity.is_fractional() {
                errors.push(FieldError::invalid(&at, value, "must be an integer"));
            }
        }
    }
    let requests = resources.get("requests").and_then(Value::as_object);
    for (name, value) in requests.into_iter().flat_map(|map| map.iter()) {
        let limit = resources.at(&["limits", name]);
        let (Some(asked), Some(most)) = (amount(value), limit.and_then(amount)) else { continue };
        if asked > most {
            let detail = format!("must be less than or equal to {name} limit of {most}");
            errors.push(FieldError::invalid(&path.child("requests"), value, &detail));
        }
    }
}

fn check_resource_name(name: &str, path: &Path, errors: &mut Vec<FieldError>) {
    for wrong in names::qualified_name(name) {
        errors.push(FieldError::invalid(path, name, &wrong));
    }
    let standard =
        matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    if !name.contains('/') && !standard {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
    }
}

fn check_security(context: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let privileged = context.bool_at(&["privileged"]);
    let escalation = context.at(&["allowPrivilegeEscalation"]).and_then(Value::as_bool);
    if escalation == Some(false) {
        if privileged {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(path, context, detail));
        }
        let added = context.items_at(&["capabilities", "add"]);
        if added.iter().any(|one| matches!(one.as_str(), Some("SYS_ADMIN" | "CAP_SYS_ADMIN"))) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(path, context, detail));
        }
    }
}

/// What the update of a pod may change: images, and a few fields that only grow or shrink.
pub(super) fn check_update(
    object: &Value,
    old: &Value,
    subresource: &str,
    errors: &mut Vec<FieldError>,
) {
    let resize = subresource == "resize";
    let normal = |pod: &Value| {
        let mut spec = without(
            &pod["spec"],
            &[&["activeDeadlineSeconds"], &["tolerations"], &["schedulingGates"]],
        );
        if subresource == "ephemeralcontainers" {
            spec.remove(&["ephemeralContainers"]);
        }
        // A pod that waits behind a gate may have its place narrowed.
        if !old.items_at(&["spec", "schedulingGates"]).is_empty() {
            spec.remove(&["nodeSelector"]);
            spec.remove(&["affinity"]);
        }
        // A grace period that was negative may become 1.
        if old.int_at(&["spec", "terminationGracePeriodSeconds"]).is_some_and(|time| time < 0) {
            spec.remove(&["terminationGracePeriodSeconds"]);
        }
        for list in ["containers", "initContainers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                container.remove(&[if resize { "resources" } else { "image" }]);
            }
        }
        spec
    };
    if normal(object) != normal(old) {
        let detail = match resize {
            true => "only cpu and memory resources are mutable",
            false => {
                "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
            }
        };
        errors.push(FieldError::forbidden(&Path::new("spec"), detail));
    }
    let tolerations = object.items_at(&["spec", "tolerations"]);
    let is_kept = |one: &Value| {
        tolerations.iter().any(|new| {
            without(new, &[&["tolerationSeconds"]]) == without(one, &[&["tolerationSeconds"]])
        })
    };
    if !old.items_at(&["spec", "tolerations"]).iter().all(is_kept) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(&Path::new("spec.tolerations"), detail));
    }
    let gates = old.items_at(&["spec", "schedulingGates"]);
    for gate in object.items_at(&["spec", "schedulingGates"]) {
        if !gates.contains(gate) {
            let at = Path::new("spec.schedulingGates");
            let detail = format!(
                "only deletion is allowed, but found new scheduling gate '{}'",
                gate.str_at(&["name"])
            );
            errors.push(FieldError::forbidden(&at, &detail));
        }
    }
    let deadline = |pod: &Value| pod.int_at(&["spec", "activeDeadlineSeconds"]);
    if let Some(was) = deadline(old) {
        let at = Path::new("spec.activeDeadlineSeconds");
        match deadline(object) {
            Some(now) if now > was => {
                let detail = format!("must be less than or equal to previous value {was}");
                errors.push(FieldError::invalid(&at, now, &detail));
            }
            None => {
                let detail = "must not update from a positive integer to nil value";
                errors.push(FieldError::invalid(&at, Value::Null, detail));
            }
            _ => {}
        }
    }
}
