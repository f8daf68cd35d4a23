//! A server in this process, and a client that speaks HTTP/1.1 byte by byte.

use holm_api::Value;
use holm_api::value::decode_value;
use holm_apiserver::serve::Listening;
use holm_apiserver::{Server, Settings, at_rest};
use holm_store::{Sqlite, Store};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub struct Fixture {
    pub address: SocketAddr,
    pub store: Arc<Sqlite>,
    _folder: tempfile::TempDir,
}

pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn value(&self) -> Value {
        decode_value(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

pub async fn start() -> Fixture {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (store, _) = Sqlite::open(folder.path(), at_rest::store_options()).unwrap();
    let store = Arc::new(store);
    let shared: Arc<dyn Store> = store.clone();
    let settings =
        Settings { keys: folder.path().join("keys"), names: Vec::new(), tokens: HashMap::new() };
    let server = Server::start(shared, settings).await.unwrap();
    let listening = Listening::plain(server, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listening.address().unwrap();
    tokio::spawn(listening.run(std::future::pending(), Duration::ZERO));
    Fixture { address, store, _folder: folder }
}

impl Fixture {
    pub async fn connect(&self) -> BufReader<TcpStream> {
        BufReader::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends bytes as they are, and reads one answer.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        // The server may answer and close before it has read all of it.
        let _ = stream.write_all(bytes).await;
        tokio::time::timeout(Duration::from_secs(30), read_answer(&mut stream)).await.unwrap()
    }

    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        self.raw(&bytes).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", b"").await
    }

    pub async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = "content-type: application/json\r\n";
        self.send(method, path, headers, &body.to_json()).await
    }

    pub async fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        let headers = format!("content-type: application/{kind}\r\n");
        self.send("PATCH", path, &headers, &body.to_json()).await
    }

    /// Makes something, which must succeed.
    pub async fn create(&self, path: &str, body: &Value) -> Value {
        let answer = self.call("POST", path, body).await;
        assert_eq!(answer.code, 201, "{}", String::from_utf8_lossy(&answer.body));
        answer.value()
    }
}

pub async fn read_answer(stream: &mut BufReader<TcpStream>) -> Answer {
    let head = read_head(stream).await;
    let code = head.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut answer = Answer { code, head, body: Vec::new() };
    if let Some(length) = answer.header("content-length") {
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        answer.body = body;
    } else {
        while let Some(chunk) = read_chunk(stream).await {
            answer.body.extend_from_slice(&chunk);
        }
    }
    answer
}

pub async fn read_head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    loop {
        let before = head.len();
        stream.read_line(&mut head).await.unwrap();
        if head[before..].trim().is_empty() {
            return head;
        }
    }
}

/// A part of a body that comes in parts; `None` at its end.
pub async fn read_chunk(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let size = usize::from_str_radix(line.trim(), 16).ok()?;
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk).await.ok()?;
    chunk.truncate(size);
    (size > 0).then_some(chunk)
}

/// A watch that was begun.
pub struct Watching(BufReader<TcpStream>, Vec<u8>);

impl Fixture {
    pub async fn watch(&self, path: &str) -> Watching {
        let mut stream = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Watching(stream, Vec::new())
    }
}

impl Watching {
    /// The next event: its type and object. `None` when the watch ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                let event = decode_value(&line).unwrap();
                return Some((event.str_at(&["type"]).to_owned(), event["object"].clone()));
            }
            let read = read_chunk(&mut self.0);
            let chunk = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap()?;
            self.1.extend_from_slice(&chunk);
        }
    }

    /// Type and name of the next event.
    pub async fn next_name(&mut self) -> (String, String) {
        let (kind, object) = self.next().await.unwrap();
        (kind, object.str_at(&["metadata", "name"]).to_owned())
    }
}
