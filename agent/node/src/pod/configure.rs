//! From a container of a pod and its image to the configuration that the runtime takes. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::capabilities;
use super::expand::expand;
use super::files::Paths;
use super::network::PodAddresses;
use super::spec::{ContainerSpec, EnvValue, Pod};
use crate::container::{ContainerConfig, Mount, Namespaces, Process, Resources, User};
use crate::image::Image;

#[cfg(test)]
mod tests;

/// Labels by which a restarted agent finds its containers again.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Namespace of the pod.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Name of the pod.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Name of the container in the pod.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Number of the instance, from 0.
pub const ATTEMPT: &str = "io.kubernetes.container.restartCount";
/// The image's id.
pub const IMAGE_ID: &str = "io.kubernetes.container.imageID";
/// Signal that asks the container to end, from the image.
pub const STOP_SIGNAL: &str = "io.kubernetes.container.stopSignal";

/// What the node contributes to every container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Name of the node.
    pub name: String,
    /// Address that `status.hostIP` shows; `None` while the node has none.
    pub host_ip: Option<IpAddr>,
    /// All memory of the node, bytes.
    pub memory: u64,
    /// Most processes and threads of one container; `None` without a bound.
    pub processes_per_container: Option<u64>,
    /// `[pods] log-max-size`
    pub log_max_bytes: u64,
    /// `[pods] log-files`
    pub log_max_files: u32,
}

/// A container that cannot be made from what the manifest and the image say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigureError {
    /// Nobody names a program.
    #[error("neither the manifest nor the image names a command")]
    NoCommand,
    /// A `fieldRef` to the node's address, before there is one.
    #[error("environment variable {0} needs an address of the node, which has none yet")]
    NoHostIp(String),
}

/// The id of an instance: readable, unique, and the same whenever it is asked for.
pub fn container_id(pod_uid: &str, name: &str, attempt: u32) -> String {
    let hash = Sha256::digest(format!("{pod_uid}/{name}"));
    let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let name: String = name.chars().take(32).collect();
    format!("{name}-{hash}-{attempt}")
}

/// The cgroup that holds those of a pod's containers.
pub fn pod_cgroup(pod_uid: &str) -> PathBuf {
    Path::new("/pods").join(pod_uid)
}

/// Everything that one instance is made from.
pub struct Ingredients<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container in it.
    pub spec: &'a ContainerSpec,
    /// Which instance.
    pub attempt: u32,
    /// Its image.
    pub image: &'a Image,
    /// `None` on the node's own network.
    pub network: Option<&'a PodAddresses>,
    /// The container's volumes, made and resolved.
    pub volumes: Vec<Mount>,
    /// What the node contributes.
    pub node: &'a NodeFacts,
    /// Where files are.
    pub paths: &'a Paths,
}

/// The configuration of one instance.
pub fn configure(from: Ingredients<'_>) -> Result<ContainerConfig, ConfigureError> {
    let Ingredients { pod, spec, attempt, image, network, node, paths, .. } = from;
    let id = container_id(&pod.uid, &spec.name, attempt);
    let image_config = image.config.config().clone().unwrap_or_default();
    let variables = pod_variables(&from)?;
    let lookup = |name: &str| {
        // The latest of that name wins, as it does in the environment.
        variables.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    };
    let args = arguments(spec, &image_config, lookup)?;
    let mut env = image_config.env().clone().unwrap_or_default();
    env.push(format!("HOSTNAME={}", pod.hostname));
    env.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));

    let mut labels = BTreeMap::new();
    let stop_signal = image_config.stop_signal().clone().unwrap_or_default();
    for (label, value) in [
        (POD_UID, pod.uid.as_str()),
        (POD_NAMESPACE, &pod.namespace),
        (POD_NAME, &pod.name),
        (CONTAINER_NAME, &spec.name),
        (ATTEMPT, &attempt.to_string()),
        (IMAGE_ID, image.digest.as_deref().unwrap_or(&image.id)),
        (STOP_SIGNAL, &stop_signal),
    ] {
        labels.insert(label.to_owned(), value.to_owned());
    }
    let security = &spec.security;
    let mut additional_gids = pod.supplemental_groups.clone();
    additional_gids.extend(pod.fs_group);
    let cwd = spec.working_dir.clone().or_else(|| image_config.working_dir().clone());
    Ok(ContainerConfig {
        dir: paths.containers.join(&id),
        id,
        labels,
        layers: image.layers.clone(),
        process: Process {
            args,
            env,
            cwd: cwd.unwrap_or_default(),
            user: User {
                image: image_config.user().clone().unwrap_or_default(),
                uid: security.run_as_user,
                gid: security.run_as_group,
                additional_gids,
                must_not_be_root: security.run_as_non_root,
            },
            capabilities: capabilities::effective(security),
            no_new_privileges: security.no_new_privileges,
            oom_score_adj: oom_score_adj(pod, spec, node.memory),
            terminal: spec.tty,
            rlimits: Vec::new(),
        },
        mounts: mounts(pod, spec, from.volumes, paths),
        devices: Vec::new(),
        namespaces: Namespaces {
            network: network.map(|network| network.netns.clone()),
            ipc: None,
            uts: None,
            host_network: pod.host_network,
            host_pid: pod.host_pid,
            host_ipc: pod.host_ipc,
        },
        resources: Resources {
            memory_max: spec.memory_limit,
            cpu_limit_millis: spec.cpu_limit_millis,
            // Kubernetes takes the limit for the request where that is absent.
            cpu_request_millis: spec.cpu_request_millis.or(spec.cpu_limit_millis),
            pids_max: node.processes_per_container,
        },
        cgroup: pod_cgroup(&pod.uid).join(&spec.name),
        log_path: paths.log(pod, &spec.name, attempt),
        log_max_bytes: node.log_max_bytes,
        log_max_files: node.log_max_files,
        hostname: (!pod.host_network).then(|| pod.hostname.clone()),
        readonly_rootfs: security.readonly_rootfs,
        privileged: security.privileged,
        seccomp: security.seccomp && !security.privileged,
        sysctls: pod.sysctls.clone(),
    })
}

/// The manifest's variables, each expanded by those before it.
fn pod_variables(from: &Ingredients<'_>) -> Result<Vec<(String, String)>, ConfigureError> {
    let host_ip = from.node.host_ip;
    // On the node's own network the pod has the node's address.
    let addresses = match from.network {
        Some(network) => network.addresses.clone(),
        None => host_ip.into_iter().collect(),
    };
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let mut variables: Vec<(String, String)> = Vec::new();
    for variable in &from.spec.env {
        let missing = || ConfigureError::NoHostIp(variable.name.clone());
        let value = match &variable.value {
            EnvValue::Text(text) => expand(text, |name| {
                variables.iter().rev().find(|(other, _)| other == name).map(|(_, v)| v.clone())
            }),
            EnvValue::Field(text) => text.clone(),
            EnvValue::NodeName => from.node.name.clone(),
            EnvValue::HostIp => host_ip.ok_or_else(missing)?.to_string(),
            EnvValue::PodIp => texts.first().cloned().ok_or_else(missing)?,
            EnvValue::PodIps if texts.is_empty() => return Err(missing()),
            EnvValue::PodIps => texts.join(","),
        };
        variables.push((variable.name.clone(), value));
    }
    Ok(variables)
}

/// `command` replaces the entry point and with it the image's arguments; `args` replaces those.
fn arguments(
    spec: &ContainerSpec,
    image: &oci_spec::image::Config,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, ConfigureError> {
    let expanded = |words: &[String]| -> Vec<String> {
        words.iter().map(|word| expand(word, &lookup)).collect()
    };
    let mut arguments = expanded(&spec.command);
    let own_command = !arguments.is_empty();
    if !own_command {
        arguments = image.entrypoint().clone().unwrap_or_default();
    }
    if !spec.args.is_empty() {
        arguments.extend(expanded(&spec.args));
    } else if !own_command {
        arguments.extend(image.cmd().clone().unwrap_or_default());
    }
    if arguments.is_empty() { Err(ConfigureError::NoCommand) } else { Ok(arguments) }
}

/// Volumes, and the files of `/etc` and the termination message unless a volume is in their place.
fn mounts(pod: &Pod, spec: &ContainerSpec, volumes: Vec<Mount>, paths: &Paths) -> Vec<Mount> {
    let mut files = vec![
        (paths.etc(&pod.uid, "hosts"), "/etc/hosts".to_owned()),
        (paths.etc(&pod.uid, "hostname"), "/etc/hostname".to_owned()),
        (paths.etc(&pod.uid, "resolv.conf"), "/etc/resolv.conf".to_owned()),
    ];
    let message = paths.termination_message(&pod.uid, &spec.name);
    files.push((message, spec.termination_message_path.clone()));
    let mut mounts: Vec<Mount> = files
        .into_iter()
        .filter(|(_, path)| volumes.iter().all(|volume| !volume.destination.starts_with(path)))
        .map(|(source, destination)| Mount {
            source,
            destination: destination.into(),
            readonly: false,
            fs_type: None,
            options: Vec::new(),
        })
        .collect();
    // Outer mounts before those below them, whatever the order of the manifest.
    let mut volumes = volumes;
    volumes.sort_by_key(|mount| mount.destination.components().count());
    mounts.splice(0..0, volumes);
    mounts
}

/// Who is killed first when memory runs out, by the classes of Kubernetes: best effort before
/// burstable before guaranteed, and a burstable container the sooner the less it asked for.
fn oom_score_adj(pod: &Pod, spec: &ContainerSpec, node_memory: u64) -> i32 {
    const GUARANTEED: i32 = -997;
    const BEST_EFFORT: i32 = 1000;
    if pod.critical {
        return GUARANTEED;
    }
    let guaranteed = |c: &ContainerSpec| {
        c.memory_limit.is_some()
            && c.cpu_limit_millis.is_some()
            && c.memory_request.is_none_or(|request| Some(request) == c.memory_limit)
            && c.cpu_request_millis.is_none_or(|request| Some(request) == c.cpu_limit_millis)
    };
    let asks = |c: &ContainerSpec| {
        [c.memory_limit, c.memory_request, c.cpu_limit_millis, c.cpu_request_millis]
            .iter()
            .any(Option::is_some)
    };
    if pod.all_containers().all(guaranteed) {
        return GUARANTEED;
    }
    if !pod.all_containers().any(asks) {
        return BEST_EFFORT;
    }
    let request = spec.memory_request.or(spec.memory_limit).unwrap_or(0);
    let share = u128::from(request) * 1000 / u128::from(node_memory.max(1));
    let share = i32::try_from(share).unwrap_or(1000).min(1000);
    (1000 - share).clamp(3, 999)
}
