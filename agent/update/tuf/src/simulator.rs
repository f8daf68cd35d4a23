//! A repository and a client in memory, for tests of the workflow: the repository publishes what a
//! test asks for, good or bad; the client keeps files as a node does.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::envelope::Envelope;
use crate::file_name;
use crate::hex;
use crate::key::{Key, KeyPair, Signer};
use crate::metadata::*;
use crate::search::Search;
use crate::workflow::*;

/// 2026-01-01, the day 0 of tests.
pub const DAY_0: i64 = 1_767_225_600;
pub const DAY: i64 = 86400;

pub fn day(n: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(DAY_0 + n * DAY).unwrap()
}

pub fn pair(n: u8) -> KeyPair {
    KeyPair::from_seed(&[n; 32]).unwrap()
}

pub fn id(n: u8) -> String {
    pair(n).key().id().unwrap()
}

pub struct Repository {
    pub root: Root,
    pub timestamp: Timestamp,
    pub snapshot: Snapshot,
    pub targets: Targets,
    pub delegated: BTreeMap<String, Targets>,
    /// Key numbers that sign, by role.
    pub signers: BTreeMap<String, Vec<u8>>,
    pub files: BTreeMap<String, Vec<u8>>,
    pub with_hashes: bool,
}

impl Repository {
    /// All four roles at version 1; keys 1 to 4 sign for one role each.
    pub fn new() -> Self {
        let spec = || SPEC_VERSION.to_owned();
        let expires = Expires(day(300));
        let role = |n| RoleKeys { keyids: vec![id(n)], threshold: 1, extra: Map::new() };
        let names: Vec<String> = Role::ALL.iter().map(|role| role.name().to_owned()).collect();
        let mut repository = Self {
            root: Root {
                spec_version: spec(),
                version: 0,
                expires,
                consistent_snapshot: true,
                keys: (1..=4).map(|n| (id(n), pair(n).key().clone())).collect(),
                roles: names.iter().cloned().zip((1..=4).map(role)).collect(),
                extra: Map::new(),
            },
            timestamp: Timestamp {
                spec_version: spec(),
                version: 0,
                expires,
                meta: BTreeMap::from([("snapshot.json".to_owned(), meta(1))]),
                extra: Map::new(),
            },
            snapshot: Snapshot {
                spec_version: spec(),
                version: 0,
                expires,
                meta: BTreeMap::from([("targets.json".to_owned(), meta(1))]),
                extra: Map::new(),
            },
            targets: new_targets(0),
            delegated: BTreeMap::new(),
            signers: names.into_iter().zip((1..=4).map(|n| vec![n])).collect(),
            files: BTreeMap::new(),
            with_hashes: false,
        };
        repository.publish("root targets snapshot timestamp");
        repository
    }

    /// Raises the version of each named role and publishes it; what lists it follows suit.
    pub fn publish(&mut self, roles: &str) {
        for role in roles.split_whitespace() {
            match role {
                "root" => self.root.version += 1,
                "timestamp" => self.timestamp.version += 1,
                "snapshot" => self.snapshot.version += 1,
                "targets" => self.targets.version += 1,
                other => self.delegated.get_mut(other).unwrap().version += 1,
            }
            self.publish_as_it_is(role);
        }
    }

    /// Publishes the role without a new version.
    pub fn publish_as_it_is(&mut self, role: &str) {
        let (version, mut envelope) = match role {
            "root" => (self.root.version, Envelope::seal(&self.root)),
            "timestamp" => (self.timestamp.version, Envelope::seal(&self.timestamp)),
            "snapshot" => (self.snapshot.version, Envelope::seal(&self.snapshot)),
            "targets" => (self.targets.version, Envelope::seal(&self.targets)),
            other => (self.delegated[other].version, Envelope::seal(&self.delegated[other])),
        };
        let envelope = envelope.as_mut().unwrap();
        for n in &self.signers[role] {
            envelope.sign(role, &pair(*n)).unwrap().unwrap();
        }
        let bytes = envelope.to_bytes().unwrap();
        let mut listed = meta(version);
        if self.with_hashes {
            listed.length = Some(bytes.len() as u64);
            let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
            listed.hashes = Some([("sha256".to_owned(), hex::encode(hash.as_ref()))].into());
        }
        match role {
            "root" | "timestamp" => {}
            "snapshot" => drop(self.timestamp.meta.insert("snapshot.json".into(), listed)),
            other => drop(self.snapshot.meta.insert(format!("{other}.json"), listed)),
        }
        self.files.insert(self.file(role, version), bytes);
    }

    pub fn file(&self, role: &str, version: u64) -> String {
        let with_version = role == "root" || (role != "timestamp" && self.root.consistent_snapshot);
        file_name::metadata(role, with_version.then_some(version))
    }

    /// The JSON of a published file, changed.
    pub fn tamper(&mut self, file: &str, change: impl FnOnce(&mut Value)) {
        let mut value: Value = serde_json::from_slice(&self.files[file]).unwrap();
        change(&mut value);
        self.files.insert(file.to_owned(), serde_json::to_vec(&value).unwrap());
    }

    pub fn keys_of(&mut self, role: &str) -> &mut RoleKeys {
        self.root.roles.get_mut(role).unwrap()
    }

    pub fn add_key(&mut self, role: &str, n: u8) {
        self.root.keys.insert(id(n), pair(n).key().clone());
        self.keys_of(role).keyids.push(id(n));
    }

    /// Takes the keys of a role away and gives it key `n`.
    pub fn rotate(&mut self, role: &str, n: u8) {
        self.keys_of(role).keyids.clear();
        self.add_key(role, n);
        self.signers.insert(role.to_owned(), vec![n]);
    }

    /// Key `n` signs for `name`, to whom `delegator` delegates.
    pub fn delegate(&mut self, delegator: &str, n: u8, role: DelegatedRole) {
        let name = role.name.clone();
        self.delegated.entry(name.clone()).or_insert_with(|| new_targets(0));
        self.signers.entry(name).or_default().push(n);
        let targets = match delegator {
            "targets" => &mut self.targets,
            other => self.delegated.get_mut(other).unwrap(),
        };
        let none = || Delegations { keys: BTreeMap::new(), roles: Vec::new(), extra: Map::new() };
        let delegations = targets.delegations.get_or_insert_with(none);
        delegations.keys.insert(id(n), pair(n).key().clone());
        delegations.roles.push(role);
    }
}

pub fn meta(version: u64) -> Meta {
    Meta { version, length: None, hashes: None, extra: Map::new() }
}

pub fn new_targets(version: u64) -> Targets {
    Targets {
        spec_version: SPEC_VERSION.to_owned(),
        version,
        expires: Expires(day(300)),
        targets: BTreeMap::new(),
        delegations: None,
        extra: Map::new(),
    }
}

pub fn delegated(name: &str, n: u8, paths: &[&str], terminating: bool) -> DelegatedRole {
    DelegatedRole {
        name: name.to_owned(),
        keyids: vec![id(n)],
        threshold: 1,
        terminating,
        paths: Some(paths.iter().map(|path| (*path).to_owned()).collect()),
        path_hash_prefixes: None,
        extra: Map::new(),
    }
}

pub fn key(n: u8) -> Key {
    pair(n).key().clone()
}

pub struct Client {
    pub stored: Stored,
    pub now: jiff::Timestamp,
    pub limits: Limits,
    /// Files that it asked for.
    pub asked: Vec<String>,
}

impl Client {
    /// Trusts the repository's first root.
    pub fn new(repository: &Repository) -> Self {
        let root = repository.files["1.root.json"].clone();
        let stored = Stored { root, ..Stored::default() };
        Self { stored, now: day(0), limits: Limits::default(), asked: Vec::new() }
    }

    pub fn refresh(&mut self, repository: &Repository) -> Result<Workflow, WorkflowError> {
        let mut run = Workflow::begin(self.stored.clone(), self.now, self.limits)?;
        while let Some(request) = run.request() {
            self.asked.push(request.name.clone());
            let file = repository.files.get(&request.name);
            let answer = file.map_or(Answer::Missing, |bytes| Answer::File(bytes));
            for change in run.answer(answer)? {
                self.apply(change);
            }
        }
        Ok(run)
    }

    fn apply(&mut self, change: Change) {
        let (role, bytes) = match change {
            Change::Keep(role, bytes) => (role, Some(bytes)),
            Change::Forget(role) => (role, None),
        };
        match role {
            Role::Root => self.stored.root = bytes.unwrap(),
            Role::Timestamp => self.stored.timestamp = bytes,
            Role::Snapshot => self.stored.snapshot = bytes,
            Role::Targets => self.stored.targets = bytes,
        }
    }

    /// Looks for a target, with the files of delegated roles that it asked for.
    pub fn find(
        &mut self,
        repository: &Repository,
        path: &str,
    ) -> Result<Option<Target>, WorkflowError> {
        let run = self.refresh(repository)?;
        let mut search = Search::begin(&run, path);
        while let Some((_, request)) = search.request()? {
            self.asked.push(request.name.clone());
            let file = repository.files.get(&request.name);
            search.answer(file.map_or(Answer::Missing, |bytes| Answer::File(bytes)))?;
        }
        Ok(search.found().cloned())
    }

    /// Versions of the stored root, timestamp, snapshot and targets; 0 for none.
    pub fn versions(&self) -> [u64; 4] {
        let version = |bytes: Option<&Vec<u8>>| {
            bytes.map_or(0, |bytes| {
                serde_json::from_slice::<Value>(bytes).unwrap()["signed"]["version"]
                    .as_u64()
                    .unwrap()
            })
        };
        let Stored { root, timestamp, snapshot, targets } = &self.stored;
        [Some(root), timestamp.as_ref(), snapshot.as_ref(), targets.as_ref()].map(version)
    }
}
