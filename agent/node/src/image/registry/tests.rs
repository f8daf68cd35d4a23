//! Pulls from registries on the loopback interface, good and bad.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use holm_config::{Registry, Secret};

use crate::image::disk::Disk;
use crate::image::disk::fake::FakeDisk;
use crate::image::testing::{OciImage, Tarball, gzip, layers_of, quick, store_on, zstd};
use crate::image::{Digest, Image, ImageError, ImageStore, Limits};

use super::fake::{FakeRegistry, Reply, Request, Sending};
use super::*;

fn layers() -> Vec<Vec<u8>> {
    // Not compressible: a cut in the middle must really be in the middle.
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(200_000)
    .collect();
    vec![
        Tarball::new().dir("bin").file("bin/sh", &noise).finish(),
        Tarball::new().file("etc", b"2").finish(),
    ]
}

fn image() -> OciImage {
    OciImage::new(&layers(), "run", gzip)
}

struct Node {
    disk: FakeDisk,
    store: ImageStore,
}

impl Node {
    fn new() -> Self {
        Self::with(quick())
    }

    fn with(limits: Limits) -> Self {
        let disk = FakeDisk::new();
        let store = store_on(&disk, limits);
        Self { disk, store }
    }

    fn pull(&self, name: &str) -> Result<Image, ImageError> {
        self.store.pull(name, &Registries::default(), &Cancel::new())
    }

    fn staging_is_empty(&self) -> bool {
        self.disk.names(Path::new("staging")).unwrap().is_empty()
    }
}

fn usual(_: &Request, reply: Reply) -> Reply {
    reply
}

fn pull_error(result: Result<Image, ImageError>) -> RegistryError {
    match result {
        Err(ImageError::Pull { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

fn host_config(host: &str, registry: Registry) -> Registries {
    Registries { hosts: BTreeMap::from([(host.to_owned(), registry)]), ..Registries::default() }
}

#[test]
fn image_is_pulled_by_tag_and_found_by_tag_and_digest() {
    for compress in [gzip, zstd, <[u8]>::to_vec] {
        let image = OciImage::new(&layers(), "run", compress);
        let registry = FakeRegistry::start(&image, usual);
        let node = Node::new();
        let pulled = node.pull(&registry.image()).unwrap();
        assert_eq!(pulled.digest, Some(image.digest().to_string()));
        assert_eq!(pulled.layers.len(), 2);
        let by_digest = format!("{}/app/web@{}", registry.address, image.digest());
        for name in [registry.image(), by_digest] {
            assert_eq!(node.store.get(&name).unwrap().unwrap().id, pulled.id);
        }
        let files = layers_of(&node.disk, &pulled);
        assert!(files[0].contains_key(Path::new("bin/sh")));
    }
}

#[test]
fn image_is_pulled_by_digest() {
    let image = image();
    let registry = FakeRegistry::start(&image, usual);
    let name = format!("{}/app/web@{}", registry.address, image.digest());
    assert_eq!(Node::new().pull(&name).unwrap().names, [name]);
}

#[test]
fn platform_is_chosen_from_an_index() {
    let image = image();
    let mut foreign = image.descriptor(serde_json::json!({}));
    foreign["platform"]["architecture"] = "sparc".into();
    foreign["digest"] = Digest::of(b"elsewhere").to_string().into();
    let list = [foreign, image.descriptor(serde_json::json!(null))];
    let index = serde_json::json!({"manifests": list}).to_string();
    let registry = FakeRegistry::start(&image, move |request, reply| {
        if request.path.ends_with("/manifests/1") {
            Reply::new(200, index.as_bytes())
        } else {
            reply
        }
    });
    let pulled = Node::new().pull(&registry.image()).unwrap();
    assert_ne!(pulled.digest, Some(image.digest().to_string()), "the index is what was named");
    assert!(pulled.names.iter().any(|name| name.ends_with(image.digest().as_str())));
}

#[test]
fn layers_that_are_here_are_not_fetched_again() {
    let registry = FakeRegistry::start(&image(), usual);
    let node = Node::new();
    node.pull(&registry.image()).unwrap();
    node.pull(&registry.image()).unwrap();
    assert_eq!(registry.blob_requests().len(), 3 + 1, "the configuration alone");
}

#[test]
fn broken_transfer_goes_on_where_it_stopped() {
    let registry = FakeRegistry::start(&image(), |request, reply| {
        if request.is_blob() { reply.sending(Sending::CutAfter(50_000)) } else { reply }
    });
    let node = Node::new();
    node.pull(&registry.image()).unwrap();
    let offsets: Vec<_> = registry.blob_requests().iter().map(Request::offset).collect();
    assert!(offsets.windows(2).filter(|w| w[1] == w[0] + 50_000).count() >= 3, "{offsets:?}");
}

#[test]
fn registry_without_ranges_is_read_again_from_the_start() {
    let registry = FakeRegistry::start(&image(), |request, reply| match reply.status {
        206 => {
            let all = image().blobs.into_iter().find(|(d, _)| request.path.ends_with(d.as_str()));
            Reply::new(200, all.unwrap().1)
        }
        _ if request.is_blob() => reply.sending(Sending::CutAfter(50_000)),
        _ => reply,
    });
    Node::new().pull(&registry.image()).unwrap();
}

#[test]
fn wrong_range_is_refused() {
    let registry = FakeRegistry::start(&image(), |request, reply| match reply.status {
        206 => Reply { headers: vec![("Content-Range".into(), "bytes 1-2/3".into())], ..reply },
        _ if request.is_blob() => reply.sending(Sending::CutAfter(50_000)),
        _ => reply,
    });
    let error = pull_error(Node::new().pull(&registry.image()));
    assert!(matches!(error, RegistryError::Challenge { .. }), "{error:?}");
}

#[test]
fn next_pull_goes_on_after_the_last_whole_layer() {
    let image = image();
    let second = image.blobs[2].0.to_string();
    let broken = FakeRegistry::start(&image, move |request, reply| {
        if request.path.ends_with(&second) { Reply::new(500, "") } else { reply }
    });
    let node = Node::new();
    assert!(matches!(
        pull_error(node.pull(&broken.image())),
        RegistryError::Status { status: 500, .. }
    ));
    assert!(node.staging_is_empty());
    assert_eq!(node.store.images(), []);
    let healthy = FakeRegistry::start(&image, usual);
    // Also after a restart of the node.
    let store = store_on(&node.disk, quick());
    store.pull(&healthy.image(), &Registries::default(), &Cancel::new()).unwrap();
    let first = image.blobs[1].0.as_str();
    assert!(healthy.blob_requests().iter().all(|r| !r.path.ends_with(first)));
}

#[test]
fn wrong_digests_are_refused_and_leave_nothing() {
    let image = image();
    for broken in [0, 1] {
        let path = image.blobs[broken].0.to_string();
        let registry = FakeRegistry::start(&image, move |request, mut reply| {
            if request.path.ends_with(&path) {
                reply.body[20] ^= 1;
            }
            reply
        });
        let node = Node::new();
        assert!(node.pull(&registry.image()).is_err());
        assert!(node.staging_is_empty());
        assert_eq!(node.disk.names(Path::new("layers")).unwrap(), [""; 0]);
    }
    let registry = FakeRegistry::start(&image, |request, mut reply| {
        if request.path.contains("/manifests/") {
            reply.body.push(b' ');
        }
        reply
    });
    let by_digest = format!("{}/app/web@{}", registry.address, image.digest());
    let error = pull_error(Node::new().pull(&by_digest));
    assert!(matches!(error, RegistryError::Digest { .. }));
}

#[test]
fn header_that_contradicts_the_manifest_is_refused() {
    let registry = FakeRegistry::start(&image(), |_, reply| {
        reply.header("Docker-Content-Digest", Digest::of(b"x").as_str())
    });
    assert!(matches!(
        pull_error(Node::new().pull(&registry.image())),
        RegistryError::Digest { .. }
    ));
}

#[test]
fn endless_and_oversized_answers_are_cut_off() {
    let image = image();
    let registry = FakeRegistry::start(&image, |request, reply| {
        if request.is_blob() { reply } else { reply.sending(Sending::Endless) }
    });
    let limits = Limits { document_bytes: 100_000, ..quick() };
    let error = pull_error(Node::with(limits).pull(&registry.image()));
    assert!(matches!(error, RegistryError::Length { expected: 100_000, .. }), "{error:?}");

    // A layer that never ends: only its announced length is read.
    let registry = FakeRegistry::start(&image, |request, reply| {
        if request.is_blob() { reply.sending(Sending::Endless) } else { reply }
    });
    Node::new().pull(&registry.image()).unwrap();

    // A layer that is announced too long.
    let registry = FakeRegistry::start(&image, |request, reply| {
        if request.is_blob() { reply.header("Content-Length", "999999999") } else { reply }
    });
    let error = pull_error(Node::new().pull(&registry.image()));
    assert!(matches!(error, RegistryError::Length { .. }), "{error:?}");

    let limits = Limits { blob_bytes: 1000, ..quick() };
    let error = pull_error(Node::with(limits).pull(&registry.image()));
    assert!(matches!(error, RegistryError::Length { expected: 1000, .. }), "{error:?}");
}

#[test]
fn slow_drip_and_silence_end_a_pull() {
    let drip = Sending::Drip(Duration::from_millis(20));
    for sending in [drip, Sending::Silence] {
        for blobs in [true, false] {
            let registry = FakeRegistry::start(&image(), move |request, reply| {
                if request.is_blob() == blobs { reply.sending(sending) } else { reply }
            });
            let registries =
                Registries { timeout: Some(Duration::from_millis(150)), ..Registries::default() };
            let limits = Limits { slowest_bytes_per_second: 1000, attempts: 2, ..quick() };
            let node = Node::with(limits);
            let started = Instant::now();
            let result = node.store.pull(&registry.image(), &registries, &Cancel::new());
            assert!(pull_error(result).is_unreachable());
            assert!(started.elapsed() < Duration::from_secs(20));
            assert!(node.staging_is_empty());
        }
    }
}

#[test]
fn slow_but_steady_transfer_may_take_longer_than_the_timeout() {
    let small = OciImage::new(&[Tarball::new().file("a", b"1").finish()], "", gzip);
    let registry = FakeRegistry::start(&small, |request, reply| {
        let drip = Sending::Drip(Duration::from_millis(3));
        if request.is_blob() { reply.sending(drip) } else { reply }
    });
    let timeout = Duration::from_millis(100);
    let registries = Registries { timeout: Some(timeout), ..Registries::default() };
    let limits = Limits { slowest_bytes_per_second: 1, attempts: 1, ..quick() };
    let started = Instant::now();
    Node::with(limits).store.pull(&registry.image(), &registries, &Cancel::new()).unwrap();
    assert!(started.elapsed() > 3 * timeout);
}

#[test]
fn cancelling_ends_a_pull() {
    let registry = FakeRegistry::start(&image(), |request, reply| {
        if request.is_blob() { Reply::new(503, "").header("Retry-After", "3600") } else { reply }
    });
    let limits = Limits { retry_longest: Duration::from_secs(3600), ..quick() };
    let node = Node::with(limits);
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let pull =
            scope.spawn(|| node.store.pull(&registry.image(), &Registries::default(), &cancel));
        while registry.blob_requests().is_empty() {
            std::thread::yield_now();
        }
        cancel.cancel();
        assert!(matches!(pull_error(pull.join().unwrap()), RegistryError::Cancelled));
    });
}

#[test]
fn failures_that_pass_are_waited_for() {
    let registry = FakeRegistry::start(&image(), |request, reply| match request.earlier {
        0 => Reply::new(503, ""),
        1 => Reply::new(429, "").header("Retry-After", "0"),
        _ => reply,
    });
    Node::new().pull(&registry.image()).unwrap();
}

#[test]
fn missing_image_is_told_as_the_registry_tells_it() {
    let registry = FakeRegistry::start(&image(), usual);
    let error = Node::new().pull(&format!("{}/app/web:2", registry.address)).unwrap_err();
    assert_eq!(error.reason(), "ErrImagePull");
    let text = pull_error(Err(error)).to_string();
    assert!(text.ends_with("status 404: manifest unknown"), "{text}");
    assert_eq!(registry.log().len(), 1, "asking again would not help");
}

#[test]
fn nobody_there_is_unreachable() {
    let address = FakeRegistry::start(&image(), usual).address;
    let error = Node::new().pull(&format!("{address}/a:1")).unwrap_err();
    assert_eq!(error.reason(), "RegistryUnavailable");
}

#[test]
fn token_is_fetched_and_used_for_everything() {
    let registry = FakeRegistry::start(&image(), |request, reply| {
        if request.path.starts_with("/token?") {
            assert!(request.path.contains("service=reg.test"), "{}", request.path);
            assert!(
                request.path.contains("app%2Fweb%3Apull") || request.path.contains("app/web:pull")
            );
            let known = request.headers.get("authorization").map(String::as_str);
            assert_eq!(known, Some("Basic bWU6cEBzcw=="));
            return Reply::new(200, r#"{"token":"sesame"}"#);
        }
        if request.headers.get("authorization").map(String::as_str) == Some("Bearer sesame") {
            return reply;
        }
        let host = &request.headers["host"];
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"reg.test\"");
        Reply::new(401, "").header("WWW-Authenticate", challenge)
    });
    let user = Registry {
        username: Some("me".into()),
        password: Some(Secret::new("p@ss")),
        insecure: true,
        ..Registry::default()
    };
    let registries = host_config(&registry.address.to_string(), user);
    let node = Node::new();
    node.store.pull(&registry.image(), &registries, &Cancel::new()).unwrap();
    let tokens = registry.log().iter().filter(|r| r.path.starts_with("/token")).count();
    assert_eq!(tokens, 1);
}

#[test]
fn basic_authentication_needs_a_password() {
    let registry = FakeRegistry::start(&image(), |request, reply| {
        match request.headers.get("authorization").map(String::as_str) {
            Some("Basic bWU6cEBzcw==") => reply,
            _ => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        }
    });
    let error = pull_error(Node::new().pull(&registry.image()));
    assert!(error.to_string().contains("[registries]"), "{error}");
    let user = |password: &str| {
        let user = Registry {
            username: Some("me".into()),
            password: Some(Secret::new(password)),
            ..Registry::default()
        };
        let registries = host_config(&registry.address.to_string(), user);
        Node::new().store.pull(&registry.image(), &registries, &Cancel::new())
    };
    user("p@ss").unwrap();
    assert!(matches!(pull_error(user("wrong")), RegistryError::Status { status: 401, .. }));
}

#[test]
fn redirected_blobs_come_without_the_password() {
    let image = image();
    let storage = FakeRegistry::start(&image, |request, reply| {
        assert_eq!(request.headers.get("authorization"), None, "sent to another host");
        reply
    });
    let elsewhere = format!("http://localhost:{}", storage.address.port());
    let registry = FakeRegistry::start(&image, move |request, reply| {
        if !request.headers.contains_key("authorization") {
            return Reply::new(401, "").header("WWW-Authenticate", "Basic realm=x");
        }
        match request.is_blob() {
            true => Reply::new(307, "").header("Location", format!("{elsewhere}{}", request.path)),
            false => reply,
        }
    });
    let user = Registry {
        username: Some("me".into()),
        password: Some(Secret::new("p")),
        ..Registry::default()
    };
    let registries = host_config(&registry.address.to_string(), user);
    Node::new().store.pull(&registry.image(), &registries, &Cancel::new()).unwrap();
    assert_eq!(storage.blob_requests().len(), 3);
}

#[test]
fn redirects_that_never_end_are_left() {
    let registry = FakeRegistry::start(&image(), |request, _| {
        Reply::new(302, "").header("Location", request.path.clone())
    });
    assert!(!pull_error(Node::new().pull(&registry.image())).is_transient());
}

#[test]
fn mirror_is_asked_first_and_the_registry_when_it_fails() {
    let image = image();
    let registry = FakeRegistry::start(&image, usual);
    let mirror = FakeRegistry::start(&image, |request, reply| {
        assert!(request.path.contains("?ns=127.0.0.1:"), "{}", request.path);
        reply
    });
    let with = |url: String| {
        let mirrors = vec![url];
        host_config(&registry.address.to_string(), Registry { mirrors, ..Registry::default() })
    };
    let pull = |registries| Node::new().store.pull(&registry.image(), &registries, &Cancel::new());
    pull(with(mirror.url())).unwrap();
    assert!(registry.log().is_empty());
    assert_eq!(mirror.log().len(), 4);

    let dead = FakeRegistry::start(&image, usual).url();
    pull(with(dead)).unwrap();
    assert_eq!(registry.log().len(), 4);

    let empty = FakeRegistry::serve(BTreeMap::new(), usual);
    pull(with(empty.url())).unwrap();
    assert_eq!(registry.log().len(), 8);
}

#[test]
fn broken_layer_of_a_mirror_is_fetched_from_the_registry() {
    let image = image();
    let registry = FakeRegistry::start(&image, usual);
    let mirror = FakeRegistry::start(&image, |request, mut reply| {
        if request.is_blob() && reply.body.len() > 1000 {
            let middle = reply.body.len() / 2;
            reply.body[middle] ^= 1;
        }
        reply
    });
    let mirrors = vec![mirror.url()];
    let registries =
        host_config(&registry.address.to_string(), Registry { mirrors, ..Registry::default() });
    let node = Node::new();
    node.store.pull(&registry.image(), &registries, &Cancel::new()).unwrap();
    assert!(node.staging_is_empty());
    assert!(registry.blob_requests().iter().any(|r| r.offset() == 0));
}

#[test]
fn pages_that_are_no_manifest_are_refused() {
    let registry = FakeRegistry::start(&image(), |_, _| Reply::new(200, "<html>log in</html>"));
    let error = Node::new().pull(&registry.image()).unwrap_err();
    assert!(matches!(error, ImageError::Manifest { .. }), "{error:?}");
}

/// A server's TLS with a certificate of its own for the loopback address, and that as PEM.
fn own_certificate() -> (rustls::ServerConfig, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (config, made.cert.pem())
}

#[test]
fn own_authority_is_trusted_for_its_registry_only() {
    let (tls, pem) = own_certificate();
    let (_, other_pem) = own_certificate();
    let registry = FakeRegistry::start_tls(&image(), tls);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
    std::fs::write(folder.path().join("roots.pem"), other_pem).unwrap();
    let pull = |entry: Registry| {
        let registries = Registries {
            folder: folder.path().to_owned(),
            roots: folder.path().join("roots.pem"),
            ..host_config(&registry.address.to_string(), entry)
        };
        Node::new().store.pull(&registry.image(), &registries, &Cancel::new())
    };
    let known = Registry { ca: Some("ca.pem".into()), ..Registry::default() };
    pull(known).unwrap();
    pull(Registry { insecure: true, ..Registry::default() }).unwrap();
    let unknown = pull(Registry::default()).unwrap_err();
    assert_eq!(unknown.reason(), "RegistryUnavailable");
    let missing = Registry { ca: Some("missing.pem".into()), ..Registry::default() };
    assert!(pull(missing).is_err());
}
