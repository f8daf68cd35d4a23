//! Metadata that are forged, old, mixed, expired, endless or slow.

use holm_fetch::ClientError;
use holm_payload::choose::{Choice, Node as Running, choose};
use holm_tuf::Role;

use crate::repository::{NOW, Node, Repository, chain, noise, now};
use crate::server::{Manner, Server};

fn start() -> (Repository, Server, Node) {
    let mut repository = Repository::new();
    repository.release("1.1.0", &noise(100_000, 1), b"kernel");
    let server = Server::start(repository.files.clone());
    let node = Node::of(&repository, &server);
    (repository, server, node)
}

fn refused(node: &Node) -> String {
    match node.refresh() {
        Err(error @ ClientError::NoPlace(_)) => chain(&error),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was trusted"),
    }
}

#[test]
fn role_signed_by_a_wrong_key_is_refused() {
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets] {
        let (mut repository, server, node) = start();
        repository.forged = Some((role, 99));
        repository.release("1.2.0", b"evil", b"kernel");
        server.set_files(repository.files.clone());
        let error = refused(&node);
        assert!(error.contains(&format!("{role}: signed by 0 of the 1")), "{error}");
    }
}

#[test]
fn rotated_root_is_followed_and_one_without_the_old_keys_is_not() {
    let (mut repository, server, node) = start();
    node.refresh().unwrap();
    repository.rotate_root(21);
    repository.rotate_root(22);
    repository.release("1.2.0", b"new", b"kernel");
    server.set_files(repository.files.clone());
    assert_eq!(node.refresh().unwrap().releases.len(), 2);
    // A thief of the server alone makes a root of his own.
    repository.keys[0] = 66;
    repository.versions[0] += 1;
    repository.sign();
    server.set_files(repository.files.clone());
    assert!(refused(&node).contains("root: signed by 0 of the 1"));
}

#[test]
fn revoked_key_of_targets_signs_nothing_any_more() {
    let (mut repository, server, node) = start();
    node.refresh().unwrap();
    repository.keys[3] = 44;
    repository.rotate_root(1);
    repository.forged = Some((Role::Targets, 4));
    repository.release("1.2.0", b"evil", b"kernel");
    server.set_files(repository.files.clone());
    assert!(refused(&node).contains("targets: signed by 0 of the 1"));
}

#[test]
fn replayed_metadata_are_refused() {
    let (mut repository, server, node) = start();
    let old = repository.files.clone();
    repository.release("1.2.0", b"new", b"kernel");
    server.set_files(repository.files.clone());
    node.refresh().unwrap();
    server.set_files(old);
    assert!(refused(&node).contains("would go back from"));
}

#[test]
fn mixed_metadata_are_refused() {
    let (mut repository, server, node) = start();
    let old = repository.files["/metadata/2.targets.json"].clone();
    repository.release("1.2.0", b"new", b"kernel");
    repository.files.insert("/metadata/3.targets.json".to_owned(), old);
    server.set_files(repository.files.clone());
    assert!(refused(&node).contains("targets: version 2 came in place of 3"));
}

#[test]
fn frozen_metadata_expire() {
    let (_, _server, node) = start();
    node.refresh().unwrap();
    let error = node.refresh_at("2027-01-01T00:00:01Z").unwrap_err();
    assert!(chain(&error).contains("expired on 2027-01-01T00:00:00Z"), "{error}");
}

#[test]
fn clock_in_1970_is_lifted_by_the_newest_metadata() {
    let (mut repository, server, node) = start();
    repository.signed_at = Some("2026-12-31T00:00:00Z");
    repository.versions[1] += 1;
    repository.sign();
    server.set_files(repository.files.clone());
    // Nothing else is known yet: an update in 1970 is better than none.
    node.refresh_at("1970-01-01T00:00:10Z").unwrap();
    // What was signed at the end of 2026 and expires in June of 2026 is old, whatever the clock says.
    repository.expires = "2026-06-01T00:00:00Z";
    repository.versions[1] += 1;
    repository.sign();
    server.set_files(repository.files.clone());
    let error = node.refresh_at("1970-01-01T00:00:20Z").unwrap_err();
    assert!(chain(&error).contains("expired on 2026-06-01"), "{error}");
}

#[test]
fn endless_dripping_silent_and_looping_metadata_end_soon() {
    for file in ["2.root.json", "timestamp.json", "snapshot.json", "targets.json"] {
        for (manner, why) in [
            (Manner::Endless, "is longer than"),
            (Manner::Drip, "bytes came in"),
            (Manner::Silent, "timeout"),
            (Manner::RedirectLoop, "redirect"),
            (Manner::Status(500), "answered 500"),
        ] {
            let (_, server, node) = start();
            server.misbehave(file, manner);
            let error = refused(&node);
            assert!(error.to_lowercase().contains(why), "{file} {manner:?}: {error}");
        }
    }
}

#[test]
fn torn_metadata_are_refused_and_the_next_run_is_good() {
    for manner in [Manner::CutAfter(20), Manner::Corrupt] {
        let (_, server, node) = start();
        server.misbehave("snapshot.json", manner);
        refused(&node);
        server.misbehave("snapshot.json", Manner::Good);
        node.refresh().unwrap();
    }
}

#[test]
fn mirror_helps_where_the_first_place_is_stale_or_down() {
    let (mut repository, stale, _) = start();
    repository.release("1.2.0", b"new", b"kernel");
    let fresh = Server::start(repository.files.clone());
    let node = Node::new(&repository, &[fresh.url()]);
    node.refresh().unwrap();
    let mut both = Node::new(&repository, &[stale.url(), fresh.url()]);
    both.folder = node.folder;
    let mut complaints = Vec::new();
    let trusted = both.client().refresh(now(), |error| complaints.push(chain(error))).unwrap();
    assert_eq!(trusted.releases.len(), 2);
    assert!(complaints[0].contains("would go back from"), "{complaints:?}");
    stale.misbehave("", Manner::Silent);
    assert!(both.client().refresh(now(), |_| {}).is_ok());
}

#[test]
fn state_that_was_damaged_does_not_bar_the_way() {
    let (_, _server, node) = start();
    node.refresh().unwrap();
    for file in ["root", "timestamp", "snapshot", "targets"] {
        let path = node.folder.path().join(format!("trusted/{file}.json"));
        std::fs::write(&path, b"{\"torn").unwrap();
        let trusted = node.refresh().unwrap();
        assert_eq!(trusted.releases.len(), 1, "{file}");
    }
}

#[test]
fn image_for_another_board_is_never_chosen() {
    let mut repository = Repository::new();
    repository.release_for("rpi", "9.0.0", b"other", b"kernel");
    repository.release("1.1.0", b"ours", b"kernel");
    let server = Server::start(repository.files.clone());
    let trusted = Node::of(&repository, &server).refresh().unwrap();
    let version = "1.0.0".parse().unwrap();
    let running = |board| Running { board, channel: "stable", version: &version, seed: 3 };
    let choice = choose(&trusted.releases, running("x86-64"), now()).unwrap();
    let Choice::Take { release, .. } = choice else { panic!("{choice:?}") };
    assert_eq!(release.version.to_string(), "1.1.0");
    assert!(choose(&trusted.releases, running("jetson-nano"), now()).is_err());
}

#[test]
fn release_that_cannot_be_read_does_not_hide_the_others() {
    let (mut repository, server, node) = start();
    let custom = serde_json::json!({"holm-release": {"board": 7}});
    repository.add_target("x86-64/odd/index", b"x".to_vec(), Some(custom));
    repository.versions[1..].iter_mut().for_each(|version| *version += 1);
    repository.sign();
    server.set_files(repository.files.clone());
    let trusted = node.refresh_at(NOW).unwrap();
    assert_eq!((trusted.releases.len(), trusted.unreadable.len()), (1, 1));
}
