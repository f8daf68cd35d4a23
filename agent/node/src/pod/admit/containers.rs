//! One container of a pod, with what the pod says for all of them. Pure.

use std::path::{Component, Path, PathBuf};

use super::super::fields::Object;
use super::super::network::HostPort;
use super::super::quantity;
use super::super::spec::{ContainerSpec, EnvValue, EnvVar, Pod, PullPolicy, Security, VolumeMount};
use super::names;

/// What `spec.securityContext` says for every container.
#[derive(Debug, Clone, Default)]
pub struct PodContext {
    run_as_user: Option<u32>,
    run_as_group: Option<u32>,
    run_as_non_root: bool,
    seccomp: Option<bool>,
}

impl PodContext {
    /// Reads it, and puts what concerns the pod as a whole into `pod`.
    pub fn read(spec: &Object<'_>, pod: &mut Pod) -> Self {
        let Some(context) = spec.object("securityContext") else { return Self::default() };
        pod.fs_group = context.id("fsGroup");
        for item in context.items("supplementalGroups") {
            pod.supplemental_groups.extend(item.id());
        }
        for sysctl in context.objects("sysctls") {
            let (name, value) = (sysctl.required_text("name"), sysctl.text("value"));
            if let (Some(name), Some(value)) = (name, value) {
                pod.sysctls.insert(name.replace('/', "."), value.to_owned());
            }
            sysctl.finish();
        }
        context.word("fsGroupChangePolicy", &[("Always", ()), ("OnRootMismatch", ())]);
        context.word("supplementalGroupsPolicy", &[("Merge", ())]);
        let read = Self {
            run_as_user: context.id("runAsUser"),
            run_as_group: context.id("runAsGroup"),
            run_as_non_root: context.flag("runAsNonRoot"),
            seccomp: read_seccomp(&context),
        };
        refuse_other_security_modules(&context);
        context.finish();
        read
    }
}

/// Reads one container. `None` when a name or an image is missing.
pub fn read(object: &Object<'_>, pod: &Pod, context: &PodContext) -> Option<ContainerSpec> {
    let name = object.required_text("name");
    if let Some(problem) = name.and_then(names::label_problem) {
        object.problem("name", problem);
    }
    let image = object.required_text("image");
    if image.is_some_and(|image| image.contains(|c: char| c.is_whitespace() || c.is_control())) {
        object.problem("image", "an image reference has no blanks");
    }
    let pull_policies = [
        ("Always", PullPolicy::Always),
        ("IfNotPresent", PullPolicy::IfNotPresent),
        ("Never", PullPolicy::Never),
    ];
    let pull_policy = object
        .word("imagePullPolicy", &pull_policies)
        .unwrap_or_else(|| default_pull_policy(image.unwrap_or_default()));
    let (memory_limit, cpu_limit) = read_resources(object, "limits");
    let (memory_request, cpu_request) = read_resources(object, "requests");
    if let Some(resources) = object.object("resources") {
        resources.allow(&["limits", "requests"]);
        resources.refuse(&["claims"]);
        resources.finish();
    }
    check_requests(object, memory_request, memory_limit);
    check_requests(object, cpu_request, cpu_limit);
    let termination_message_path =
        object.text("terminationMessagePath").unwrap_or("/dev/termination-log");
    if !is_clean_absolute(termination_message_path) {
        object.problem("terminationMessagePath", "must be an absolute path without '..'");
    }
    object.word("terminationMessagePolicy", &[("File", ())]);
    let working_dir = object.text("workingDir").filter(|dir| !dir.is_empty());
    if working_dir.is_some_and(|dir| !dir.starts_with('/')) {
        object.problem("workingDir", "must be an absolute path");
    }
    let container = ContainerSpec {
        name: name.unwrap_or_default().to_owned(),
        image: image.unwrap_or_default().to_owned(),
        pull_policy,
        command: object.texts("command"),
        args: object.texts("args"),
        working_dir: working_dir.map(str::to_owned),
        env: object.objects("env").iter().filter_map(|env| read_env(env, pod)).collect(),
        host_ports: read_ports(object, pod),
        memory_limit,
        memory_request,
        cpu_limit_millis: cpu_limit,
        cpu_request_millis: cpu_request,
        mounts: object.objects("volumeMounts").iter().filter_map(|m| read_mount(m, pod)).collect(),
        security: read_security(object, context),
        termination_message_path: termination_message_path.to_owned(),
        tty: object.flag("tty"),
    };
    check_unique_mounts(object, &container);
    object.allow(&["resizePolicy"]);
    object.refuse(&[
        "envFrom",
        "lifecycle",
        "livenessProbe",
        "readinessProbe",
        "restartPolicy",
        "restartPolicyRules",
        "startupProbe",
        "stdin",
        "stdinOnce",
        "volumeDevices",
    ]);
    (name.is_some() && image.is_some()).then_some(container)
}

/// `Always` for a name that may point to another image tomorrow.
fn default_pull_policy(image: &str) -> PullPolicy {
    if image.contains('@') {
        return PullPolicy::IfNotPresent;
    }
    // A colon before the last slash belongs to the registry's port.
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once(':') {
        None | Some((_, "latest")) => PullPolicy::Always,
        Some(_) => PullPolicy::IfNotPresent,
    }
}

/// Bytes of memory and thousandths of a core under `resources.<name>`.
fn read_resources(object: &Object<'_>, name: &'static str) -> (Option<u64>, Option<u64>) {
    let (mut memory, mut cpu) = (None, None);
    let resources = object.get("resources").and_then(|resources| resources.object());
    let Some(list) = resources.and_then(|resources| resources.object(name)) else {
        return (None, None);
    };
    for (resource, field) in list.entries() {
        let Some(text) = field.quantity_text() else { continue };
        let read = match resource {
            "memory" => quantity::units(&text).map(|bytes| memory = Some(bytes)),
            "cpu" => quantity::millis(&text).map(|millis| cpu = Some(millis)),
            // A request only matters to a scheduler, and a static pod meets none.
            "ephemeral-storage" if name == "requests" => quantity::units(&text).map(drop),
            other => {
                field.problem(format!("resource {other:?} is not supported yet"));
                continue;
            }
        };
        if let Err(error) = read {
            field.problem(error.to_string());
        }
    }
    (memory, cpu)
}

fn check_requests(object: &Object<'_>, request: Option<u64>, limit: Option<u64>) {
    if request.zip(limit).is_some_and(|(request, limit)| request > limit) {
        object.problem("resources", "a request is larger than its limit");
    }
}

fn read_env(object: &Object<'_>, pod: &Pod) -> Option<EnvVar> {
    let name = object.required_text("name");
    if let Some(problem) = name.and_then(names::env_problem) {
        object.problem("name", problem);
    }
    let text = object.text("value").map(|text| EnvValue::Text(text.to_owned()));
    if text.as_ref().is_some_and(|value| matches!(value, EnvValue::Text(t) if t.contains('\0'))) {
        object.problem("value", "holds a NUL character");
    }
    let from = object.object("valueFrom").map(|from| {
        let value = from.object("fieldRef").and_then(|field| {
            field.word("apiVersion", &[("v1", ())]);
            let path = field.required_text("fieldPath")?;
            let value = field_value(path, pod);
            if value.is_none() {
                field.problem("fieldPath", format!("{path:?} is not supported"));
            }
            field.finish();
            value
        });
        from.refuse(&["configMapKeyRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"]);
        from.finish();
        value
    });
    object.finish();
    let value = match (text, from) {
        (Some(_), Some(_)) => {
            object.field().problem("has both value and valueFrom, but must have one");
            None
        }
        (None, Some(from)) => from,
        (text, None) => Some(text.unwrap_or(EnvValue::Text(String::new()))),
    };
    Some(EnvVar { name: name?.to_owned(), value: value? })
}

/// What a `fieldPath` means for this pod.
fn field_value(path: &str, pod: &Pod) -> Option<EnvValue> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.labels" => &pod.labels,
            "metadata.annotations" => &pod.annotations,
            _ => return None,
        };
        return Some(EnvValue::Field(map.get(key).cloned().unwrap_or_default()));
    }
    Some(match path {
        "metadata.name" => EnvValue::Field(pod.name.clone()),
        "metadata.namespace" => EnvValue::Field(pod.namespace.clone()),
        "metadata.uid" => EnvValue::Field(pod.uid.clone()),
        "spec.nodeName" => EnvValue::NodeName,
        "status.hostIP" => EnvValue::HostIp,
        "status.podIP" => EnvValue::PodIp,
        "status.podIPs" => EnvValue::PodIps,
        _ => return None,
    })
}

fn read_ports(object: &Object<'_>, pod: &Pod) -> Vec<HostPort> {
    let mut host_ports = Vec::new();
    for port in object.objects("ports") {
        if port.get("containerPort").is_none() {
            port.problem("containerPort", "is missing");
        }
        let container_port = port.integer("containerPort", 1, 65535);
        let host_port = port.integer("hostPort", 1, 65535);
        let host_ip = port.text("hostIP").filter(|ip| !ip.is_empty());
        let host_ip = host_ip.and_then(|_| port.parsed("hostIP", "an IP address"));
        let protocols = [("TCP", "TCP"), ("UDP", "UDP"), ("SCTP", "SCTP")];
        let protocol = port.word("protocol", &protocols).unwrap_or("TCP");
        port.allow(&["name"]);
        if let (Some(container_port), Some(host_port)) = (container_port, host_port) {
            if !pod.host_network {
                host_ports.push(HostPort {
                    host_ip,
                    host_port: host_port as u16,
                    container_port: container_port as u16,
                    protocol: protocol.to_owned(),
                });
            } else if host_port != container_port {
                let message = "must be the containerPort on the node's own network";
                port.problem("hostPort", message);
            }
        }
        port.finish();
    }
    host_ports
}

fn read_mount(object: &Object<'_>, pod: &Pod) -> Option<VolumeMount> {
    let volume = object.required_text("name");
    let path = object.required_text("mountPath");
    if volume.is_some_and(|volume| !pod.volumes.contains_key(volume)) {
        object.problem("name", format!("the pod has no volume {:?}", volume.unwrap_or_default()));
    }
    if path.is_some_and(|path| !is_clean_absolute(path) || path.contains(':') || path == "/") {
        object.problem("mountPath", "must be an absolute path below '/' without '..' and ':'");
    }
    let sub_path = object.text("subPath").filter(|path| !path.is_empty()).map(PathBuf::from);
    let inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    if sub_path.as_deref().is_some_and(|path| !inside(path)) {
        object.problem("subPath", "must be a relative path without '..'");
    }
    let propagation =
        object.word("mountPropagation", &[("None", "rprivate"), ("HostToContainer", "rslave")]);
    let readonly = object.flag("readOnly");
    object.word("recursiveReadOnly", &[("Disabled", ())]);
    object.refuse(&["subPathExpr"]);
    object.finish();
    Some(VolumeMount {
        volume: volume?.to_owned(),
        path: PathBuf::from(path?),
        readonly,
        sub_path,
        propagation: propagation.unwrap_or("rprivate"),
    })
}

fn check_unique_mounts(object: &Object<'_>, container: &ContainerSpec) {
    for (index, mount) in container.mounts.iter().enumerate() {
        if container.mounts[..index].iter().any(|other| other.path == mount.path) {
            let message = format!("two volumes are mounted at {}", mount.path.display());
            object.problem("volumeMounts", message);
        }
    }
}

fn is_clean_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0') && path.split('/').all(|part| part != "..")
}

fn read_security(object: &Object<'_>, pod: &PodContext) -> Security {
    let mut security = Security {
        run_as_user: pod.run_as_user,
        run_as_group: pod.run_as_group,
        run_as_non_root: pod.run_as_non_root,
        seccomp: pod.seccomp.unwrap_or(true),
        ..Security::default()
    };
    let Some(context) = object.object("securityContext") else { return security };
    security.run_as_user = context.id("runAsUser").or(security.run_as_user);
    security.run_as_group = context.id("runAsGroup").or(security.run_as_group);
    let non_root = context.optional_flag("runAsNonRoot");
    security.run_as_non_root = non_root.unwrap_or(security.run_as_non_root);
    security.privileged = context.flag("privileged");
    security.readonly_rootfs = context.flag("readOnlyRootFilesystem");
    let escalation = context.optional_flag("allowPrivilegeEscalation");
    security.no_new_privileges = escalation == Some(false);
    security.seccomp = read_seccomp(&context).unwrap_or(security.seccomp);
    if let Some(capabilities) = context.object("capabilities") {
        security.capabilities_add = read_capabilities(&capabilities, "add");
        security.capabilities_drop = read_capabilities(&capabilities, "drop");
        capabilities.finish();
    }
    if security.run_as_non_root && security.run_as_user == Some(0) {
        context.problem("runAsNonRoot", "contradicts runAsUser 0");
    }
    let all = security.capabilities_add.iter().any(|name| name == "CAP_SYS_ADMIN" || name == "ALL");
    if security.no_new_privileges && (security.privileged || all) {
        let message = "false contradicts privileged and CAP_SYS_ADMIN";
        context.problem("allowPrivilegeEscalation", message);
    }
    context.word("procMount", &[("Default", ())]);
    refuse_other_security_modules(&context);
    context.finish();
    security
}

fn read_capabilities(object: &Object<'_>, name: &'static str) -> Vec<String> {
    let mut names = Vec::new();
    for field in object.items(name) {
        let Some(text) = field.text() else { continue };
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" {
            names.push("ALL".to_owned());
        } else if super::super::capabilities::ALL.contains(&format!("CAP_{bare}").as_str()) {
            names.push(format!("CAP_{bare}"));
        } else {
            field.problem(format!("{text:?} is not a capability of Linux"));
        }
    }
    names
}

/// `Some(true)` for the runtime's default profile, `Some(false)` for none.
fn read_seccomp(context: &Object<'_>) -> Option<bool> {
    let profile = context.object("seccompProfile")?;
    let seccomp = profile.word("type", &[("RuntimeDefault", true), ("Unconfined", false)]);
    profile.refuse(&["localhostProfile"]);
    profile.finish();
    seccomp
}

/// Holm's kernel has neither module on; a profile that asks for nothing asks for nothing.
fn refuse_other_security_modules(context: &Object<'_>) {
    if let Some(profile) = context.object("appArmorProfile") {
        profile.word("type", &[("Unconfined", ())]);
        profile.finish();
    }
    context.refuse(&["seLinuxOptions", "seLinuxChangePolicy", "windowsOptions"]);
}
