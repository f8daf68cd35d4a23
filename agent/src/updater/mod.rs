//! `holm updater`: the service that keeps the node's version. It commits what has proved itself,
//! goes on with an update after each boot, looks for new ones, and takes commands on its socket.
//!
//! A process of its own, beside the agent: it is what finds out that a new version's agent does
//! not get ready. Decisions are those of `holm-update`; here they are given what they need.

mod commands;
mod evidence;
mod node;
mod observe;
mod platform;
mod policy;
mod source;
mod stick;

pub use commands::main as command;

use std::process::ExitCode;
use std::time::Duration;

use holm_update::ledger::Stage;
use holm_update::runner::{Next, RunError, run};
use holm_update::trial::{Judgement, Trial, checks};
use holm_update::{Event, runner};

use commands::{Listener, Request};
use holm_node::pod::clock::Now;
use platform::Node;
use policy::Wish;

/// How often a trial, or a fresh disk, is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long to wait after something did not work that may work later.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Runs the service.
pub fn main() -> ExitCode {
    let level = tracing::Level::INFO;
    let _ = tracing::subscriber::set_global_default(crate::log::Lines { level });
    crate::memory::use_one_arena();
    match Updater::open() {
        Ok(mut updater) => updater.serve(),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Updater {
    node: Node,
    listener: Listener,
    /// The trial that is being judged.
    trial: Option<Trial>,
    /// When to send [`Event::Booted`] again, time since the boot.
    again: Option<Duration>,
    policy: policy::Policy,
    rebooting: bool,
}

impl Updater {
    fn open() -> Result<Self, String> {
        let listener = Listener::open().map_err(|error| format!("open the socket: {error}"))?;
        let node = Node::open()?;
        let policy = policy::Policy::new(Now::read().boot);
        Ok(Self { node, listener, trial: None, again: None, policy, rebooting: false })
    }

    fn serve(&mut self) -> ExitCode {
        let evidence = evidence::of_last_boot();
        let version = self.node.version.clone();
        self.feed_quietly(Event::Booted { version, evidence });
        loop {
            self.node.report(self.trial.is_some());
            let pause = self.pause();
            for (request, answer) in self.listener.wait(pause) {
                answer.send(self.answer(request));
            }
            if !self.rebooting {
                self.look();
            }
        }
    }

    /// How long nothing has to be done.
    fn pause(&mut self) -> Duration {
        let now = Now::read().boot;
        if self.trial.is_some() || self.node.is_fresh() {
            return LOOK_EVERY;
        }
        let again = self.again.map(|at| at.saturating_sub(now));
        let next = self.policy.pause(&self.node, now);
        again.map_or(next, |again| again.min(next)).max(Duration::from_millis(200))
    }

    /// Whatever time asks for.
    fn look(&mut self) {
        let now = Now::read().boot;
        if let Some(trial) = &mut self.trial {
            let seen = self.node.observe();
            match trial.judge(&checks(&self.node.before, &seen), now) {
                Judgement::Wait(failing) => self.node.waiting_for(failing),
                Judgement::Healthy => self.end_trial(Event::Healthy),
                Judgement::Unhealthy(verdict) => {
                    let (check, reason) = (verdict.check.clone(), verdict.reason.clone());
                    node::announce(&format!(
                        "version {} failed its trial ({check}: {reason}); going back",
                        self.node.version
                    ));
                    let log = node::kernel_log();
                    let verdict = holm_update::ledger::Verdict { kernel_log: log, ..verdict };
                    self.end_trial(Event::Unhealthy(verdict));
                }
                Judgement::Undecided(why) => {
                    tracing::warn!("the trial proves nothing ({why}); going back");
                    self.end_trial(Event::Undecided);
                }
            }
            return;
        }
        if self.node.is_fresh() && self.node.observe_init().is_empty() {
            self.feed_quietly(Event::Healthy);
        }
        if self.again.is_some_and(|at| at <= now) {
            self.again = None;
            let version = self.node.version.clone();
            self.feed_quietly(Event::Booted { version, evidence: None });
            return;
        }
        match self.policy.wish(&mut self.node, now) {
            Wish::Nothing => {}
            Wish::Install(version) => {
                let from = self.node.version.clone();
                self.feed_quietly(Event::Install { version, from, by_name: false });
            }
            Wish::Apply => {
                self.feed_quietly(Event::Apply);
            }
        }
    }

    fn end_trial(&mut self, event: Event) {
        if self.feed(event).is_ok() {
            self.trial = None;
        }
    }

    /// Carries out a command of a person; the answer in words.
    fn answer(&mut self, request: Request) -> Result<String, String> {
        if self.rebooting {
            return Err("the node is about to reboot".to_owned());
        }
        let from = self.node.version.clone();
        match request {
            Request::Check {} => self.node.find(None, false).map(|found| match found {
                source::Found::Version { version, .. } => format!("version {version} is there"),
                source::Found::Nothing(why) => why,
            }),
            Request::Stage { version, from: place, force } => {
                self.node.set_place(place)?;
                let (by_name, version) = (version.is_some(), self.choose(version, force)?);
                self.feed(Event::Install { version: version.clone(), from, by_name })
                    .map(|_| self.say_stage(&version))
            }
            Request::Apply { version, from: place, force } => {
                self.node.set_place(place)?;
                if !self.is_staged() || version.is_some() {
                    let (by_name, version) = (version.is_some(), self.choose(version, force)?);
                    let event = Event::Install { version, from, by_name };
                    match self.feed(event) {
                        Ok(_) => {}
                        Err(error) if self.is_staged() => drop(error),
                        Err(error) => return Err(error),
                    }
                }
                self.feed(Event::Apply).map(|_| "the node reboots into the trial".to_owned())
            }
            Request::Rollback {} => {
                self.feed(Event::RollBack { from }).map(|_| "the node reboots into it".to_owned())
            }
            Request::Abandon {} => {
                let why = "a person gave it up".to_owned();
                self.feed(Event::Abandon(why)).map(|_| "given up".to_owned())
            }
            Request::Hold { held } => {
                self.node.hold(held)?;
                let what = if held { "held" } else { "not held any more" };
                Ok(format!("updates are {what}"))
            }
        }
    }

    fn choose(&mut self, version: Option<String>, force: bool) -> Result<String, String> {
        match self.node.find(version.as_deref(), force)? {
            source::Found::Version { version, .. } => Ok(version),
            source::Found::Nothing(why) => Err(why),
        }
    }

    fn is_staged(&self) -> bool {
        self.node.ledger.attempt.as_ref().is_some_and(|attempt| attempt.stage == Stage::Staged)
    }

    fn say_stage(&self, version: &str) -> String {
        match &self.node.ledger.attempt {
            Some(attempt) if attempt.stage == Stage::Staged => {
                format!("version {version} is staged")
            }
            Some(_) => format!("version {version} is being fetched"),
            None => match self.node.ledger.last() {
                Some(last) => format!("version {version} is not staged: {}", last.verdict.reason),
                None => format!("version {version} is not staged"),
            },
        }
    }

    /// Feeds what no person waits for; what came of it is logged and reported.
    fn feed_quietly(&mut self, event: Event) {
        if let Err(why) = self.feed(event) {
            tracing::warn!("{why}");
        }
    }

    /// Feeds the machine and does what it says.
    fn feed(&mut self, event: Event) -> Result<(), String> {
        let mut ledger = self.node.ledger.clone();
        let outcome = run(&mut self.node, &mut ledger, event);
        self.node.ledger = ledger;
        match outcome {
            Ok(Next::Idle) => {
                if let Some(why) = self.node.take_failure() {
                    return Err(why);
                }
            }
            Ok(Next::Check) => {
                let update = &self.node.config.update;
                self.trial = Some(Trial::new(Now::read().boot, update.settle, update.limit));
                tracing::info!("version {} is on trial", self.node.version);
            }
            Ok(Next::Rebooting) => self.rebooting = true,
            Ok(Next::Again(why)) => {
                tracing::warn!("the update goes on later: {why}");
                self.again = Some(Now::read().boot + RETRY_AFTER);
                return Err(why);
            }
            Err(runner::RunError::Refused(refusal)) => return Err(refusal.to_string()),
            Err(error @ RunError::Failed { .. }) => {
                tracing::error!("{error}");
                self.again = Some(Now::read().boot + RETRY_AFTER);
                return Err(error.to_string());
            }
        }
        Ok(())
    }
}
