//! Whether a trial has proved its version: all checks hold for long enough, within a limit. Pure.
//!
//! | checks                     | for how long   | judgement                                     |
//! |----------------------------|----------------|-----------------------------------------------|
//! | all hold                   | settle         | healthy: commit                               |
//! | all hold                   | less           | wait                                          |
//! | one fails                  | before limit   | wait: it may yet come                         |
//! | one fails                  | at limit       | unhealthy: the version is barred              |
//! | only the server fails      | at limit       | undecided: no verdict, the version is not to blame |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::{Code, Verdict};

/// The check of the update server.
pub const SERVER: &str = "server";

/// What is seen of the node, before the trial and in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Observed {
    /// What keeps the node from being ready: services and phases of the boot.
    pub not_ready: Vec<String>,
    /// Pods of which all containers run, by `namespace/name`.
    pub pods: Vec<String>,
    /// Links that have an address.
    pub links: Vec<String>,
    /// Whether there is a default gateway.
    pub gateway: bool,
    /// Why the update server does not answer; `None` when it does, or there is none.
    pub server: Option<String>,
    /// Free bytes by place, such as `/data`.
    pub free: Vec<(String, u64)>,
    /// Memory that is available, bytes.
    pub memory: u64,
    /// Own checks that failed, and how.
    pub failed_checks: Vec<(String, String)>,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Why it fails.
    pub failure: Option<String>,
}

/// Room that a node needs on its disks to be of use, bytes.
const LEAST_FREE: u64 = 4 << 20;
/// Memory that a node needs to be of use, bytes.
const LEAST_MEMORY: u64 = 4 << 20;

/// Judges what is seen by what was seen before.
pub fn checks(before: &Observed, now: &Observed) -> Vec<Check> {
    let missing = |before: &[String], now: &[String]| {
        let gone = before.iter().filter(|name| !now.contains(name)).cloned();
        gone.collect::<Vec<_>>().join(", ")
    };
    let pods = missing(&before.pods, &now.pods);
    let links = missing(&before.links, &now.links);
    let network = if !links.is_empty() {
        Some(format!("without an address: {links}"))
    } else {
        (before.gateway && !now.gateway).then(|| "no default gateway".to_owned())
    };
    let full: Vec<String> = now
        .free
        .iter()
        .filter(|(_, free)| *free < LEAST_FREE)
        // A disk that was full before is no fault of the new version.
        .filter(|(place, _)| {
            before.free.iter().find(|(p, _)| p == place).is_none_or(|(_, free)| *free >= LEAST_FREE)
        })
        .map(|(place, free)| format!("{place} has {} KiB free", free >> 10))
        .collect();
    let own = now.failed_checks.iter().map(|(name, how)| format!("{name}: {how}"));
    let memory = now.memory < LEAST_MEMORY && before.memory >= LEAST_MEMORY;
    let check = |name, failure: Option<String>| Check { name, failure };
    let some = |text: String| (!text.is_empty()).then_some(text);
    vec![
        check("agent", some(now.not_ready.join(", "))),
        check("pods", some(pods).map(|pods| format!("not running: {pods}"))),
        check("network", network),
        check("disk", some(full.join(", "))),
        check("memory", memory.then(|| format!("{} KiB are available", now.memory >> 10))),
        check("command", some(own.collect::<Vec<_>>().join("; "))),
        // What did not answer the old version proves nothing about the new one.
        check(SERVER, now.server.clone().filter(|_| before.server.is_none())),
    ]
}

/// What follows from the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Look again soon; what still fails.
    Wait(Option<String>),
    /// Commit.
    Healthy,
    /// Go back; the version is barred.
    Unhealthy(Verdict),
    /// Go back; it may be tried again.
    Undecided(String),
}

/// A trial as time goes by.
#[derive(Debug, Clone)]
pub struct Trial {
    began: Duration,
    settle: Duration,
    limit: Duration,
    held_since: Option<Duration>,
}

impl Trial {
    /// A trial that began at `now`; times are since the boot.
    pub fn new(now: Duration, settle: Duration, limit: Duration) -> Self {
        Self { began: now, settle, limit, held_since: None }
    }

    /// Judges the checks as they are now.
    pub fn judge(&mut self, checks: &[Check], now: Duration) -> Judgement {
        let failing: Vec<&Check> = checks.iter().filter(|check| check.failure.is_some()).collect();
        let describe = |check: &Check| {
            format!("{}: {}", check.name, check.failure.as_deref().unwrap_or_default())
        };
        let Some(first) = failing.first() else {
            let since = *self.held_since.get_or_insert(now);
            let held = now.saturating_sub(since) >= self.settle;
            return if held { Judgement::Healthy } else { Judgement::Wait(None) };
        };
        self.held_since = None;
        if now.saturating_sub(self.began) < self.limit {
            return Judgement::Wait(Some(describe(first)));
        }
        if failing.iter().all(|check| check.name == SERVER) {
            return Judgement::Undecided(describe(first));
        }
        let blamed = failing.iter().find(|check| check.name != SERVER).unwrap_or(first);
        Judgement::Unhealthy(Verdict {
            code: Code::CheckFailed,
            check: blamed.name.to_owned(),
            reason: blamed.failure.clone().unwrap_or_default(),
            kernel_log: String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(60);
    const LIMIT: Duration = Duration::from_secs(600);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn good() -> Observed {
        Observed {
            pods: vec!["default/web".into()],
            links: vec!["eth0".into()],
            gateway: true,
            free: vec![("/data".into(), 1 << 30)],
            memory: 64 << 20,
            ..Observed::default()
        }
    }

    /// The names of the checks that fail.
    fn failing(now: &Observed) -> Vec<&'static str> {
        let checks = checks(&good(), now);
        checks.iter().filter(|check| check.failure.is_some()).map(|check| check.name).collect()
    }

    #[test]
    fn each_check_sees_what_it_is_for() {
        assert!(failing(&good()).is_empty());
        for (now, name) in [
            (Observed { not_ready: vec!["agent".into()], ..good() }, "agent"),
            (Observed { pods: vec![], ..good() }, "pods"),
            (Observed { links: vec!["eth1".into()], ..good() }, "network"),
            (Observed { gateway: false, ..good() }, "network"),
            (Observed { free: vec![("/data".into(), 1000)], ..good() }, "disk"),
            (Observed { memory: 1000, ..good() }, "memory"),
            (Observed { failed_checks: vec![("/x".into(), "1".into())], ..good() }, "command"),
            (Observed { server: Some("refused".into()), ..good() }, "server"),
        ] {
            assert_eq!(failing(&now), [name]);
        }
    }

    #[test]
    fn what_was_wrong_before_is_not_held_against_the_new_version() {
        let poor = Observed {
            server: Some("refused".into()),
            free: vec![("/data".into(), 0)],
            ..Observed::default()
        };
        assert!(checks(&poor, &poor).iter().all(|check| check.failure.is_none()));
        let more = good();
        assert!(checks(&poor, &more).iter().all(|check| check.failure.is_none()));
    }

    #[test]
    fn checks_have_to_hold_without_a_gap() {
        let (good, bad) = (checks(&good(), &good()), checks(&good(), &Observed::default()));
        let mut trial = Trial::new(at(10), SETTLE, LIMIT);
        assert_eq!(trial.judge(&good, at(20)), Judgement::Wait(None));
        assert_eq!(trial.judge(&good, at(79)), Judgement::Wait(None));
        assert!(matches!(trial.judge(&bad, at(79)), Judgement::Wait(Some(_))));
        assert_eq!(trial.judge(&good, at(80)), Judgement::Wait(None));
        assert_eq!(trial.judge(&good, at(139)), Judgement::Wait(None));
        assert_eq!(trial.judge(&good, at(140)), Judgement::Healthy);
    }

    #[test]
    fn failure_at_the_limit_names_the_check() {
        let bad = checks(&good(), &Observed { pods: vec![], ..good() });
        let mut trial = Trial::new(at(10), SETTLE, LIMIT);
        let waiting = Judgement::Wait(Some("pods: not running: default/web".into()));
        assert_eq!(trial.judge(&bad, at(609)), waiting);
        let Judgement::Unhealthy(verdict) = trial.judge(&bad, at(610)) else { panic!() };
        assert_eq!((verdict.code, &*verdict.check), (Code::CheckFailed, "pods"));
        assert_eq!(verdict.reason, "not running: default/web");
    }

    #[test]
    fn lost_server_alone_is_no_verdict_on_the_version() {
        let gone = Observed { server: Some("refused".into()), ..good() };
        let mut trial = Trial::new(at(0), SETTLE, LIMIT);
        let judged = trial.judge(&checks(&good(), &gone), at(600));
        assert_eq!(judged, Judgement::Undecided("server: refused".into()));
        let also = Observed { gateway: false, ..gone };
        let Judgement::Unhealthy(verdict) = trial.judge(&checks(&good(), &also), at(600)) else {
            panic!()
        };
        assert_eq!(verdict.check, "network");
    }

    #[test]
    fn checks_that_hold_at_the_limit_still_have_their_time() {
        let good = checks(&good(), &good());
        let mut trial = Trial::new(at(0), SETTLE, LIMIT);
        assert_eq!(trial.judge(&good, at(590)), Judgement::Wait(None));
        assert_eq!(trial.judge(&good, at(620)), Judgement::Wait(None));
        assert_eq!(trial.judge(&good, at(650)), Judgement::Healthy);
    }
}
