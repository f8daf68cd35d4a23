//! From a manifest's tree to a [`Pod`]: checks everything, defaults what is absent and refuses
//! what Holm does not do. Pure. Nothing behind it has to ask whether a pod makes sense.

mod containers;
mod names;
mod volumes;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::document::Node;
use super::fields::{Field, Object, Problem, Problems};
use super::spec::{ContainerSpec, Dns, HostAlias, Pod, RestartPolicy};

/// Checks one document of the file `source` on the node `node_name`.
pub fn admit(node: &Node, source: &str, node_name: &str) -> Result<Pod, Vec<Problem>> {
    let problems = Problems::default();
    let pod = Field::root(node, &problems)
        .object()
        .and_then(|root| read_pod(&root, uid(node, source), node_name).inspect(|_| root.finish()));
    let problems = problems.into_sorted();
    match pod {
        Some(pod) if problems.is_empty() => Ok(pod),
        _ => Err(problems),
    }
}

/// Identity of a static pod: the same for the same document of the same file, another one for
/// every change. The order of fields and the layout of the text do not count.
fn uid(node: &Node, source: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(source);
    hash.update([0]);
    hash.update(node.to_json().to_string());
    let hash: [u8; 32] = hash.finalize().into();
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_pod(root: &Object<'_>, uid: String, node_name: &str) -> Option<Pod> {
    root.word("apiVersion", &[("v1", ())]).or_else(|| missing(root, "apiVersion"))?;
    root.word("kind", &[("Pod", ())]).or_else(|| missing(root, "kind"))?;
    // Written by the server, and therefore in every manifest that came from one.
    root.allow(&["status"]);
    let metadata = root.object("metadata").or_else(|| missing(root, "metadata"));
    let spec = root.object("spec").or_else(|| missing(root, "spec"));
    let (metadata, spec) = (metadata?, spec?);

    let name = metadata.required_text("name");
    if let Some(problem) = name.and_then(names::subdomain_problem) {
        metadata.problem("name", problem);
    }
    let namespace = metadata.text("namespace").unwrap_or("default");
    if let Some(problem) = names::label_problem(namespace) {
        metadata.problem("namespace", problem);
    }
    let labels = metadata.text_map("labels");
    let annotations = metadata.text_map("annotations");
    metadata.allow(&[
        "creationTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
    ]);
    // The node gives the identity; a name that changes with each reading would make a new pod
    // each time.
    metadata.refuse(&["uid", "generateName", "ownerReferences", "finalizers"]);
    metadata.finish();

    let mut pod = Pod {
        uid,
        namespace: namespace.to_owned(),
        name: format!("{}-{node_name}", name?),
        labels,
        annotations,
        hostname: String::new(),
        restart_policy: RestartPolicy::Always,
        grace: Duration::from_secs(30),
        critical: false,
        host_network: false,
        host_pid: false,
        host_ipc: false,
        host_aliases: Vec::new(),
        dns: Dns::default(),
        fs_group: None,
        supplemental_groups: Vec::new(),
        sysctls: Default::default(),
        volumes: Default::default(),
        init_containers: Vec::new(),
        containers: Vec::new(),
    };
    if names::subdomain_problem(&pod.name).is_some() {
        metadata_too_long(root, &pod.name);
    }
    read_spec(&spec, &mut pod, node_name);
    spec.finish();
    Some(pod)
}

fn metadata_too_long(root: &Object<'_>, name: &str) {
    root.problem("metadata", format!("{name:?}, the name with the node's appended, is too long"));
}

fn missing<T>(object: &Object<'_>, name: &'static str) -> Option<T> {
    if object.get(name).is_none() {
        object.problem(name, "is missing");
    }
    None
}

fn read_spec(spec: &Object<'_>, pod: &mut Pod, node_name: &str) {
    let policies = [
        ("Always", RestartPolicy::Always),
        ("OnFailure", RestartPolicy::OnFailure),
        ("Never", RestartPolicy::Never),
    ];
    pod.restart_policy = spec.word("restartPolicy", &policies).unwrap_or(RestartPolicy::Always);
    // A day: more is a mistake, and no shutdown waits for it anyway.
    let grace = spec.integer("terminationGracePeriodSeconds", 0, 86_400).unwrap_or(30);
    pod.grace = Duration::from_secs(grace.unsigned_abs());
    pod.host_network = spec.flag("hostNetwork");
    pod.host_pid = spec.flag("hostPID");
    pod.host_ipc = spec.flag("hostIPC");
    pod.hostname = read_hostname(spec, pod, node_name);
    pod.dns = read_dns(spec);
    pod.host_aliases = spec.objects("hostAliases").iter().filter_map(read_alias).collect();
    let critical = [("system-node-critical", true), ("system-cluster-critical", true)];
    pod.critical = spec.word("priorityClassName", &critical).unwrap_or(false);
    if let Some(wanted) = spec.text("nodeName") {
        if wanted != node_name {
            spec.problem("nodeName", format!("is {wanted:?}, but this node is {node_name:?}"));
        }
    }
    if let Some(os) = spec.object("os") {
        os.word("name", &[("linux", ())]);
        os.finish();
    }
    if spec.optional_flag("hostUsers") == Some(false) {
        spec.problem("hostUsers", "user namespaces are not supported yet");
    }

    pod.volumes = volumes::read(spec);
    let context = containers::PodContext::read(spec, pod);
    pod.init_containers = read_containers(spec, "initContainers", pod, &context);
    pod.containers = read_containers(spec, "containers", pod, &context);
    if spec.items("containers").is_empty() {
        spec.problem("containers", "a pod needs at least one container");
    }
    check_unique_names(spec, pod);

    // A static pod is not scheduled, has no service account and sees no services.
    spec.allow(&[
        "automountServiceAccountToken",
        "enableServiceLinks",
        "preemptionPolicy",
        "schedulerName",
        "tolerations",
        "topologySpreadConstraints",
    ]);
    spec.refuse(&[
        "activeDeadlineSeconds",
        "affinity",
        "ephemeralContainers",
        "hostnameOverride",
        "imagePullSecrets",
        "nodeSelector",
        "overhead",
        "priority",
        "readinessGates",
        "resourceClaims",
        "resources",
        "runtimeClassName",
        "schedulingGates",
        "schedulingGroup",
        "serviceAccount",
        "serviceAccountName",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "subdomain",
    ]);
}

/// On the node's own network the pod has the node's name, because it has its UTS namespace.
fn read_hostname(spec: &Object<'_>, pod: &Pod, node_name: &str) -> String {
    let wanted = spec.text("hostname");
    if let Some(problem) = wanted.and_then(names::label_problem) {
        spec.problem("hostname", problem);
    }
    if pod.host_network {
        return node_name.to_owned();
    }
    // A host name has at most 63 characters, a pod's name up to 253.
    let name: String = wanted.unwrap_or(&pod.name).chars().take(63).collect();
    name.trim_end_matches(['-', '.']).to_owned()
}

fn read_dns(spec: &Object<'_>) -> Dns {
    // Without a cluster DNS the cluster policies mean the node's resolver, as for the kubelet.
    let policies = [
        ("ClusterFirst", true),
        ("ClusterFirstWithHostNet", true),
        ("Default", true),
        ("None", false),
    ];
    let from_node = spec.word("dnsPolicy", &policies).unwrap_or(true);
    let mut dns = Dns { from_node, ..Dns::default() };
    if let Some(config) = spec.object("dnsConfig") {
        dns.nameservers = config.texts("nameservers");
        dns.searches = config.texts("searches");
        for option in config.objects("options") {
            let Some(name) = option.required_text("name") else { continue };
            dns.options.push(match option.text("value") {
                Some(value) => format!("{name}:{value}"),
                None => name.to_owned(),
            });
            option.finish();
        }
        for server in &dns.nameservers {
            if server.parse::<std::net::IpAddr>().is_err() {
                config.problem("nameservers", format!("{server:?} is not an IP address"));
            }
        }
        for word in dns.searches.iter().chain(&dns.options) {
            if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
                spec.problem("dnsConfig", format!("{word:?} does not fit in resolv.conf"));
            }
        }
        config.finish();
    }
    if !from_node && dns.nameservers.is_empty() {
        spec.problem("dnsPolicy", "None needs nameservers in dnsConfig");
    }
    dns
}

fn read_alias(alias: &Object<'_>) -> Option<HostAlias> {
    alias.required_text("ip")?;
    let ip = alias.parsed("ip", "an IP address")?;
    let hostnames = alias.texts("hostnames");
    for name in &hostnames {
        if let Some(problem) = names::subdomain_problem(name) {
            alias.problem("hostnames", problem);
        }
    }
    alias.finish();
    Some(HostAlias { ip, hostnames })
}

fn read_containers(
    spec: &Object<'_>,
    name: &'static str,
    pod: &Pod,
    context: &containers::PodContext,
) -> Vec<ContainerSpec> {
    let read = |object: Object<'_>| {
        let container = containers::read(&object, pod, context);
        object.finish();
        container
    };
    spec.objects(name).into_iter().filter_map(read).collect()
}

fn check_unique_names(spec: &Object<'_>, pod: &Pod) {
    let mut names = BTreeSet::new();
    for container in pod.all_containers() {
        if !names.insert(&container.name) {
            let message = format!("two containers are named {:?}", container.name);
            spec.problem("containers", message);
        }
    }
    let mut ports = BTreeSet::new();
    for port in pod.host_ports() {
        if !ports.insert((port.host_ip, port.host_port, port.protocol.clone())) {
            let message = format!("hostPort {}/{} is there twice", port.host_port, port.protocol);
            spec.problem("containers", message);
        }
    }
}
