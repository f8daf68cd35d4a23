//! A small signed repository in memory, and a client of it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::Duration;

use holm_fetch::{Client, ClientError, Download, Seed, Settings, Trusted};
use holm_payload::chunk::digest_of;
use holm_payload::{Packer, Part, PartKind, Release, Rollout, Schedule, Sizes};
use holm_tuf::metadata::{
    Expires, Meta, Role, RoleKeys, Root, SPEC_VERSION, Snapshot, Target, Targets, Timestamp,
};
use holm_tuf::{Envelope, KeyPair, Signer, file_name, hex};
use holm_update::payload::Source;
use holm_update::slot::Slot;
use serde_json::{Map, Value, json};

use crate::server::Server;

pub const NOW: &str = "2026-06-01T00:00:00Z";

pub fn now() -> jiff::Timestamp {
    NOW.parse().unwrap()
}

/// Bytes that do not pack, the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let step = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(step).collect()
}

pub struct Repository {
    pub files: BTreeMap<String, Vec<u8>>,
    pub versions: [u64; 4],
    pub expires: &'static str,
    pub signed_at: Option<&'static str>,
    pub keys: [u8; 4],
    /// Who signs in place of the keys that root names.
    pub forged: Option<(Role, u8)>,
    targets: BTreeMap<String, Target>,
    root_keys_before: Option<u8>,
}

pub fn pair(n: u8) -> KeyPair {
    KeyPair::from_seed(&[n; 32]).unwrap()
}

impl Repository {
    pub fn new() -> Self {
        let mut repository = Self {
            files: BTreeMap::new(),
            versions: [1; 4],
            expires: "2027-01-01T00:00:00Z",
            signed_at: None,
            keys: [1, 2, 3, 4],
            forged: None,
            targets: BTreeMap::new(),
            root_keys_before: None,
        };
        repository.sign();
        repository
    }

    pub fn first_root(&self) -> Vec<u8> {
        self.files["/metadata/1.root.json"].clone()
    }

    /// Adds a release with a root and a kernel for each slot, and signs everything anew.
    pub fn release(&mut self, version: &str, root: &[u8], kernel: &[u8]) -> String {
        self.release_for("x86-64", version, root, kernel)
    }

    pub fn release_for(
        &mut self,
        board: &str,
        version: &str,
        root: &[u8],
        kernel: &[u8],
    ) -> String {
        let pack = |chunk: &[u8]| zstd::bulk::compress(chunk, 3);
        let mut packer = Packer::new(Sizes::PUBLISHED, Vec::new(), pack);
        let mut parts = Vec::new();
        let kernels = ['a', 'b'].map(|slot| [kernel, &[slot as u8]].concat());
        let mut add = |kind, slot, content: &[u8]| {
            let packed = packer.add(content).unwrap();
            let (size, sha256) = (packed.size, hex::encode(&packed.sha256));
            parts.push(Part { kind, slot, name: String::new(), size, sha256 });
        };
        add(PartKind::Root, None, root);
        add(PartKind::Kernel, Some('a'), &kernels[0]);
        add(PartKind::Kernel, Some('b'), &kernels[1]);
        let (index, data) = packer.finish();
        let rollout = Rollout {
            start: "2026-01-01T00:00:00Z".parse().unwrap(),
            urgent: false,
            waves: Schedule(vec![(0, 100)]),
        };
        let release = Release {
            board: board.into(),
            version: version.parse().unwrap(),
            root_hash: "cd".repeat(32),
            hash_offset: 1,
            minimum_version: None,
            notes: String::new(),
            channels: BTreeMap::from([("stable".to_owned(), rollout)]),
            data: format!("{board}/{version}/chunks"),
            parts,
        };
        let path = format!("{board}/{version}/index");
        self.add_target(&release.data, data, None);
        self.add_target(&path, index.to_bytes(), Some(release.to_custom()));
        self.versions[1..].iter_mut().for_each(|version| *version += 1);
        self.sign();
        path
    }

    pub fn add_target(&mut self, path: &str, bytes: Vec<u8>, custom: Option<Value>) {
        let digest = hex::encode(&digest_of(&bytes));
        let hashes = BTreeMap::from([("sha256".to_owned(), digest.clone())]);
        let target = Target { length: bytes.len() as u64, hashes, custom, extra: Map::new() };
        self.targets.insert(path.to_owned(), target);
        self.files.insert(format!("/targets/{}", file_name::target(path, Some(&digest))), bytes);
    }

    pub fn rotate_root(&mut self, to: u8) {
        self.root_keys_before = Some(self.keys[0]);
        self.keys[0] = to;
        self.versions[0] += 1;
        self.sign();
        self.root_keys_before = None;
    }

    /// Writes all metadata at its versions.
    pub fn sign(&mut self) {
        let [root, timestamp, snapshot, targets] = self.versions;
        let spec = || SPEC_VERSION.to_owned();
        let expires: Expires = self.expires.parse().unwrap();
        let meta = |version| Meta { version, length: None, hashes: None, extra: Map::new() };
        let role = |n: u8| RoleKeys {
            keyids: vec![pair(n).key().id().unwrap()],
            threshold: 1,
            extra: Map::new(),
        };
        let names = Role::ALL.map(|role| role.name().to_owned());
        let keys = self.keys.map(|n| (pair(n).key().id().unwrap(), pair(n).key().clone()));
        let root = Root {
            spec_version: spec(),
            version: root,
            expires,
            consistent_snapshot: true,
            keys: keys.into(),
            roles: names.into_iter().zip(self.keys.map(role)).collect(),
            extra: Map::new(),
        };
        let mut extra = Map::new();
        if let Some(signed_at) = self.signed_at {
            extra.insert(holm_fetch::refresh::SIGNED_AT.to_owned(), json!(signed_at));
        }
        let timestamp = Timestamp {
            spec_version: spec(),
            version: timestamp,
            expires,
            meta: [("snapshot.json".to_owned(), meta(snapshot))].into(),
            extra,
        };
        let snapshot = Snapshot {
            spec_version: spec(),
            version: snapshot,
            expires,
            meta: [("targets.json".to_owned(), meta(targets))].into(),
            extra: Map::new(),
        };
        let targets = Targets {
            spec_version: spec(),
            version: targets,
            expires,
            targets: self.targets.clone(),
            delegations: None,
            extra: Map::new(),
        };
        self.write(Role::Root, Some(root.version), Envelope::seal(&root));
        self.write(Role::Timestamp, None, Envelope::seal(&timestamp));
        self.write(Role::Snapshot, Some(snapshot.version), Envelope::seal(&snapshot));
        self.write(Role::Targets, Some(targets.version), Envelope::seal(&targets));
    }

    fn write(
        &mut self,
        role: Role,
        version: Option<u64>,
        envelope: Result<Envelope, holm_tuf::EnvelopeError>,
    ) {
        let mut envelope = envelope.unwrap();
        let place = Role::ALL.iter().position(|one| *one == role).unwrap();
        let mut signers = vec![self.keys[place]];
        if role == Role::Root {
            signers.extend(self.root_keys_before);
        }
        if let Some((forged, key)) = self.forged.filter(|(forged, _)| *forged == role) {
            assert_eq!(forged, role);
            signers = vec![key];
        }
        for n in signers {
            envelope.sign(role.name(), &pair(n)).unwrap().unwrap();
        }
        let name = format!("/metadata/{}", file_name::metadata(role.name(), version));
        // A root that is out stays as it is, with the signatures that it has.
        if role == Role::Root && self.files.contains_key(&name) {
            return;
        }
        self.files.insert(name, envelope.to_bytes().unwrap());
    }
}

/// A client with a folder of its own.
pub struct Node {
    pub folder: tempfile::TempDir,
    pub settings: Settings,
    first_root: Vec<u8>,
}

impl Node {
    pub fn new(repository: &Repository, places: &[String]) -> Self {
        let settings = Settings {
            places: places.to_vec(),
            silence: Duration::from_millis(600),
            least_rate: 1000,
            pause: Duration::from_millis(1),
            ..Settings::default()
        };
        let folder = tempfile::tempdir().unwrap();
        Self { folder, settings, first_root: repository.first_root() }
    }

    pub fn of(repository: &Repository, server: &Server) -> Self {
        Self::new(repository, &[server.url()])
    }

    pub fn client(&self) -> Client {
        let store = self.folder.path().join("trusted");
        Client::new(self.settings.clone(), self.first_root.clone(), &store).unwrap()
    }

    pub fn refresh(&self) -> Result<Trusted, ClientError> {
        self.refresh_at(NOW)
    }

    pub fn refresh_at(&self, clock: &str) -> Result<Trusted, ClientError> {
        self.client().refresh(clock.parse().unwrap(), |_| {})
    }

    /// A file of the node that chunks may be found in.
    pub fn seed(&self, name: &str, content: &[u8]) -> Seed {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Seed { path, length: None }
    }
}

/// The whole chain of an error, for assertions.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

/// Reads one part of a download from an offset on.
pub fn read(download: &Download<'_>, slot: Slot, part: usize, offset: u64) -> io::Result<Vec<u8>> {
    let payload = download.payload(slot)?;
    let mut bytes = Vec::new();
    download.open(&payload.parts[part], offset)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
