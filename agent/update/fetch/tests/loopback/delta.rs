//! What crosses the network: only what lacks, or everything where that is less.

use holm_update::payload::{BLOCK, Source};
use holm_update::slot::Slot;

use crate::repository::{Node, Repository, noise, read};
use crate::server::{Manner, Server};

/// An old root, and a new one with a changed, a new and a moved piece.
fn pair_of_roots() -> (Vec<u8>, Vec<u8>) {
    let old = noise(2 << 20, 1);
    let mut new = old.clone();
    new[700_000..700_100].copy_from_slice(&noise(100, 2));
    new.splice(1_000_000..1_000_000, noise(50_000, 3));
    (old, new)
}

fn start() -> (Repository, Server, String, Vec<u8>, Vec<u8>) {
    let (old, new) = pair_of_roots();
    let mut repository = Repository::new();
    let path = repository.release("1.1.0", &new, b"kernel");
    let server = Server::start(repository.files.clone());
    (repository, server, path, old, new)
}

#[test]
fn only_missing_chunks_cross_the_network() {
    let (repository, server, path, old, new) = start();
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let seeds = [node.seed("root", &old)];
    let (download, unreadable) = client.download(&trusted, &path, &seeds).unwrap();
    assert!(unreadable.is_empty());
    let before = client.traffic().received();
    assert!(read(&download, Slot::B, 0, 0).unwrap() == new);
    let received = client.traffic().received() - before;
    assert!((50_000..150_000).contains(&received), "{received} bytes");
    assert!(client.traffic().reused() > 1_900_000);
    let ranges = server.asked_for("chunks");
    assert!(ranges.iter().all(|asked| asked.range.is_some()) && ranges.len() < 6, "{ranges:?}");
    assert!(download.lacking(Slot::B) < 160_000);
    assert!(download.full_length(Slot::B) > 2_000_000);
}

#[test]
fn without_seeds_all_of_the_data_comes_in_one_request() {
    let (repository, server, path, _, new) = start();
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let (download, _) = client.download(&trusted, &path, &[]).unwrap();
    assert!(read(&download, Slot::A, 0, 0).unwrap() == new);
    assert_eq!(server.asked_for("chunks").len(), 1);
    let kernel = read(&download, Slot::A, 1, 0).unwrap();
    assert_eq!(kernel, b"kernela");
    assert_eq!(read(&download, Slot::B, 1, 0).unwrap(), b"kernelb");
}

#[test]
fn server_without_ranges_is_read_once_from_its_begin() {
    let (repository, server, path, old, new) = start();
    server.misbehave("chunks", Manner::NoRanges);
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let seeds = [node.seed("root", &old)];
    let (download, _) = client.download(&trusted, &path, &seeds).unwrap();
    assert!(read(&download, Slot::B, 0, 0).unwrap() == new);
    assert_eq!(server.asked_for("chunks").len(), 1);
}

#[test]
fn interrupted_part_goes_on_from_any_offset() {
    let (repository, server, path, old, new) = start();
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let seeds = [node.seed("root", &old)];
    let (download, _) = client.download(&trusted, &path, &seeds).unwrap();
    let block = BLOCK as u64;
    for offset in [0, 1, block, 3 * block, 5 * block + 777, new.len() as u64 - 1] {
        let rest = read(&download, Slot::A, 0, offset).unwrap();
        assert!(rest == new[offset as usize..], "{offset}");
    }
    for past in [new.len() as u64, new.len() as u64 + 5] {
        assert!(read(&download, Slot::A, 0, past).unwrap().is_empty());
    }
}

#[test]
fn rest_of_a_part_costs_only_the_rest() {
    let (repository, server, path, _, new) = start();
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let (download, _) = client.download(&trusted, &path, &[]).unwrap();
    let before = client.traffic().received();
    read(&download, Slot::A, 0, new.len() as u64 - 300_000).unwrap();
    let received = client.traffic().received() - before;
    assert!((300_000..400_000).contains(&received), "{received} bytes");
}

#[test]
fn seed_that_changes_or_lies_is_replaced_by_the_network() {
    let (repository, server, path, old, new) = start();
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let seed = node.seed("root", &old);
    let (download, _) = client.download(&trusted, &path, std::slice::from_ref(&seed)).unwrap();
    // After it was looked through, another process writes to it, and it shrinks.
    let mut changed = old.clone();
    changed[300_000..310_000].fill(0);
    changed.truncate(1_500_000);
    std::fs::write(&seed.path, changed).unwrap();
    assert!(read(&download, Slot::B, 0, 0).unwrap() == new);
}

#[test]
fn seed_that_cannot_be_read_is_named_and_costs_a_full_download() {
    let (repository, server, path, _, new) = start();
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let seed = holm_fetch::Seed { path: node.folder.path().join("none"), length: None };
    let folder = holm_fetch::Seed { path: node.folder.path().to_owned(), length: None };
    let (download, unreadable) = client.download(&trusted, &path, &[seed, folder]).unwrap();
    assert_eq!(unreadable.len(), 2);
    assert!(read(&download, Slot::B, 0, 0).unwrap() == new);
}

#[test]
fn payload_names_the_parts_of_its_slot_with_the_root_first() {
    let (repository, server, path, _, new) = start();
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let (download, _) = client.download(&trusted, &path, &[]).unwrap();
    let (a, b) = (download.payload(Slot::A).unwrap(), download.payload(Slot::B).unwrap());
    assert_eq!((a.version.as_str(), a.board.as_str(), a.parts.len()), ("1.1.0", "x86-64", 2));
    assert_eq!(a.parts[0].size, new.len() as u64);
    assert_eq!(a.parts[0], b.parts[0]);
    assert_ne!(a.parts[1].sha256, b.parts[1].sha256);
    let mut other = a.parts[0].clone();
    other.sha256 = [0; 32];
    assert!(download.open(&other, 0).is_err());
}

#[test]
fn stick_gives_the_same_payload_with_the_same_verification() {
    let (repository, _, path, old, new) = start();
    let stick = tempfile::tempdir().unwrap();
    for (name, bytes) in &repository.files {
        let file = stick.path().join(name.trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let place = stick.path().display().to_string();
    let node = Node::new(&repository, std::slice::from_ref(&place));
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let seeds = [node.seed("root", &old)];
    let (download, _) = client.download(&trusted, &path, &seeds).unwrap();
    assert!(read(&download, Slot::B, 0, 0).unwrap() == new);
    // One wrong byte on the stick, and it is no place for updates any more.
    let timestamp = stick.path().join("metadata/timestamp.json");
    let text = std::fs::read_to_string(&timestamp).unwrap();
    std::fs::write(&timestamp, text.replace("\"version\": 2", "\"version\": 3")).unwrap();
    let other = Node::new(&repository, &[place]);
    assert!(other.refresh().is_err());
}
