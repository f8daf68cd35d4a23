//! Repositories as an owner makes them, looked at as a client does.

use std::fs;
use std::path::{Path, PathBuf};

use holm_payload::{PartKind, releases};
use holm_tuf::{Answer, Change, Limits, Role, Stored, Workflow, WorkflowError};
use jiff::Timestamp;

use super::sources::{PartFile, Sources};
use super::*;

fn day(n: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + n * 86400).unwrap()
}

struct Owner {
    folder: tempfile::TempDir,
    keys: UpdateKeys,
}

impl Owner {
    fn new(root_keys: u32, threshold: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let keys =
            UpdateKeys::create(&path, root_keys, threshold, day(0), Days::default()).unwrap();
        Self { folder, keys }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn repository(&self) -> Repository {
        Repository::open(&self.path("repository"), &self.keys).unwrap()
    }

    fn sources(&self, version: &str, content: &[u8]) -> Sources {
        let part = |kind, slot: Option<char>| {
            let file = self.path(&format!("{version}-{kind:?}-{slot:?}"));
            let bytes = [content, &[slot.map_or(0, |slot| slot as u8)]].concat();
            fs::write(&file, bytes).unwrap();
            PartFile { kind, slot, name: String::new(), file }
        };
        Sources {
            board: "x86-64".into(),
            version: version.parse().unwrap(),
            root_hash: "cd".repeat(32),
            hash_offset: 100,
            parts: vec![
                part(PartKind::Root, None),
                part(PartKind::Kernel, Some('a')),
                part(PartKind::Kernel, Some('b')),
            ],
        }
    }

    fn publish(&self, version: &str, channel: &str) -> Result<Outcome, Error> {
        let sources = self.sources(version, &content(version));
        publish(&self.repository(), &self.keys, &sources, &offer(channel), day(1), Days::default())
    }

    /// A node that came with the first root.
    fn node(&self) -> Node {
        let root = fs::read(self.path("repository/metadata/1.root.json")).unwrap();
        Node { stored: Stored { root, ..Stored::default() } }
    }

    fn metadata(&self) -> PathBuf {
        self.path("repository/metadata")
    }
}

fn content(version: &str) -> Vec<u8> {
    version.bytes().cycle().take(100_000).collect()
}

fn offer(channel: &str) -> Offer {
    Offer {
        channel: channel.to_owned(),
        start: day(1),
        waves: None,
        urgent: false,
        notes: Some("Better.".to_owned()),
        minimum_version: None,
        version: None,
    }
}

struct Node {
    stored: Stored,
}

impl Node {
    /// The versions on offer, with their channels.
    fn refresh(&mut self, metadata: &Path, now: Timestamp) -> Result<Vec<String>, WorkflowError> {
        let mut run = Workflow::begin(self.stored.clone(), now, Limits::default())?;
        while let Some(request) = run.request() {
            let bytes = fs::read(metadata.join(&request.name)).ok();
            for change in run.answer(bytes.as_deref().map_or(Answer::Missing, Answer::File))? {
                match change {
                    Change::Keep(Role::Root, bytes) => self.stored.root = bytes,
                    Change::Keep(Role::Timestamp, bytes) => self.stored.timestamp = Some(bytes),
                    Change::Keep(Role::Snapshot, bytes) => self.stored.snapshot = Some(bytes),
                    Change::Keep(Role::Targets, bytes) => self.stored.targets = Some(bytes),
                    Change::Forget(Role::Timestamp) => self.stored.timestamp = None,
                    Change::Forget(_) => self.stored.snapshot = None,
                }
            }
        }
        let (releases, unreadable) = releases(run.targets().unwrap());
        assert!(unreadable.is_empty());
        let text = |release: &holm_payload::Release| {
            let channels: Vec<_> = release.channels.keys().cloned().collect();
            format!("{} {}", release.version, channels.join("+"))
        };
        Ok(releases.values().map(text).collect())
    }
}

#[test]
fn published_release_is_what_a_node_sees() {
    let owner = Owner::new(3, 2);
    let outcome = owner.publish("1.0.0", "stable").unwrap();
    assert!(matches!(outcome, Outcome::Added { content: 300_003, data } if data < 20_000));
    let mut node = owner.node();
    assert_eq!(node.refresh(&owner.metadata(), day(2)).unwrap(), ["1.0.0 stable"]);
    owner.publish("1.1.0", "beta").unwrap();
    assert_eq!(node.refresh(&owner.metadata(), day(2)).unwrap(), ["1.0.0 stable", "1.1.0 beta"]);
    // Every file that targets name is there, complete, under its digest.
    for (path, target) in owner.repository().state().unwrap().targets.targets {
        let digest = &target.hashes["sha256"];
        let file =
            owner.path("repository/targets").join(holm_tuf::file_name::target(&path, Some(digest)));
        assert_eq!(crate::digest::Digest::of_file(&file).unwrap().to_string(), *digest);
        assert_eq!(fs::metadata(&file).unwrap().len(), target.length);
    }
}

#[test]
fn publishing_twice_changes_nothing_and_another_channel_only_the_offer() {
    let owner = Owner::new(1, 1);
    owner.publish("1.0.0", "beta").unwrap();
    let before = fs::read(owner.metadata().join("timestamp.json")).unwrap();
    assert_eq!(owner.publish("1.0.0", "beta").unwrap(), Outcome::Unchanged);
    assert_eq!(fs::read(owner.metadata().join("timestamp.json")).unwrap(), before);
    assert_eq!(owner.publish("1.0.0", "stable").unwrap(), Outcome::Offered);
    let seen = owner.node().refresh(&owner.metadata(), day(2)).unwrap();
    assert_eq!(seen, ["1.0.0 beta+stable"]);
}

#[test]
fn version_is_for_ever() {
    let owner = Owner::new(1, 1);
    owner.publish("1.0.0", "stable").unwrap();
    let other = owner.sources(
        "1.0.0",
        b"something else that is long enough to be a root file \
        something else that is long enough to be a root file",
    );
    let again = publish(
        &owner.repository(),
        &owner.keys,
        &other,
        &offer("stable"),
        day(1),
        Days::default(),
    );
    assert!(matches!(again, Err(Error::Immutable { .. })), "{again:?}");
}

#[test]
fn withdrawn_release_is_gone_with_its_files() {
    let owner = Owner::new(1, 1);
    owner.publish("1.0.0", "stable").unwrap();
    owner.publish("1.1.0", "stable").unwrap();
    let version = "1.1.0".parse().unwrap();
    let take =
        || withdraw(&owner.repository(), &owner.keys, "x86-64", &version, day(1), Days::default());
    take().unwrap();
    assert_eq!(owner.node().refresh(&owner.metadata(), day(2)).unwrap(), ["1.0.0 stable"]);
    assert_eq!(fs::read_dir(owner.path("repository/targets/x86-64/1.1.0")).unwrap().count(), 0);
    assert!(matches!(take(), Err(Error::NoVersion { .. })));
}

#[test]
fn refreshed_timestamp_keeps_nodes_content_and_a_forgotten_one_does_not() {
    let owner = Owner::new(1, 1);
    owner.publish("1.0.0", "stable").unwrap();
    let mut node = owner.node();
    node.refresh(&owner.metadata(), day(2)).unwrap();
    let error = node.refresh(&owner.metadata(), day(40)).unwrap_err();
    assert!(matches!(error, WorkflowError::Expired { .. }), "{error}");
    // Long after, everything is near its end and is signed anew.
    refresh(&owner.repository(), &owner.keys, false, day(300), Days::default()).unwrap();
    assert_eq!(node.refresh(&owner.metadata(), day(320)).unwrap(), ["1.0.0 stable"]);
    let state = owner.repository().state().unwrap();
    assert!(state.targets.expires.0 > day(600));
}

#[test]
fn keys_of_every_role_are_rotated_under_the_eyes_of_a_node() {
    for role in Role::ALL {
        let owner = Owner::new(3, 2);
        owner.publish("1.0.0", "stable").unwrap();
        let mut node = owner.node();
        node.refresh(&owner.metadata(), day(2)).unwrap();
        let old = owner.repository().state().unwrap().root.roles[role.name()].keyids.clone();
        let keys = rotate(&owner.repository(), &owner.keys, role, None, day(2), Days::default());
        let keys = keys.unwrap();
        assert_eq!(node.refresh(&owner.metadata(), day(3)).unwrap(), ["1.0.0 stable"], "{role}");
        assert_eq!(owner.node().refresh(&owner.metadata(), day(3)).unwrap().len(), 1, "{role}");
        let root = owner.repository().state().unwrap().root;
        assert!(root.roles[role.name()].keyids.iter().all(|id| !old.contains(id)), "{role}");
        // The keys on the disk are the new ones, and so is the root for new images.
        let reopened = UpdateKeys::open(&owner.path("keys")).unwrap();
        assert_eq!(reopened.role(role).unwrap(), keys.role(role).unwrap());
        let newest = fs::read(owner.metadata().join("2.root.json")).unwrap();
        assert_eq!(reopened.root_file().unwrap(), newest);
        // The old keys sign nothing any more that nodes would take, so nothing is written.
        if role != Role::Root {
            let timestamp = fs::read(owner.metadata().join("timestamp.json")).unwrap();
            let stale = refresh(&owner.repository(), &owner.keys, true, day(3), Days::default());
            assert!(matches!(stale, Err(Error::Refused(_))), "{role}: {stale:?}");
            assert_eq!(fs::read(owner.metadata().join("timestamp.json")).unwrap(), timestamp);
        }
    }
}

#[test]
fn one_root_key_is_replaced_or_revoked_and_the_threshold_stays_reachable() {
    let owner = Owner::new(3, 2);
    owner.publish("1.0.0", "stable").unwrap();
    let ids = |keys: &UpdateKeys| -> Vec<String> {
        keys.role(Role::Root)
            .unwrap()
            .keys
            .iter()
            .map(|one| one.key().unwrap().id().unwrap())
            .collect()
    };
    let first = ids(&owner.keys);
    let now = day(2);
    let keys =
        rotate(&owner.repository(), &owner.keys, Role::Root, Some(&first[0]), now, Days::default());
    let keys = keys.unwrap();
    assert_eq!(ids(&keys)[1..], first[1..]);
    assert_ne!(ids(&keys)[0], first[0]);
    let keys =
        revoke(&owner.repository(), &keys, Role::Root, &first[1], now, Days::default()).unwrap();
    assert_eq!(owner.node().refresh(&owner.metadata(), day(3)).unwrap(), ["1.0.0 stable"]);
    let last = revoke(&owner.repository(), &keys, Role::Root, &first[2], now, Days::default());
    assert!(matches!(last, Err(Error::TooFewKeys { left: 1, threshold: 2, .. })), "{last:?}");
    let unknown = revoke(&owner.repository(), &keys, Role::Root, "ab", now, Days::default());
    assert!(matches!(unknown, Err(Error::NoSuchKey(_))));
}

#[test]
fn root_keys_that_are_away_are_missed_only_below_the_threshold() {
    let owner = Owner::new(3, 2);
    owner.publish("1.0.0", "stable").unwrap();
    fs::remove_file(owner.path("keys/root-1.key")).unwrap();
    let rotated =
        rotate(&owner.repository(), &owner.keys, Role::Targets, None, day(2), Days::default());
    let keys = rotated.unwrap();
    fs::remove_file(owner.path("keys/root-2.key")).unwrap();
    let before = fs::read(owner.path("keys/signers.json")).unwrap();
    let failed = rotate(&owner.repository(), &keys, Role::Snapshot, None, day(2), Days::default());
    assert!(matches!(failed, Err(Error::Refused(_))), "{failed:?}");
    assert_eq!(fs::read(owner.path("keys/signers.json")).unwrap(), before);
    assert_eq!(owner.node().refresh(&owner.metadata(), day(3)).unwrap(), ["1.0.0 stable"]);
}

#[test]
fn what_a_cut_run_left_behind_is_cleared_and_never_served() {
    let owner = Owner::new(1, 1);
    owner.publish("1.0.0", "stable").unwrap();
    let left = owner.path("repository/.metadata.new");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("timestamp.json"), "half").unwrap();
    fs::write(owner.path("repository/targets/.chunks.new"), "half").unwrap();
    owner.publish("1.1.0", "stable").unwrap();
    assert_eq!(owner.node().refresh(&owner.metadata(), day(2)).unwrap().len(), 2);
    assert!(!left.exists());
}

#[test]
fn second_command_at_once_is_told_to_wait() {
    let owner = Owner::new(1, 1);
    let held = owner.repository();
    let second = Repository::open(&owner.path("repository"), &owner.keys);
    assert!(matches!(second, Err(Error::Busy(_))));
    drop(held);
    owner.repository();
}

#[test]
fn odd_offers_and_keys_are_refused_by_name() {
    let owner = Owner::new(1, 1);
    let try_offer = |change: fn(&mut Offer)| {
        let mut offer = offer("stable");
        change(&mut offer);
        let sources = owner.sources("1.0.0", &content("1.0.0"));
        publish(&owner.repository(), &owner.keys, &sources, &offer, day(1), Days::default())
    };
    let name = try_offer(|offer| offer.channel = "a/b".into());
    assert!(matches!(name, Err(Error::Name(_))));
    let notes = try_offer(|offer| offer.notes = Some("x".repeat(20 << 10)));
    assert!(matches!(notes, Err(Error::Notes(_))));
    let waves = try_offer(|offer| offer.waves = Some(holm_payload::Schedule(vec![(0, 50)])));
    assert!(matches!(waves, Err(Error::Waves)));
    let folder = owner.path("keys");
    let again = UpdateKeys::create(&folder, 1, 1, day(0), Days::default());
    assert!(matches!(again, Err(Error::KeysExist(_))));
    let none = UpdateKeys::create(&owner.path("k"), 2, 3, day(0), Days::default());
    assert!(matches!(none, Err(Error::Threshold { .. })));
    assert!(matches!(UpdateKeys::open(&owner.path("none")), Err(Error::NoKeys(_))));
}

#[test]
fn manifest_names_the_parts_beside_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("holm-x.img");
    let manifest = r#"{"board": "x", "holm": {"version": "1.2.3"}, "root-hash": "ab",
        "update": {"hash-offset": 4096, "parts": [
            {"kind": "kernel", "slot": "b", "file": "holm-x.b.efi"},
            {"kind": "kernel", "slot": "a", "file": "holm-x.efi"},
            {"kind": "root", "slot": null, "file": "holm-x.root"}]}}"#;
    fs::write(image.with_extension("manifest.json"), manifest).unwrap();
    let sources = Sources::beside(&image).unwrap();
    let names: Vec<_> =
        sources.parts.iter().map(|part| part.file.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["holm-x.root", "holm-x.efi", "holm-x.b.efi"]);
    let without = r#"{"board": "x", "holm": {"version": "1.2.3"}, "root-hash": "ab"}"#;
    fs::write(image.with_extension("manifest.json"), without).unwrap();
    assert!(matches!(Sources::beside(&image), Err(Error::NotForUpdates { what: "parts", .. })));
}
