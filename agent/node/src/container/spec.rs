//! From a [`ContainerConfig`] to the OCI runtime specification that libcontainer carries out.
//!
//! Pure: looks at nothing but its arguments. Refuses what could not work, with a reason, so that
//! nothing has been made yet when a container is refused.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxBuilder, LinuxDevice, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
    LinuxResources, LinuxResourcesBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use super::user::Identity;
use super::{ContainerConfig, Resources};
use super::{capabilities, mounts, seccomp};

const CPU_PERIOD_MICROS: u64 = 100_000;
/// The kernel refuses less.
const CPU_QUOTA_MIN_MICROS: u64 = 1_000;
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The soft limit suits programs that loop over all descriptors; others raise it themselves.
const DEFAULT_NOFILE: (u64, u64) = (1024, 524_288);

/// Show the hardware or the kernel's secrets; hidden from unprivileged containers.
const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Change the whole machine; read-only for unprivileged containers.
const READONLY_PATHS: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Why a configuration cannot become a container.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The id is not one.
    #[error("id {0:?} must be 1 to 64 characters of a-z, 0-9 and -")]
    Id(String),
    /// A path must be absolute and free of `..`.
    #[error("{what} {path:?} must be an absolute path without \"..\"")]
    Path {
        /// Which setting.
        what: &'static str,
        /// Its value.
        path: PathBuf,
    },
    /// Nothing to run.
    #[error("no program: the image has no command and the pod gives none")]
    NoProgram,
    /// No image.
    #[error("no layers: the root file system would be empty")]
    NoLayers,
    /// A string would be cut short at a NUL byte.
    #[error("{what} {value:?} contains a NUL byte")]
    Nul {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// No such capability.
    #[error("capability {0:?} does not exist; one is named like CAP_NET_ADMIN")]
    Capability(String),
    /// No such resource limit.
    #[error("resource limit {0:?} does not exist; one is named like RLIMIT_NOFILE")]
    Rlimit(String),
    /// A limit that would stop the container from ever starting.
    #[error("{what} {value} is not possible; the least is {least}")]
    Limit {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: i64,
        /// The least that works.
        least: i64,
    },
    /// A mount option that would be lost.
    #[error("mount option {option:?} of {destination:?} is not supported")]
    MountOption {
        /// The option.
        option: String,
        /// The mount's place in the container.
        destination: PathBuf,
    },
    /// A device outside of `/dev`.
    #[error("device {0:?} must be below /dev")]
    Device(PathBuf),
    /// The builders' own complaint.
    #[error("OCI specification")]
    Build(#[from] OciSpecError),
}

/// Everything that can be refused without looking at the root file system.
///
/// # Errors
/// The first thing that could never work.
pub fn check(config: &ContainerConfig) -> Result<(), SpecError> {
    let id_ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if config.id.is_empty() || config.id.len() > 64 || !config.id.chars().all(id_ok) {
        return Err(SpecError::Id(config.id.clone()));
    }
    if config.layers.is_empty() {
        return Err(SpecError::NoLayers);
    }
    if config.process.args.first().is_none_or(String::is_empty) {
        return Err(SpecError::NoProgram);
    }
    for arg in &config.process.args {
        refuse_nul("argument", arg)?;
    }
    for entry in &config.process.env {
        refuse_nul("environment entry", entry)?;
    }
    absolute("container folder", &config.dir)?;
    absolute("log path", &config.log_path)?;
    absolute("cgroup", &config.cgroup)?;
    if config.cgroup.components().count() < 2 {
        return Err(SpecError::Path { what: "cgroup", path: config.cgroup.clone() });
    }
    if !config.process.cwd.is_empty() {
        absolute("working directory", Path::new(&config.process.cwd))?;
    }
    for layer in &config.layers {
        absolute("layer", layer)?;
    }
    for device in &config.devices {
        absolute("device", &device.destination)?;
        if !device.destination.starts_with("/dev/") {
            return Err(SpecError::Device(device.destination.clone()));
        }
    }
    if !(-1000..=1000).contains(&config.process.oom_score_adj) {
        let value = i64::from(config.process.oom_score_adj);
        return Err(SpecError::Limit { what: "oom_score_adj", value, least: -1000 });
    }
    let limits = [
        ("memory limit", config.resources.memory_max),
        ("process limit", config.resources.pids_max),
        ("CPU limit", config.resources.cpu_limit_millis),
    ];
    for (what, limit) in limits {
        if limit == Some(0) {
            return Err(SpecError::Limit { what, value: 0, least: 1 });
        }
    }
    mounts::check(&config.mounts)?;
    capabilities::of(config)?;
    rlimits(config)?;
    Ok(())
}

/// The specification of `config` run by `identity`, with `rootfs` as its mounted root.
///
/// `devices` are the nodes that the container gets beside the default ones, looked up on the host.
///
/// # Errors
/// What [`check`] refuses.
pub fn runtime_spec(
    config: &ContainerConfig,
    identity: &Identity,
    rootfs: &Path,
    devices: Vec<LinuxDevice>,
) -> Result<Spec, SpecError> {
    check(config)?;
    let capabilities = capabilities::of(config)?;
    let process = &config.process;
    let user = UserBuilder::default()
        .uid(identity.uid)
        .gid(identity.gid)
        .additional_gids(identity.additional_gids.clone())
        .build()?;
    let mut process_spec = ProcessBuilder::default()
        .args(process.args.clone())
        .env(environment(config, identity))
        .cwd(if process.cwd.is_empty() { "/" } else { process.cwd.as_str() })
        .user(user)
        .capabilities(capabilities::sets(&capabilities)?)
        .rlimits(rlimits(config)?)
        .oom_score_adj(process.oom_score_adj)
        .terminal(process.terminal)
        .build()?;
    // Absent, not false: as soon as the field is there at all, libcontainer loads the filter after
    // it has dropped the capabilities, which the kernel refuses without no_new_privs.
    process_spec.set_no_new_privileges(process.no_new_privileges.then_some(true));

    let mut linux = LinuxBuilder::default()
        .cgroups_path(config.cgroup.clone())
        .resources(resources(&config.resources)?)
        .namespaces(namespaces(config)?)
        .devices(devices)
        .sysctl(config.sysctls.clone().into_iter().collect::<HashMap<_, _>>())
        .masked_paths(Vec::new())
        .readonly_paths(Vec::new());
    if !config.privileged {
        linux = linux.masked_paths(owned(MASKED_PATHS)).readonly_paths(owned(READONLY_PATHS));
        if config.seccomp {
            linux = linux.seccomp(seccomp::default_profile(&capabilities, std::env::consts::ARCH)?);
        }
    }
    let mut spec = SpecBuilder::default()
        .root(RootBuilder::default().path(rootfs).readonly(config.readonly_rootfs).build()?)
        .process(process_spec)
        .mounts(mounts::all(config)?)
        .linux(linux.build()?)
        .build()?;
    spec.set_hostname(config.hostname.clone().filter(|_| new_uts_namespace(config)));
    Ok(spec)
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn refuse_nul(what: &'static str, value: &str) -> Result<(), SpecError> {
    match value.contains('\0') {
        true => Err(SpecError::Nul { what, value: value.to_owned() }),
        false => Ok(()),
    }
}

pub(super) fn absolute(what: &'static str, path: &Path) -> Result<(), SpecError> {
    let plain = path.components().all(|c| !matches!(c, Component::ParentDir));
    match path.is_absolute() && plain && !path.as_os_str().as_encoded_bytes().contains(&0) {
        true => Ok(()),
        false => Err(SpecError::Path { what, path: path.to_owned() }),
    }
}

/// In order, a later value in the place of an earlier one, with defaults in front.
fn environment(config: &ContainerConfig, identity: &Identity) -> Vec<String> {
    let mut variables: Vec<(&str, &str)> =
        vec![("PATH", DEFAULT_PATH), ("HOME", identity.home.as_str())];
    if let Some(hostname) = &config.hostname {
        variables.push(("HOSTNAME", hostname));
    }
    if config.process.terminal {
        variables.push(("TERM", "xterm"));
    }
    for entry in &config.process.env {
        // An entry without a name or a value means nothing to anyone.
        let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            continue;
        };
        match variables.iter_mut().find(|(known, _)| *known == name) {
            Some(variable) => variable.1 = value,
            None => variables.push((name, value)),
        }
    }
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn rlimits(config: &ContainerConfig) -> Result<Vec<PosixRlimit>, SpecError> {
    let mut limits = Vec::new();
    for limit in &config.process.rlimits {
        let typ = PosixRlimitType::from_str(&limit.name.to_ascii_uppercase())
            .map_err(|_| SpecError::Rlimit(limit.name.clone()))?;
        limits.push((typ, limit.soft, limit.hard));
    }
    if !limits.iter().any(|(typ, ..)| *typ == PosixRlimitType::RlimitNofile) {
        limits.push((PosixRlimitType::RlimitNofile, DEFAULT_NOFILE.0, DEFAULT_NOFILE.1));
    }
    let build = |(typ, soft, hard)| {
        PosixRlimitBuilder::default().typ(typ).soft(soft).hard(hard).build().map_err(Into::into)
    };
    limits.into_iter().map(build).collect()
}

/// Each limit under the kernel's own name, so that nothing is converted on the way.
fn resources(resources: &Resources) -> Result<LinuxResources, OciSpecError> {
    // One process over the limit takes the container along: half a container is of no use.
    let mut files = HashMap::from([("memory.oom.group".to_owned(), "1".to_owned())]);
    if let Some(bytes) = resources.memory_max {
        files.insert("memory.max".into(), bytes.to_string());
    }
    if let Some(millis) = resources.cpu_limit_millis {
        let quota = millis.saturating_mul(CPU_PERIOD_MICROS / 1000).max(CPU_QUOTA_MIN_MICROS);
        files.insert("cpu.max".into(), format!("{quota} {CPU_PERIOD_MICROS}"));
    }
    if let Some(millis) = resources.cpu_request_millis {
        files.insert("cpu.weight".into(), cpu_weight(millis).to_string());
    }
    if let Some(processes) = resources.pids_max {
        files.insert("pids.max".into(), processes.to_string());
    }
    LinuxResourcesBuilder::default().unified(files).build()
}

/// `cpu.weight` for a request: 100, the kernel's default, for one core, and in proportion.
fn cpu_weight(millis: u64) -> u64 {
    (millis / 10).clamp(1, 10_000)
}

fn new_uts_namespace(config: &ContainerConfig) -> bool {
    config.namespaces.uts.is_none() && !config.namespaces.host_network
}

fn namespaces(config: &ContainerConfig) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let shared = &config.namespaces;
    let fresh = |typ| LinuxNamespaceBuilder::default().typ(typ).build();
    let joined = |typ, path: &Option<PathBuf>| match path {
        Some(path) => LinuxNamespaceBuilder::default().typ(typ).path(path.clone()).build(),
        None => fresh(typ),
    };
    let mut namespaces = vec![fresh(LinuxNamespaceType::Mount)?];
    if !shared.host_pid {
        namespaces.push(fresh(LinuxNamespaceType::Pid)?);
    }
    if !shared.host_ipc {
        namespaces.push(joined(LinuxNamespaceType::Ipc, &shared.ipc)?);
    }
    if !shared.host_network {
        namespaces.push(joined(LinuxNamespaceType::Uts, &shared.uts)?);
        namespaces.push(joined(LinuxNamespaceType::Network, &shared.network)?);
    }
    // A privileged container (a node agent) sees the node's cgroups.
    if !config.privileged {
        namespaces.push(fresh(LinuxNamespaceType::Cgroup)?);
    }
    Ok(namespaces)
}

#[cfg(test)]
mod tests;
