//! The state machine of one pod: (pod, memory, what is there, now) → (memory, actions, when to look
//! again). Pure. It never waits, never acts, and called twice it asks for nothing new.
//!
//! First the pod as a whole:
//!
//! | state                    | asked to stop                       | otherwise                        |
//! |--------------------------|-------------------------------------|----------------------------------|
//! | an instance has ended    | record, `Delete`                    | record, `Delete`                 |
//! | an instance is not known | `Kill`, then `Delete`               | `Kill`, then `Delete`            |
//! | instances run            | `Terminate`, at the deadline `Kill` | see below                        |
//! | none is left             | `RemoveSandbox`, then gone          | ended for good: `RemoveSandbox`  |
//! | no network, no volumes   | gone                                | `MakeSandbox`, with back-off     |
//! | an init container failed |                                     | kill the rest, `RemoveSandbox`   |
//! | init containers are left |                                     | the first of them, see below     |
//! | init containers are done |                                     | every container, see below       |
//!
//! Then one container, once it is its turn:
//!
//! | instance | image                                  | action                                 |
//! |----------|----------------------------------------|----------------------------------------|
//! | running  |                                        | none                                   |
//! | created  |                                        | `Start`                                |
//! | none     | ended for good                         | none                                   |
//! | none     | in back-off                            | none until the back-off ends           |
//! | none     | missing (or policy `Always`, not yet)  | `Pull`, with back-off                  |
//! | none     | missing, policy `Never`                | none until images change               |
//! | none     | there                                  | `Create` (which starts it)             |

use std::collections::BTreeMap;
use std::time::Duration;

use super::clock::Now;
use super::memory::{Ended, Memory, Stop, UNKNOWN};
use super::spec::{ContainerSpec, Pod, PullPolicy, RestartPolicy};
use crate::container::{ContainerState, Exit};

/// One container that the runtime has for this pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Name of the container in the pod.
    pub container: String,
    /// Which of its instances.
    pub attempt: u32,
    /// Id in the runtime.
    pub id: String,
    /// What it does.
    pub state: ContainerState,
}

/// What the node has of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageState {
    /// It can be used.
    Present,
    /// It cannot.
    Absent,
    /// A pull is under way.
    Pulling,
}

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// All instances that the runtime has for this pod.
    pub instances: Vec<Instance>,
    /// By image reference; a missing one counts as absent.
    pub images: BTreeMap<String, ImageState>,
    /// Network and volumes are made.
    pub sandbox: bool,
}

/// What has to be done. In order; one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin to pull an image; its end is reported later.
    Pull {
        /// Image reference.
        image: String,
    },
    /// Make network and volumes.
    MakeSandbox,
    /// Remove the network and unmount the volumes. Their data stays until the pod is gone.
    RemoveSandbox,
    /// Create and start an instance.
    Create {
        /// Name of the container.
        container: String,
        /// Which instance.
        attempt: u32,
    },
    /// Start an instance that was created before.
    Start {
        /// Name of the container.
        container: String,
        /// Id in the runtime.
        id: String,
    },
    /// Ask an instance to end, by the signal that its image names.
    Terminate {
        /// Name of the container.
        container: String,
        /// Id in the runtime.
        id: String,
    },
    /// Kill every process of an instance.
    Kill {
        /// Id in the runtime.
        id: String,
    },
    /// Remove what an ended instance left.
    Delete {
        /// Id in the runtime.
        id: String,
    },
}

/// The outcome of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// To be done now.
    pub actions: Vec<Action>,
    /// Look again at this time on the boot clock, even when nothing happens before.
    pub wake: Option<Duration>,
    /// A stop was asked for, and nothing is left.
    pub gone: bool,
}

impl Step {
    fn wake_at(&mut self, at: Duration) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

/// A kill that did not end an instance is repeated after this time.
const KILL_AGAIN: Duration = Duration::from_secs(10);

/// Decides what has to be done for `pod` now. `memory` is brought up to date; when it changed it
/// must be saved before the actions are performed, because they destroy what it was made from.
pub fn step(pod: &Pod, memory: &mut Memory, observed: &Observed, now: Now) -> Step {
    let mut step = Step::default();
    let live = settle(pod, memory, observed, now, &mut step);
    if let Some(stop) = &mut memory.stop {
        end_instances(&live, stop, now, &mut step);
        if live.is_empty() && step.actions.is_empty() {
            step.gone = !observed.sandbox;
            if observed.sandbox {
                step.actions.push(Action::RemoveSandbox);
            }
        }
        return step;
    }
    if ended_for_good(pod, memory) {
        for instance in &live {
            step.actions.push(Action::Kill { id: instance.id.clone() });
            step.wake_at(now.boot + KILL_AGAIN);
        }
        if live.is_empty() && observed.sandbox {
            step.actions.push(Action::RemoveSandbox);
        }
        return step;
    }
    if !observed.sandbox {
        match &memory.sandbox {
            Some(failures) if failures.not_before > now.boot => step.wake_at(failures.not_before),
            _ => step.actions.push(Action::MakeSandbox),
        }
        return step;
    }
    if let Some(next) = next_init(pod, memory, &live) {
        advance(next, memory, observed, &live, now, &mut step);
        return step;
    }
    for spec in &pod.containers {
        advance(spec, memory, observed, &live, now, &mut step);
    }
    step
}

/// Nothing of the pod will run again: its containers are done, or an init container failed.
pub fn ended_for_good(pod: &Pod, memory: &Memory) -> bool {
    let of = |spec: &ContainerSpec| memory.containers.get(&spec.name);
    pod.restart_policy != RestartPolicy::Always
        && (pod.containers.iter().all(|spec| of(spec).is_some_and(|c| c.done))
            || pod.init_containers.iter().any(|spec| of(spec).is_some_and(|c| c.failed())))
}

/// The init container whose turn it is. Once a container of the pod proper was started in this
/// sandbox, init containers that are not marked done are history.
fn next_init<'a>(pod: &'a Pod, memory: &Memory, live: &[&Instance]) -> Option<&'a ContainerSpec> {
    if pod.containers.iter().any(|spec| live.iter().any(|i| i.container == spec.name)) {
        return None;
    }
    pod.init_containers
        .iter()
        .find(|spec| !memory.containers.get(&spec.name).is_some_and(|c| c.succeeded()))
}

/// Records and deletes what ended, kills what should not be there, and returns the rest: at most
/// one instance of each container, none of them ended.
fn settle<'a>(
    pod: &Pod,
    memory: &mut Memory,
    observed: &'a Observed,
    now: Now,
    step: &mut Step,
) -> Vec<&'a Instance> {
    // Oldest first, so that ends are recorded in the order in which they happened.
    let mut instances: Vec<&Instance> = observed.instances.iter().collect();
    instances.sort_by_key(|instance| (&instance.container, instance.attempt));
    let mut live = Vec::new();
    for (index, instance) in instances.iter().enumerate() {
        let spec = pod.all_containers().find(|spec| spec.name == instance.container);
        if let Some((exit, reason)) = end_of(&instance.state, now) {
            if let Some(spec) = spec {
                let ended = Ended {
                    attempt: instance.attempt,
                    id: instance.id.clone(),
                    exit,
                    reason: reason.to_owned(),
                    message: None,
                };
                let news = memory.record_end(pod, spec, ended, now);
                if news && !observed.sandbox {
                    forget_success_of_init(pod, memory, spec);
                }
            }
            step.actions.push(Action::Delete { id: instance.id.clone() });
            continue;
        }
        let newest = instances[index + 1..].iter().all(|i| i.container != instance.container);
        if spec.is_none() || !newest {
            step.actions.push(Action::Kill { id: instance.id.clone() });
            step.wake_at(now.boot + KILL_AGAIN);
            continue;
        }
        if let Some(container) = memory.containers.get_mut(&instance.container) {
            // What runs is the truth, whatever was saved.
            container.attempt = instance.attempt;
            container.done = false;
            if matches!(instance.state, ContainerState::Running { .. }) {
                container.failure = None;
                container.not_before = None;
            }
        }
        live.push(*instance);
    }
    live
}

/// What an init container prepared is gone with the sandbox, even if its end is only seen now.
fn forget_success_of_init(pod: &Pod, memory: &mut Memory, spec: &ContainerSpec) {
    let init = pod.init_containers.iter().any(|c| c.name == spec.name);
    if let Some(container) = memory.containers.get_mut(&spec.name).filter(|_| init) {
        container.done = container.failed();
    }
}

fn end_of(state: &ContainerState, now: Now) -> Option<(Exit, &'static str)> {
    match state {
        ContainerState::Created { .. } | ContainerState::Running { .. } => None,
        ContainerState::Exited(exit) => {
            let reason = match exit {
                Exit { oom_killed: true, .. } => "OOMKilled",
                Exit { code: 0, .. } => "Completed",
                _ => "Error",
            };
            Some((exit.clone(), reason))
        }
        ContainerState::Unknown => {
            let exit = Exit {
                code: 137,
                signal: None,
                oom_killed: false,
                started_at: None,
                finished_at: now.wall,
            };
            Some((exit, UNKNOWN))
        }
    }
}

fn end_instances(live: &[&Instance], stop: &mut Stop, now: Now, step: &mut Step) {
    for instance in live {
        let created = matches!(instance.state, ContainerState::Created { .. });
        let asked = stop.asked.get(&instance.id).copied();
        if created || now.boot >= stop.deadline {
            match asked.flatten() {
                Some(killed) if now.boot < killed + KILL_AGAIN => {
                    step.wake_at(killed + KILL_AGAIN);
                }
                _ => {
                    stop.asked.insert(instance.id.clone(), Some(now.boot));
                    step.actions.push(Action::Kill { id: instance.id.clone() });
                    step.wake_at(now.boot + KILL_AGAIN);
                }
            }
            continue;
        }
        if asked.is_none() {
            stop.asked.insert(instance.id.clone(), None);
            let (container, id) = (instance.container.clone(), instance.id.clone());
            step.actions.push(Action::Terminate { container, id });
        }
        step.wake_at(stop.deadline);
    }
}

fn advance(
    spec: &ContainerSpec,
    memory: &Memory,
    observed: &Observed,
    live: &[&Instance],
    now: Now,
    step: &mut Step,
) {
    let Some(container) = memory.containers.get(&spec.name) else { return };
    let instance = live.iter().find(|instance| instance.container == spec.name);
    let failed_until = container.failure.as_ref().map(|failure| failure.not_before);
    if let Some(until) = failed_until.filter(|until| *until > now.boot) {
        return step.wake_at(until);
    }
    if let Some(instance) = instance {
        if matches!(instance.state, ContainerState::Created { .. }) {
            let (container, id) = (spec.name.clone(), instance.id.clone());
            step.actions.push(Action::Start { container, id });
        }
        return;
    }
    if container.done {
        return;
    }
    // An instance whose end is being cleaned up still owns its name: one at a time.
    let cleaning = observed.instances.iter().any(|instance| instance.container == spec.name);
    if cleaning {
        return;
    }
    if let Some(until) = container.not_before.filter(|until| *until > now.boot) {
        return step.wake_at(until);
    }
    let image = observed.images.get(&spec.image).copied().unwrap_or(ImageState::Absent);
    let must_pull = match (spec.pull_policy, image) {
        (_, ImageState::Pulling) => return,
        (PullPolicy::Never, ImageState::Absent) => return,
        (PullPolicy::Never, ImageState::Present) => false,
        (PullPolicy::IfNotPresent, image) => image == ImageState::Absent,
        (PullPolicy::Always, image) => {
            image == ImageState::Absent || container.pulled_for != Some(container.attempt)
        }
    };
    if !must_pull {
        let (container, attempt) = (spec.name.clone(), container.attempt);
        return step.actions.push(Action::Create { container, attempt });
    }
    match memory.pulls.get(&spec.image) {
        Some(failures) if failures.not_before > now.boot => step.wake_at(failures.not_before),
        _ => {
            let pull = Action::Pull { image: spec.image.clone() };
            if !step.actions.contains(&pull) {
                step.actions.push(pull);
            }
        }
    }
}

#[cfg(test)]
#[path = "machine/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "machine/simulation.rs"]
mod simulation;
