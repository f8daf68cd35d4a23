//! The client's workflow of the specification's section 5, as a state machine.
//!
//! | stage | asks for | an answer leads to |
//! |---|---|---|
//! | root | `N+1.root.json` | the same stage; when there is none: timestamp |
//! | timestamp | `timestamp.json` | snapshot, or straight on with what is stored |
//! | snapshot | `[N.]snapshot.json` | targets |
//! | targets | `[N.]targets.json` | done |
//!
//! [`Workflow::request`] names the file that is wanted, [`Workflow::answer`] takes it and returns
//! what to keep. An error ends the run and leaves the stored files good: what was returned before
//! it is to be kept. Must never return a file to keep that it has not verified.

use std::collections::BTreeMap;

use jiff::Timestamp as Time;
use ring::digest::{SHA256, SHA512, digest};

use crate::envelope::{Envelope, EnvelopeError, check_key_ids};
use crate::file_name;
use crate::hex;
use crate::metadata::{Meta, Metadata, Role, Root, Snapshot, Targets, Timestamp};

/// How much a repository may send where no metadata says it, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A root file.
    pub root: u64,
    /// The timestamp.
    pub timestamp: u64,
    /// A snapshot without a stated length.
    pub snapshot: u64,
    /// Targets without a stated length.
    pub targets: u64,
    /// New root files in one run.
    pub roots: u32,
    /// Delegated roles that a search visits.
    pub delegations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            root: 256 << 10,
            timestamp: 16 << 10,
            snapshot: 256 << 10,
            targets: 2 << 20,
            roots: 1024,
            delegations: 32,
        }
    }
}

/// The trusted files of earlier runs; the root is the one that came with the system at first.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "each field is the file of the role that it is named after")]
pub struct Stored {
    pub root: Vec<u8>,
    pub timestamp: Option<Vec<u8>>,
    pub snapshot: Option<Vec<u8>>,
    pub targets: Option<Vec<u8>>,
}

/// A file that is wanted from the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its name, below the repository's metadata.
    pub name: String,
    /// More bytes than this are an attack.
    pub limit: u64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The file.
    File(&'a [u8]),
    /// The repository says that it has no such file. A failed transfer is no answer.
    Missing,
}

/// What to do to the stored files, in order, each durable before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Keep this as the trusted file of the role, in place of the old one.
    Keep(Role, Vec<u8>),
    /// The role's keys changed: its old file no longer bounds what may come.
    Forget(Role),
}

/// Why a run ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    /// A file is malformed, or not signed as it has to be.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The repository has not the file that signed metadata promises.
    #[error("the repository has no {0}")]
    Missing(String),
    /// Its version is not the one that was asked for.
    #[error("{role}: version {found} came in place of {wanted}")]
    Version {
        /// The role.
        role: String,
        /// The version that signed metadata names.
        wanted: u64,
        /// The version inside.
        found: u64,
    },
    /// An older file than one that was trusted before.
    #[error("{role}: version {found} would go back from {trusted} (a rollback attack?)")]
    Rollback {
        /// The role.
        role: String,
        /// The version that is trusted.
        trusted: u64,
        /// The version that came.
        found: u64,
    },
    /// A role that the trusted snapshot lists is gone.
    #[error("snapshot: {0} is no longer listed (a rollback attack?)")]
    Unlisted(String),
    /// Its time is over.
    #[error("{role}: expired on {expires} (a freeze attack, or a wrong clock?); it is {now} here")]
    Expired {
        /// The role.
        role: String,
        /// When.
        expires: String,
        /// The time that the run began.
        now: String,
    },
    /// Its bytes are not those that signed metadata names.
    #[error("{role}: not the file that signed metadata names (mixed metadata?)")]
    Digest {
        /// The role.
        role: String,
    },
    /// Longer than allowed.
    #[error("{name}: longer than {limit} bytes")]
    TooLong {
        /// The file.
        name: String,
        /// The limit.
        limit: u64,
    },
    /// Signed metadata does not list what it has to.
    #[error("{by}: lists no {what}")]
    Lacks {
        /// The role.
        by: &'static str,
        /// The file.
        what: &'static str,
    },
    /// More root files than one run takes.
    #[error("root: more than {0} new versions")]
    TooManyRoots(u32),
    /// There is nothing to answer.
    #[error("the run is over")]
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Root { loaded: u32 },
    Timestamp,
    Snapshot,
    Targets,
    Done,
}

/// One run of the workflow.
#[derive(Debug)]
pub struct Workflow {
    now: Time,
    limits: Limits,
    stage: Stage,
    stored: Stored,
    root: Root,
    timestamp: Option<Timestamp>,
    snapshot: Option<Snapshot>,
    targets: Option<Targets>,
}

impl Workflow {
    /// Begins a run at `now`, which counts for all of it. The stored root has to be signed by
    /// itself; its expiry does not matter yet.
    pub fn begin(stored: Stored, now: Time, limits: Limits) -> Result<Self, WorkflowError> {
        let envelope = Envelope::parse("root", &stored.root)?;
        let root: Root = envelope.open("root")?;
        check_key_ids("root", &root.keys)?;
        envelope.verify_by_root("root", &root)?;
        let stage = Stage::Root { loaded: 0 };
        let (timestamp, snapshot, targets) = (None, None, None);
        Ok(Self { now, limits, stage, stored, root, timestamp, snapshot, targets })
    }

    /// The file that is wanted next; `None` when the run is over.
    pub fn request(&self) -> Option<Request> {
        let versioned = |role, meta: Option<&Meta>, limit| {
            let version = meta.filter(|_| self.root.consistent_snapshot).map(|meta| meta.version);
            let limit = meta.and_then(|meta| meta.length).unwrap_or(limit);
            Request { name: file_name::metadata(role, version), limit }
        };
        Some(match self.stage {
            Stage::Root { .. } => Request {
                name: file_name::metadata("root", Some(self.root.version.saturating_add(1))),
                limit: self.limits.root,
            },
            Stage::Timestamp => Request {
                name: file_name::metadata("timestamp", None),
                limit: self.limits.timestamp,
            },
            Stage::Snapshot => {
                let meta = self.timestamp.as_ref().and_then(Timestamp::snapshot);
                versioned("snapshot", meta, self.limits.snapshot)
            }
            Stage::Targets => {
                let meta = self.snapshot.as_ref().and_then(|one| one.meta.get("targets.json"));
                versioned("targets", meta, self.limits.targets)
            }
            Stage::Done => return None,
        })
    }

    /// Takes the answer to [`Self::request`] and returns what to keep.
    pub fn answer(&mut self, answer: Answer<'_>) -> Result<Vec<Change>, WorkflowError> {
        let request = self.request().ok_or(WorkflowError::Over)?;
        let bytes = match (answer, self.stage) {
            (Answer::File(bytes), _) => bytes,
            (Answer::Missing, Stage::Root { .. }) => {
                not_expired(&self.root, "root", self.now)?;
                self.load_stored_timestamp();
                self.stage = Stage::Timestamp;
                return Ok(Vec::new());
            }
            (Answer::Missing, _) => return Err(WorkflowError::Missing(request.name)),
        };
        if bytes.len() as u64 > request.limit {
            return Err(WorkflowError::TooLong { name: request.name, limit: request.limit });
        }
        match self.stage {
            Stage::Root { loaded } => self.take_root(bytes, loaded),
            Stage::Timestamp => self.take_timestamp(bytes),
            Stage::Snapshot => {
                let change = self.take_snapshot(bytes)?;
                self.load_stored_targets();
                Ok(vec![change])
            }
            Stage::Targets => self.take_targets(bytes).map(|change| vec![change]),
            Stage::Done => Err(WorkflowError::Over),
        }
    }

    /// The root that is trusted now.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The timestamp, once it is verified.
    pub fn timestamp(&self) -> Option<&Timestamp> {
        self.timestamp.as_ref()
    }

    /// The snapshot, once the run is over.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref().filter(|_| self.stage == Stage::Done)
    }

    /// What may be installed, once the run is over.
    pub fn targets(&self) -> Option<&Targets> {
        self.targets.as_ref().filter(|_| self.stage == Stage::Done)
    }

    /// The time that the run began.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What the repository may send.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    // Section 5.3: signed by the old keys and by its own, and exactly the next version.
    fn take_root(&mut self, bytes: &[u8], loaded: u32) -> Result<Vec<Change>, WorkflowError> {
        if loaded >= self.limits.roots {
            return Err(WorkflowError::TooManyRoots(self.limits.roots));
        }
        let envelope = Envelope::parse("root", bytes)?;
        envelope.verify_by_root("root", &self.root)?;
        let root: Root = envelope.open("root")?;
        check_key_ids("root", &root.keys)?;
        envelope.verify_by_root("root", &root)?;
        let wanted = self.root.version.saturating_add(1);
        if root.version != wanted {
            let (role, found) = ("root".to_owned(), root.version);
            return Err(WorkflowError::Version { role, wanted, found });
        }
        let mut changes = Vec::new();
        // Fast-forward recovery. Before the new root is kept: after a cut between the two, the
        // run that follows sees the same change of keys again.
        if keys_differ(&self.root, &root, Role::Timestamp)
            || keys_differ(&self.root, &root, Role::Snapshot)
        {
            for (role, file) in [
                (Role::Timestamp, &mut self.stored.timestamp),
                (Role::Snapshot, &mut self.stored.snapshot),
            ] {
                if file.take().is_some() {
                    changes.push(Change::Forget(role));
                }
            }
        }
        changes.push(Change::Keep(Role::Root, bytes.to_vec()));
        self.root = root;
        self.stage = Stage::Root { loaded: loaded + 1 };
        Ok(changes)
    }

    /// A stored file that the new root's keys no longer sign bounds nothing. An expired one does:
    /// else waiting would be a way back.
    fn load_stored_timestamp(&mut self) {
        let stored = self.stored.timestamp.take();
        self.timestamp = stored.and_then(|bytes| verified("timestamp", &bytes, &self.root).ok());
        let stored = self.stored.snapshot.as_ref();
        self.snapshot = stored.and_then(|bytes| verified("snapshot", bytes, &self.root).ok());
    }

    // Section 5.4.
    fn take_timestamp(&mut self, bytes: &[u8]) -> Result<Vec<Change>, WorkflowError> {
        let new: Timestamp = verified("timestamp", bytes, &self.root)?;
        let meta = new.snapshot();
        let meta = meta.ok_or(WorkflowError::Lacks { by: "timestamp", what: "snapshot.json" })?;
        let mut is_new = true;
        if let Some(old) = &self.timestamp {
            no_rollback("timestamp", old.version, new.version)?;
            if old.version == new.version {
                is_new = false;
            } else if let Some(trusted) = old.snapshot() {
                no_rollback("snapshot", trusted.version, meta.version)?;
            }
        }
        let mut changes = Vec::new();
        if is_new {
            not_expired(&new, "timestamp", self.now)?;
            changes.push(Change::Keep(Role::Timestamp, bytes.to_vec()));
            self.timestamp = Some(new);
        } else if let Some(old) = &self.timestamp {
            not_expired(old, "timestamp", self.now)?;
        }
        self.stage = Stage::Snapshot;
        self.load_stored_snapshot();
        Ok(changes)
    }

    /// Goes on without a request when the stored snapshot is the one that is wanted.
    fn load_stored_snapshot(&mut self) {
        let Some(bytes) = self.stored.snapshot.take() else { return };
        if self.take_snapshot(&bytes).is_ok() {
            self.load_stored_targets();
        }
    }

    // Section 5.5.
    fn take_snapshot(&mut self, bytes: &[u8]) -> Result<Change, WorkflowError> {
        let meta = self.timestamp.as_ref().and_then(Timestamp::snapshot);
        let meta = meta.ok_or(WorkflowError::Lacks { by: "timestamp", what: "snapshot.json" })?;
        matches(meta, "snapshot", bytes)?;
        let new: Snapshot = verified("snapshot", bytes, &self.root)?;
        right_version("snapshot", meta, new.version)?;
        if let Some(old) = &self.snapshot {
            for (name, trusted) in &old.meta {
                let Some(found) = new.meta.get(name) else {
                    return Err(WorkflowError::Unlisted(name.clone()));
                };
                let role = name.strip_suffix(".json").unwrap_or(name);
                no_rollback(role, trusted.version, found.version)?;
            }
        }
        not_expired(&new, "snapshot", self.now)?;
        if !new.meta.contains_key("targets.json") {
            return Err(WorkflowError::Lacks { by: "snapshot", what: "targets.json" });
        }
        self.snapshot = Some(new);
        self.stage = Stage::Targets;
        Ok(Change::Keep(Role::Snapshot, bytes.to_vec()))
    }

    fn load_stored_targets(&mut self) {
        if let Some(bytes) = self.stored.targets.take() {
            // What is stored may well be older than the snapshot: then it is asked for.
            let _ = self.take_targets(&bytes);
        }
    }

    // Section 5.6.
    fn take_targets(&mut self, bytes: &[u8]) -> Result<Change, WorkflowError> {
        let meta = self.snapshot.as_ref().and_then(|snapshot| snapshot.meta.get("targets.json"));
        let meta = meta.ok_or(WorkflowError::Lacks { by: "snapshot", what: "targets.json" })?;
        matches(meta, "targets", bytes)?;
        let new: Targets = verified("targets", bytes, &self.root)?;
        right_version("targets", meta, new.version)?;
        not_expired(&new, "targets", self.now)?;
        if let Some(delegations) = &new.delegations {
            check_key_ids("targets", &delegations.keys)?;
        }
        self.targets = Some(new);
        self.stage = Stage::Done;
        Ok(Change::Keep(Role::Targets, bytes.to_vec()))
    }
}

fn verified<M: Metadata>(role: &str, bytes: &[u8], root: &Root) -> Result<M, EnvelopeError> {
    let envelope = Envelope::parse(role, bytes)?;
    envelope.verify_by_root(role, root)?;
    envelope.open(role)
}

/// Whether `bytes` have the length and the hashes that `meta` lists, where it lists any.
pub(crate) fn matches(meta: &Meta, role: &str, bytes: &[u8]) -> Result<(), WorkflowError> {
    let right_length = meta.length.is_none_or(|length| length == bytes.len() as u64);
    let right_hashes = meta.hashes.as_ref().is_none_or(|hashes| hashes_match(hashes, bytes));
    if right_length && right_hashes {
        return Ok(());
    }
    Err(WorkflowError::Digest { role: role.to_owned() })
}

/// Whether `bytes` have all of `hashes` whose function is known, and one at least is.
pub fn hashes_match(hashes: &BTreeMap<String, String>, bytes: &[u8]) -> bool {
    let known = [("sha256", &SHA256), ("sha512", &SHA512)];
    let mut wanted = known.iter().filter_map(|(name, of)| Some((hashes.get(*name)?, *of)));
    let mut any = false;
    wanted.all(|(hash, of)| {
        any = true;
        hash.eq_ignore_ascii_case(&hex::encode(digest(of, bytes).as_ref()))
    }) && any
}

pub(crate) fn right_version(role: &str, meta: &Meta, found: u64) -> Result<(), WorkflowError> {
    if meta.version == found {
        return Ok(());
    }
    Err(WorkflowError::Version { role: role.to_owned(), wanted: meta.version, found })
}

fn no_rollback(role: &str, trusted: u64, found: u64) -> Result<(), WorkflowError> {
    if found >= trusted {
        return Ok(());
    }
    Err(WorkflowError::Rollback { role: role.to_owned(), trusted, found })
}

pub(crate) fn not_expired<M: Metadata>(
    metadata: &M,
    role: &str,
    now: Time,
) -> Result<(), WorkflowError> {
    let expires = metadata.expires();
    if expires.0 > now {
        return Ok(());
    }
    let (expires, now) = (expires.to_string(), crate::Expires(now).to_string());
    Err(WorkflowError::Expired { role: role.to_owned(), expires, now })
}

fn keys_differ(old: &Root, new: &Root, role: Role) -> bool {
    let ids = |root: &Root| {
        let mut ids = root.roles.get(role.name()).map(|keys| keys.keyids.clone());
        if let Some(ids) = &mut ids {
            ids.sort();
        }
        ids
    };
    ids(old) != ids(new)
}

#[cfg(test)]
mod tests;
