//! The supervisor and its workers as a whole, over fakes that behave as the runtime, the images
//! and the network promise to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::super::configure::{ATTEMPT, CONTAINER_NAME, NodeFacts};
use super::super::files::Paths;
use super::super::images::Images;
use super::super::manifests::{decide, read_all};
use super::super::network::{PodAddresses, PodLink, PodNetwork, PodNetworkError};
use super::super::records;
use super::*;
use crate::container::{ContainerConfig, Exit, Runtime, RuntimeError};
use crate::image::Image;

#[derive(Default)]
struct FakeRuntime {
    containers: Mutex<BTreeMap<String, (ContainerConfig, ContainerState)>>,
    log: Mutex<Vec<String>>,
    /// Containers that do not heed `SIGTERM`.
    stubborn: Mutex<BTreeSet<String>>,
    /// The next creates fail.
    broken: Mutex<u32>,
}

impl FakeRuntime {
    fn end(&self, id: &str, code: i32) {
        let now = Timestamp::now();
        let mut containers = self.containers.lock().unwrap();
        if let Some((_, state)) = containers.get_mut(id) {
            let started_at = match state {
                ContainerState::Running { started_at, .. } => Some(*started_at),
                _ => None,
            };
            *state = ContainerState::Exited(Exit {
                code,
                signal: None,
                oom_killed: false,
                started_at,
                finished_at: now,
            });
        }
    }

    fn running(&self) -> Vec<String> {
        let containers = self.containers.lock().unwrap();
        let running =
            containers.values().filter(|(_, s)| matches!(s, ContainerState::Running { .. }));
        let name = |config: &ContainerConfig| {
            format!("{}-{}", config.labels[CONTAINER_NAME], config.labels[ATTEMPT])
        };
        running.map(|(config, _)| name(config)).collect()
    }

    fn note(&self, what: &str, id: &str) {
        self.log.lock().unwrap().push(format!("{what} {id}"));
    }

    fn error(operation: &'static str, id: &str) -> RuntimeError {
        let source = io::Error::from(io::ErrorKind::NotFound);
        RuntimeError { operation, id: id.to_owned(), source }
    }
}

impl Runtime for FakeRuntime {
    fn create(&self, config: &ContainerConfig) -> Result<(), RuntimeError> {
        let mut broken = self.broken.lock().unwrap();
        if *broken > 0 {
            *broken -= 1;
            return Err(Self::error("create", &config.id));
        }
        self.note("create", &config.id);
        let state = ContainerState::Created { pid: 1 };
        let mut containers = self.containers.lock().unwrap();
        assert!(!containers.contains_key(&config.id), "{} is there already", config.id);
        let name = &config.labels[CONTAINER_NAME];
        let uid = &config.labels[POD_UID];
        for (other, _) in containers.values() {
            let same = &other.labels[CONTAINER_NAME] == name && &other.labels[POD_UID] == uid;
            assert!(!same, "two instances of {name}");
        }
        containers.insert(config.id.clone(), (config.clone(), state));
        Ok(())
    }

    fn start(&self, id: &str) -> Result<(), RuntimeError> {
        let mut containers = self.containers.lock().unwrap();
        let (_, state) = containers.get_mut(id).ok_or_else(|| Self::error("start", id))?;
        *state = ContainerState::Running { pid: 1, started_at: Timestamp::now() };
        Ok(())
    }

    fn signal(&self, id: &str, signal: i32, _: bool) -> Result<(), RuntimeError> {
        self.note(&format!("signal {signal}"), id);
        let name = self.containers.lock().unwrap()[id].0.labels[CONTAINER_NAME].clone();
        if signal == 9 || !self.stubborn.lock().unwrap().contains(&name) {
            self.end(id, 128 + signal);
        }
        Ok(())
    }

    fn delete(&self, id: &str) -> Result<(), RuntimeError> {
        self.note("delete", id);
        self.containers.lock().unwrap().remove(id);
        Ok(())
    }

    fn remove_cgroup(&self, cgroup: &Path) -> Result<(), RuntimeError> {
        let left = self.containers.lock().unwrap();
        let inside = left.values().find(|(config, _)| config.cgroup.starts_with(cgroup));
        assert!(inside.is_none(), "a container is in {}", cgroup.display());
        self.note("remove", &cgroup.display().to_string());
        Ok(())
    }

    fn list(&self) -> Result<Vec<(ContainerConfig, ContainerState)>, RuntimeError> {
        Ok(self.containers.lock().unwrap().values().cloned().collect())
    }

    fn events(&self) -> Result<OwnedFd, RuntimeError> {
        Err(Self::error("watch", ""))
    }
}

#[derive(Default)]
struct FakeImages {
    present: Mutex<BTreeSet<String>>,
    /// References that no registry has.
    unknown: Mutex<BTreeSet<String>>,
}

impl Images for FakeImages {
    fn find(&self, reference: &str) -> Result<Option<Image>, String> {
        let present = self.present.lock().unwrap().contains(reference);
        let config =
            oci_spec::image::ConfigBuilder::default().cmd(vec!["run".to_owned()]).build().unwrap();
        let mut configuration = oci_spec::image::ImageConfiguration::default();
        configuration.set_config(Some(config));
        Ok(present.then(|| Image {
            id: "sha256:1".into(),
            digest: None,
            names: vec![reference.into()],
            layers: vec![],
            config: configuration,
        }))
    }

    fn pull(&self, reference: &str) -> Result<(), String> {
        if self.unknown.lock().unwrap().contains(reference) {
            return Err("no such image".into());
        }
        self.present.lock().unwrap().insert(reference.to_owned());
        Ok(())
    }
}

#[derive(Default)]
struct FakeNetwork {
    attached: Mutex<BTreeMap<String, PodLink>>,
}

impl PodNetwork for FakeNetwork {
    fn attach(&self, pod: &PodLink) -> Result<PodAddresses, PodNetworkError> {
        let mut attached = self.attached.lock().unwrap();
        let taken = |other: &PodLink| other.host_ports.iter().any(|p| pod.host_ports.contains(p));
        if attached.values().any(|other| other.pod_uid != pod.pod_uid && taken(other)) {
            let source = io::Error::from(io::ErrorKind::AddrInUse);
            let pod_uid = pod.pod_uid.clone();
            return Err(PodNetworkError { operation: "attach", pod_uid, source });
        }
        attached.insert(pod.pod_uid.clone(), pod.clone());
        let netns = PathBuf::from("/run/holm/netns").join(&pod.pod_uid);
        Ok(PodAddresses { netns, addresses: vec!["10.42.0.2".parse().unwrap()] })
    }

    fn detach(&self, pod_uid: &str) -> Result<(), PodNetworkError> {
        self.attached.lock().unwrap().remove(pod_uid);
        Ok(())
    }

    fn attached(&self) -> Result<Vec<String>, PodNetworkError> {
        Ok(self.attached.lock().unwrap().keys().cloned().collect())
    }
}

/// A node whose agent can be thrown away and started again.
#[derive(Clone)]
struct World {
    dir: Arc<tempfile::TempDir>,
    runtime: Arc<FakeRuntime>,
    images: Arc<FakeImages>,
    network: Arc<FakeNetwork>,
    boot_id: String,
}

struct Agent {
    world: World,
    supervisor: Supervisor,
    events: mpsc::UnboundedReceiver<Event>,
    node: Rc<Node>,
}

impl World {
    fn new() -> Self {
        let images = FakeImages::default();
        images.present.lock().unwrap().insert("app:1".into());
        Self {
            dir: Arc::new(tempfile::tempdir().unwrap()),
            runtime: Arc::default(),
            images: Arc::new(images),
            network: Arc::default(),
            boot_id: "boot".into(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path("manifests").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    async fn agent(&self) -> Agent {
        let paths = Paths {
            pods: self.path("pods"),
            logs: self.path("logs"),
            containers: self.path("containers"),
            list: self.path("pods.json"),
            resolv_conf: self.path("resolv.conf"),
        };
        let (sender, events) = mpsc::unbounded_channel();
        let facts = NodeFacts {
            name: "node".into(),
            host_ip: None,
            memory: 1 << 30,
            processes_per_container: Some(900),
            log_max_bytes: 1 << 20,
            log_max_files: 2,
        };
        let records = records::load(&paths).0;
        let node = Rc::new(Node {
            runtime: self.runtime.clone(),
            images: self.images.clone(),
            network: self.network.clone(),
            paths,
            boot_id: self.boot_id.clone(),
            facts: RefCell::new(facts),
            statuses: RefCell::default(),
            pulling: RefCell::default(),
            importing: Cell::new(false),
            events: sender,
        });
        let (supervisor, errors) = Supervisor::take_up(node.clone(), records).await;
        assert_eq!(errors, [""; 0]);
        let mut agent = Agent { world: self.clone(), supervisor, events, node };
        agent.read_manifests();
        agent
    }
}

impl Agent {
    fn read_manifests(&mut self) {
        let files = read_all(&[self.world.path("manifests")], "node");
        let (wanted, _) = decide(files, self.supervisor.wanted());
        self.supervisor.apply(wanted);
    }

    /// Runs until `done`, as the agent's main loop would, but in test time.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if done(self) {
                return;
            }
            tokio::select! {
                Some(event) = self.events.recv() => self.supervisor.hear(event),
                () = tokio::time::sleep(Duration::from_millis(2)) => {
                    self.supervisor.containers_changed().await;
                }
            }
        }
        panic!("never: {what}; {:?}", self.world.runtime.log.lock().unwrap());
    }

    async fn until_running(&mut self, expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        expected.sort();
        let same = |agent: &Self| {
            let mut running = agent.world.runtime.running();
            running.sort();
            running == expected
        };
        self.until(&format!("running {expected:?}"), same).await;
    }

    fn phase(&self, pod: &str) -> Option<String> {
        let statuses = self.node.statuses.borrow();
        let found = statuses.values().find(|status| status["metadata"]["name"] == pod)?;
        found["status"]["phase"].as_str().map(str::to_owned)
    }
}

/// Runs `test` on an agent's own runtime: one thread, local tasks.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

fn pod(name: &str, container: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  \
         terminationGracePeriodSeconds: 0\n  containers:\n  \
         - {{name: {container}, image: 'app:1'{more}}}\n"
    )
}

#[test]
fn pod_runs_restarts_and_ends_with_its_manifest() {
    run(async {
        let world = World::new();
        world.write("a.yaml", &pod("web", "main", ""));
        let mut agent = world.agent().await;
        agent.until_running(&["main-0"]).await;
        assert_eq!(world.network.attached().unwrap().len(), 1);
        let id = world.runtime.containers.lock().unwrap().keys().next().unwrap().clone();
        world.runtime.end(&id, 1);
        agent.until_running(&["main-1"]).await;
        let restarted = |agent: &Agent| {
            let statuses = agent.node.statuses.borrow();
            let web = &statuses.values().next().unwrap()["status"]["containerStatuses"][0];
            web["restartCount"] == 1 && web["ready"] == true && web["imageID"] == "sha256:1"
        };
        agent.until("status", restarted).await;
        agent.supervisor.write_list().unwrap();
        let list = fs::read_to_string(world.path("pods.json")).unwrap();
        assert!(list.contains("\"phase\":\"Running\""), "{list}");

        fs::remove_file(world.path("manifests/a.yaml")).unwrap();
        agent.read_manifests();
        agent.until("gone", |agent| agent.supervisor.is_empty()).await;
        assert_eq!(world.runtime.running(), [""; 0]);
        assert_eq!(world.network.attached().unwrap(), [""; 0]);
        assert_eq!(fs::read_dir(world.path("pods")).unwrap().count(), 0);
        let log = world.runtime.log.lock().unwrap();
        assert!(log.last().is_some_and(|last| last.starts_with("remove /pods/")), "{log:?}");
    });
}

#[test]
fn restarted_agent_finds_its_pods_and_disturbs_none() {
    run(async {
        let world = World::new();
        world.write("a.yaml", &pod("web", "main", ""));
        let mut agent = world.agent().await;
        agent.until_running(&["main-0"]).await;
        let id = world.runtime.containers.lock().unwrap().keys().next().unwrap().clone();
        world.runtime.end(&id, 1);
        agent.until_running(&["main-1"]).await;
        drop(agent);
        let before = world.runtime.log.lock().unwrap().clone();

        let mut agent = world.agent().await;
        agent.until("found", |agent| agent.phase("web-node").as_deref() == Some("Running")).await;
        assert_eq!(*world.runtime.log.lock().unwrap(), before, "nothing was done to it");
        let statuses = agent.node.statuses.borrow().clone();
        let status = statuses.values().next().unwrap();
        assert_eq!(status["status"]["containerStatuses"][0]["restartCount"], 1);
        assert_eq!(status["status"]["podIP"], "10.42.0.2");
    });
}

#[test]
fn pod_that_lost_its_manifest_while_no_agent_ran_is_ended_in_order() {
    run(async {
        let world = World::new();
        world.write("a.yaml", &pod("web", "main", ""));
        world.write("b.yaml", &pod("other", "other", ""));
        let mut agent = world.agent().await;
        agent.until_running(&["main-0", "other-0"]).await;
        drop(agent);
        fs::remove_file(world.path("manifests/a.yaml")).unwrap();
        // Containers and networks that no record explains are leftovers too.
        world.network.attach(&PodLink { pod_uid: "lost".into(), host_ports: vec![] }).unwrap();

        let mut agent = world.agent().await;
        agent.until_running(&["other-0"]).await;
        agent.until("cleaned", |agent| agent.supervisor.members.len() == 1).await;
        let log = world.runtime.log.lock().unwrap().join("\n");
        assert!(log.contains("signal 9 main-"), "no grace was asked for: {log}");
        assert!(!log.contains("signal 9 other-"), "{log}");
        assert_eq!(world.network.attached().unwrap().len(), 1);
        assert_eq!(fs::read_dir(world.path("pods")).unwrap().count(), 1);
    });
}

#[test]
fn changed_manifest_replaces_the_pod_after_the_old_one_is_gone() {
    run(async {
        let world = World::new();
        let port = ", ports: [{containerPort: 80, hostPort: 80}]";
        world.write("a.yaml", &pod("web", "old", port));
        let mut agent = world.agent().await;
        agent.until_running(&["old-0"]).await;
        world.write("a.yaml", &pod("web", "new", port));
        agent.read_manifests();
        agent.until_running(&["new-0"]).await;
        let log = world.runtime.log.lock().unwrap().clone();
        let position = |what: &str| log.iter().position(|line| line.starts_with(what)).unwrap();
        assert!(position("delete old-") < position("create new-"), "{log:?}");
        assert_eq!(world.network.attached().unwrap().len(), 1);
    });
}

#[test]
fn missing_image_is_pulled_and_a_failed_create_is_shown() {
    run(async {
        let world = World::new();
        world.images.present.lock().unwrap().clear();
        *world.runtime.broken.lock().unwrap() = 1;
        world.write("a.yaml", &pod("web", "main", ""));
        let mut agent = world.agent().await;
        let reason = |agent: &Agent| {
            let statuses = agent.node.statuses.borrow();
            let status = statuses.values().next()?;
            let waiting = &status["status"]["containerStatuses"][0]["state"]["waiting"];
            waiting["reason"].as_str().map(str::to_owned)
        };
        let failed = |agent: &Agent| reason(agent).as_deref() == Some("CreateContainerError");
        agent.until("failed create", failed).await;
        assert!(world.images.present.lock().unwrap().contains("app:1"));
    });
}

#[test]
fn shutdown_ends_critical_pods_last_and_keeps_what_they_need() {
    run(async {
        let world = World::new();
        world.write("a.yaml", &pod("web", "main", ""));
        let critical = pod("dns", "dns", "")
            .replace("spec:\n", "spec:\n  priorityClassName: system-node-critical\n");
        world.write("b.yaml", &critical);
        let mut agent = world.agent().await;
        agent.until_running(&["dns-0", "main-0"]).await;
        assert!(!agent.supervisor.stop_for_shutdown(Duration::from_secs(5)));
        agent.until_running(&["dns-0"]).await;
        agent.until("first half", |agent| agent.supervisor.members.len() == 1).await;
        agent.supervisor.stop_for_shutdown(Duration::from_secs(5));
        agent.until("all", |agent| agent.supervisor.is_empty()).await;
        assert_eq!(fs::read_dir(world.path("pods")).unwrap().count(), 2);
        drop(agent);

        let next = World { boot_id: "next".into(), ..world.clone() };
        let mut agent = next.agent().await;
        agent.until_running(&["dns-1", "main-1"]).await;
    });
}

#[test]
fn container_that_does_not_heed_the_request_is_killed() {
    run(async {
        let world = World::new();
        world.runtime.stubborn.lock().unwrap().insert("main".into());
        world.write("a.yaml", &pod("web", "main", ""));
        let mut agent = world.agent().await;
        agent.until_running(&["main-0"]).await;
        world.write("a.yaml", &pod("web", "other", ""));
        agent.read_manifests();
        agent.until_running(&["other-0"]).await;
        let log = world.runtime.log.lock().unwrap().join("\n");
        assert!(log.contains("signal 9 main-"), "{log}");
    });
}

#[test]
fn finished_pod_gives_its_network_back_and_keeps_its_status() {
    run(async {
        let world = World::new();
        let manifest = pod("job", "main", "").replace("spec:\n", "spec:\n  restartPolicy: Never\n");
        world.write("a.yaml", &manifest);
        let mut agent = world.agent().await;
        agent.until_running(&["main-0"]).await;
        let id = world.runtime.containers.lock().unwrap().keys().next().unwrap().clone();
        world.runtime.end(&id, 0);
        agent.until("done", |agent| agent.phase("job-node").as_deref() == Some("Succeeded")).await;
        agent.until("detached", |agent| agent.world.network.attached().unwrap().is_empty()).await;
        drop(agent);
        let mut agent = world.agent().await;
        agent
            .until("still done", |agent| agent.phase("job-node").as_deref() == Some("Succeeded"))
            .await;
        assert_eq!(world.runtime.running(), [""; 0]);
    });
}

#[test]
fn volumes_files_and_last_words_reach_the_container_and_back() {
    run(async {
        let world = World::new();
        fs::write(world.path("resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
        let manifest = pod("web", "main", ", volumeMounts: [{name: data, mountPath: /data}]")
            + "  volumes: [{name: data}]\n";
        world.write("a.yaml", &manifest);
        let mut agent = world.agent().await;
        agent.until_running(&["main-0"]).await;
        let (config, _) = world.runtime.list().unwrap().remove(0);
        let source = |path: &str| {
            let found = config.mounts.iter().find(|m| m.destination == Path::new(path));
            found.unwrap().source.clone()
        };
        assert!(source("/data").is_dir());
        let resolver = source("/etc/resolv.conf");
        assert_eq!(fs::read_to_string(&resolver).unwrap(), "nameserver 192.0.2.53\n");
        let hosts = fs::read_to_string(source("/etc/hosts")).unwrap();
        assert!(hosts.contains("10.42.0.2\tweb-node"), "{hosts}");
        fs::write(world.path("resolv.conf"), "nameserver 192.0.2.54\n").unwrap();
        agent.supervisor.tell_all(&Order::Resolver);
        agent
            .until("resolver", |_| fs::read_to_string(&resolver).unwrap().contains("192.0.2.54"))
            .await;
        fs::write(source("/dev/termination-log"), "out of paper\n").unwrap();
        world.runtime.end(&config.id, 3);
        agent.until_running(&["main-1"]).await;
        let shown = |agent: &Agent| {
            let statuses = agent.node.statuses.borrow();
            let last = &statuses.values().next().unwrap()["status"]["containerStatuses"][0];
            last["lastState"]["terminated"]["message"] == "out of paper"
        };
        agent.until("last words", shown).await;
    });
}

#[test]
fn plan_starts_a_pod_only_when_its_name_is_free() {
    let world = World::new();
    world.write("a.yaml", &pod("web", "main", ""));
    let wanted = decide(read_all(&[world.path("manifests")], "node"), &[]).0;
    let uid = wanted[0].pod.uid.clone();
    let member = |uid: &str, stopping| MemberView {
        uid: uid.to_owned(),
        full_name: "default/web-node".to_owned(),
        stopping,
    };
    assert_eq!(plan(&[], &wanted), [Change::Start(uid.clone())]);
    assert_eq!(plan(&[member(&uid, false)], &wanted), []);
    assert_eq!(plan(&[member("old", false)], &wanted), [Change::Stop("old".into())]);
    assert_eq!(plan(&[member("old", true)], &wanted), []);
    assert_eq!(plan(&[member(&uid, true)], &wanted), []);
}
