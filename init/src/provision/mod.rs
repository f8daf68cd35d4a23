//! The task that looks after a node's document while the node runs: the trial of a
//! new one, one at a URL, and the page for entering one. Runs in a child of PID 1,
//! and ends when nothing is left to look after: on most nodes, as soon as their
//! gateway has answered once.

mod connectivity;
mod fetch;
pub(crate) mod kept;
mod server;
pub(crate) mod volumes;

use crate::clock::{Moment, now, timeout};
use crate::configuration::sources;
use crate::ctl;
use crate::durable;
use crate::kmsg::{self, Level};
use connectivity::Network;
use holm_config::{Confirm, NodeConfig, Provisioning};
use holm_provision::{Deed, Pin, Record, Watch};
use kept::{Kept, Source};
use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};
use server::Server;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use volumes::Wanted;

/// `holm-init ctl confirm` makes this file.
pub(crate) const CONFIRMED: &str = "/run/holm/confirmed";
/// What the console shows of the page.
const SHOWN: &str = "/run/holm/provision.json";
const NETWORK: &str = "/run/holm/network.json";
const DOCUMENT: &str = "/state/holm.toml";
const LOOK: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_secs(10);
/// For whoever has entered a document to read the answer.
const FAREWELL: Duration = Duration::from_secs(3);

/// Where a page can be reached.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    url: String,
}

/// Whether there is anything to do, as the configuration phase sees it.
pub(crate) fn is_needed(kept: &Kept, found: &sources::Places) -> bool {
    let provisioning = found.provisioning();
    matches!(kept.record(), Record::Trial { .. })
        || !kept.was_connected()
        || provisioning.url.is_some()
        || provisioning.dhcp
        || found.wants_page()
}

/// Does all there is to do.
pub(crate) fn run() -> Result<(), String> {
    let found = sources::find();
    let text = std::fs::read_to_string("/run/holm/holm.toml").unwrap_or_default();
    let in_force = holm_config::parse(&text, "holm.toml").unwrap_or_default();
    Task::new(Kept::of_node(), &found, &in_force).run()
}

/// Takes the documents of volumes that were plugged in, and starts the node again
/// when that changes anything.
pub(crate) fn volumes_came() -> Result<(), String> {
    let (news, problems) = volumes::collect(wanted(), &Kept::of_node());
    if !news.is_empty() {
        kmsg::announce(&format!("{}: starting again with it", news.join("; ")));
        restart()?;
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

/// What the last good document lets in.
pub(crate) fn wanted() -> Wanted {
    let last_good = Kept::of_node().last_good().map(|good| good.text).unwrap_or_default();
    let config = holm_config::parse(&last_good, "last-good.toml").unwrap_or_default();
    Wanted { stick: config.provisioning.stick, seed: config.provisioning.seed }
}

/// Serves the page for a recorded node on a free port of the loopback link, puts the
/// document that is entered into `folder`, and ends.
pub(crate) fn serve_recorded(folder: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut server =
        Server::open(&[SocketAddr::from(([127, 0, 0, 1], 0))], "edge-1").map_err(text)?;
    println!("http://127.0.0.1:{}/{}", server.port(), server.code().text());
    std::io::stdout().flush().map_err(text)?;
    loop {
        if let Some(document) = server.turn().map_err(text)? {
            while !server.is_done() {
                server.turn().map_err(text)?;
            }
            return durable::replace(&folder.join("holm.toml"), document.as_bytes(), 0o600)
                .map_err(text);
        }
        wait_for(Some(&server), now() + LOOK);
    }
}

struct Task {
    kept: Kept,
    trial: Option<Watch>,
    must_note: bool,
    provisioning: Provisioning,
    page: Option<Server>,
    wants_page: bool,
    failures: u32,
    next_fetch: Option<Moment>,
    shown: Option<String>,
}

impl Task {
    fn new(kept: Kept, found: &sources::Places, in_force: &NodeConfig) -> Self {
        let settings = &in_force.provisioning;
        let is_tried = matches!(kept.record(), Record::Trial { .. });
        let by_command = settings.confirm == Confirm::Command;
        let watch = || Watch::begin(since_start(), settings.confirm_within, by_command);
        let provisioning = found.provisioning();
        let is_there = provisioning.sha256.is_some() && found.has_url();
        let fetches = (provisioning.url.is_some() && !is_there) || provisioning.dhcp;
        Self {
            trial: is_tried.then(watch),
            must_note: !is_tried && !kept.was_connected(),
            kept,
            wants_page: found.wants_page(),
            next_fetch: fetches.then(now),
            provisioning,
            page: None,
            failures: 0,
            shown: None,
        }
    }

    fn run(&mut self) -> Result<(), String> {
        if let Some(watch) = &self.trial {
            let left = watch.left(since_start()).as_secs();
            kmsg::announce(&format!(
                "the node document is on trial: it is undone in {left} s unless the node is \
                 connected, or holm-init ctl confirm says that it stays"
            ));
        }
        loop {
            let network = Network::read(Path::new(NETWORK));
            let is_connected = network.is_connected();
            self.look_at_trial(is_connected)?;
            if self.must_note && is_connected {
                self.must_note = false;
                self.kept.note_connected().map_err(|error| format!("cannot be noted: {error}"))?;
            }
            if is_connected && self.next_fetch.is_some_and(|next| now() >= next) {
                self.fetch(&network)?;
            }
            self.look_at_page(&network)?;
            if self.trial.is_none()
                && !self.must_note
                && self.next_fetch.is_none()
                && !self.wants_page
            {
                return Ok(());
            }
            // A node that nobody ever connects must not be woken for it all the time.
            let is_busy = self.trial.is_some() || self.wants_page;
            wait_for(self.page.as_ref(), now() + if is_busy { LOOK } else { REST });
        }
    }

    fn look_at_trial(&mut self, is_connected: bool) -> Result<(), String> {
        let Some(watch) = &mut self.trial else {
            return Ok(());
        };
        let is_confirmed = Path::new(CONFIRMED).exists();
        match watch.step(is_connected, is_confirmed, since_start()) {
            Deed::Wait => Ok(()),
            Deed::Keep => {
                self.kept.keep_tried().map_err(|error| format!("cannot be kept: {error}"))?;
                let why = if is_confirmed { "confirmed" } else { "the node is connected" };
                kmsg::announce(&format!("the trial is over: the node document stays ({why})"));
                self.trial = None;
                self.must_note = !self.kept.was_connected();
                Ok(())
            }
            Deed::Undo => {
                let undone = self.kept.record().undo();
                self.kept
                    .set_record(&undone)
                    .map_err(|error| format!("cannot be noted: {error}"))?;
                kmsg::announce(
                    "the trial is over: the node document cost the node its connectivity and is \
                     undone; starting again with the last good one",
                );
                restart()
            }
        }
    }

    fn fetch(&mut self, network: &Network) -> Result<(), String> {
        let Provisioning { url, dhcp, sha256, key, .. } = &self.provisioning;
        let of_dhcp = network.provisioning.as_ref().filter(|_| *dhcp);
        // What DHCP says is never covered by a hash: it names any document.
        let (url, pin) = match (url, of_dhcp, sha256, key) {
            (Some(url), _, Some(hash), _) => (url, Pin::Hash(hash.clone())),
            (Some(url), _, None, Some(key)) | (None, Some(url), _, Some(key)) => {
                (url, Pin::Key(key.clone()))
            }
            _ => {
                self.next_fetch = Some(now() + fetch::pause(1));
                return Ok(());
            }
        };
        match fetch::fetch(url, &pin) {
            Ok(text) => {
                self.next_fetch = None;
                let is_news = self.kept.keep(Source::Url, &text);
                if is_news.map_err(|error| format!("cannot be kept: {error}"))? {
                    kmsg::announce(&format!("{url} brings a document: starting again with it"));
                    return restart();
                }
                kmsg::log(Level::Info, &format!("{url} has nothing new"));
            }
            Err(reason) => {
                let pause = fetch::pause(self.failures);
                self.failures = self.failures.saturating_add(1);
                self.next_fetch = Some(now() + pause);
                let pause = pause.as_secs();
                kmsg::log(Level::Warning, &format!("{url}: {reason}; trying again in {pause} s"));
            }
        }
        Ok(())
    }

    fn look_at_page(&mut self, network: &Network) -> Result<(), String> {
        let Some(address) = network.address().filter(|_| self.wants_page) else {
            return Ok(());
        };
        if self.page.is_none() {
            let addresses = [80, 8080].map(|port| SocketAddr::from(([0; 16], port)));
            let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
            match Server::open(&addresses, &hostname) {
                Ok(server) => self.page = Some(server),
                Err(error) => {
                    kmsg::log(Level::Warning, &format!("the page cannot be served: {error}"));
                    self.wants_page = false;
                    return Ok(());
                }
            }
        }
        let Some(server) = &mut self.page else {
            return Ok(());
        };
        let entered = server.turn().map_err(|error| format!("page: {error}"))?;
        let port = if server.port() == 80 { String::new() } else { format!(":{}", server.port()) };
        let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        let url = format!("http://{host}{port}/{}", server.code().text());
        if self.shown.as_ref() != Some(&url) {
            show(&url).map_err(|error| format!("{SHOWN}: {error}"))?;
            kmsg::log(Level::Info, "a page for entering the node document: see the console");
            self.shown = Some(url);
        }
        let Some(document) = entered else {
            return Ok(());
        };
        durable::replace(Path::new(DOCUMENT), document.as_bytes(), 0o600)
            .map_err(|error| format!("{DOCUMENT}: {error}"))?;
        let end = now() + FAREWELL;
        while now() < end {
            server.turn().map_err(|error| format!("page: {error}"))?;
            wait_for(Some(server), end);
        }
        kmsg::announce("a document was entered on the page: starting again with it");
        restart()
    }
}

/// For root alone: who can read it can configure the node.
fn show(url: &str) -> std::io::Result<()> {
    let text = serde_json::to_vec(&Shown { url: url.to_owned() })?;
    durable::replace(&PathBuf::from(SHOWN), &text, 0o600)
}

/// Waits until a visitor of the page wants something, or for the deadline.
fn wait_for(page: Option<&Server>, deadline: Moment) {
    let descriptors = page.into_iter().flat_map(Server::descriptors);
    let mut fds: Vec<_> = descriptors
        .map(|(fd, writes)| {
            PollFd::from_borrowed_fd(fd, if writes { PollFlags::OUT } else { PollFlags::IN })
        })
        .collect();
    let _ = poll(&mut fds, Some(&timeout(deadline, now())));
}

/// Asks PID 1 to start the node again, and waits for the end.
fn restart() -> Result<(), String> {
    ctl::restart()?;
    wait_for(None, now() + Duration::from_secs(120));
    Err("the node does not start again".to_owned())
}

fn since_start() -> Duration {
    Duration::from_millis(now().0)
}
