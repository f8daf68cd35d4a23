//! Ways to a server: redirects, a proxy, TLS.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use holm_update::slot::Slot;

use crate::repository::{Node, Repository, chain, noise, read};
use crate::server::{Manner, Server};

#[test]
fn redirect_is_followed_with_its_range() {
    let root = noise(300_000, 1);
    let mut repository = Repository::new();
    let path = repository.release("1.1.0", &root, b"kernel");
    let server = Server::start(repository.files.clone());
    server.misbehave("", Manner::Redirect);
    let node = Node::of(&repository, &server);
    let client = node.client();
    let trusted = node.refresh().unwrap();
    let seeds = [node.seed("root", &root[..150_000])];
    let (download, _) = client.download(&trusted, &path, &seeds).unwrap();
    assert!(read(&download, Slot::A, 0, 0).unwrap() == root);
    assert!(server.asked_for("/moved/").iter().any(|asked| asked.range.is_some()));
}

#[test]
fn proxy_is_asked_in_place_of_the_server() {
    let mut repository = Repository::new();
    repository.release("1.1.0", b"root", b"kernel");
    let server = Server::start(repository.files.clone());
    // CONNECT, as ureq does it for plain HTTP as well.
    let proxy = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = proxy.local_addr().unwrap();
    let behind = server.address();
    thread::spawn(move || {
        for mut near in proxy.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && near.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let mut far = std::net::TcpStream::connect(behind).unwrap();
            if head.starts_with(b"CONNECT") {
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            } else {
                far.write_all(&head).unwrap();
            }
            let (mut from, mut to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || std::io::copy(&mut near, &mut far));
        }
    });
    // A name that nobody resolves: only the proxy can get there.
    let mut node = Node::new(&repository, &["http://updates.invalid".to_owned()]);
    node.settings.proxy = Some(format!("http://{address}"));
    assert_eq!(node.refresh().unwrap().releases.len(), 1);
    node.settings.proxy = None;
    assert!(node.refresh().is_err());
}

#[test]
fn https_is_checked_by_the_given_authorities() {
    let mut repository = Repository::new();
    repository.release("1.1.0", b"root", b"kernel");
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = Server::start(repository.files.clone());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let (config, behind) = (Arc::new(config), files.address());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            thread::spawn(move || {
                let session = rustls::ServerConnection::new(config).unwrap();
                let mut near = rustls::StreamOwned::new(session, stream);
                // One request, one answer: enough for this client, which asks one after another.
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && near.read(&mut byte).unwrap_or(0) == 1 {
                    request.push(byte[0]);
                }
                let mut far = std::net::TcpStream::connect(behind).unwrap();
                far.write_all(&request).unwrap();
                far.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                far.read_to_end(&mut answer).unwrap();
                let _ = near.write_all(&answer);
                near.conn.send_close_notify();
                let _ = near.flush();
            });
        }
    });
    let mut node = Node::new(&repository, &[format!("https://localhost:{port}")]);
    let pem = node.folder.path().join("ca.pem");
    std::fs::write(&pem, certified.cert.pem()).unwrap();
    node.settings.authorities = vec![pem.clone()];
    assert_eq!(node.refresh().unwrap().releases.len(), 1);
    // Another authority does not vouch for it.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&pem, other.cert.pem()).unwrap();
    let error = chain(&node.refresh().unwrap_err());
    assert!(error.contains("certificate"), "{error}");
}
