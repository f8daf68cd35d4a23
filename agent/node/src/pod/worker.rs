//! One task for each pod: looks, asks the state machine, saves what it remembers and carries out
//! the actions, one after the other. Decides nothing itself; never blocks the task's thread.

mod actions;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::backoff;
use super::clock::Now;
use super::configure::{ATTEMPT, CONTAINER_NAME, IMAGE_ID, NodeFacts, POD_UID, STOP_SIGNAL};
use super::files::Paths;
use super::images::{Images, chain};
use super::machine::{Action, ImageState, Instance, Observed, step};
use super::manifests::Wanted;
use super::memory::{Memory, StopReason};
use super::network::{PodAddresses, PodNetwork};
use super::status::{self, Reach};
use super::{records, volumes};
use crate::container::Runtime;

/// What all workers share.
pub struct Node {
    /// Containers.
    pub runtime: Arc<dyn Runtime>,
    /// Images.
    pub images: Arc<dyn Images>,
    /// Links, addresses and host ports.
    pub network: Arc<dyn PodNetwork>,
    /// Where files are.
    pub paths: Paths,
    /// Identity of this boot.
    pub boot_id: String,
    /// What the node contributes to every container.
    pub facts: RefCell<NodeFacts>,
    /// Statuses by pod UID, for the list.
    pub statuses: RefCell<BTreeMap<String, serde_json::Value>>,
    /// Images that are being pulled.
    pub pulling: RefCell<BTreeSet<String>>,
    /// The preloaded images are not all there yet: a missing one may still come.
    pub importing: std::cell::Cell<bool>,
    /// To the supervisor of all workers.
    pub events: mpsc::UnboundedSender<Event>,
}

/// What a worker tells its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A status changed.
    Status,
    /// A pull ended: image and error.
    Pulled(String, Option<String>),
    /// Nothing is left of the pod.
    Gone(String),
}

/// What the supervisor tells a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Containers, images or addresses may have changed: look again.
    Look,
    /// The node's resolver changed.
    Resolver,
    /// A pull ended: image and error.
    Pulled(String, Option<String>),
    /// End the pod, with so much time between `SIGTERM` and `SIGKILL`.
    Stop(StopReason, Duration),
}

/// The state of one worker.
pub struct Worker {
    node: Rc<Node>,
    wanted: Wanted,
    memory: Memory,
    orders: mpsc::UnboundedReceiver<Order>,
    observed: Observed,
    /// Made by this agent, or by an earlier one and found again by attaching once more.
    network: Option<PodAddresses>,
    sandbox: bool,
    /// Failures in a row of actions that the state machine has no back-off for.
    failures: u32,
    /// Signals that ask containers to end, by id, as their images name them.
    stop_signals: BTreeMap<String, String>,
    /// What was performed last, to notice actions that succeed and change nothing.
    performed: Vec<Action>,
}

impl Worker {
    /// A worker for `wanted`, with what was remembered of it.
    pub fn new(
        node: Rc<Node>,
        wanted: Wanted,
        remembered: Option<Memory>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let now = Now::read();
        let memory = match remembered {
            Some(memory) => memory.resume(&wanted.pod, &node.boot_id),
            None => Memory::new(&wanted.pod, &node.boot_id, now),
        };
        Self {
            node,
            wanted,
            memory,
            orders,
            observed: Observed::default(),
            network: None,
            sandbox: false,
            failures: 0,
            stop_signals: BTreeMap::new(),
            performed: Vec::new(),
        }
    }

    /// Runs the pod until it was stopped and nothing of it is left.
    pub async fn run(mut self) {
        let uid = self.wanted.pod.uid.clone();
        if let Err(error) = self.save_manifest().await {
            // It runs all the same; only its last good version is not on record.
            tracing::warn!(pod = self.name(), "{error}");
        }
        self.take_up_sandbox().await;
        loop {
            let before = self.memory.clone();
            while let Ok(order) = self.orders.try_recv() {
                self.obey(order).await;
            }
            if let Err(error) = self.look().await {
                tracing::error!(pod = self.name(), "{error}");
                self.failures = self.failures.saturating_add(1);
                self.wait(Some(Now::read().boot + backoff::delay(self.failures))).await;
                continue;
            }
            let mut step = step(&self.wanted.pod, &mut self.memory, &self.observed, Now::read());
            self.read_last_words(&before).await;
            self.save_memory(&before).await;
            self.publish();
            if step.gone {
                if self.clean_up().await {
                    break;
                }
                step.wake = Some(Now::read().boot + backoff::delay(self.failures));
            }
            let outcome = self.perform_all(&step.actions).await;
            self.save_memory(&before).await;
            self.publish();
            let idle = self.performed == step.actions && saved(&self.memory) == saved(&before);
            self.performed.clone_from(&step.actions);
            match outcome {
                Progress::Made if !idle => continue,
                Progress::Failed | Progress::Made => {
                    self.failures = self.failures.saturating_add(1);
                    let retry = Now::read().boot + backoff::delay(self.failures);
                    step.wake = Some(step.wake.map_or(retry, |wake| wake.min(retry)));
                }
                Progress::None if !step.gone => self.failures = 0,
                Progress::None => {}
            }
            self.wait(step.wake).await;
        }
        self.node.statuses.borrow_mut().remove(&uid);
        // The supervisor may be gone with the whole agent.
        let _ = self.node.events.send(Event::Gone(uid));
    }

    fn name(&self) -> String {
        self.wanted.pod.full_name()
    }

    /// Waits for an order, or until `wake` on the boot clock.
    async fn wait(&mut self, wake: Option<Duration>) {
        let first = match wake {
            None => self.orders.recv().await,
            Some(wake) => {
                let left = wake.saturating_sub(Now::read().boot);
                tokio::time::timeout(left, self.orders.recv()).await.unwrap_or_default()
            }
        };
        if let Some(order) = first {
            self.obey(order).await;
        }
    }

    async fn obey(&mut self, order: Order) {
        let now = Now::read();
        match order {
            Order::Look => {}
            Order::Resolver => self.rewrite_resolver().await,
            Order::Pulled(image, None) => self.memory.pull_succeeded(&self.wanted.pod, &image),
            Order::Pulled(image, Some(error)) => self.memory.pull_failed(&image, &error, now),
            Order::Stop(reason, grace) => self.memory.request_stop(reason, grace, now),
        }
    }

    /// Brings what is observed up to date.
    async fn look(&mut self) -> Result<(), String> {
        let (runtime, images) = (self.node.runtime.clone(), self.node.images.clone());
        let references: BTreeSet<String> =
            self.wanted.pod.all_containers().map(|spec| spec.image.clone()).collect();
        let found = blocking(move || {
            let containers = runtime.list().map_err(|error| chain(&error))?;
            let mut present = Vec::new();
            for reference in references {
                let found = images.find(&reference)?.is_some();
                present.push((reference, found));
            }
            Ok::<_, String>((containers, present))
        });
        let (containers, present) = found.await?;
        let uid = &self.wanted.pod.uid;
        self.observed.instances.clear();
        for (config, state) in containers {
            if config.labels.get(POD_UID) != Some(uid) {
                continue;
            }
            let label = |name: &str| config.labels.get(name).cloned().unwrap_or_default();
            self.stop_signals.insert(config.id.clone(), label(STOP_SIGNAL));
            self.observed.image_ids.insert(label(CONTAINER_NAME), label(IMAGE_ID));
            self.observed.instances.push(Instance {
                container: label(CONTAINER_NAME),
                attempt: label(ATTEMPT).parse().unwrap_or(0),
                id: config.id,
                state,
            });
        }
        let pulling = self.node.pulling.borrow();
        self.observed.images.clear();
        for (reference, found) in present {
            let state = if pulling.contains(&reference) {
                ImageState::Pulling
            } else if found {
                ImageState::Present
            } else if self.node.importing.get() {
                // It may be among the preloaded ones: look again when those are imported.
                ImageState::Pulling
            } else {
                ImageState::Absent
            };
            self.observed.images.insert(reference, state);
        }
        self.observed.sandbox = self.sandbox;
        Ok(())
    }

    fn publish(&self) {
        let host_ip = self.node.facts.borrow().host_ip;
        let pod_ips = match &self.network {
            Some(network) => network.addresses.clone(),
            None if self.wanted.pod.host_network => host_ip.into_iter().collect(),
            None => Vec::new(),
        };
        let reach = Reach { host_ip, pod_ips };
        let object = status::object(
            &self.wanted.pod,
            &self.wanted.manifest.pod,
            &self.memory,
            &self.observed,
            &reach,
            Now::read(),
        );
        let uid = &self.wanted.pod.uid;
        let mut statuses = self.node.statuses.borrow_mut();
        if statuses.get(uid) != Some(&object) {
            statuses.insert(uid.clone(), object);
            let _ = self.node.events.send(Event::Status);
        }
    }

    async fn save_manifest(&self) -> Result<(), String> {
        let path = self.node.paths.manifest(&self.wanted.pod.uid);
        let manifest = self.wanted.manifest.clone();
        blocking(move || {
            if path.exists() {
                return Ok(());
            }
            records::save(&path, &manifest).map_err(|error| chain(&error))
        })
        .await
    }

    async fn save_memory(&mut self, before: &Memory) {
        let memory = saved(&self.memory);
        if memory == saved(before) {
            return;
        }
        let path = self.node.paths.memory(&self.wanted.pod.uid);
        let outcome = blocking(move || records::save(&path, &memory)).await;
        if let Err(error) = outcome {
            // A full or broken disk must not stop the pod: what is remembered is in memory too.
            tracing::warn!(pod = self.name(), "{}", chain(&error));
        }
    }

    /// Removes what is left when the pod is gone for good. `false`: something is still in the way.
    async fn clean_up(&mut self) -> bool {
        let removed =
            self.memory.stop.as_ref().map(|stop| stop.reason) == Some(StopReason::Removed);
        if !removed {
            return true;
        }
        let (folder, logs) = {
            let (pod, paths) = (&self.wanted.pod, &self.node.paths);
            (paths.pod(&pod.uid), paths.pod_logs(pod))
        };
        let outcome =
            blocking(move || volumes::remove(&folder).and_then(|()| volumes::remove(&logs))).await;
        if let Err(error) = outcome {
            tracing::warn!(pod = self.name(), "{}", chain(&error));
            self.failures = self.failures.saturating_add(1);
            return false;
        }
        tracing::info!(pod = self.name(), "pod is gone");
        true
    }

    /// Performs actions in order; a failed one does not keep the others from being tried, because
    /// they belong to other containers.
    async fn perform_all(&mut self, actions: &[Action]) -> Progress {
        let mut progress = Progress::None;
        for action in actions {
            progress = progress.and(self.perform(action).await);
        }
        progress
    }
}

/// The part of a memory that goes to the disk.
fn saved(memory: &Memory) -> Memory {
    Memory { stop: None, ..memory.clone() }
}

/// What came of some actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing that would be seen by looking at once.
    None,
    /// Something changed: look at once.
    Made,
    /// Something failed that the state machine does not know of.
    Failed,
}

impl Progress {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed, _) | (_, Self::Failed) => Self::Failed,
            (Self::Made, _) | (_, Self::Made) => Self::Made,
            _ => Self::None,
        }
    }
}

/// Runs `work` on a thread where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
