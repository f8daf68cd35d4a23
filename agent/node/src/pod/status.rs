//! The `PodStatus` of a pod in Kubernetes' shape, from what is remembered and what is there. Pure.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::clock::Now;
use super::machine::{ImageState, Observed, ended_for_good};
use super::memory::{ContainerMemory, Ended, Failures, Memory};
use super::spec::{ContainerSpec, Pod, PullPolicy};
use crate::container::ContainerState;

#[cfg(test)]
mod tests;

/// Where a pod can be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// The node's address.
    pub host_ip: Option<IpAddr>,
    /// The pod's addresses; the node's on its own network.
    pub pod_ips: Vec<IpAddr>,
}

/// `status.phase`, as Kubernetes defines it.
pub fn phase(pod: &Pod, memory: &Memory, observed: &Observed) -> &'static str {
    let of = |spec: &ContainerSpec| memory.containers.get(&spec.name);
    if ended_for_good(pod, memory) {
        let failed = pod.all_containers().any(|spec| of(spec).is_some_and(ContainerMemory::failed));
        return if failed { "Failed" } else { "Succeeded" };
    }
    let initialised =
        pod.init_containers.iter().all(|spec| of(spec).is_some_and(ContainerMemory::succeeded));
    let started = |spec: &ContainerSpec| {
        let ended = of(spec).is_some_and(|container| container.last.is_some());
        let runs = observed
            .instances
            .iter()
            .any(|i| i.container == spec.name && matches!(i.state, ContainerState::Running { .. }));
        ended || runs
    };
    if initialised && pod.containers.iter().any(started) { "Running" } else { "Pending" }
}

/// The whole Pod object: the manifest with the node's metadata and status.
pub fn object(
    pod: &Pod,
    manifest: &Value,
    memory: &Memory,
    observed: &Observed,
    reach: &Reach,
    now: Now,
) -> Value {
    let mut annotations = pod.annotations.clone();
    annotations.insert("kubernetes.io/config.hash".to_owned(), pod.uid.clone());
    annotations.insert("kubernetes.io/config.source".to_owned(), "file".to_owned());
    let mut status = json!({
        "phase": phase(pod, memory, observed),
        "containerStatuses": statuses(&pod.containers, pod, memory, observed, now),
    });
    let mut set = |field: &str, value: Value| status[field] = value;
    if !pod.init_containers.is_empty() {
        let init = statuses(&pod.init_containers, pod, memory, observed, now);
        set("initContainerStatuses", init);
    }
    if let Some(started_at) = memory.started_at {
        set("startTime", time(started_at));
    }
    if let Some(ip) = reach.host_ip {
        set("hostIP", json!(ip));
        set("hostIPs", json!([{ "ip": ip }]));
    }
    if let Some(ip) = reach.pod_ips.first() {
        set("podIP", json!(ip));
        let all: Vec<Value> = reach.pod_ips.iter().map(|ip| json!({ "ip": ip })).collect();
        set("podIPs", json!(all));
    }
    if let Some(failures) = &memory.sandbox {
        set("reason", json!(failures.reason));
        set("message", json!(failures.message));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
            "labels": pod.labels,
            "annotations": annotations,
        },
        "spec": manifest.get("spec").cloned().unwrap_or(Value::Null),
        "status": status,
    })
}

fn statuses(
    specs: &[ContainerSpec],
    pod: &Pod,
    memory: &Memory,
    observed: &Observed,
    now: Now,
) -> Value {
    specs.iter().map(|spec| status(spec, pod, memory, observed, now)).collect()
}

fn status(
    spec: &ContainerSpec,
    pod: &Pod,
    memory: &Memory,
    observed: &Observed,
    now: Now,
) -> Value {
    let container = memory.containers.get(&spec.name).cloned().unwrap_or_default();
    let instance = observed.instances.iter().rfind(|instance| instance.container == spec.name);
    let last = container.last.as_ref();
    let mut state = json!({});
    let mut last_state = json!({});
    let (mut ready, mut id) = (false, last.map(|last| last.id.clone()));
    match instance.map(|instance| (&instance.state, &instance.id)) {
        Some((ContainerState::Running { started_at, .. }, running)) => {
            state = json!({ "running": { "startedAt": time(*started_at) } });
            last_state = last.map_or(json!({}), terminated);
            // Without a readiness probe a container that runs is ready.
            (ready, id) = (true, Some(running.clone()));
        }
        _ if container.done => {
            state = last.map_or(json!({}), terminated);
        }
        _ => {
            let (reason, message) = waiting(spec, pod, memory, &container, observed, now);
            state["waiting"] = json!({ "reason": reason });
            if let Some(message) = message {
                state["waiting"]["message"] = json!(message);
            }
            last_state = last.map_or(json!({}), terminated);
        }
    }
    // The restarts so far, not the one that is waited for.
    let restarts = if ready { container.attempt } else { last.map_or(0, |last| last.attempt) };
    let mut status = json!({
        "name": spec.name,
        "image": spec.image,
        "imageID": "",
        "ready": ready,
        "started": ready,
        "restartCount": restarts,
        "state": state,
        "lastState": last_state,
    });
    if let Some(id) = id {
        status["containerID"] = json!(format!("holm://{id}"));
    }
    status
}

/// Why a container does not run yet.
fn waiting(
    spec: &ContainerSpec,
    pod: &Pod,
    memory: &Memory,
    container: &ContainerMemory,
    observed: &Observed,
    now: Now,
) -> (String, Option<String>) {
    let failed = |failures: &Failures| (failures.reason.clone(), Some(failures.message.clone()));
    if let Some(failure) = &container.failure {
        return failed(failure);
    }
    let init = pod.init_containers.iter().any(|other| other.name == spec.name);
    let initialised = pod
        .init_containers
        .iter()
        .all(|other| memory.containers.get(&other.name).is_some_and(ContainerMemory::succeeded));
    if !init && !initialised {
        return ("PodInitializing".to_owned(), None);
    }
    if container.not_before.is_some_and(|until| until > now.boot) {
        let message = format!(
            "back-off after {} ends, restarting failed container={} pod={}",
            container.crashes,
            spec.name,
            pod.full_name()
        );
        return ("CrashLoopBackOff".to_owned(), Some(message));
    }
    let image = observed.images.get(&spec.image).copied().unwrap_or(ImageState::Absent);
    if spec.pull_policy == PullPolicy::Never && image == ImageState::Absent {
        let message = format!("image {} is not on the node, and its policy is Never", spec.image);
        return ("ErrImageNeverPull".to_owned(), Some(message));
    }
    match memory.pulls.get(&spec.image) {
        Some(pull) if pull.not_before > now.boot => {
            ("ImagePullBackOff".to_owned(), Some(pull.message.clone()))
        }
        Some(pull) => failed(pull),
        None => ("ContainerCreating".to_owned(), None),
    }
}

fn terminated(ended: &Ended) -> Value {
    let mut terminated = json!({
        "exitCode": ended.exit.code,
        "reason": ended.reason,
        "finishedAt": time(ended.exit.finished_at),
        "containerID": format!("holm://{}", ended.id),
    });
    if let Some(signal) = ended.exit.signal {
        terminated["signal"] = json!(signal);
    }
    if let Some(started_at) = ended.exit.started_at {
        terminated["startedAt"] = time(started_at);
    }
    if let Some(message) = &ended.message {
        terminated["message"] = json!(message);
    }
    json!({ "terminated": terminated })
}

/// Kubernetes' times have whole seconds.
fn time(at: Timestamp) -> Value {
    let seconds = Timestamp::from_second(at.as_second()).unwrap_or(at);
    json!(seconds.to_string())
}

/// A list of pods as the API server would give it.
pub fn list(pods: impl IntoIterator<Item = Value>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PodList",
        "metadata": {},
        "items": pods.into_iter().collect::<Vec<_>>(),
    })
}
