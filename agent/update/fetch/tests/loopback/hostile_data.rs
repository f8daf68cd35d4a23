//! Payloads that are corrupt, truncated, oversized, endless or slow: never a wrong byte, never for
//! ever, and a mirror helps.

use std::time::{Duration, Instant};

use holm_fetch::ClientError;
use holm_update::slot::Slot;

use crate::repository::{Node, Repository, chain, noise, now, read};
use crate::server::{Manner, Server};

fn start() -> (Repository, Server, String, Vec<u8>) {
    let root = noise(400_000, 5);
    let mut repository = Repository::new();
    let path = repository.release("1.1.0", &root, b"kernel");
    let server = Server::start(repository.files.clone());
    (repository, server, path, root)
}

/// What reading the root says when its data are served in that manner.
fn fails(manner: Manner) -> String {
    let (repository, server, path, _) = start();
    server.misbehave("chunks", manner);
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let (download, _) = client.download(&trusted, &path, &[]).unwrap();
    let began = Instant::now();
    let error = read(&download, Slot::A, 0, 0).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(60), "{manner:?}: {:?}", began.elapsed());
    chain(&error)
}

#[test]
fn data_that_are_wrong_or_never_whole_end_in_an_error_that_says_why() {
    for (manner, why) in [
        (Manner::Corrupt, "is not what was signed"),
        (Manner::CutAfter(50), "ended too early"),
        (Manner::Endless, "is not what was signed"),
        (Manner::Status(503), "answered 503"),
        (Manner::Status(404), "there is no"),
        (Manner::RedirectLoop, "redirect"),
        (Manner::Silent, "timeout"),
    ] {
        let error = fails(manner);
        assert!(error.to_lowercase().contains(why), "{manner:?}: {error}");
    }
}

#[test]
fn slow_drip_is_left_after_a_while() {
    let error = fails(Manner::Drip);
    assert!(error.contains("bytes came in"), "{error}");
}

#[test]
fn another_range_than_asked_for_is_refused() {
    let (repository, server, path, root) = start();
    server.misbehave("chunks", Manner::WrongRange);
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let seeds = [node.seed("root", &root[..200_000])];
    let (download, _) = client.download(&trusted, &path, &seeds).unwrap();
    let error = chain(&read(&download, Slot::A, 0, 0).unwrap_err());
    assert!(error.contains("the answer is"), "{error}");
}

#[test]
fn line_that_breaks_often_still_brings_everything() {
    let (repository, server, path, root) = start();
    server.misbehave("chunks", Manner::CutAfterAtFirst(40_000, 20));
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let (download, _) = client.download(&trusted, &path, &[]).unwrap();
    assert!(read(&download, Slot::A, 0, 0).unwrap() == root);
    let requests = server.asked_for("chunks").len();
    assert!((8..=21).contains(&requests), "{requests}");
    // Each begins where the last good chunk ended: little comes twice.
    assert!(client.traffic().received() < 1_400_000, "{}", client.traffic().received());
}

#[test]
fn mirror_serves_what_the_first_place_spoils() {
    for manner in [
        Manner::Corrupt,
        Manner::Status(500),
        Manner::CutAfter(10),
        Manner::RedirectLoop,
        Manner::Endless,
    ] {
        let (repository, bad, path, root) = start();
        let good = Server::start(repository.files.clone());
        bad.misbehave("chunks", manner);
        let node = Node::new(&repository, &[bad.url(), good.url()]);
        let client = node.client();
        let trusted = node.refresh().unwrap();
        let (download, _) = client.download(&trusted, &path, &[]).unwrap();
        assert!(read(&download, Slot::A, 0, 0).unwrap() == root, "{manner:?}");
    }
}

#[test]
fn mirror_serves_an_index_that_the_first_place_spoils() {
    let (repository, bad, path, root) = start();
    let good = Server::start(repository.files.clone());
    for manner in [Manner::Corrupt, Manner::Endless, Manner::CutAfter(3), Manner::Status(404)] {
        bad.misbehave("index", manner);
        let node = Node::new(&repository, &[bad.url(), good.url()]);
        let client = node.client();
        let trusted = node.refresh().unwrap();
        let (download, _) = client.download(&trusted, &path, &[]).unwrap();
        assert!(read(&download, Slot::A, 0, 0).unwrap() == root, "{manner:?}");
    }
}

#[test]
fn index_that_is_not_the_signed_one_stops_the_download() {
    let (repository, server, path, _) = start();
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    for manner in [Manner::Corrupt, Manner::Endless, Manner::CutAfter(3), Manner::Status(404)] {
        server.misbehave("index", manner);
        let result = client.download(&trusted, &path, &[]);
        assert!(matches!(result, Err(ClientError::Fetch(_))), "{manner:?}");
    }
}

#[test]
fn signed_index_that_does_not_fit_its_release_is_refused() {
    let mut repository = Repository::new();
    let path = repository.release("1.1.0", &noise(100_000, 1), b"kernel");
    // The publisher signs the index of another payload under this release.
    let other = repository.release("1.2.0", &noise(90_000, 2), b"kernel");
    let digest_of = |repository: &Repository, path: &str| {
        let folder = format!("/targets/{}", path.trim_end_matches("index"));
        let found = repository
            .files
            .iter()
            .find(|(name, _)| name.starts_with(&folder) && name.ends_with(".index"));
        found.map(|(_, bytes)| bytes.clone()).unwrap()
    };
    let server = Server::start(repository.files.clone());
    let node = Node::of(&repository, &server);
    let custom = node.refresh().unwrap().releases[&path].to_custom();
    let wrong = digest_of(&repository, &other);
    repository.add_target(&path, wrong, Some(custom));
    repository.versions[1..].iter_mut().for_each(|version| *version += 1);
    repository.sign();
    server.set_files(repository.files.clone());
    let trusted = node.refresh().unwrap();
    let client = node.client();
    let result = client.download(&trusted, &path, &[]);
    assert!(matches!(result, Err(ClientError::Parts(_))));
}

#[test]
fn rate_limit_is_kept() {
    let (repository, server, path, root) = start();
    let mut node = Node::of(&repository, &server);
    node.settings.rate_limit = Some(400_000);
    let client = node.client();
    let trusted = client.refresh(now(), |_| {}).unwrap();
    let (download, _) = client.download(&trusted, &path, &[]).unwrap();
    let began = Instant::now();
    assert!(read(&download, Slot::A, 0, 0).unwrap() == root);
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}
