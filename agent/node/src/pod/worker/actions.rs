//! Carries out single actions of the state machine for a [`Worker`]. Decides nothing; what fails
//! is remembered with its reason, in the words of Kubernetes.

use std::fs;
use std::io::Read;
use std::sync::Arc;

use super::super::clock::Now;
use super::super::configure::{Ingredients, configure, pod_cgroup};
use super::super::files;
use super::super::images::chain;
use super::super::machine::Action;
use super::super::memory::Memory;
use super::super::network::{PodAddresses, PodLink};
use super::super::spec::ContainerSpec;
use super::super::volumes;
use super::{Event, Progress, Worker, blocking};
use crate::container::ContainerConfig;

/// Instances whose logs are kept: the current one and the one before, as the kubelet does.
const LOGS_KEPT: u32 = 2;
/// Most bytes of a termination message, as in Kubernetes.
const MESSAGE_BYTES: u64 = 4096;

impl Worker {
    pub(super) async fn perform(&mut self, action: &Action) -> Progress {
        tracing::debug!(pod = self.name(), ?action, "perform");
        match action {
            Action::Pull { image } => self.begin_pull(image),
            Action::MakeSandbox => self.make_sandbox().await,
            Action::RemoveSandbox => self.remove_sandbox().await,
            Action::Create { container, attempt } => self.create(container, *attempt).await,
            Action::Start { container, id } => self.start(container, id).await,
            Action::Terminate { id, .. } => {
                let named = self.stop_signals.get(id).map_or("", String::as_str);
                self.signal(id, signal_number(named).unwrap_or(SIGTERM), false).await
            }
            Action::Kill { id } => self.signal(id, SIGKILL, true).await,
            Action::Delete { id } => self.delete(id).await,
        }
    }

    /// Begins a pull, unless another pod has begun one already. Its end comes as an order.
    fn begin_pull(&self, image: &str) -> Progress {
        if !self.node.pulling.borrow_mut().insert(image.to_owned()) {
            return Progress::None;
        }
        tracing::info!(pod = self.name(), image, "pulling image");
        let (images, events) = (self.node.images.clone(), self.node.events.clone());
        let image = image.to_owned();
        tokio::task::spawn_blocking(move || {
            let error = images.pull(&image).err();
            let _ = events.send(Event::Pulled(image, error));
        });
        Progress::None
    }

    /// Finds the network and volumes that an earlier agent made in this boot, so that containers
    /// which ended while no agent ran are judged as if one had.
    pub(super) async fn take_up_sandbox(&mut self) {
        let (network, uid) = (self.node.network.clone(), self.wanted.pod.uid.clone());
        let attached = if self.wanted.pod.host_network {
            let folder = self.node.paths.etc(&uid, "hosts");
            self.memory.boot_id == self.node.boot_id && folder.exists()
        } else {
            let attached = blocking(move || network.attached()).await;
            // The state machine makes a new one then, and reports what goes wrong with that.
            attached.unwrap_or_default().contains(&uid)
        };
        if attached && let Ok(network) = self.try_make_sandbox().await {
            self.network = network;
            self.sandbox = true;
        }
    }

    async fn make_sandbox(&mut self) -> Progress {
        let made = self.try_make_sandbox().await;
        match made {
            Ok(network) => {
                self.network = network;
                self.sandbox = true;
                self.memory.sandbox_made();
                Progress::Made
            }
            Err((reason, message)) => {
                tracing::error!(pod = self.name(), reason, "{message}");
                // Half a sandbox is none: the next attempt, or the end, starts from nothing.
                self.remove_sandbox().await;
                self.memory.sandbox_failed(reason, &message, Now::read());
                Progress::Made
            }
        }
    }

    async fn try_make_sandbox(&self) -> Result<Option<PodAddresses>, (&'static str, String)> {
        let pod = self.wanted.pod.clone();
        let (network, paths) = (self.node.network.clone(), self.node.paths.clone());
        let host_ip = self.node.facts.borrow().host_ip;
        blocking(move || {
            let attached = if pod.host_network {
                None
            } else {
                let link = PodLink { pod_uid: pod.uid.clone(), host_ports: pod.host_ports() };
                let attached = network.attach(&link);
                Some(attached.map_err(|error| ("FailedCreatePodSandBox", chain(&error)))?)
            };
            let steps = volumes::plan(&pod, &paths);
            volumes::make(&steps).map_err(|error| ("FailedMount", chain(&error)))?;
            let addresses = match &attached {
                Some(attached) => attached.addresses.clone(),
                None => host_ip.into_iter().collect(),
            };
            let node_resolver = fs::read_to_string(&paths.resolv_conf).unwrap_or_default();
            for (name, text) in files::etc(&pod, &addresses, &node_resolver) {
                let path = paths.etc(&pod.uid, name);
                write_in_place(&path, &text).map_err(|error| {
                    ("FailedMount", format!("write {}: {error}", path.display()))
                })?;
            }
            Ok(attached)
        })
        .await
    }

    async fn remove_sandbox(&mut self) -> Progress {
        let pod = self.wanted.pod.clone();
        let (network, paths) = (self.node.network.clone(), self.node.paths.clone());
        let runtime = self.node.runtime.clone();
        let outcome = blocking(move || {
            let cgroup = pod_cgroup(&pod.uid);
            let removed = runtime.remove_cgroup(&cgroup).map_err(|error| chain(&error));
            let detached = if pod.host_network {
                Ok(())
            } else {
                network.detach(&pod.uid).map_err(|error| chain(&error))
            };
            let unmounted = volumes::unmount_all(&paths.pod(&pod.uid)).map_err(|e| chain(&e));
            removed.and(detached).and(unmounted)
        })
        .await;
        match outcome {
            Ok(()) => {
                self.sandbox = false;
                self.network = None;
                Progress::Made
            }
            Err(message) => {
                tracing::error!(pod = self.name(), "{message}");
                Progress::Failed
            }
        }
    }

    async fn create(&mut self, name: &str, attempt: u32) -> Progress {
        let found = self.wanted.pod.all_containers().find(|spec| spec.name == name).cloned();
        let Some(spec) = found else { return Progress::None };
        match self.try_create(spec, attempt).await {
            Ok(()) => {
                tracing::info!(pod = self.name(), container = name, attempt, "started container");
            }
            Err((reason, message)) => {
                tracing::error!(pod = self.name(), container = name, reason, "{message}");
                self.memory.create_failed(name, reason, &message, Now::read());
            }
        }
        Progress::Made
    }

    async fn try_create(
        &self,
        spec: ContainerSpec,
        attempt: u32,
    ) -> Result<(), (&'static str, String)> {
        let pod = self.wanted.pod.clone();
        let node = &self.node;
        let (runtime, images, paths) =
            (node.runtime.clone(), node.images.clone(), node.paths.clone());
        let (facts, network) = (node.facts.borrow().clone(), self.network.clone());
        blocking(move || {
            let failed = |message| ("CreateContainerError", message);
            let image = images.find(&spec.image).map_err(failed)?;
            let image = image.ok_or_else(|| failed("the image is gone".to_owned()))?;
            let bindings = volumes::bindings(&pod, &spec, &paths);
            let mounts = volumes::resolve(bindings)
                .map_err(|error| ("CreateContainerConfigError", chain(&error)))?;
            let message = paths.termination_message(&pod.uid, &spec.name);
            write_in_place(&message, "")
                .and_then(|()| {
                    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
                    fs::set_permissions(&message, everybody)
                })
                .map_err(|error| failed(format!("make {}: {error}", message.display())))?;
            let config = configure(Ingredients {
                pod: &pod,
                spec: &spec,
                attempt,
                image: &image,
                network: network.as_ref(),
                volumes: mounts,
                node: &facts,
                paths: &paths,
            })
            .map_err(|error| ("CreateContainerConfigError", chain(&error)))?;
            if let Some(oldest) = attempt.checked_sub(LOGS_KEPT) {
                remove_logs(&paths.log(&pod, &spec.name, oldest));
            }
            runtime.create(&config).map_err(|error| failed(chain(&error)))?;
            start_or_undo(&runtime, &config)
        })
        .await
    }

    async fn start(&mut self, name: &str, id: &str) -> Progress {
        let (runtime, id) = (self.node.runtime.clone(), id.to_owned());
        let started = blocking(move || runtime.start(&id)).await;
        if let Err(error) = started {
            let message = chain(&error);
            tracing::error!(pod = self.name(), container = name, "{message}");
            self.memory.create_failed(name, "RunContainerError", &message, Now::read());
        }
        Progress::Made
    }

    async fn signal(&self, id: &str, signal: i32, all: bool) -> Progress {
        let (runtime, owned) = (self.node.runtime.clone(), id.to_owned());
        let sent = blocking(move || runtime.signal(&owned, signal, all)).await;
        match sent {
            // Its end is an event.
            Ok(()) => Progress::None,
            Err(error) => {
                tracing::error!(pod = self.name(), id, "{}", chain(&error));
                Progress::Failed
            }
        }
    }

    async fn delete(&mut self, id: &str) -> Progress {
        let (runtime, owned) = (self.node.runtime.clone(), id.to_owned());
        let deleted = blocking(move || runtime.delete(&owned)).await;
        match deleted {
            Ok(()) => {
                self.stop_signals.remove(id);
                Progress::Made
            }
            Err(error) => {
                tracing::error!(pod = self.name(), id, "{}", chain(&error));
                Progress::Failed
            }
        }
    }

    /// Adds the termination messages of containers that ended since `before`.
    pub(super) async fn read_last_words(&mut self, before: &Memory) {
        let uid = self.wanted.pod.uid.clone();
        for (name, container) in &mut self.memory.containers {
            let known = before.containers.get(name).and_then(|known| known.last.as_ref());
            let Some(last) = container.last.as_mut() else { continue };
            if known.is_some_and(|known| known.attempt >= last.attempt) {
                continue;
            }
            let path = self.node.paths.termination_message(&uid, name);
            last.message = blocking(move || read_message(&path)).await;
        }
    }

    /// Brings the resolver configuration of running containers up to date. In place: what is
    /// mounted in a container is this file, not its name.
    pub(super) async fn rewrite_resolver(&self) {
        let pod = self.wanted.pod.clone();
        let paths = self.node.paths.clone();
        let path = paths.etc(&pod.uid, "resolv.conf");
        if !self.sandbox {
            return;
        }
        let outcome = blocking(move || {
            let node = fs::read_to_string(&paths.resolv_conf).unwrap_or_default();
            write_in_place(&path, &files::resolv_conf(&pod.dns, &node))
        })
        .await;
        if let Err(error) = outcome {
            tracing::warn!(pod = self.name(), "write resolv.conf: {error}");
        }
    }
}

/// A created container that does not start is worth nothing, and its name is needed again.
fn start_or_undo(
    runtime: &Arc<dyn crate::container::Runtime>,
    config: &ContainerConfig,
) -> Result<(), (&'static str, String)> {
    let Err(error) = runtime.start(&config.id) else { return Ok(()) };
    let mut message = chain(&error);
    if let Err(error) = runtime.delete(&config.id) {
        message += &format!("; {}", chain(&error));
    }
    Err(("RunContainerError", message))
}

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// The number of a signal that an image names, `SIGQUIT`, `QUIT` or `3`.
fn signal_number(name: &str) -> Option<i32> {
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    Some(match bare {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ABRT" => 6,
        "KILL" => SIGKILL,
        "USR1" => 10,
        "USR2" => 12,
        "ALRM" => 14,
        "TERM" => SIGTERM,
        "CONT" => 18,
        "STOP" => 19,
        "WINCH" => 28,
        "IO" => 29,
        "PWR" => 30,
        _ => {
            if let Some(offset) = bare.strip_prefix("RTMIN+") {
                34 + offset.parse::<i32>().ok().filter(|offset| (0..=30).contains(offset))?
            } else {
                bare.parse().ok().filter(|number| (1..=64).contains(number))?
            }
        }
    })
}

fn write_in_place(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

/// The last words of a container, as far as they are text and of bearable length.
fn read_message(path: &std::path::Path) -> Option<String> {
    let mut bytes = Vec::new();
    // The container owns what is in the file, but not what the file is: it is a bind mount.
    fs::File::open(path).ok()?.take(MESSAGE_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Removes the log of an instance and its rotated parts.
fn remove_logs(log: &std::path::Path) {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name().and_then(|n| n.to_str()))
    else {
        return;
    };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let belongs = |file: &str| file == name || file.starts_with(&format!("{name}."));
        if entry.file_name().to_str().is_some_and(belongs)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!("remove {}: {error}", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (name, number) in
            [("SIGQUIT", Some(3)), ("QUIT", Some(3)), ("3", Some(3)), ("SIGRTMIN+3", Some(37))]
        {
            assert_eq!(signal_number(name), number, "{name}");
        }
        for name in ["", "SIGNONE", "0", "65", "-1", "RTMIN+99"] {
            assert_eq!(signal_number(name), None, "{name}");
        }
    }

    #[test]
    fn logs_of_old_instances_are_removed_with_their_rotated_parts() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["0.log", "0.log.1", "0.log.2", "1.log", "10.log"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        remove_logs(&dir.path().join("0.log"));
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["1.log", "10.log"]);
    }

    #[test]
    fn last_words_are_bounded_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        assert_eq!(read_message(&path), None);
        write_in_place(&path, "").unwrap();
        assert_eq!(read_message(&path), None);
        write_in_place(&path, &"x".repeat(10_000)).unwrap();
        assert_eq!(read_message(&path).unwrap().len(), 4096);
    }
}
