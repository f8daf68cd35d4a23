//! The cases of the conformance suite that The Update Framework publishes, on the pure workflow.

use serde_json::json;

use super::*;
use crate::key::Signer as _;
use crate::simulator::*;

fn start() -> (Repository, Client) {
    let repository = Repository::new();
    let client = Client::new(&repository);
    (repository, client)
}

/// A repository with a client that has seen version 1 of everything.
fn started() -> (Repository, Client) {
    let (repository, mut client) = start();
    client.refresh(&repository).unwrap();
    client.asked.clear();
    (repository, client)
}

// Basics.

#[test]
fn first_refresh_asks_for_each_file_once_and_keeps_its_bytes() {
    let (mut repository, mut client) = start();
    repository.files.get_mut("timestamp.json").unwrap().push(b' ');
    client.refresh(&repository).unwrap();
    assert_eq!(
        client.asked,
        ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    );
    assert_eq!(client.stored.timestamp, repository.files.get("timestamp.json").cloned());
    assert_eq!(client.stored.targets, repository.files.get("1.targets.json").cloned());
}

#[test]
fn second_refresh_asks_only_whether_there_is_something_new() {
    let (repository, mut client) = started();
    let run = client.refresh(&repository).unwrap();
    assert_eq!(client.asked, ["2.root.json", "timestamp.json"]);
    assert!(run.targets().is_some() && run.snapshot().is_some());
}

#[test]
fn names_have_no_version_without_consistent_snapshots() {
    let (mut repository, mut client) = start();
    repository.root.consistent_snapshot = false;
    repository.publish("root targets snapshot timestamp");
    client.refresh(&repository).unwrap();
    assert_eq!(
        client.asked,
        ["2.root.json", "3.root.json", "timestamp.json", "snapshot.json", "targets.json"]
    );
}

#[test]
fn first_root_that_is_malformed_or_unsigned_asks_for_nothing() {
    for change in [
        (|root| drop(root["signed"].as_object_mut().unwrap().remove("version")))
            as fn(&mut serde_json::Value),
        |root| root["signatures"][0]["sig"] = json!("00".repeat(64)),
        |root| root["signatures"] = json!([]),
        |root| *root = json!([]),
    ] {
        let (mut repository, _) = start();
        repository.tamper("1.root.json", change);
        let mut client = Client::new(&repository);
        assert!(client.refresh(&repository).is_err());
        assert_eq!(client.asked, [""; 0]);
    }
}

#[test]
fn unsigned_role_is_refused_and_those_before_it_are_kept() {
    for (role, trusted) in [
        ("root", [1, 0, 0, 0]),
        ("timestamp", [2, 0, 0, 0]),
        ("snapshot", [2, 2, 0, 0]),
        ("targets", [2, 2, 2, 0]),
    ] {
        let (mut repository, mut client) = start();
        repository.signers.insert(role.to_owned(), Vec::new());
        repository.publish("root targets snapshot timestamp");
        assert!(client.refresh(&repository).is_err(), "{role}");
        assert_eq!(client.versions(), trusted, "{role}");
    }
}

#[test]
fn file_with_another_version_than_its_name_is_refused() {
    for (role, trusted) in
        [("root", [1, 0, 0, 0]), ("snapshot", [2, 2, 0, 0]), ("targets", [2, 2, 2, 0])]
    {
        let (mut repository, mut client) = start();
        repository.publish("root targets snapshot timestamp");
        match role {
            "root" => repository.root.version = 3,
            "snapshot" => repository.snapshot.version = 3,
            _ => repository.targets.version = 3,
        }
        let listed = (repository.timestamp.clone(), repository.snapshot.clone());
        repository.publish_as_it_is(role);
        let file = repository.files.remove(&format!("3.{role}.json")).unwrap();
        repository.files.insert(format!("2.{role}.json"), file);
        (repository.timestamp, repository.snapshot) = listed;
        let error = client.refresh(&repository).unwrap_err();
        assert!(matches!(error, WorkflowError::Version { .. }), "{role}: {error}");
        assert_eq!(client.versions(), trusted, "{role}");
    }
}

#[test]
fn changed_timestamp_of_the_same_version_is_ignored() {
    let (mut repository, mut client) = started();
    repository.timestamp.meta.insert("snapshot.json".into(), meta(100));
    repository.publish_as_it_is("timestamp");
    client.refresh(&repository).unwrap();
    assert_eq!(client.asked.last().unwrap(), "timestamp.json");
    let stored: serde_json::Value =
        serde_json::from_slice(client.stored.timestamp.as_ref().unwrap()).unwrap();
    assert_eq!(stored["signed"]["meta"]["snapshot.json"]["version"], 1);
}

#[test]
fn hashes_are_checked_where_metadata_lists_them() {
    for (wrong, trusted) in [("targets", [1, 3, 3, 2]), ("snapshot", [1, 3, 2, 2])] {
        let (mut repository, mut client) = start();
        repository.with_hashes = true;
        repository.publish("targets snapshot timestamp");
        client.refresh(&repository).unwrap();
        repository.publish("targets");
        let zeros = Some([("sha256".to_owned(), "0".repeat(64))].into());
        if wrong == "targets" {
            repository.snapshot.meta.get_mut("targets.json").unwrap().hashes = zeros.clone();
        }
        repository.publish("snapshot");
        if wrong == "snapshot" {
            repository.timestamp.meta.get_mut("snapshot.json").unwrap().hashes = zeros;
        }
        repository.publish("timestamp");
        let error = client.refresh(&repository).unwrap_err();
        assert!(matches!(error, WorkflowError::Digest { .. }), "{error}");
        assert_eq!(client.versions(), trusted, "{wrong}");
    }
}

#[test]
fn unknown_fields_and_key_fields_do_no_harm() {
    let (mut repository, mut client) = started();
    let mut key = key(9);
    key.extra.insert("keyid_hash_algorithms".into(), json!("md5"));
    let keyid = key.id().unwrap();
    repository.root.keys.insert(keyid.clone(), key);
    repository.keys_of("root").keyids.push(keyid);
    repository.root.extra.insert("custom-field".into(), json!("value"));
    repository.keys_of("root").extra.insert("another-field".into(), json!({"a": 1}));
    repository.publish("root");
    client.refresh(&repository).unwrap();
    assert_eq!(client.versions()[0], 2);
}

#[test]
fn missing_file_ends_the_run_with_what_came_before_kept() {
    for (role, trusted) in
        [("snapshot", [1, 2, 1, 1]), ("targets", [1, 2, 2, 1]), ("timestamp", [1, 1, 1, 1])]
    {
        let (mut repository, mut client) = started();
        repository.publish("targets snapshot timestamp");
        let file = repository.file(role, 2);
        repository.files.remove(&file);
        let error = client.refresh(&repository).unwrap_err();
        assert!(matches!(&error, WorkflowError::Missing(name) if *name == file), "{error}");
        assert_eq!(client.versions(), trusted, "{role}");
        assert_eq!(client.asked.last(), Some(&file));
    }
}

#[test]
fn signed_file_of_another_type_is_refused() {
    let (mut repository, mut client) = started();
    // The timestamp's key signs the snapshot too, so only the type is wrong.
    repository.add_key("snapshot", 2);
    repository.signers.insert("snapshot".into(), vec![2, 3]);
    repository.snapshot.meta.insert("snapshot.json".into(), meta(1));
    repository.publish("root snapshot");
    let file = repository.files["2.snapshot.json"].clone();
    repository.files.insert("timestamp.json".into(), file);
    let error = client.refresh(&repository).unwrap_err();
    let is_type = matches!(error, WorkflowError::Envelope(EnvelopeError::WrongType { .. }));
    assert!(is_type, "{error}");
    assert_eq!(client.versions()[0], 2);
}

#[test]
fn file_longer_than_its_limit_is_refused() {
    let (mut repository, mut client) = start();
    let file = repository.files.get_mut("timestamp.json").unwrap();
    file.resize(client.limits.timestamp as usize + 1, b' ');
    let error = client.refresh(&repository).unwrap_err();
    assert!(matches!(error, WorkflowError::TooLong { .. }), "{error}");
}

// Expiry.

#[test]
fn expired_role_is_refused_and_only_root_is_kept() {
    for (role, trusted) in [
        ("root", [2, 1, 1, 1]),
        ("timestamp", [1, 1, 1, 1]),
        ("snapshot", [1, 2, 1, 1]),
        ("targets", [1, 2, 2, 1]),
    ] {
        let (mut repository, mut client) = started();
        let past = crate::Expires(day(-5));
        match role {
            "root" => repository.root.expires = past,
            "timestamp" => repository.timestamp.expires = past,
            "snapshot" => repository.snapshot.expires = past,
            _ => repository.targets.expires = past,
        }
        let roles = if role == "root" { "root" } else { "targets snapshot timestamp" };
        repository.publish(roles);
        let error = client.refresh(&repository).unwrap_err();
        assert!(matches!(error, WorkflowError::Expired { .. }), "{role}: {error}");
        assert_eq!(client.versions(), trusted, "{role}");
    }
}

#[test]
fn time_that_passes_expires_what_was_good() {
    let (repository, mut client) = started();
    client.now = day(301);
    let error = client.refresh(&repository).unwrap_err();
    assert!(matches!(error, WorkflowError::Expired { .. }), "{error}");
}

#[test]
fn expired_local_root_and_timestamp_give_way_to_new_ones() {
    let (mut repository, mut client) = start();
    repository.root.expires = crate::Expires(day(7));
    repository.timestamp.expires = crate::Expires(day(7));
    repository.publish("root timestamp");
    client.refresh(&repository).unwrap();
    repository.root.expires = crate::Expires(day(21));
    repository.timestamp.expires = crate::Expires(day(21));
    repository.publish("root targets snapshot timestamp");
    client.now = day(18);
    client.refresh(&repository).unwrap();
    assert_eq!(client.versions(), [3, 3, 2, 2]);
}

#[test]
fn expired_local_timestamp_still_bars_the_way_back() {
    let (mut repository, mut client) = start();
    repository.timestamp.expires = crate::Expires(day(7));
    repository.publish("timestamp");
    client.refresh(&repository).unwrap();
    client.now = day(18);
    // Once with an older timestamp, once with an older snapshot in a newer timestamp.
    for (timestamp, snapshot) in [(1, 1), (3, 0)] {
        repository.timestamp.version = timestamp;
        repository.timestamp.expires = crate::Expires(day(21));
        repository.timestamp.meta.insert("snapshot.json".into(), meta(snapshot));
        repository.publish_as_it_is("timestamp");
        let error = client.refresh(&repository).unwrap_err();
        assert!(matches!(error, WorkflowError::Rollback { .. }), "{error}");
        assert_eq!(client.versions()[1], 2);
    }
}

// Rollback and recovery.

#[test]
fn older_timestamp_snapshot_and_targets_are_refused() {
    for with_hashes in [false, true] {
        for role in ["timestamp", "snapshot", "targets"] {
            let (mut repository, mut client) = start();
            repository.with_hashes = with_hashes;
            repository.publish("targets snapshot timestamp");
            client.refresh(&repository).unwrap();
            match role {
                "timestamp" => repository.timestamp.version = 1,
                "snapshot" => repository.snapshot.version = 1,
                _ => repository.targets.version = 1,
            }
            repository.publish_as_it_is(role);
            match role {
                "timestamp" => {}
                "snapshot" => repository.publish("timestamp"),
                _ => repository.publish("snapshot timestamp"),
            }
            let error = client.refresh(&repository).unwrap_err();
            assert!(matches!(error, WorkflowError::Rollback { .. }), "{role}: {error}");
            assert_eq!(client.versions()[2..], [2, 2], "{role}");
        }
    }
}

#[test]
fn role_that_vanishes_from_the_snapshot_is_a_rollback() {
    let (mut repository, mut client) = start();
    repository.delegate("targets", 9, delegated("delegated", 9, &["delegatedpath/*"], false));
    repository.publish("delegated targets snapshot timestamp");
    client.refresh(&repository).unwrap();
    repository.snapshot.meta.remove("delegated.json");
    repository.publish("snapshot timestamp");
    let error = client.refresh(&repository).unwrap_err();
    assert!(matches!(error, WorkflowError::Unlisted(_)), "{error}");
    assert_eq!(client.versions()[2], 2);
}

#[test]
fn rotated_keys_recover_from_versions_that_ran_ahead() {
    for role in ["targets", "snapshot", "timestamp"] {
        let (mut repository, mut client) = start();
        match role {
            "targets" => repository.targets.version = 99,
            "snapshot" => repository.snapshot.version = 99,
            _ => repository.timestamp.version = 99,
        }
        repository.publish("targets snapshot timestamp");
        client.refresh(&repository).unwrap();
        match role {
            "targets" => repository.targets.version = 0,
            "snapshot" => repository.snapshot.version = 0,
            _ => repository.timestamp.version = 0,
        }
        repository.publish("targets snapshot timestamp");
        assert!(client.refresh(&repository).is_err(), "{role}");
        if role != "timestamp" {
            repository.rotate("snapshot", 10);
        }
        if role != "targets" {
            repository.rotate("timestamp", 11);
        }
        repository.publish("root targets snapshot timestamp");
        client.refresh(&repository).unwrap_or_else(|error| panic!("{role}: {error}"));
        assert!(client.versions()[1..].iter().all(|version| *version < 99), "{role}");
    }
}

#[test]
fn forgetting_comes_before_the_root_that_asks_for_it() {
    let (mut repository, client) = started();
    repository.rotate("timestamp", 10);
    repository.publish("root");
    let mut run = Workflow::begin(client.stored, day(0), Limits::default()).unwrap();
    let changes = run.answer(Answer::File(&repository.files["2.root.json"])).unwrap();
    let [
        Change::Forget(Role::Timestamp),
        Change::Forget(Role::Snapshot),
        Change::Keep(Role::Root, _),
    ] = changes.as_slice()
    else {
        panic!("{changes:?}")
    };
}

#[test]
fn revoked_key_signs_nothing_that_is_taken() {
    let (mut repository, mut client) = started();
    repository.rotate("targets", 10);
    repository.publish("root");
    repository.signers.insert("targets".into(), vec![4]);
    repository.publish("targets snapshot timestamp");
    let error = client.refresh(&repository).unwrap_err();
    assert!(error.to_string().contains("targets: signed by 0 of the 1"), "{error}");
    assert_eq!(client.versions()[3], 1);
}

// Keys and thresholds.

#[test]
fn snapshot_below_its_threshold_is_refused() {
    let (mut repository, mut client) = start();
    for n in [10, 11] {
        repository.add_key("snapshot", n);
    }
    repository.keys_of("snapshot").threshold = 3;
    repository.signers.insert("snapshot".into(), vec![3, 10, 11]);
    repository.publish("root targets snapshot timestamp");
    client.refresh(&repository).unwrap();
    repository.signers.insert("snapshot".into(), vec![3, 10]);
    repository.publish("targets snapshot timestamp");
    assert!(client.refresh(&repository).is_err());
    assert_eq!(client.versions()[2], 2);
}

#[test]
fn key_that_is_listed_often_signs_once() {
    let (mut repository, mut client) = started();
    repository.add_key("snapshot", 10);
    let again = vec![id(10); 8];
    repository.keys_of("snapshot").keyids.extend(again);
    repository.keys_of("snapshot").threshold = 6;
    repository.signers.insert("snapshot".into(), vec![3, 10]);
    repository.publish("root snapshot timestamp");
    repository.tamper("2.snapshot.json", |file| {
        let one = file["signatures"][1].clone();
        file["signatures"].as_array_mut().unwrap().extend(vec![one; 8]);
    });
    assert!(client.refresh(&repository).is_err());
    // The old one is forgotten with its keys, the new one not taken.
    assert_eq!(client.versions()[2], 0);
}

#[test]
fn bad_signature_beside_enough_good_ones_does_no_harm() {
    let (mut repository, mut client) = start();
    repository.add_key("timestamp", 10);
    repository.signers.insert("timestamp".into(), vec![2, 10]);
    repository.publish("root timestamp");
    for bad in ["00".repeat(64), String::new()] {
        repository.publish("timestamp");
        repository.tamper("timestamp.json", |file| file["signatures"][1]["sig"] = json!(bad));
        client.refresh(&repository).unwrap();
    }
    assert_eq!(client.versions()[1], 4);
}

/// Keys of the role, threshold, who signs.
type Version = (&'static [u8], u32, &'static [u8]);

#[test]
fn root_follows_a_chain_of_rotations_and_stops_where_it_breaks() {
    let of_5: &[u8] = &[20, 21, 22, 23, 24];
    let good: [&[Version]; 9] = [
        &[(&[21], 1, &[21]), (&[22], 1, &[22, 21]), (&[22], 1, &[22])],
        &[(&[21], 1, &[23, 21, 24]), (&[22], 1, &[23, 22, 21, 24]), (&[22], 1, &[23, 22, 24])],
        &[(of_5, 3, &[20, 22, 24]), (of_5, 3, &[20, 24, 21]), (of_5, 3, &[20, 21, 23])],
        &[(of_5, 3, &[20, 22, 24]), (&[20, 21, 23, 24, 25], 3, &[20, 24, 21])],
        &[
            (of_5, 3, &[20, 22, 24]),
            (&[20, 21, 23, 24, 25], 3, &[20, 22, 24, 25]),
            (&[20, 21, 23, 24, 25], 3, &[20, 24, 25]),
        ],
        &[
            (of_5, 3, &[20, 22, 24]),
            (&[25, 26, 27, 28, 29], 3, &[20, 22, 24, 25, 26, 27]),
            (&[25, 26, 27, 28, 29], 3, &[25, 26, 27]),
        ],
        &[(&[21, 22, 23], 1, &[21]), (&[21, 22, 23], 2, &[21, 22])],
        &[(&[21, 22, 23], 2, &[21, 22]), (&[21, 22, 23], 1, &[21, 22]), (&[21], 1, &[21])],
        &[(&[21], 1, &[21]), (&[21, 22], 2, &[21, 22])],
    ];
    let bad: [&[Version]; 6] = [
        &[(&[21], 1, &[21]), (&[22], 1, &[22, 23, 24])],
        &[(&[21], 1, &[21]), (&[22], 1, &[21, 23, 24])],
        &[(of_5, 3, &[20, 22, 24]), (&[20, 21, 23, 24, 25], 3, &[20, 22, 24])],
        &[(of_5, 3, &[20, 22, 24]), (&[20, 21, 23, 24, 25], 3, &[20, 24, 25])],
        &[(&[21, 22, 23], 1, &[21]), (&[21, 22, 23], 2, &[22])],
        &[(&[21, 22, 23], 2, &[21, 22]), (&[21, 22, 23], 1, &[21])],
    ];
    let cases = good.iter().map(|case| (case, true)).chain(bad.iter().map(|case| (case, false)));
    for (versions, is_good) in cases {
        let mut repository = Repository::new();
        repository.root.version = 0;
        for (keys, threshold, signers) in *versions {
            repository.keys_of("root").keyids.clear();
            keys.iter().for_each(|n| repository.add_key("root", *n));
            repository.keys_of("root").threshold = *threshold;
            repository.signers.insert("root".into(), signers.to_vec());
            repository.publish("root");
        }
        let mut client = Client::new(&repository);
        let last = versions.len() as u64;
        assert_eq!(client.refresh(&repository).is_ok(), is_good, "{versions:?}");
        assert_eq!(client.versions()[0], if is_good { last } else { last - 1 }, "{versions:?}");
    }
}

#[test]
fn other_roles_are_taken_by_the_keys_that_root_names_now() {
    let of_5: &[u8] = &[20, 21, 22, 23, 24];
    let cases: [(Version, bool); 9] = [
        ((&[22], 1, &[22]), true),
        ((&[21], 1, &[23, 21, 24]), true),
        ((&[22], 1, &[21, 23, 24]), false),
        ((&[20, 21, 23, 24, 25], 3, &[20, 22, 24]), false),
        ((&[20, 21, 23, 24, 25], 3, &[20, 24]), false),
        ((of_5, 3, &[20, 22, 24]), true),
        ((of_5, 3, &[20, 24, 21]), true),
        ((of_5, 3, &[21, 22, 23]), true),
        ((of_5, 3, &[22, 23, 24]), true),
    ];
    for role in ["timestamp", "snapshot", "targets"] {
        for ((keys, threshold, signers), is_good) in cases {
            let (mut repository, mut client) = started();
            repository.keys_of(role).keyids.clear();
            keys.iter().for_each(|n| repository.add_key(role, *n));
            repository.keys_of(role).threshold = threshold;
            repository.signers.insert(role.into(), signers.to_vec());
            repository.publish("root targets snapshot timestamp");
            assert_eq!(client.refresh(&repository).is_ok(), is_good, "{role} {keys:?}");
        }
    }
}

#[test]
fn endless_chain_of_roots_ends() {
    let (mut repository, mut client) = start();
    client.limits.roots = 3;
    for _ in 0..5 {
        repository.publish("root");
    }
    let error = client.refresh(&repository).unwrap_err();
    assert!(matches!(error, WorkflowError::TooManyRoots(3)), "{error}");
    // What was verified is kept, so the next run goes on from there.
    assert_eq!(client.versions()[0], 4);
    client.refresh(&repository).unwrap();
    assert_eq!(client.versions()[0], 6);
}

#[test]
fn key_under_a_false_identifier_makes_a_root_useless() {
    let (mut repository, mut client) = started();
    repository.root.keys.insert("ab".repeat(32), pair(9).key().clone());
    repository.publish("root");
    assert!(client.refresh(&repository).is_err());
    assert_eq!(client.versions()[0], 1);
}

#[test]
fn known_hash_functions_are_needed_and_all_are_checked() {
    let hash = |name: &str, of: &'static ring::digest::Algorithm, bytes: &[u8]| {
        (name.to_owned(), hex::encode(digest(of, bytes).as_ref()))
    };
    let sha256 = hash("sha256", &SHA256, b"x");
    let sha512 = hash("sha512", &SHA512, b"x");
    let unknown = ("unknown".to_owned(), sha512.1.clone());
    let check = |hashes: &[&(String, String)]| {
        hashes_match(&hashes.iter().map(|one| (*one).clone()).collect(), b"x")
    };
    assert!(check(&[&sha256]));
    assert!(check(&[&sha512]));
    assert!(check(&[&sha256, &sha512]));
    assert!(!check(&[&unknown]));
    assert!(!check(&[]));
    assert!(!check(&[&sha256, &hash("sha512", &SHA512, b"y")]));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_workflow_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let (_, client) = started();
        let mut run = Workflow::begin(client.stored, day(0), Limits::default()).unwrap();
        proptest::prop_assert!(run.answer(Answer::File(&bytes)).is_err());
    }
}
