//! The columns of a pod, whose status is told from its containers.

use crate::{Value, time};
use jiff::Timestamp;

/// The reason that best tells how a pod is.
pub(super) fn status(pod: &Value) -> String {
    let status = &pod["status"];
    let mut reason = match status.str_at(&["reason"]) {
        "" => status.str_at(&["phase"]).to_owned(),
        reason => reason.to_owned(),
    };
    for condition in status.items_at(&["conditions"]) {
        if condition.str_at(&["type"]) == "PodScheduled"
            && condition.str_at(&["reason"]) == "SchedulingGated"
        {
            reason = "SchedulingGated".to_owned();
        }
    }
    let (initial, waiting) = initializing(pod);
    if let Some(waiting) = waiting {
        reason = waiting;
    }
    if !initial {
        reason = running(status, reason);
    }
    if pod.at(&["metadata", "deletionTimestamp"]).is_some() {
        if status.str_at(&["reason"]) == "NodeLost" {
            return "Unknown".to_owned();
        }
        if !matches!(status.str_at(&["phase"]), "Succeeded" | "Failed") {
            return "Terminating".to_owned();
        }
    }
    reason
}

fn is_sidecar(pod: &Value, name: &str) -> bool {
    pod.items_at(&["spec", "initContainers"]).iter().any(|container| {
        container.str_at(&["name"]) == name && container.str_at(&["restartPolicy"]) == "Always"
    })
}

fn ended(state: &Value) -> Option<String> {
    let terminated = state.get("terminated")?;
    let number = |name: &str| terminated.int_at(&[name]).unwrap_or_default();
    Some(match (terminated.str_at(&["reason"]), number("signal")) {
        ("", 0) => format!("ExitCode:{}", number("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    })
}

/// Whether init containers still run, and what to say of them.
fn initializing(pod: &Value) -> (bool, Option<String>) {
    let all = pod.items_at(&["spec", "initContainers"]).len();
    for (index, container) in pod.items_at(&["status", "initContainerStatuses"]).iter().enumerate()
    {
        let state = &container["state"];
        let exit = state.int_at(&["terminated", "exitCode"]);
        if state.get("terminated").is_some() && exit.unwrap_or_default() == 0 {
            continue;
        }
        if is_sidecar(pod, container.str_at(&["name"])) && container.bool_at(&["started"]) {
            continue;
        }
        let waiting = state.str_at(&["waiting", "reason"]);
        let reason = match ended(state) {
            Some(reason) => format!("Init:{reason}"),
            None if !waiting.is_empty() && waiting != "PodInitializing" => {
                format!("Init:{waiting}")
            }
            None => format!("Init:{index}/{all}"),
        };
        return (true, Some(reason));
    }
    (false, None)
}

fn running(status: &Value, mut reason: String) -> String {
    let mut has_running = false;
    for container in status.items_at(&["containerStatuses"]).iter().rev() {
        let state = &container["state"];
        let waiting = state.str_at(&["waiting", "reason"]);
        if !waiting.is_empty() {
            reason = waiting.to_owned();
        } else if let Some(ended) = ended(state) {
            reason = ended;
        } else if container.bool_at(&["ready"]) && state.get("running").is_some() {
            has_running = true;
        }
    }
    if reason == "Completed" && has_running {
        let ready = status.items_at(&["conditions"]).iter().any(|condition| {
            condition.str_at(&["type"]) == "Ready" && condition.str_at(&["status"]) == "True"
        });
        return if ready { "Running" } else { "NotReady" }.to_owned();
    }
    reason
}

/// `1/2`: containers that are ready, of all; sidecars count with the others.
pub(super) fn ready(pod: &Value) -> String {
    let sidecars = pod
        .items_at(&["spec", "initContainers"])
        .iter()
        .filter(|container| container.str_at(&["restartPolicy"]) == "Always")
        .count();
    let all = pod.items_at(&["spec", "containers"]).len() + sidecars;
    let is_ready = |container: &&Value| container.bool_at(&["ready"]);
    let first = pod.items_at(&["status", "initContainerStatuses"]).iter().filter(is_ready);
    let ready = first.filter(|container| is_sidecar(pod, container.str_at(&["name"]))).count()
        + pod.items_at(&["status", "containerStatuses"]).iter().filter(is_ready).count();
    format!("{ready}/{all}")
}

/// `3 (5m ago)`: how often containers were started again, and since when.
pub(super) fn restarts(pod: &Value, now: Timestamp) -> String {
    let (mut count, mut last) = (0, None);
    let first = pod.items_at(&["status", "initContainerStatuses"]).iter();
    let sidecars = first.filter(|one| is_sidecar(pod, one.str_at(&["name"])));
    for container in sidecars.chain(pod.items_at(&["status", "containerStatuses"])) {
        count += container.int_at(&["restartCount"]).unwrap_or_default();
        let ended = time::parse(container.str_at(&["lastState", "terminated", "finishedAt"]));
        last = last.max(ended);
    }
    match last {
        Some(last) if count > 0 => {
            format!("{count} ({} ago)", time::age(now.as_second() - last.as_second()))
        }
        _ => count.to_string(),
    }
}
