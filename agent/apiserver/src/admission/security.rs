//! PodSecurity: three levels, each a list of rules over a pod's spec, chosen by labels of its
//! namespace. Pure but for reading the namespace.

use super::{Attempt, Operation};
use crate::server::Server;
use crate::verbs::Place;
use holm_api::{Status, Value};
use std::sync::PoisonError;

/// How much a pod may do to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    fn read(text: &str) -> Self {
        match text {
            "baseline" => Self::Baseline,
            "restricted" => Self::Restricted,
            _ => Self::Privileged,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// Refuses pods past the level that their namespace enforces, and warns of those past the one it
/// warns of; of workloads, only warns.
pub(super) async fn admit(
    server: &Server,
    attempt: &Attempt<'_>,
    object: &Value,
) -> Result<(), Status> {
    let place = attempt.place;
    if attempt.operation == Operation::Delete || !place.subresource.is_empty() {
        return Ok(());
    }
    let is_pod = place.resource.is("", "Pod");
    let template: &[&str] = match &*place.resource.kind {
        "Pod" if is_pod => &[],
        "CronJob" => &["spec", "jobTemplate", "spec", "template"],
        "Deployment"
        | "ReplicaSet"
        | "StatefulSet"
        | "DaemonSet"
        | "Job"
        | "ReplicationController" => &["spec", "template"],
        "PodTemplate" => &["template"],
        _ => return Ok(()),
    };
    let Some(pod) = object.at(template) else { return Ok(()) };
    let registry = server.registry();
    let Some(namespaces) = registry.by_path("", "v1", "namespaces") else { return Ok(()) };
    let namespace =
        Place { resource: namespaces, namespace: "", name: place.namespace, subresource: "" };
    let Ok(namespace) = server.get(namespace).await else { return Ok(()) };
    let namespace = namespace.value()?;
    let labels = &namespace["metadata"]["labels"];
    let level =
        |mode: &str| Level::read(labels.str_at(&[&format!("pod-security.kubernetes.io/{mode}")]));
    if is_pod {
        let enforced = level("enforce");
        let violations = violations(enforced, pod);
        if !violations.is_empty() {
            let why = format!(
                "violates PodSecurity \"{}:latest\": {}",
                enforced.word(),
                violations.join(", ")
            );
            return Err(attempt.forbidden(object, why));
        }
    }
    let warned = level("warn");
    let violations = violations(warned, pod);
    if !violations.is_empty() {
        let warning = format!(
            "would violate PodSecurity \"{}:latest\": {}",
            warned.word(),
            violations.join(", ")
        );
        let mut warnings = attempt.writing.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.push(warning);
    }
    Ok(())
}

/// Containers of every kind.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| pod["spec"].items_at(&[list]))
}

/// The security contexts of the pod and of its containers.
fn contexts(pod: &Value) -> impl Iterator<Item = &Value> {
    std::iter::once(&pod["spec"]["securityContext"])
        .chain(containers(pod).map(|it| &it["securityContext"]))
}

const SAFE_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

const SAFE_SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];

const RESTRICTED_VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
    "name",
];

/// What a pod has that its level does not allow.
fn violations(level: Level, pod: &Value) -> Vec<&'static str> {
    let mut found = Vec::new();
    if level >= Level::Baseline {
        baseline(pod, &mut found);
    }
    if level >= Level::Restricted {
        restricted(pod, &mut found);
    }
    found
}

fn baseline(pod: &Value, found: &mut Vec<&'static str>) {
    let spec = &pod["spec"];
    let mut check = |violated: bool, name: &'static str| {
        if violated {
            found.push(name);
        }
    };
    let any = |test: &dyn Fn(&Value) -> bool| containers(pod).any(test);
    let any_context = |test: &dyn Fn(&Value) -> bool| contexts(pod).any(test);
    let host = ["hostNetwork", "hostPID", "hostIPC"];
    check(host.iter().any(|it| spec.bool_at(&[it])), "host namespaces");
    check(any(&|it| it.bool_at(&["securityContext", "privileged"])), "privileged");
    let added = |it: &Value| {
        let added = it.items_at(&["securityContext", "capabilities", "add"]);
        added.iter().any(|it| it.as_str().is_none_or(|it| !SAFE_CAPABILITIES.contains(&it)))
    };
    check(any(&added), "non-default capabilities");
    let volumes = spec.items_at(&["volumes"]);
    check(volumes.iter().any(|it| it.get("hostPath").is_some()), "hostPath volumes");
    let ports = |it: &Value| {
        it.items_at(&["ports"]).iter().any(|it| it.int_at(&["hostPort"]).unwrap_or(0) != 0)
    };
    check(any(&ports), "hostPort");
    let unconfined =
        |name: &'static str| move |it: &Value| it.str_at(&[name, "type"]) == "Unconfined";
    check(any_context(&unconfined("appArmorProfile")), "forbidden AppArmor profile");
    check(any_context(&unconfined("seccompProfile")), "seccompProfile");
    let labels = |it: &Value| {
        let options = &it["seLinuxOptions"];
        let kind = options.str_at(&["type"]);
        !matches!(
            kind,
            "" | "container_t" | "container_init_t" | "container_kvm_t" | "container_engine_t"
        ) || !options.str_at(&["user"]).is_empty()
            || !options.str_at(&["role"]).is_empty()
    };
    check(any_context(&labels), "seLinuxOptions");
    let unmasked =
        |it: &Value| !matches!(it.str_at(&["securityContext", "procMount"]), "" | "Default");
    check(any(&unmasked), "procMount");
    let sysctls = spec.items_at(&["securityContext", "sysctls"]).iter();
    let unsafe_one = |it: &Value| !SAFE_SYSCTLS.contains(&it.str_at(&["name"]));
    check(sysctls.clone().any(unsafe_one), "forbidden sysctls");
    let host_process = |it: &Value| it.bool_at(&["windowsOptions", "hostProcess"]);
    check(any_context(&host_process), "hostProcess");
}

fn restricted(pod: &Value, found: &mut Vec<&'static str>) {
    let spec = &pod["spec"];
    let mut check = |violated: bool, name: &'static str| {
        if violated {
            found.push(name);
        }
    };
    let whole = &spec["securityContext"];
    let volumes = spec.items_at(&["volumes"]).iter();
    let odd = |volume: &Value| {
        volume
            .as_object()
            .is_some_and(|it| it.keys().any(|name| !RESTRICTED_VOLUMES.contains(&name.as_str())))
    };
    check(volumes.clone().any(odd), "restricted volume types");
    let escalates = |it: &Value| {
        it.at(&["securityContext", "allowPrivilegeEscalation"]).and_then(Value::as_bool)
            != Some(false)
    };
    check(containers(pod).any(escalates), "allowPrivilegeEscalation != false");
    let keeps = |it: &Value| {
        let capabilities = &it["securityContext"]["capabilities"];
        let dropped = capabilities.items_at(&["drop"]);
        let added = capabilities.items_at(&["add"]);
        !dropped.iter().any(|it| it.as_str() == Some("ALL"))
            || added.iter().any(|it| it.as_str() != Some("NET_BIND_SERVICE"))
    };
    check(containers(pod).any(keeps), "unrestricted capabilities");
    let says = |context: &Value, name: &str| context.get(name).and_then(Value::as_bool);
    let root = |it: &Value| {
        says(&it["securityContext"], "runAsNonRoot").or(says(whole, "runAsNonRoot")) != Some(true)
    };
    check(containers(pod).any(root), "runAsNonRoot != true");
    let is_root = |it: &Value| it.int_at(&["runAsUser"]) == Some(0);
    check(contexts(pod).any(is_root), "runAsUser=0");
    let profile = |context: &Value| context.str_at(&["seccompProfile", "type"]).to_owned();
    let confined = |kind: &str| matches!(kind, "RuntimeDefault" | "Localhost");
    let loose = |it: &Value| {
        let own = profile(&it["securityContext"]);
        let kind = if own.is_empty() { profile(whole) } else { own };
        !confined(&kind)
    };
    check(containers(pod).any(loose), "seccompProfile");
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_api::value;

    fn good() -> Value {
        value!({"spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "a", "emptyDir": {}}],
            "containers": [{"name": "a", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            }}],
        }})
    }

    #[test]
    fn a_pod_that_gives_up_all_rights_is_restricted() {
        assert!(violations(Level::Restricted, &good()).is_empty());
        let plain = value!({"spec": {"containers": [{"name": "a"}]}});
        assert!(violations(Level::Baseline, &plain).is_empty());
        assert_eq!(
            violations(Level::Restricted, &plain),
            [
                "allowPrivilegeEscalation != false",
                "unrestricted capabilities",
                "runAsNonRoot != true",
                "seccompProfile"
            ]
        );
    }

    #[test]
    fn each_right_over_the_node_is_found() {
        for (path, value, name) in [
            (&["spec", "hostNetwork"][..], value!(true), "host namespaces"),
            (
                &["spec", "volumes"],
                value!([{"name": "a", "hostPath": {"path": "/"}}]),
                "hostPath volumes",
            ),
            (
                &["spec", "securityContext", "seccompProfile", "type"],
                value!("Unconfined"),
                "seccompProfile",
            ),
            (
                &["spec", "securityContext", "sysctls"],
                value!([{"name": "kernel.panic"}]),
                "forbidden sysctls",
            ),
            (&["spec", "securityContext", "seLinuxOptions", "user"], value!("x"), "seLinuxOptions"),
            (
                &["spec", "containers"],
                value!([{"securityContext": {"privileged": true}}]),
                "privileged",
            ),
            (
                &["spec", "initContainers"],
                value!([{"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]),
                "non-default capabilities",
            ),
            (
                &["spec", "ephemeralContainers"],
                value!([{"securityContext": {"procMount": "Unmasked"}}]),
                "procMount",
            ),
            (&["spec", "containers"], value!([{"ports": [{"hostPort": 80_i64}]}]), "hostPort"),
        ] {
            let mut pod = good();
            pod.set(path, value);
            assert_eq!(violations(Level::Baseline, &pod), [name]);
            assert!(violations(Level::Privileged, &pod).is_empty());
        }
    }
}
