//! The node as the machine of updates acts on it: the boot medium, the ledger, the spare slot, the
//! reboot. Decides nothing.

use std::path::PathBuf;

use holm_config::NodeConfig;
use holm_node::pod::images::chain;
use holm_update::install::{InstallError, Target, Written, install};
use holm_update::ledger::Ledger;
use holm_update::payload::Source;
use holm_update::runner::{Platform, WriteEnd};
use holm_update::store::Store;
use holm_update::trial::Observed;
use holm_update::{Change, Medium, Slot, Slots, boot_count, medium};

use super::node::{self, Init};
use super::observe;
use super::source::{Found, Repository};
use crate::places;

/// What the service keeps.
const STATE: &str = "/state/update";
/// How the node was before the trial.
const BEFORE: &str = "/state/update/before.json";

/// This node.
pub(super) struct Node {
    pub(super) version: String,
    pub(super) board: String,
    pub(super) slot: Slot,
    pub(super) config: NodeConfig,
    pub(super) ledger: Ledger,
    /// How it was before the trial.
    pub(super) before: Observed,
    medium: Medium,
    is_tryboot: bool,
    store: Store,
    repository: Repository,
    init: Init,
    /// What the trial still waits for.
    waiting: Option<String>,
    /// Why the last attempt was not written or not armed, until somebody asks.
    failure: Option<String>,
}

impl Node {
    /// Reads what the node is.
    pub(super) fn open() -> Result<Self, String> {
        let config = crate::document::read(
            std::env::var_os("HOLM_CONFIG"),
            std::env::var_os("HOLM_CONFIG_DIR"),
        )
        .map_err(|error| chain(&error))?
        .config;
        let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let slot = Slot::from_command_line(&line).ok_or("the kernel was started without a slot")?;
        let release = node::Release::read()?;
        let store = Store::new(PathBuf::from(STATE));
        let (mut ledger, complaint) = store.load();
        if let Some(complaint) = complaint {
            tracing::error!("{complaint}");
        }
        ledger.seed.get_or_insert_with(node::random_seed);
        let (kind, is_tryboot) = boot_path();
        let repository = Repository::new(&config.update);
        Ok(Self {
            version: release.version,
            board: release.board,
            slot,
            config,
            ledger,
            before: observe::read(BEFORE),
            medium: Medium::new(PathBuf::from(places::BOOT), kind),
            is_tryboot,
            store,
            repository,
            init: Init,
            waiting: None,
            failure: None,
        })
    }

    /// Whether nothing is committed yet.
    pub(super) fn is_fresh(&mut self) -> bool {
        self.slots().is_ok_and(|slots| slots.default.is_none()) && self.ledger.attempt.is_none()
    }

    /// What keeps PID 1 from calling the node ready.
    pub(super) fn observe_init(&self) -> Vec<String> {
        self.init.not_ready()
    }

    /// How the node is.
    pub(super) fn observe(&mut self) -> Observed {
        let server = self.repository.answers();
        observe::now(&self.init, server, &self.config.update.checks)
    }

    /// What there is to install.
    pub(super) fn find(&mut self, version: Option<&str>, force: bool) -> Result<Found, String> {
        let seed = self.ledger.seed.unwrap_or_default();
        self.repository.find(&self.board, &self.version, seed, version, force)
    }

    /// Another place than the document's, for the commands that follow.
    pub(super) fn set_place(&mut self, place: Option<String>) -> Result<(), String> {
        place.map_or(Ok(()), |place| self.repository.set_place(place))
    }

    /// Keeps a person's wish that nothing happens by itself.
    pub(super) fn hold(&mut self, held: bool) -> Result<(), String> {
        let ledger = Ledger { held, ..self.ledger.clone() };
        self.record(&ledger)?;
        self.ledger = ledger;
        Ok(())
    }

    /// What the trial still waits for.
    pub(super) fn waiting_for(&mut self, failing: Option<String>) {
        if failing != self.waiting
            && let Some(failing) = &failing
        {
            tracing::info!("the trial waits for {failing}");
        }
        self.waiting = failing;
    }

    /// Why the last attempt ended before its trial.
    pub(super) fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    /// Writes what `holm update status` shows.
    pub(super) fn report(&mut self, on_trial: bool) {
        let slots = self.slots();
        let report = node::Report {
            version: &self.version,
            slot: self.slot,
            committed: slots.as_ref().is_ok_and(|slots| slots.default == Some(self.slot)),
            on_trial,
            waiting: self.waiting.as_deref(),
            ledger: &self.ledger,
        };
        if let Err(error) = report.write() {
            tracing::warn!("write the report: {error}");
        }
    }

    fn target(&self, slot: Slot) -> Result<Target, String> {
        let folder = PathBuf::from(places::BOOT).join(boot_count::FOLDER);
        Ok(Target {
            board: self.board.clone(),
            root: node::root_device(slot)?,
            kernel: folder.join(boot_count::unfinished_name(slot)),
        })
    }

    fn install(&mut self, version: &str, slot: Slot) -> Result<(), InstallEnd> {
        let target = self.target(slot).map_err(InstallEnd::Failed)?;
        let seeds = node::seeds(self.slot, &target);
        let medium = &self.medium;
        let work = |source: &dyn Source| {
            let payload = source.payload(slot);
            let payload = payload.map_err(|error| InstallEnd::Later(error.to_string()))?;
            let mut outcome = Ok(Written::default());
            let done = medium.while_writable(|| {
                outcome = install(source, &payload, &target, &mut |_| true);
                Ok(())
            });
            done.map_err(|error| InstallEnd::Later(chain(&error)))?;
            Ok(outcome)
        };
        let outcome = self.repository.with_source(&self.board, version, &seeds, work);
        let outcome = outcome.map_err(InstallEnd::Later)??;
        match outcome {
            Ok(written) => {
                let (total, written) = (written.total >> 10, written.written >> 10);
                tracing::info!("version {version}: {total} KiB, {written} KiB of them written");
                Ok(())
            }
            Err(
                error @ (InstallError::Source { .. }
                | InstallError::Disk { .. }
                | InstallError::Interrupted),
            ) => Err(InstallEnd::Later(chain(&error))),
            Err(error) => Err(InstallEnd::Failed(chain(&error))),
        }
    }
}

enum InstallEnd {
    Later(String),
    Failed(String),
}

impl Platform for Node {
    fn slots(&mut self) -> Result<Slots, String> {
        self.medium.slots(self.slot).map_err(|error| chain(&error))
    }

    fn change(&mut self, change: Change) -> Result<(), String> {
        let done = self.medium.change(self.slot, change).map_err(|error| chain(&error))?;
        match change {
            Change::Commit(slot) if !done.is_empty() => {
                node::announce(&format!("slot {slot} is good: version {}", self.version));
            }
            _ => {}
        }
        Ok(())
    }

    fn record(&mut self, ledger: &Ledger) -> Result<(), String> {
        self.store.save(ledger).map_err(|error| error.to_string())?;
        if ledger.outcomes.len() != self.ledger.outcomes.len()
            && let Some(last) = ledger.last()
        {
            let verdict = &last.verdict;
            let words = format!(
                "update to {}: {:?} ({}: {})",
                last.version, verdict.code, verdict.check, verdict.reason
            );
            node::announce(&words);
            self.failure = (verdict.code == holm_update::ledger::Code::NotWritten).then_some(words);
        }
        self.ledger.clone_from(ledger);
        Ok(())
    }

    fn write(&mut self, ledger: &Ledger, slot: Slot) -> WriteEnd {
        let Some(attempt) = &ledger.attempt else {
            return WriteEnd::Failed("no attempt".to_owned());
        };
        match self.install(&attempt.version, slot) {
            Ok(()) => WriteEnd::Written,
            Err(InstallEnd::Later(why)) => WriteEnd::Later(why),
            Err(InstallEnd::Failed(why)) => WriteEnd::Failed(why),
        }
    }

    fn prepare_trial(&mut self, _: &Ledger) -> Result<(), String> {
        // Also when it is armed again: the node is judged by how it was before the first time.
        if self.ledger.attempt.as_ref().is_none_or(|attempt| attempt.arms == 0) {
            self.before = self.observe();
            observe::write(BEFORE, &self.before).map_err(|error| format!("{BEFORE}: {error}"))?;
        }
        Ok(())
    }

    fn reboot(&mut self, trial: bool) -> Result<(), String> {
        self.init.reboot(trial && self.is_tryboot)
    }
}

/// How this board boots: by what its boot medium holds.
fn boot_path() -> (medium::Kind, bool) {
    let boot = PathBuf::from(places::BOOT);
    if boot.join(holm_update::tryboot::FILE).exists() {
        return (medium::Kind::Tryboot(Box::new(node::FlagOfInit)), true);
    }
    if boot.join(holm_update::state_files::NAMES[0]).exists() {
        return (medium::Kind::TwoFiles, false);
    }
    (medium::Kind::BootCount, false)
}
