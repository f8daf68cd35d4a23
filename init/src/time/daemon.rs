//! The loop of the time service: find servers, ask them, do what was decided, rest.
//! Thin: decisions are `discipline`'s, `sources`' and `servers`'.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::discipline::{Action, Decision, Discipline, Why};
use super::sources::{Outcome, Sources};
use super::wakeups::{Stopped, Wake, Wakeups};
use super::{dns, exchange, rtc, saved, servers};

/// More servers than this add packets, not truth.
const MOST_SERVERS: usize = 4;
/// A changed network leads to a round soon, but never more often than this: at boot it changes
/// several times while links and leases come.
const LEAST_REST: Duration = Duration::from_secs(2);

/// Where the service finds and leaves things.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Report of the network service.
    pub(crate) network: PathBuf,
    pub(crate) resolv_conf: PathBuf,
    pub(crate) saved: PathBuf,
    pub(crate) rtc: PathBuf,
    pub(crate) ntp_port: u16,
    pub(crate) dns_port: u16,
}

/// What decides whom to ask; a change of it leads to a new look-up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Surroundings {
    servers: Vec<String>,
    name_servers: Vec<IpAddr>,
}

pub(crate) struct Daemon<C> {
    pub(crate) clock: C,
    pub(crate) wakeups: Wakeups,
    places: Places,
    configured: Vec<String>,
    image_built: i64,
    discipline: Discipline,
    sources: Sources,
    surroundings: Surroundings,
    status: String,
    has_answers: bool,
}

impl<C: Clock> Daemon<C> {
    pub(crate) fn new(
        clock: C,
        wakeups: Wakeups,
        places: Places,
        configured: Vec<String>,
        image_built: i64,
    ) -> Self {
        let discipline = Discipline::new(clock.is_synchronised());
        Self {
            clock,
            wakeups,
            places,
            configured,
            image_built,
            discipline,
            sources: Sources::default(),
            surroundings: Surroundings::default(),
            status: String::new(),
            has_answers: false,
        }
    }

    /// Keeps the clock right until the supervisor says stop.
    pub(crate) fn run(&mut self) {
        let mut next_save = Instant::now() + saved::INTERVAL;
        while let Ok(wait) = self.round() {
            let began = Instant::now();
            if self.rest(began, began + wait, &mut next_save).is_err() {
                break;
            }
        }
        self.save();
    }

    fn rest(
        &mut self,
        began: Instant,
        next_round: Instant,
        next_save: &mut Instant,
    ) -> Result<(), Stopped> {
        let mut next_round = next_round;
        while Instant::now() < next_round {
            match self.wakeups.rest(next_round.min(*next_save))? {
                Wake::NetworkChanged if self.is_worth_a_round() => {
                    self.discipline.hurry();
                    next_round = next_round.min(began + LEAST_REST);
                }
                Wake::NetworkChanged | Wake::Deadline => {}
            }
            if Instant::now() >= *next_save {
                self.save();
                *next_save = Instant::now() + saved::INTERVAL;
            }
        }
        Ok(())
    }

    /// A network that changed in what matters here, or while nobody answers.
    fn is_worth_a_round(&self) -> bool {
        !self.has_answers || self.look_around() != self.surroundings
    }

    /// One round: whom to ask, what they say, what is done. When the next one is due.
    pub(crate) fn round(&mut self) -> Result<Duration, Stopped> {
        let around = self.look_around();
        if around != self.surroundings || self.sources.are_spent() {
            let addresses = self.find(&around)?;
            self.sources.replace(&addresses, Instant::now());
            self.surroundings = around;
        }
        let asked = self.sources.due(Instant::now());
        let outcomes =
            exchange::ask_time(&asked, &self.clock, self.image_built, &mut self.wakeups)?;
        for (address, outcome) in asked.iter().zip(&outcomes) {
            self.sources.note(*address, outcome, Instant::now());
            if let Outcome::Kiss(code) = outcome {
                eprintln!("time: {address} asks not to be asked: {}", code.escape_ascii());
            }
        }
        let samples: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Sample(sample) => Some(*sample),
                Outcome::Kiss(_) | Outcome::Unfit(_) | Outcome::Silent => None,
            })
            .collect();
        self.has_answers = !samples.is_empty();
        let decision = self.discipline.decide(&samples, self.clock.now(), self.image_built);
        self.perform(&decision);
        self.tell(&decision, asked.len());
        Ok(decision.wait)
    }

    fn look_around(&self) -> Surroundings {
        // Files that are not there yet say nothing; the watch on their folder tells when they are.
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Surroundings {
            servers: servers::choose(&self.configured, &read(&self.places.network)),
            name_servers: dns::name_servers(&read(&self.places.resolv_conf)),
        }
    }

    /// Addresses of the servers, those first that can be reached at all.
    fn find(&mut self, around: &Surroundings) -> Result<Vec<SocketAddr>, Stopped> {
        let name_servers: Vec<SocketAddr> = around
            .name_servers
            .iter()
            .map(|address| SocketAddr::new(*address, self.places.dns_port))
            .collect();
        let port = self.places.ntp_port;
        let mut of_each = Vec::new();
        for server in &around.servers {
            let found = match server.parse::<IpAddr>() {
                Ok(address) => vec![address],
                Err(_) => exchange::look_up(server, &name_servers, &mut self.wakeups)?,
            };
            let reachable =
                found.into_iter().filter(|ip| exchange::is_reachable(SocketAddr::new(*ip, port)));
            of_each.push(reachable.collect::<Vec<IpAddr>>());
        }
        let most = MOST_SERVERS.max(around.servers.len());
        let chosen = dns::take_turns(&of_each, most).into_iter();
        Ok(chosen.map(|address| SocketAddr::new(address, port)).collect())
    }

    fn perform(&mut self, decision: &Decision) {
        let done = match decision.action {
            Action::Step(offset) => {
                let stepped = self.clock.step(offset).and_then(|()| self.clock.slew(0, 6));
                if stepped.is_ok() {
                    // A known time is worth a write at once: power may go before the hour.
                    self.save();
                    self.set_rtc();
                }
                stepped
            }
            Action::Slew { offset, interval } => self.clock.slew(offset, interval),
            Action::Keep(_) => Ok(()),
        };
        if let Err(error) = done {
            eprintln!("time: the clock cannot be set: {error}");
        }
    }

    fn set_rtc(&self) {
        match rtc::set(&self.places.rtc, self.clock.now()) {
            Ok(_) => {}
            Err(error) => {
                eprintln!("time: {} cannot be set: {error}", self.places.rtc.display());
            }
        }
    }

    fn save(&self) {
        let saved = saved::save(&self.places.saved, self.clock.now(), self.clock.is_synchronised());
        if let Err(error) = saved {
            eprintln!("time: {} cannot be written: {error}", self.places.saved.display());
        }
    }

    /// The status goes to the supervisor each time, and to the log when it says something new.
    fn tell(&mut self, decision: &Decision, asked: usize) {
        let (status, is_news) = describe(decision, asked, self.discipline.has_time());
        self.wakeups.notify().status(status.clone());
        let gist = status.split(", offset").next().unwrap_or_default();
        if is_news || gist != self.status {
            eprintln!("time: {status}");
        }
        self.status = gist.to_owned();
    }
}

/// The state in a sentence, and whether it is worth a line of the log in any case.
fn describe(decision: &Decision, asked: usize, has_time: bool) -> (String, bool) {
    let milliseconds = |nanos: i64| format!("{:+.3} ms", nanos as f64 / 1e6);
    let state = if has_time { "synchronised earlier" } else { "not synchronised" };
    let agreed = format!("synchronised with {} of {asked} servers", decision.agreeing);
    match decision.action {
        Action::Step(offset) => {
            (format!("{agreed}, offset {} stepped", milliseconds(offset)), true)
        }
        Action::Slew { offset, .. } => {
            (format!("{agreed}, offset {}", milliseconds(offset)), false)
        }
        Action::Keep(Why::NoAnswer) if asked == 0 => {
            (format!("{state}: no server is known"), false)
        }
        Action::Keep(Why::NoAnswer) => {
            (format!("{state}: none of {asked} servers gave the time"), false)
        }
        Action::Keep(Why::Disagreement) => {
            (format!("{state}: the servers contradict each other"), false)
        }
        Action::Keep(Why::BeforeImage) => {
            (format!("{state}: the servers show a time before this image was built"), false)
        }
        Action::Keep(Why::Unconfirmed(offset)) => {
            let offset = milliseconds(offset);
            (format!("{state}: an offset of {offset} waits to be confirmed"), true)
        }
    }
}

#[cfg(test)]
mod tests;
