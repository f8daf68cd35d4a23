//! All pods of the node: one worker for each, started and stopped as the manifests ask. The pure
//! part decides which; the rest carries messages.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::configure::POD_UID;
use super::images::chain;
use super::manifests::{Wanted, from_record};
use super::memory::{Memory, StopReason};
use super::records::Record;
use super::worker::{Event, Node, Order, Worker};
use super::{status, volumes};
use crate::container::ContainerState;

/// One pod that has a worker.
struct Member {
    orders: mpsc::UnboundedSender<Order>,
    full_name: String,
    critical: bool,
    grace: Duration,
    images: Vec<String>,
    stopping: bool,
    task: tokio::task::AbortHandle,
}

impl Drop for Member {
    fn drop(&mut self) {
        // A worker without a supervisor would go on by itself.
        self.task.abort();
    }
}

/// Starts and stops the workers.
pub struct Supervisor {
    node: Rc<Node>,
    members: BTreeMap<String, Member>,
    wanted: Vec<Wanted>,
    remembered: BTreeMap<String, Memory>,
    states: BTreeMap<String, Vec<(String, ContainerState)>>,
    list_is_old: bool,
    going_down: bool,
}

/// A worker to start or to stop, by pod UID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Start a worker for it.
    Start(String),
    /// Ask its worker to end it.
    Stop(String),
}

/// What a member looks like to [`plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// UID of the pod.
    pub uid: String,
    /// Its namespace and name.
    pub full_name: String,
    /// It was asked to end.
    pub stopping: bool,
}

/// Decides which workers to start and to stop. A pod waits until the one of the same name before
/// it is gone: both may want the same ports and the same files. Pure.
pub fn plan(members: &[MemberView], wanted: &[Wanted]) -> Vec<Change> {
    let is_wanted = |uid: &str| wanted.iter().any(|wanted| wanted.pod.uid == uid);
    let stops = members
        .iter()
        .filter(|member| !member.stopping && !is_wanted(&member.uid))
        .map(|member| Change::Stop(member.uid.clone()));
    let starts = wanted
        .iter()
        .filter(|wanted| {
            let name = wanted.pod.full_name();
            members.iter().all(|m| m.uid != wanted.pod.uid && m.full_name != name)
        })
        .map(|wanted| Change::Start(wanted.pod.uid.clone()));
    stops.chain(starts).collect()
}

impl Supervisor {
    /// Takes up the pods of an earlier agent: those on record get a worker, and what belongs to no
    /// pod on record is removed. Returns what went wrong with the latter.
    pub async fn take_up(node: Rc<Node>, records: Vec<Record>) -> (Self, Vec<String>) {
        let mut supervisor = Self {
            node,
            members: BTreeMap::new(),
            wanted: Vec::new(),
            remembered: BTreeMap::new(),
            states: BTreeMap::new(),
            list_is_old: true,
            going_down: false,
        };
        let name = supervisor.node.facts.borrow().name.clone();
        let mut known = Vec::new();
        for record in records {
            if let Some(wanted) = from_record(&record, &name) {
                known.push(record.uid.clone());
                if let Some(memory) = record.memory {
                    supervisor.remembered.insert(record.uid, memory);
                }
                supervisor.wanted.push(wanted);
            }
        }
        let errors = supervisor.remove_unknown(known).await;
        (supervisor, errors)
    }

    /// The pods of the last decision; right after taking up, those on record.
    pub fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// References of all images that pods need, those of pods that are ending included.
    pub fn images(&self) -> Vec<String> {
        let ending = self.members.values().flat_map(|member| member.images.iter().cloned());
        let wanted = self.wanted.iter().flat_map(|wanted| wanted.pod.all_containers());
        ending.chain(wanted.map(|spec| spec.image.clone())).collect()
    }

    /// Nothing runs and nothing ends.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Makes `wanted` the pods of this node. Pods on record that are not among them are ended in
    /// order, as if they had run a moment ago.
    pub fn apply(&mut self, wanted: Vec<Wanted>) {
        let before = std::mem::replace(&mut self.wanted, wanted);
        for old in before {
            let uid = old.pod.uid.clone();
            let kept = self.wanted.iter().any(|wanted| wanted.pod.uid == uid);
            if !kept && !self.members.contains_key(&uid) {
                self.start(old);
            }
        }
        self.reconcile();
    }

    fn reconcile(&mut self) {
        if self.going_down {
            return;
        }
        let view = |(uid, member): (&String, &Member)| MemberView {
            uid: uid.clone(),
            full_name: member.full_name.clone(),
            stopping: member.stopping,
        };
        let members: Vec<MemberView> = self.members.iter().map(view).collect();
        for change in plan(&members, &self.wanted) {
            match change {
                Change::Stop(uid) => self.stop(&uid, StopReason::Removed, None),
                Change::Start(uid) => {
                    let wanted = self.wanted.iter().find(|wanted| wanted.pod.uid == uid).cloned();
                    wanted.into_iter().for_each(|wanted| self.start(wanted));
                }
            }
        }
    }

    fn start(&mut self, wanted: Wanted) {
        let pod = &wanted.pod;
        let (orders, receiver) = mpsc::unbounded_channel();
        let (uid, full_name) = (pod.uid.clone(), pod.full_name());
        let (critical, grace) = (pod.critical, pod.grace);
        let images = pod.all_containers().map(|spec| spec.image.clone()).collect();
        tracing::info!(pod = full_name, uid, "taking on pod");
        let remembered = self.remembered.remove(&uid);
        let worker = Worker::new(self.node.clone(), wanted, remembered, receiver);
        let task = tokio::task::spawn_local(worker.run()).abort_handle();
        let member = Member { orders, full_name, critical, grace, images, stopping: false, task };
        self.members.insert(uid, member);
    }

    fn stop(&mut self, uid: &str, reason: StopReason, at_most: Option<Duration>) {
        if let Some(member) = self.members.get_mut(uid) {
            member.stopping = true;
            let grace = at_most.map_or(member.grace, |limit| member.grace.min(limit));
            tracing::info!(pod = member.full_name, ?reason, "stopping pod");
            let _ = member.orders.send(Order::Stop(reason, grace));
        }
    }

    /// Hears one event of a worker.
    pub fn hear(&mut self, event: Event) {
        match event {
            Event::Status => {}
            Event::Pulled(image, error) => {
                self.node.pulling.borrow_mut().remove(&image);
                if let Some(error) = &error {
                    tracing::error!(image, "{error}");
                }
                self.tell_all(&Order::Pulled(image, error));
            }
            Event::Gone(uid) => {
                self.members.remove(&uid);
                self.states.remove(&uid);
                self.reconcile();
            }
        }
        self.list_is_old = true;
    }

    /// Sends an order to every worker.
    pub fn tell_all(&self, order: &Order) {
        for member in self.members.values() {
            let _ = member.orders.send(order.clone());
        }
    }

    /// Looks which containers changed, and tells their pods.
    pub async fn containers_changed(&mut self) {
        let runtime = self.node.runtime.clone();
        let listed = tokio::task::spawn_blocking(move || runtime.list()).await;
        let containers = match listed {
            Ok(Ok(containers)) => containers,
            Ok(Err(error)) => {
                tracing::error!("{}", chain(&error));
                // Whatever changed: every worker looks for itself, with its own back-off.
                return self.tell_all(&Order::Look);
            }
            Err(error) => return tracing::error!("list containers: {error}"),
        };
        let mut states: BTreeMap<String, Vec<(String, ContainerState)>> = BTreeMap::new();
        for (config, state) in containers {
            let uid = config.labels.get(POD_UID).cloned().unwrap_or_default();
            states.entry(uid).or_default().push((config.id, state));
        }
        states.values_mut().for_each(|list| list.sort_by(|a, b| a.0.cmp(&b.0)));
        for (uid, member) in &self.members {
            if states.get(uid) != self.states.get(uid) {
                let _ = member.orders.send(Order::Look);
            }
        }
        self.states = states;
    }

    /// Asks pods to end because the node goes down: all but the critical ones first, those only
    /// once the others are gone. `true` when nothing is left.
    pub fn stop_for_shutdown(&mut self, at_most: Duration) -> bool {
        self.going_down = true;
        let others_left = self.members.values().any(|member| !member.critical);
        let now: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| !member.stopping && (!others_left || !member.critical))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in now {
            self.stop(&uid, StopReason::Shutdown, Some(at_most));
        }
        self.members.is_empty()
    }

    /// Writes the list of pods for whoever asks, if anything changed since the last time.
    pub fn write_list(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.list_is_old) {
            return Ok(());
        }
        let statuses = self.node.statuses.borrow();
        let list = status::list(statuses.values().cloned());
        let path = &self.node.paths.list;
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec(&list)?)?;
        fs::rename(&new, path)
    }

    /// Removes containers, networks and folders of pods that nobody knows any more.
    async fn remove_unknown(&self, known: Vec<String>) -> Vec<String> {
        let (runtime, network) = (self.node.runtime.clone(), self.node.network.clone());
        let paths = self.node.paths.clone();
        let work = move || {
            let mut errors = Vec::new();
            let is_known = |uid: &str| known.iter().any(|other| other == uid);
            match runtime.list() {
                Err(error) => errors.push(chain(&error)),
                Ok(containers) => {
                    for (config, _) in containers {
                        let uid = config.labels.get(POD_UID).map_or("", String::as_str);
                        if !is_known(uid) {
                            errors.extend(runtime.delete(&config.id).err().map(|e| chain(&e)));
                            let cgroup =
                                config.cgroup.parent().map(|pod| runtime.remove_cgroup(pod));
                            errors.extend(cgroup.and_then(Result::err).map(|e| chain(&e)));
                        }
                    }
                }
            }
            match network.attached() {
                Err(error) => errors.push(chain(&error)),
                Ok(uids) => {
                    let unknown = uids.iter().filter(|uid| !is_known(uid));
                    errors.extend(
                        unknown.filter_map(|uid| network.detach(uid).err()).map(|e| chain(&e)),
                    );
                }
            }
            let folders = fs::read_dir(&paths.pods).into_iter().flatten().flatten();
            for folder in folders {
                let uid = folder.file_name();
                if !uid.to_str().is_some_and(is_known) {
                    errors.extend(volumes::remove(&folder.path()).err().map(|e| chain(&e)));
                }
            }
            errors
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(errors) => errors,
            Err(error) => vec![format!("remove leftovers: {error}")],
        }
    }
}

#[cfg(test)]
mod tests;
