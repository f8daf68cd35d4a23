//! The server as nodes and people meet it.

use std::collections::BTreeMap;
use std::net::TcpStream;

use super::*;
use crate::reports::Reports;

struct Bench {
    folder: tempfile::TempDir,
    url: String,
    agent: ureq::Agent,
}

fn start(tls: bool) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    for (name, bytes) in [
        ("metadata/timestamp.json", &b"{}"[..]),
        ("targets/x/1/ab.chunks", b"0123456789"),
        (".lock", b"secret"),
        ("targets/.chunks.new", b"half"),
    ] {
        let path = repository.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::write(folder.path().join("key"), "secret").unwrap();
    let reports = Reports::open(&folder.path().join("fleet.db")).unwrap();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    fs::write(&chain, certified.cert.pem()).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let files = tls.then_some((&*chain, &*key));
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(address, Site::new(&repository, reports), files).unwrap();
    let port = server.address().unwrap().port();
    thread::spawn(move || server.run());
    let root = ureq::tls::Certificate::from_pem(certified.cert.pem().as_bytes()).unwrap();
    let tls_config = ureq::tls::TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[root]))
        .build();
    let config = ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls_config);
    let scheme = if tls { "https" } else { "http" };
    Bench { folder, url: format!("{scheme}://localhost:{port}"), agent: config.build().new_agent() }
}

impl Bench {
    fn get(&self, path: &str, range: Option<&str>) -> (u16, BTreeMap<String, String>, String) {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        let mut response = request.call().unwrap();
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        (response.status().as_u16(), headers, response.body_mut().read_to_string().unwrap())
    }

    fn report(&self, body: &str) -> u16 {
        self.agent.post(format!("{}/report", self.url)).send(body).unwrap().status().as_u16()
    }
}

const REPORT: &str = r#"{"node": "edge-1", "board": "x86-64", "channel": "stable",
    "version": "1.0.0", "committed": true, "update": {"outcomes": [{"version": "1.1.0",
    "verdict": {"code": "check", "check": "network", "reason": "no route"}}]}}"#;

#[test]
fn files_and_ranges_are_served_with_and_without_tls() {
    for tls in [false, true] {
        let bench = start(tls);
        let (status, headers, body) = bench.get("/targets/x/1/ab.chunks", None);
        assert_eq!((status, &*body), (200, "0123456789"));
        assert!(headers["cache-control"].contains("immutable"));
        let (status, headers, body) = bench.get("/targets/x/1/ab.chunks", Some("bytes=2-4"));
        assert_eq!((status, &*body), (206, "234"));
        assert_eq!(headers["content-range"], "bytes 2-4/10");
        let (status, headers, _) = bench.get("/targets/x/1/ab.chunks", Some("bytes=10-"));
        assert_eq!((status, &*headers["content-range"]), (416, "bytes */10"));
        let (_, headers, _) = bench.get("/metadata/timestamp.json", None);
        assert_eq!(headers["cache-control"], "no-cache");
    }
}

#[test]
fn nothing_outside_of_the_repository_is_served() {
    let bench = start(false);
    for path in [
        "/.lock",
        "/targets/.chunks.new",
        "/targets/../../key",
        "/../key",
        "/targets/%2e%2e/%2e%2e/key",
        "//etc/passwd",
        "/metadata",
        "/metadata/",
        "/targets/x",
        "/fleet.db",
    ] {
        assert_eq!(bench.get(path, None).0, 404, "{path}");
    }
    // As bytes on the line, for a client may tidy paths up.
    let mut line = TcpStream::connect(bench.url.trim_start_matches("http://")).unwrap();
    line.write_all(b"GET /targets/../../key HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(bench.folder.path().join("key").is_file());
}

#[test]
fn reports_show_on_the_page_and_in_the_metrics() {
    let bench = start(false);
    assert_eq!(bench.report(REPORT), 200);
    assert_eq!(bench.report("{}"), 400);
    assert_eq!(bench.report(&"x".repeat(100 << 10)), 413);
    let (status, headers, page) = bench.get("/", None);
    assert_eq!((status, &*headers["content-type"]), (200, "text/html; charset=utf-8"));
    assert!(page.contains("edge-1") && page.contains("check: network: no route"), "{page}");
    let (_, _, metrics) = bench.get("/metrics", None);
    assert!(metrics.contains("holm_nodes{version=\"1.0.0\",state=\"committed\"} 1"), "{metrics}");
    assert!(metrics.contains("holm_serve_reports_total 1"));
}

#[test]
fn other_methods_and_noise_are_refused() {
    let bench = start(false);
    assert_eq!(
        bench
            .agent
            .delete(format!("{}/metadata/timestamp.json", bench.url))
            .call()
            .unwrap()
            .status(),
        405
    );
    let mut line = TcpStream::connect(bench.url.trim_start_matches("http://")).unwrap();
    line.write_all(b"\x16\x03\x01 hello\r\n\r\n").unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn certificate_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.pem");
    let reports = Reports::open(&folder.path().join("db")).unwrap();
    let site = Site::new(folder.path(), reports);
    let bound = Server::bind("127.0.0.1:0".parse().unwrap(), site, Some((&path, &path)));
    assert!(bound.err().unwrap().to_string().contains("none.pem"));
}
