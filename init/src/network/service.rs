//! The loop: look, decide, act, tell, wait. All decisions are in the pure parts.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::{self, Moment, now, timeout};
use crate::notify::{Notify, watchdog_period};
use holm_config::NodeConfig;
use rustix::event::{PollFd, PollFlags, poll};

use super::action::Problem;
use super::advertisements::Advertisements;
use super::arp::Ears;
use super::client::Client;
use super::conflicts::{self, Conflicts, Deed};
use super::dhcp::store::Store;
use super::netlink::{self, NetlinkError, Socket, Watch};
use super::observed::Observed;
use super::orders::{Order, Orders};
use super::outputs::Outputs;
use super::plan::plan;
use super::report::{self, report};
use super::sysctls::{self, Sysctls};
use super::wanted::{Assignment, LeaseInUse, Wanted, assign, wanted};

/// One plan changes what the next one sees (a link that was made, an address that went and took its
/// routes along); more rounds than this mean that somebody works against us.
const ROUNDS: usize = 6;
/// Steps that fail are tried again after this, doubled each time.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// A node with a step that keeps failing is ready all the same: the rest of it works.
const ATTEMPTS_BEFORE_READY: u32 = 5;

/// Where the service reads and writes.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The node document.
    pub(crate) document: PathBuf,
    /// What ends with the boot: `/run/holm`.
    pub(crate) run: PathBuf,
    /// What outlives it: `/state/network`.
    pub(crate) state: PathBuf,
}

/// The service.
pub(crate) struct Service {
    places: Places,
    config: NodeConfig,
    netlink: Socket,
    watch: Watch,
    orders: Orders,
    notify: Notify,
    watchdog: Option<Duration>,
    next_watchdog: Moment,
    store: Store,
    outputs: Outputs,
    observed: Observed,
    assignments: Vec<Assignment>,
    clients: BTreeMap<String, Client>,
    advertisements: Advertisements,
    sysctls: Sysctls,
    ears: Ears,
    conflicts: Conflicts,
    problems: Vec<Problem>,
    failures: Vec<String>,
    attempts: u32,
    /// When to look again although nothing was heard: to retry, or as a link's grace ends.
    look_again: Option<Moment>,
    is_ready: bool,
}

impl Service {
    /// Opens what is needed and reads the document.
    pub(crate) fn new(places: Places, orders: Orders) -> Result<Self, NetlinkError> {
        let own = places.run.join("network");
        let outputs = Outputs::new(&places.run);
        Ok(Self {
            config: read_document(&places).unwrap_or_default(),
            netlink: Socket::open()?,
            watch: Watch::open()?,
            orders,
            notify: Notify::from_environment(),
            watchdog: watchdog_period(),
            next_watchdog: now(),
            store: Store::new(&own, &places.state),
            advertisements: outputs.recall_advertisements(),
            outputs,
            sysctls: Sysctls::default(),
            ears: Ears::default(),
            conflicts: Conflicts::default(),
            observed: Observed::default(),
            assignments: Vec::new(),
            clients: BTreeMap::new(),
            problems: Vec::new(),
            failures: Vec::new(),
            attempts: 0,
            look_again: None,
            is_ready: false,
            places,
        })
    }

    /// Runs until told to leave.
    pub(crate) fn run(mut self) -> Result<(), NetlinkError> {
        self.reconcile();
        loop {
            self.write();
            self.wait()?;
            let now = now();
            let mut has_changed = self.hear(now)?;
            self.defend(now);
            for client in self.clients.values_mut() {
                has_changed |= client.receive(now) | client.time_out(now);
            }
            has_changed |= self.look_again.is_some_and(|at| at <= now);
            while let Some(order) = self.orders.next() {
                match order {
                    Order::Leave => {
                        self.leave();
                        return Ok(());
                    }
                    Order::Reload => {
                        if let Some(config) = read_document(&self.places) {
                            self.config = config;
                            has_changed = true;
                        }
                    }
                }
            }
            if has_changed {
                self.reconcile();
            }
        }
    }

    /// Gives the leases back; links stay as they are.
    fn leave(&mut self) {
        self.notify.stopping();
        let now = now();
        for client in self.clients.values_mut() {
            client.release(now);
        }
        self.reconcile();
        self.write();
    }

    /// Sleeps until something happens or is due; feeds the watchdog.
    fn wait(&mut self) -> Result<(), NetlinkError> {
        let now = now();
        if let Some(period) = self.watchdog.filter(|_| self.next_watchdog <= now) {
            self.notify.watchdog();
            self.next_watchdog = now + period;
        }
        let deadlines = self.clients.values().filter_map(Client::deadline);
        let next = deadlines
            .chain(self.advertisements.deadline())
            .chain(self.look_again)
            .chain(self.watchdog.map(|_| self.next_watchdog))
            .min();
        let timeout = next.map(|next| timeout(next, now));
        let own = [self.watch.descriptor(), self.orders.descriptor()];
        let sockets = self.clients.values().flat_map(Client::descriptors);
        let descriptors: Vec<BorrowedFd<'_>> =
            own.into_iter().chain(sockets).chain(self.ears.descriptors()).collect();
        let mut polled: Vec<PollFd<'_>> =
            descriptors.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(std::io::Error::from(error).into()),
        }
    }

    /// Takes in what the kernel tells.
    fn hear(&mut self, now: Moment) -> Result<bool, NetlinkError> {
        let heard = self.watch.take()?;
        let mut has_changed = heard.has_changed;
        for option in heard.options {
            has_changed |= self.advertisements.take(&option, now);
        }
        let observed = &self.observed;
        has_changed |= self.advertisements.prune(now, |index| observed.link_at(index).is_some());
        Ok(has_changed)
    }

    /// Answers other hosts that claim addresses of ours.
    fn defend(&mut self, now: Moment) {
        for claim in self.ears.take() {
            let link = self.observed.link_at(claim.index).map_or("", |link| link.name.as_str());
            for deed in self.conflicts.take(claim, link, now) {
                match deed {
                    Deed::Tell(text) => eprintln!("network: {text}"),
                    Deed::Announce(index, address) => {
                        if let Err(error) = self.ears.announce(index, address) {
                            eprintln!("network: {link}: cannot defend {address}: {error}");
                        }
                    }
                }
            }
        }
    }

    /// Looks and acts until nothing is left to do, or nothing more can be done now.
    fn reconcile(&mut self) {
        let mut failures = Vec::new();
        for _ in 0..ROUNDS {
            let now = now();
            match netlink::observe(&mut self.netlink, now) {
                Ok(observed) => self.observed = observed,
                Err(error) => {
                    failures.push(error.to_string());
                    break;
                }
            }
            self.assignments = assign(&self.config.network, &self.observed);
            self.look_after_clients(now);
            let mut wanted = wanted(&self.assignments, &self.leases(now), &self.observed);
            sysctls::honour(&self.config.kernel.sysctls, &mut wanted);
            self.apply_sysctls(&wanted);
            let plan = plan(&wanted, &self.observed);
            self.note_problems(plan.problems);
            failures.clear();
            for action in &plan.actions {
                let done = netlink::perform(&mut self.netlink, action, clock::now());
                failures.extend(done.err().map(|error| error.to_string()));
            }
            if plan.actions.len() == failures.len() {
                break;
            }
        }
        // A link that has just gone cannot be listened on, and need not.
        let _ = self.ears.listen(conflicts::own(&self.observed));
        self.settle(failures);
    }

    /// Writes the document's kernel settings of links that came since. What the kernel refuses is
    /// said, and not tried again on the same link: it would refuse it for ever.
    fn apply_sysctls(&mut self, plan: &Wanted) {
        let due = self.sysctls.due(&self.config.kernel.sysctls, &self.observed, plan);
        for (path, value) in due {
            if let Err(error) = sysctls::write(path, value) {
                eprintln!("network: cannot set {path} to {value:?}: {error}");
            }
        }
    }

    /// Notes what the document asks for in vain, and says so once.
    fn note_problems(&mut self, problems: Vec<Problem>) {
        for problem in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            eprintln!("network: {problem}");
        }
        self.problems = problems;
    }

    /// Notes what failed, says so once, and plans the next attempt.
    fn settle(&mut self, failures: Vec<String>) {
        for failure in failures.iter().filter(|failure| !self.failures.contains(failure)) {
            eprintln!("network: cannot {failure}");
        }
        self.attempts = if failures.is_empty() { 0 } else { self.attempts.saturating_add(1) };
        let now = now();
        let retry = (!failures.is_empty()).then(|| {
            let factor = 1u32 << self.attempts.saturating_sub(1).min(16);
            now + (FIRST_RETRY * factor).min(LAST_RETRY)
        });
        let graces = self.clients.values().filter_map(|client| client.grace_ends(now));
        self.look_again = graces.chain(retry).min();
        self.failures = failures;
        if !self.is_ready && (self.attempts == 0 || self.attempts >= ATTEMPTS_BEFORE_READY) {
            self.is_ready = true;
            self.notify.ready();
        }
    }

    /// Starts and ends clients as the document says, and shows each its link.
    fn look_after_clients(&mut self, now: Moment) {
        let asks = |assignment: &&Assignment| assignment.entry.dhcp4;
        let asking: Vec<&str> =
            self.assignments.iter().filter(asks).map(|a| a.name.as_str()).collect();
        self.clients.retain(|name, client| {
            let is_right = self.observed.link(name).is_some_and(|link| client.is_of(link));
            if is_right && !asking.contains(&name.as_str()) {
                // The document does not want the lease any longer.
                client.release(now);
            }
            is_right && asking.contains(&name.as_str())
        });
        for name in asking {
            let Some(link) = self.observed.link(name) else { continue };
            if !self.clients.contains_key(name) {
                let hostname = self.outputs.own_hostname(&self.config);
                if let Some(client) = Client::new(link, hostname, &self.store, now) {
                    self.clients.insert(name.to_owned(), client);
                }
            }
            if let Some(client) = self.clients.get_mut(name) {
                client.see(link, now);
            }
        }
    }

    fn leases(&self, now: Moment) -> BTreeMap<String, LeaseInUse> {
        let leases = self.clients.iter();
        leases
            .filter_map(|(name, client)| Some((name.clone(), client.lease_in_use(now)?)))
            .collect()
    }

    fn write(&mut self) {
        let now = now();
        let looked_after = self.assignments.iter().map(|assignment| {
            let client = self.clients.get(&assignment.name);
            report::Client {
                link: &assignment.name,
                dhcp4: client.map(Client::phase),
                lease: client.and_then(|client| client.lease(now)),
            }
        });
        let looked_after: Vec<report::Client<'_>> = looked_after.collect();
        let allow = self.config.node.hostname.is_none() && self.config.network.hostname_from_dhcp;
        let network = &self.config.network;
        let report = report(network, &looked_after, &self.observed, &self.advertisements, allow);
        self.notify.status(report.status(&self.problems, &self.failures));
        self.outputs.write(&report, &self.advertisements);
    }
}

/// The document; none when it cannot be read or is refused, which is said. Init hands on accepted
/// documents only.
fn read_document(places: &Places) -> Option<NodeConfig> {
    let path = &places.document;
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => match holm_config::parse(&text, &name) {
            Ok(config) => Some(config),
            Err(problems) => {
                for problem in problems {
                    eprintln!("network: {problem}");
                }
                None
            }
        },
        // A node without a document has all its defaults.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(NodeConfig::default()),
        Err(error) => {
            eprintln!("network: cannot read {name}: {error}");
            None
        }
    }
}
