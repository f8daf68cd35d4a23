//! The whole way of an update: published by `holm-image`, served by our server and by nginx over
//! the same folder, and fetched by a node's client.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail")]

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holm_fetch::{Client, Seed, Settings};
use holm_image::publish::sources::{PartFile, Sources};
use holm_image::publish::{Days, Offer, Repository, UpdateKeys, publish};
use holm_payload::PartKind;
use holm_payload::choose::{Choice, Node, choose};
use holm_serve::{Reports, Server, Site};
use holm_update::payload::Source;
use holm_update::slot::Slot;
use jiff::Timestamp;

/// Bytes that do not pack.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let step = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(step).collect()
}

struct Bench {
    folder: tempfile::TempDir,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Bench {
    /// A repository with two versions that differ in 50 KB of 2 MB.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (old, mut new) = (noise(2_000_000, 1), noise(2_000_000, 1));
        new.splice(900_000..950_000, noise(50_100, 2));
        let bench = Self { folder, old, new };
        let (now, days) = (Timestamp::now(), Days::default());
        let keys = UpdateKeys::create(&bench.path("keys"), 3, 2, now, days).unwrap();
        let repository = Repository::open(&bench.path("repository"), &keys).unwrap();
        for (version, root) in [("1.0.0", &bench.old), ("1.1.0", &bench.new)] {
            let part = |kind, slot: Option<char>, bytes: &[u8]| {
                let file = bench.path(&format!("{version}-{kind:?}{slot:?}"));
                std::fs::write(&file, bytes).unwrap();
                PartFile { kind, slot, name: String::new(), file }
            };
            let sources = Sources {
                board: "x86-64".into(),
                version: version.parse().unwrap(),
                root_hash: "cd".repeat(32),
                hash_offset: 4096,
                parts: vec![
                    part(PartKind::Root, None, root),
                    part(PartKind::Kernel, Some('a'), b"kernel a"),
                    part(PartKind::Kernel, Some('b'), b"kernel b"),
                ],
            };
            let offer = Offer {
                channel: "stable".into(),
                start: now,
                waves: Some(holm_payload::Schedule(vec![(0, 100)])),
                urgent: false,
                notes: None,
                minimum_version: None,
                version: None,
            };
            publish(&repository, &keys, &sources, &offer, now, days).unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A node on 1.0.0 asks what there is and fetches it.
    fn update_from(&self, url: &str) {
        let settings = Settings { places: vec![url.to_owned()], ..Settings::default() };
        let root = std::fs::read(self.path("keys/root.json")).unwrap();
        let state = tempfile::tempdir().unwrap();
        let client = Client::new(settings, root, state.path()).unwrap();
        let trusted = client.refresh(Timestamp::now(), |error| panic!("{error}")).unwrap();
        let version = "1.0.0".parse().unwrap();
        let node = Node { board: "x86-64", channel: "stable", version: &version, seed: 1 };
        let choice = choose(&trusted.releases, node, Timestamp::now()).unwrap();
        let Choice::Take { path, release, .. } = choice else { panic!("{choice:?}") };
        assert_eq!(release.version.to_string(), "1.1.0");
        let running = self.path("running");
        std::fs::write(&running, &self.old).unwrap();
        let seeds = [Seed { path: running, length: None }];
        let (download, _) = client.download(&trusted, path, &seeds).unwrap();
        let payload = download.payload(Slot::B).unwrap();
        let before = client.traffic().received();
        let mut parts = Vec::new();
        for part in &payload.parts {
            let mut bytes = Vec::new();
            download.open(part, 0).unwrap().read_to_end(&mut bytes).unwrap();
            parts.push(bytes);
        }
        assert!(parts[0] == self.new);
        assert_eq!(parts[1], b"kernel b");
        let received = client.traffic().received() - before;
        assert!((50_000..160_000).contains(&received), "{received} bytes for 50,100 changed ones");
    }
}

#[test]
fn node_updates_from_our_server() {
    let bench = Bench::new();
    let reports = Reports::open(&bench.path("fleet.db")).unwrap();
    let site = Site::new(&bench.path("repository"), reports);
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), site, None).unwrap();
    let url = format!("http://{}", server.address().unwrap());
    std::thread::spawn(move || server.run());
    bench.update_from(&url);
    let state = tempfile::tempdir().unwrap();
    let settings = Settings { places: vec![url.clone()], ..Settings::default() };
    let client = Client::new(settings, Vec::new(), state.path()).unwrap();
    let report = serde_json::json!({
        "node": "edge-1", "board": "x86-64", "channel": "stable", "version": "1.0.0",
    });
    client.report(&report).unwrap();
    assert!(client.report(&serde_json::json!({"node": "edge-2"})).is_err());
    let reports = Reports::open(&bench.path("fleet.db")).unwrap();
    assert_eq!(reports.nodes().unwrap()[0].name, "edge-1");
}

#[test]
fn node_updates_from_nginx_over_the_same_folder() {
    let bench = Bench::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _nginx = Nginx::start(bench.folder.path(), &bench.path("repository"), port);
    bench.update_from(&format!("http://127.0.0.1:{port}"));
}

struct Nginx(Child);

impl Nginx {
    fn start(folder: &Path, root: &Path, port: u16) -> Self {
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}/{name};", folder.display()))
            .concat();
        let text = format!(
            "daemon off; pid {folder}/nginx.pid; error_log stderr; worker_processes 1;\n\
             events {{}}\n\
             http {{ access_log off; {temporary}\n\
             server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n",
            folder = folder.display(),
            root = root.display(),
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        // nginx' worker is nobody where its master is root.
        for folder in [folder, root] {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new("nginx");
        command.arg("-e").arg("stderr").arg("-c").arg(&file).stdin(Stdio::null());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let child = command.spawn().expect("nginx is there: `ci/setup` installs it");
        let nginx = Self(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::yield_now();
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master ends its workers only when it is asked politely.
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.0.wait();
    }
}
