//! Opens what the agent works with, and reads what the node is like.

use std::cell::{Cell, RefCell};
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use holm_network::Ranges;
use holm_network::pods::Paths as NetworkPaths;
use holm_node::container::{Runtime, ShimRuntime};
use holm_node::image::{Cancel, ImageStore, Limits, Registries};
use holm_node::pod::configure::NodeFacts;
use holm_node::pod::images::{StoredImages, chain};
use holm_node::pod::records;
use holm_node::pod::supervisor::Supervisor;
use holm_node::pod::watch::Watch;
use holm_node::pod::worker::Node;
use tokio::sync::mpsc;

use super::Agent;
use crate::document::{self, Document};
use crate::notify::Notifier;
use crate::pod_network::Network;
use crate::readable::{News, Source};
use crate::{memory, places};

impl Agent {
    /// Opens everything and takes up the pods of an earlier agent.
    pub(super) async fn open() -> Result<Self, String> {
        let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        let document = document()?;
        let variable = |name: &str| std::env::var_os(name);
        let notifier = Notifier::new(variable("NOTIFY_SOCKET"), variable("WATCHDOG_USEC"))
            .map_err(failed("open the way to init"))?;

        let store = ImageStore::open(Path::new(places::IMAGES), Limits::default());
        let store = Arc::new(store.map_err(|error| chain(&error))?);
        let images = StoredImages::new(store.clone(), registries(&document), Cancel::new());
        let images = Arc::new(images);

        let (shims, folders) = (PathBuf::from(places::SHIMS), PathBuf::from(places::CONTAINERS));
        let runtime = ShimRuntime::open(PathBuf::from(places::PROGRAM), shims, folders)
            .map_err(failed("open the container runtime"))?;
        // Before the first look, so that no change is missed.
        let containers = runtime.events().map_err(|error| chain(&error))?;
        let containers =
            News::of(Source::Containers(containers)).map_err(failed("watch containers"))?;

        let pods = &document.config.pods;
        let ranges = Ranges { v4: pods.cidr, v6: pods.cidr6 };
        let paths = NetworkPaths {
            netns: PathBuf::from(places::NETNS),
            state: PathBuf::from(places::POD_NETWORK),
        };
        let network = holm_network::PodNetwork::open(paths, ranges);
        let network = Network(network.map_err(|error| chain(&error))?);

        let manifests = watch(document.manifests())?;
        let network_watch = watch(vec![places::NETWORK.into(), places::RESOLVER.into()])?;
        let (sender, events) = mpsc::unbounded_channel();
        let mut facts = NodeFacts {
            name: node_name(),
            host_ip: host_ip(),
            memory: node_memory(),
            processes_per_container: processes_per_container(),
            log_max_bytes: 0,
            log_max_files: 0,
        };
        take_over(&document, &mut facts);
        let node = Rc::new(Node {
            runtime: Arc::new(runtime),
            images: images.clone(),
            network: Arc::new(network),
            paths: places::pods(),
            boot_id: boot_id(),
            facts: RefCell::new(facts),
            statuses: RefCell::default(),
            pulling: RefCell::default(),
            importing: Cell::new(true),
            events: sender,
        });
        let imported = import(images.clone(), document.preload());
        let (saved, errors) = records::load(&node.paths);
        for error in errors {
            tracing::warn!("{}", chain(&error));
        }
        let (supervisor, errors) = Supervisor::take_up(node.clone(), saved).await;
        for error in errors {
            tracing::warn!("remove leftovers: {error}");
        }
        Ok(Self {
            document,
            supervisor,
            node,
            images,
            store,
            events,
            containers,
            manifests,
            network: network_watch,
            imported,
            notifier,
            problems: Vec::new(),
        })
    }
}

/// Imports preloaded images in the background; the message says that all are there.
fn import(images: Arc<StoredImages>, places: Vec<PathBuf>) -> mpsc::UnboundedReceiver<()> {
    let (done, receiver) = mpsc::unbounded_channel();
    tokio::task::spawn_blocking(move || {
        for problem in places.iter().flat_map(|place| images.import(place)) {
            tracing::error!("import image: {problem}");
        }
        memory::give_back();
        let _ = done.send(());
    });
    receiver
}

/// The node document that init accepted.
pub(super) fn document() -> Result<Document, String> {
    let variable = |name: &str| std::env::var_os(name);
    document::read(variable("HOLM_CONFIG"), variable("HOLM_CONFIG_DIR"))
        .map_err(|error| chain(&error))
}

pub(super) fn registries(document: &Document) -> Registries {
    Registries::new(&document.config, &document.folder)
}

/// What a changed document changes at once.
pub(super) fn take_over(document: &Document, facts: &mut NodeFacts) {
    facts.log_max_bytes = document.config.pods.log_max_size;
    facts.log_max_files = document.config.pods.log_files;
}

pub(super) fn watch(places: Vec<PathBuf>) -> Result<News, String> {
    Watch::new(places)
        .and_then(|watch| News::of(Source::Files(watch)))
        .map_err(|error| format!("watch files: {error}"))
}

/// The address that the node sends from. No packet leaves: connecting a UDP socket only looks up
/// the route.
pub(super) fn host_ip() -> Option<IpAddr> {
    let from = |local: &str, remote: &str| {
        let socket = UdpSocket::bind(local).ok()?;
        socket.connect(remote).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    // Documentation addresses: routed like any other, and nobody's.
    from("0.0.0.0:0", "192.0.2.1:9").or_else(|| from("[::]:0", "[2001:db8::1]:9"))
}

/// The host name that init set, as Kubernetes names nodes.
fn node_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let name: String = name.chars().map(|c| if valid(c) { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "node".to_owned() } else { name.to_owned() }
}

/// All memory, bytes. 0 when the kernel does not say.
fn node_memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}

/// Half of what the kernel can hold at all: one container that forks without end must leave room
/// for the node itself.
fn processes_per_container() -> Option<u64> {
    let most = fs::read_to_string("/proc/sys/kernel/threads-max").ok()?;
    Some((most.trim().parse::<u64>().ok()? / 2).max(1))
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_described_by_its_kernel() {
        assert!(node_memory() > 16 << 20);
        assert!(processes_per_container().is_some_and(|most| most > 100));
        assert_eq!(boot_id().len(), 36);
        let name = node_name();
        assert!(!name.is_empty() && !name.starts_with('-') && name == name.to_lowercase());
    }
}
