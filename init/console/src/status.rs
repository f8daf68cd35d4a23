//! From the texts that a node's parts leave behind to its state. What is missing
//! or cannot be read is left out: a dashboard shows what there is.

use crate::messages::Messages;
use crate::plain::clean;
use crate::state::{Filling, Link, Pod, Service, State};
use serde::Deserialize;
use std::time::Duration;

/// Errors that a state carries; a page shows as many as it has room for.
const MOST_ERRORS: usize = 40;

/// The texts, each as it was read; empty where there is none.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// PID 1's answer to `{"op":"status"}`.
    pub status: String,
    /// Why there is no answer.
    pub no_status: Option<String>,
    /// `/run/holm/hostname`
    pub hostname: String,
    /// `/etc/os-release`
    pub os_release: String,
    /// `/proc/cmdline`
    pub cmdline: String,
    /// The file names of the boot loader's entries.
    pub entries: Vec<String>,
    /// `/run/holm/update.json`
    pub update: String,
    /// `/run/holm/network.json`
    pub network: String,
    /// `/run/holm/pods.json`
    pub pods: String,
    /// `/proc/loadavg`
    pub loadavg: String,
    /// `/proc/meminfo`
    pub meminfo: String,
    /// `/proc/uptime`
    pub uptime: String,
    /// The file system of the data partition.
    pub data: Option<Filling>,
    /// The temperature of each thermal zone.
    pub temperatures: Vec<String>,
    /// The end of the agent's log.
    pub agent_log: String,
}

/// The state that the texts tell of.
pub fn read(known: &Known, messages: &Messages) -> State {
    let release = |key: &str| assigned(&known.os_release, key);
    let mut state = State {
        hostname: clean(&known.hostname),
        version: release("PRETTY_NAME").unwrap_or_else(|| "Holm".to_owned()),
        board: release("VARIANT_ID").unwrap_or_default(),
        slot: slot(&known.cmdline, &known.entries),
        update: update(&known.update),
        uptime: uptime(&known.uptime),
        load: known.loadavg.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
        memory: memory(&known.meminfo),
        data: known.data,
        temperature: known.temperatures.iter().filter_map(|t| t.trim().parse().ok()).max(),
        unknown: known.no_status.clone(),
        pods: pods(&known.pods),
        ..State::default()
    };
    state.errors = messages.complaints(MOST_ERRORS);
    let agent = known.agent_log.lines().filter(|line| line.contains(" error: "));
    state.errors.extend(agent.map(|line| format!("agent {}", clean(line))));
    let surplus = state.errors.len().saturating_sub(MOST_ERRORS);
    state.errors.drain(..surplus);
    take_status(&known.status, &mut state);
    take_network(&known.network, &mut state);
    state
}

/// The value of an assignment in `os-release`, without its quotes.
fn assigned(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(clean(value.trim_matches('"')))
}

/// The slot of the command line, and whether its entry still counts its tries:
/// <https://uapi-group.org/specifications/specs/boot_loader_specification/#boot-counting>.
fn slot(cmdline: &str, entries: &[String]) -> String {
    let Some(slot) = cmdline.split_whitespace().find_map(|word| word.strip_prefix("holm.slot="))
    else {
        return String::new();
    };
    let entry = |entry: &&String| {
        let rest = entry.strip_prefix("holm-")?.strip_prefix(slot)?.strip_suffix(".efi")?;
        match rest.strip_prefix('+') {
            None if !rest.is_empty() => None,
            count => Some(count.map(str::to_owned)),
        }
    };
    let slot = clean(slot);
    match entries.iter().find_map(|name| entry(&name)) {
        Some(None) => format!("slot {slot}, good"),
        Some(Some(count)) => {
            let left = count.split('-').next().unwrap_or_default();
            format!("slot {slot}, on trial, {left} tries left")
        }
        None => format!("slot {slot}"),
    }
}

fn uptime(text: &str) -> Duration {
    let seconds = text.split(['.', ' ']).next().and_then(|word| word.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

fn memory(meminfo: &str) -> Option<Filling> {
    let kilobytes = |key: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let (size, free) = (kilobytes("MemTotal")?, kilobytes("MemAvailable")?);
    Some(Filling { used: size.saturating_sub(free) << 10, size: size << 10 })
}

/// What the updater says, in its own words.
#[derive(Deserialize)]
struct Update {
    summary: String,
}

fn update(text: &str) -> String {
    serde_json::from_str(text).map(|update: Update| clean(&update.summary)).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    #[serde(default)]
    ready_ms: Option<u64>,
    #[serde(default)]
    failed_phases: Vec<FailedPhase>,
    #[serde(default)]
    watchdog: bool,
    #[serde(default)]
    shutting_down: bool,
    #[serde(default)]
    services: Vec<ServiceStatus>,
}

#[derive(Deserialize)]
struct FailedPhase {
    name: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ServiceStatus {
    name: String,
    state: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    last_exit: Option<String>,
}

fn take_status(text: &str, state: &mut State) {
    let Ok(status) = serde_json::from_str::<Status>(text) else {
        return;
    };
    state.ready = status.ready_ms.map(Duration::from_millis);
    state.watchdog = status.watchdog;
    state.going_down = status.shutting_down;
    let failed = status.failed_phases.into_iter();
    state.failed_phases = failed.map(|phase| (clean(&phase.name), clean(&phase.reason))).collect();
    let services = status.services.into_iter().map(|service| Service {
        name: clean(&service.name),
        state: clean(&service.state),
        status: clean(&service.status),
        last_exit: service.last_exit.as_deref().map(clean),
    });
    state.services = services.collect();
}

#[derive(Deserialize)]
struct Network {
    #[serde(default)]
    links: Vec<NetworkLink>,
    #[serde(default)]
    gateways: Vec<Gateway>,
    #[serde(default)]
    dns: Vec<String>,
}

#[derive(Deserialize)]
struct NetworkLink {
    name: String,
    #[serde(default)]
    carrier: bool,
    #[serde(default)]
    addresses: Vec<String>,
}

#[derive(Deserialize)]
struct Gateway {
    address: String,
}

fn take_network(text: &str, state: &mut State) {
    let Ok(network) = serde_json::from_str::<Network>(text) else {
        return;
    };
    let shown = |address: &String| !address.starts_with("fe80:");
    let links = network.links.into_iter().map(|link| Link {
        name: clean(&link.name),
        carrier: link.carrier,
        addresses: link.addresses.iter().filter(|a| shown(a)).map(|a| clean(a)).collect(),
    });
    state.links = links.collect();
    state.gateways = network.gateways.iter().map(|gateway| clean(&gateway.address)).collect();
    state.dns = network.dns.iter().map(|server| clean(server)).collect();
}

#[derive(Deserialize)]
struct PodList {
    items: Vec<PodObject>,
}

#[derive(Deserialize)]
struct PodObject {
    metadata: Metadata,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    reason: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: String,
    container_statuses: Vec<Container>,
    init_container_statuses: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    ready: bool,
    restart_count: u64,
    state: ContainerState,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ContainerState {
    waiting: Option<Waiting>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Waiting {
    reason: String,
}

fn pods(text: &str) -> Option<Vec<Pod>> {
    let list: PodList = serde_json::from_str(text).ok()?;
    Some(list.items.into_iter().map(pod).collect())
}

/// What holds a pod up says more than its phase.
fn pod(PodObject { metadata, status }: PodObject) -> Pod {
    let all = status.init_container_statuses.iter().chain(&status.container_statuses);
    let held_up = all
        .filter_map(|container| container.state.waiting.as_ref())
        .map(|waiting| waiting.reason.as_str())
        .find(|reason| !reason.is_empty() && *reason != "PodInitializing");
    let containers = &status.container_statuses;
    Pod {
        name: clean(&format!("{}/{}", metadata.namespace, metadata.name)),
        status: clean(held_up.or(status.reason.as_deref()).unwrap_or(&status.phase)),
        ready: (containers.iter().filter(|c| c.ready).count(), containers.len()),
        restarts: containers.iter().map(|container| container.restart_count).sum(),
        ip: clean(&status.pod_ip),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
