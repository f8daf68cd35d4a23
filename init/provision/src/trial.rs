//! The trial of a new document: it is in force, but the last one comes back unless
//! the node keeps its connectivity, or somebody confirms it.

use crate::pin::hash;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A trial that ends without a verdict this often (the power went) has failed.
const MOST_BOOTS: u32 = 3;
/// Connectivity for this long, without a gap, is no accident.
const STEADY: Duration = Duration::from_secs(20);

/// What is kept from boot to boot. Documents are named by their SHA-256.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Record {
    /// Nothing is on trial.
    #[default]
    Settled,
    /// This document is.
    Trial {
        /// The document.
        document: String,
        /// How often the node has started with it.
        boots: u32,
    },
    /// This document was, and is not taken again.
    Undone {
        /// The document.
        document: String,
    },
}

/// What is known when the node starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtBoot<'a> {
    /// The document that was found and is right.
    pub found: Option<&'a str>,
    /// The last one that proved itself.
    pub proven: Option<&'a str>,
    /// Whether the node has had connectivity with that one.
    pub was_connected: bool,
    /// Whether the document that was found wants a trial.
    pub wants_trial: bool,
}

/// What becomes of the document that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in force, and the last good one from now on.
    Take,
    /// It is in force on trial; the last good one stays what it is.
    Try,
    /// It is not taken; the last good one is in force.
    Refuse,
}

/// Decides at the start of the node. The record must be durable before anything
/// is done.
///
/// | record             | document found                          | record    | verdict |
/// |--------------------|-----------------------------------------|-----------|---------|
/// | any                | none                                    | the same  | take    |
/// | any                | the proven one                          | settled   | take    |
/// | undone             | the undone one                          | the same  | refuse  |
/// | trial              | the one on trial, boots left            | one more  | try     |
/// | trial              | the one on trial, no boots left         | undone    | refuse  |
/// | any                | another, and there was connectivity     | trial     | try     |
/// | any                | another, and nothing to lose            | settled   | take    |
pub fn at_boot(record: &Record, seen: AtBoot<'_>) -> (Record, Verdict) {
    let Some(found) = seen.found else {
        return (record.clone(), Verdict::Take);
    };
    let document = hash(found.as_bytes());
    if seen.proven == Some(found) {
        return (Record::Settled, Verdict::Take);
    }
    match record {
        Record::Undone { document: undone } if *undone == document => {
            (record.clone(), Verdict::Refuse)
        }
        Record::Trial { document: tried, boots } if *tried == document => {
            if *boots < MOST_BOOTS {
                (Record::Trial { document, boots: boots + 1 }, Verdict::Try)
            } else {
                (Record::Undone { document }, Verdict::Refuse)
            }
        }
        _ if seen.was_connected && seen.wants_trial => {
            (Record::Trial { document, boots: 1 }, Verdict::Try)
        }
        _ => (Record::Settled, Verdict::Take),
    }
}

impl Record {
    /// The record after the trial has failed.
    pub fn undo(&self) -> Self {
        match self {
            Self::Trial { document, .. } => Self::Undone { document: document.clone() },
            other => other.clone(),
        }
    }
}

/// What to do about a trial that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Look again.
    Wait,
    /// The document has proven itself.
    Keep,
    /// Bring the last one back.
    Undo,
}

/// A trial that goes on.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    until: Duration,
    by_command_only: bool,
    since: Option<Duration>,
}

impl Watch {
    /// A trial that begins `now` and has `limit`. `by_command_only`: connectivity
    /// alone does not prove the document.
    pub fn begin(now: Duration, limit: Duration, by_command_only: bool) -> Self {
        Self { until: now + limit, by_command_only, since: None }
    }

    /// Takes in what is seen.
    pub fn step(&mut self, is_connected: bool, is_confirmed: bool, now: Duration) -> Deed {
        if is_confirmed {
            return Deed::Keep;
        }
        self.since = if is_connected { Some(self.since.unwrap_or(now)) } else { None };
        let is_steady = self.since.is_some_and(|since| now >= since + STEADY);
        match () {
            () if is_steady && !self.by_command_only => Deed::Keep,
            // What has just come back gets the time to prove itself.
            () if now >= self.until && self.since.is_some() && !self.by_command_only => Deed::Wait,
            () if now >= self.until => Deed::Undo,
            () => Deed::Wait,
        }
    }

    /// What is left until it is undone.
    pub fn left(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
