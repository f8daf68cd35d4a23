//! `holm agent`: opens everything, takes up what an earlier agent left, and runs the main loop.
//!
//! `SIGTERM`: the node goes down, pods are ended. `SIGUSR1`: the agent is replaced, pods run on.
//! `SIGHUP`: the node document is read again. An agent that crashes or is killed disturbs no pod.

mod open;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_node::image::{ImageStore, Thresholds};
use holm_node::pod::clock::Now;
use holm_node::pod::images::{StoredImages, chain};
use holm_node::pod::manifests::{FileProblem, decide, read_all};
use holm_node::pod::supervisor::Supervisor;
use holm_node::pod::worker::{Event, Node, Order};
use holm_update::{Change, Medium, medium};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::document::Document;
use crate::notify::Notifier;
use crate::readable::News;
use crate::{log, memory, places};

/// Pods get no longer than this when the node goes down; init waits a little longer than both.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(40);
/// An image grows old in silence, and the disk is filled by others too: as often as the kubelet.
const COLLECT_EVERY: Duration = Duration::from_secs(300);

/// Runs the agent.
pub fn main() -> ExitCode {
    memory::use_one_arena();
    let debug = std::env::var_os("HOLM_LOG").is_some_and(|level| level == "debug");
    let level = if debug { tracing::Level::DEBUG } else { tracing::Level::INFO };
    // Fails only when there is one already.
    let _ = tracing::subscriber::set_global_default(log::Lines { level });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Blocking work comes in bursts; its threads must not stay.
        .thread_keep_alive(Duration::from_secs(1))
        .thread_stack_size(1 << 20)
        .max_blocking_threads(16)
        .build();
    let outcome = runtime.map_err(|error| format!("start: {error}")).and_then(|runtime| {
        let outcome = tokio::task::LocalSet::new().block_on(&runtime, run());
        // A pull that is under way must not hold up the end.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that the main loop holds.
struct Agent {
    document: Document,
    supervisor: Supervisor,
    node: Rc<Node>,
    images: Arc<StoredImages>,
    store: Arc<ImageStore>,
    events: mpsc::UnboundedReceiver<Event>,
    containers: News,
    manifests: News,
    network: News,
    imported: mpsc::UnboundedReceiver<()>,
    notifier: Notifier,
    problems: Vec<FileProblem>,
}

struct Signals {
    terminate: Signal,
    replace: Signal,
    reload: Signal,
}

/// Why the main loop ended.
enum End {
    Shutdown,
    Replaced,
}

async fn run() -> Result<(), String> {
    let begin = Instant::now();
    let caught = |kind| signal(kind).map_err(|error| format!("catch signals: {error}"));
    let mut signals = Signals {
        terminate: caught(SignalKind::terminate())?,
        replace: caught(SignalKind::user_defined1())?,
        reload: caught(SignalKind::hangup())?,
    };
    let mut agent = Agent::open().await?;
    agent.read_manifests();
    agent.write_list();
    agent.notify("ready", Notifier::ready);
    tracing::info!("ready after {} ms", begin.elapsed().as_millis());
    commit_slot();
    match agent.serve(&mut signals).await {
        End::Replaced => tracing::info!("leaving the pods to the next agent"),
        End::Shutdown => agent.shut_down().await,
    }
    Ok(())
}

impl Agent {
    /// The main loop. The sign of life for init comes from here, so that a hang is seen.
    async fn serve(&mut self, signals: &mut Signals) -> End {
        let mut alive = self.notifier.interval().map(tokio::time::interval);
        let mut collect = tokio::time::interval(COLLECT_EVERY);
        loop {
            let tick = async {
                match &mut alive {
                    Some(alive) => drop(alive.tick().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tick => self.notify("alive", Notifier::alive),
                Some(event) = self.events.recv() => self.hear(event),
                news = self.containers.next() => {
                    warn("watch containers", news);
                    self.supervisor.containers_changed().await;
                }
                news = self.manifests.next() => {
                    if warn("watch manifests", news) == Some(true) {
                        self.read_manifests();
                    }
                }
                news = self.network.next() => {
                    if warn("watch the network", news) == Some(true) {
                        self.network_changed();
                    }
                }
                Some(()) = self.imported.recv() => {
                    self.node.importing.set(false);
                    memory::give_back();
                    self.supervisor.tell_all(&Order::Look);
                    self.collect();
                }
                _ = collect.tick() => self.collect(),
                _ = signals.reload.recv() => self.reload(),
                _ = signals.replace.recv() => return End::Replaced,
                _ = signals.terminate.recv() => return End::Shutdown,
            }
            self.write_list();
        }
    }

    fn hear(&mut self, event: Event) {
        let collect = matches!(event, Event::Pulled(..) | Event::Gone(_));
        self.supervisor.hear(event);
        if collect {
            memory::give_back();
            self.collect();
        }
    }

    fn read_manifests(&mut self) {
        let files = read_all(&self.document.manifests(), &self.node.facts.borrow().name);
        let (wanted, problems) = decide(files, self.supervisor.wanted());
        for FileProblem { source, problem } in &problems {
            if !self.problems.iter().any(|old| old.source == *source && old.problem == *problem) {
                tracing::error!("{source}: {problem}");
            }
        }
        self.problems = problems;
        self.supervisor.apply(wanted);
    }

    /// Addresses or name servers of the node may have changed.
    fn network_changed(&self) {
        self.node.facts.borrow_mut().host_ip = open::host_ip();
        self.supervisor.tell_all(&Order::Resolver);
    }

    fn reload(&mut self) {
        match open::document() {
            Ok(document) => {
                let network =
                    |document: &Document| (document.config.pods.cidr, document.config.pods.cidr6);
                if network(&document) != network(&self.document) {
                    tracing::warn!("the pods' address range changes with the next start");
                }
                self.images.set_registries(open::registries(&document));
                open::take_over(&document, &mut self.node.facts.borrow_mut());
                match open::watch(document.manifests()) {
                    Ok(watch) => self.manifests = watch,
                    Err(error) => tracing::error!("{error}"),
                }
                self.document = document;
                self.read_manifests();
            }
            Err(error) => tracing::error!("keeping the last node document: {error}"),
        }
    }

    /// Removes images that nobody needs when the disk is too full.
    fn collect(&self) {
        let store = self.store.clone();
        let in_use = self.supervisor.images();
        let thresholds = Thresholds::from(&self.document.config.images);
        tokio::task::spawn_blocking(move || {
            match store.collect_garbage(in_use, thresholds, Instant::now()) {
                Ok(collected) if !collected.images.is_empty() => {
                    tracing::info!("removed {} unused images", collected.images.len());
                }
                Ok(_) => {}
                Err(error) => tracing::error!("{}", chain(&error)),
            }
        });
    }

    fn write_list(&mut self) {
        warn("write the list of pods", self.supervisor.write_list());
    }

    fn notify(&self, what: &str, send: impl Fn(&Notifier) -> io::Result<()>) {
        warn(what, send(&self.notifier));
    }

    /// Ends all pods, in order and within the time that init gives.
    async fn shut_down(&mut self) {
        self.notify("stopping", Notifier::stopping);
        let deadline = Now::read().boot + SHUTDOWN_LIMIT;
        let mut alive = self.notifier.interval().map(tokio::time::interval);
        while !self.supervisor.stop_for_shutdown(SHUTDOWN_GRACE) {
            let left = deadline.saturating_sub(Now::read().boot);
            if left.is_zero() {
                tracing::error!("some pods did not end in time");
                return;
            }
            let tick = async {
                match &mut alive {
                    Some(alive) => drop(alive.tick().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tick => self.notify("alive", Notifier::alive),
                () = tokio::time::sleep(left) => {}
                Some(event) = self.events.recv() => self.supervisor.hear(event),
                news = self.containers.next() => {
                    warn("watch containers", news);
                    self.supervisor.containers_changed().await;
                }
            }
            self.write_list();
        }
        tracing::info!("all pods have ended");
    }
}

fn warn<T>(what: &str, outcome: io::Result<T>) -> Option<T> {
    outcome.map_err(|error| tracing::warn!("{what}: {error}")).ok()
}

/// The slot that runs has proved itself: the boot loader need not count its tries any more.
fn commit_slot() {
    tokio::task::spawn_blocking(|| {
        let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let Some(slot) = holm_update::Slot::from_command_line(&line) else { return };
        let medium = Medium::new(PathBuf::from(places::BOOT), medium::Kind::BootCount);
        match medium.change(slot, Change::Commit(slot)) {
            Ok(writes) if writes.is_empty() => {}
            Ok(_) => tracing::info!("slot {slot} is good"),
            Err(error) => tracing::error!("{}", chain(&error)),
        }
    });
}
