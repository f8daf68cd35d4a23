//! What the node remembers of a pod between two steps of its state machine, and across restarts of
//! the agent and of the machine (`/data/pods/<uid>/status.json`). Pure data: no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backoff;
use super::clock::Now;
use super::spec::{ContainerSpec, Pod, RestartPolicy};
use crate::container::Exit;

/// All that is remembered of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The boot in which [`Duration`]s below were counted; another boot makes them void.
    pub boot_id: String,
    /// When the node took the pod on.
    pub started_at: Option<Timestamp>,
    /// By name; init containers and containers share one space of names.
    pub containers: BTreeMap<String, ContainerMemory>,
    /// Failed pulls, by image reference.
    pub pulls: BTreeMap<String, Failures>,
    /// Failed attempts to make the pod's network and volumes.
    pub sandbox: Option<Failures>,
    /// Set once the pod shall end. Never saved: whoever wants it gone says so again.
    #[serde(skip)]
    pub stop: Option<Stop>,
}

/// What is remembered of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMemory {
    /// Number of the instance that exists, or that is made next. The first is 0.
    pub attempt: u32,
    /// How the latest instance that ended did so.
    pub last: Option<Ended>,
    /// Ends in a row that count for the back-off.
    pub crashes: u32,
    /// No new instance before this time on the boot clock.
    pub not_before: Option<Duration>,
    /// It ended and is not started again.
    pub done: bool,
    /// Creating or starting it failed.
    pub failure: Option<Failures>,
    /// With pull policy `Always`: the attempt for which the image was pulled.
    pub pulled_for: Option<u32>,
}

/// The end of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Number of the instance.
    pub attempt: u32,
    /// Its id in the runtime.
    pub id: String,
    /// Status, signal and times.
    pub exit: Exit,
    /// `Completed`, `Error`, `OOMKilled` or `ContainerStatusUnknown`.
    pub reason: String,
    /// What the container left in its termination message file.
    #[serde(default)]
    pub message: Option<String>,
}

/// Failures in a row of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// No further attempt before this time on the boot clock.
    pub not_before: Duration,
    /// One word, such as `ErrImagePull`.
    pub reason: String,
    /// The latest error, its causes included.
    pub message: String,
}

impl Failures {
    fn add(previous: Option<&Self>, reason: &str, message: &str, now: Now) -> Self {
        let count = previous.map_or(0, |failures| failures.count).saturating_add(1);
        let not_before = now.boot + backoff::delay(count);
        Self { count, not_before, reason: reason.to_owned(), message: message.to_owned() }
    }
}

/// Why a pod has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Its manifest is gone or was changed: nothing of it stays.
    Removed,
    /// The node goes down: it runs again after the next boot, so its data stays.
    Shutdown,
}

/// A pod that is being ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub reason: StopReason,
    /// `SIGKILL` follows at this time on the boot clock.
    pub deadline: Duration,
    /// Instances that were asked to end, and those killed with the time of the latest attempt.
    pub asked: BTreeMap<String, Option<Duration>>,
}

impl Memory {
    /// A pod that was never seen before.
    pub fn new(pod: &Pod, boot_id: &str, now: Now) -> Self {
        let mut memory =
            Self { boot_id: boot_id.to_owned(), started_at: Some(now.wall), ..Self::default() };
        memory.complete(pod);
        memory
    }

    /// Takes up a saved memory. After a reboot all delays are void and init containers run again,
    /// because the pod's network and everything in memory are new.
    pub fn resume(mut self, pod: &Pod, boot_id: &str) -> Self {
        self.complete(pod);
        if self.boot_id == boot_id {
            return self;
        }
        boot_id.clone_into(&mut self.boot_id);
        self.pulls.clear();
        self.sandbox = None;
        let ended = pod.containers.iter().all(|c| self.containers[&c.name].done);
        let failed = pod.init_containers.iter().any(|c| self.containers[&c.name].failed());
        for container in self.containers.values_mut() {
            container.crashes = 0;
            container.not_before = None;
            container.failure = None;
        }
        if !ended && !failed {
            for spec in &pod.init_containers {
                if let Some(container) = self.containers.get_mut(&spec.name) {
                    container.done = false;
                }
            }
        }
        self
    }

    fn complete(&mut self, pod: &Pod) {
        for spec in pod.all_containers() {
            self.containers.entry(spec.name.clone()).or_default();
        }
    }

    /// Asks for the end of the pod. A second request can only shorten the time that is left, and
    /// a removal outranks a shutdown.
    pub fn request_stop(&mut self, reason: StopReason, grace: Duration, now: Now) {
        let deadline = now.boot + grace;
        match &mut self.stop {
            None => self.stop = Some(Stop { reason, deadline, asked: BTreeMap::new() }),
            Some(stop) => {
                stop.deadline = stop.deadline.min(deadline);
                if reason == StopReason::Removed {
                    stop.reason = reason;
                }
            }
        }
    }

    /// Notes that creating or starting a container failed.
    pub fn create_failed(&mut self, name: &str, reason: &str, message: &str, now: Now) {
        if let Some(container) = self.containers.get_mut(name) {
            container.failure =
                Some(Failures::add(container.failure.as_ref(), reason, message, now));
        }
    }

    /// Notes that network or volumes could not be made.
    pub fn sandbox_failed(&mut self, reason: &str, message: &str, now: Now) {
        self.sandbox = Some(Failures::add(self.sandbox.as_ref(), reason, message, now));
    }

    /// Notes that network and volumes are there.
    pub fn sandbox_made(&mut self) {
        self.sandbox = None;
    }

    /// Notes a failed pull.
    pub fn pull_failed(&mut self, image: &str, message: &str, now: Now) {
        let failures = Failures::add(self.pulls.get(image), "ErrImagePull", message, now);
        self.pulls.insert(image.to_owned(), failures);
    }

    /// Notes that an image was pulled just now.
    pub fn pull_succeeded(&mut self, pod: &Pod, image: &str) {
        self.pulls.remove(image);
        for spec in pod.all_containers() {
            if spec.image == image
                && let Some(container) = self.containers.get_mut(&spec.name)
            {
                container.pulled_for = Some(container.attempt);
            }
        }
    }

    /// Notes how an instance ended, and decides whether and when another one follows. `false` when
    /// this end is known already.
    pub fn record_end(&mut self, pod: &Pod, spec: &ContainerSpec, ended: Ended, now: Now) -> bool {
        let stopping = self.stop.is_some();
        let init = pod.init_containers.iter().any(|c| c.name == spec.name);
        let container = self.containers.entry(spec.name.clone()).or_default();
        if container.last.as_ref().is_some_and(|last| last.attempt >= ended.attempt) {
            return false;
        }
        // An end that the container did not choose says nothing about the container.
        let interrupted = stopping || ended.reason == UNKNOWN;
        let success = ended.exit.code == 0 && !interrupted;
        let again = match pod.restart_policy {
            RestartPolicy::Always => !(init && success),
            RestartPolicy::OnFailure => !success,
            RestartPolicy::Never => false,
        };
        container.done = !again;
        container.failure = None;
        container.attempt = ended.attempt.saturating_add(1);
        if again && !interrupted {
            let ran =
                ended.exit.started_at.map(|start| ended.exit.finished_at.duration_since(start));
            if ran.and_then(|ran| ran.try_into().ok()) >= Some(backoff::RESET_AFTER) {
                container.crashes = 0;
            }
            container.not_before = Some(now.boot + backoff::delay(container.crashes));
            container.crashes = container.crashes.saturating_add(1);
        } else {
            container.crashes = 0;
            container.not_before = None;
        }
        container.last = Some(ended);
        true
    }
}

/// The reason of an end that nobody saw.
pub const UNKNOWN: &str = "ContainerStatusUnknown";

impl ContainerMemory {
    /// It ended for good, and not well.
    pub fn failed(&self) -> bool {
        self.done && self.last.as_ref().is_some_and(|last| last.exit.code != 0)
    }

    /// It ended for good, and well.
    pub fn succeeded(&self) -> bool {
        self.done && !self.failed()
    }
}
