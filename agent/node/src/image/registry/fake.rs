//! A registry on the loopback interface that behaves as badly as a test asks for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::image::registry::Cancel;
use crate::image::testing::OciImage;

/// What a client asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// With the query.
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// How often the same path was asked for before.
    pub earlier: usize,
}

impl Request {
    /// First byte that is wanted.
    pub fn offset(&self) -> usize {
        let range = self.headers.get("range").and_then(|r| r.strip_prefix("bytes="));
        range.and_then(|r| r.strip_suffix('-')?.parse().ok()).unwrap_or(0)
    }

    pub fn is_blob(&self) -> bool {
        self.path.contains("/blobs/")
    }
}

/// How the body is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sending {
    Whole,
    /// The connection ends after so many bytes, though more are announced.
    CutAfter(usize),
    /// One byte at a time with this pause between.
    Drip(Duration),
    /// Nothing comes after the headers.
    Silence,
    /// Without a length, and without an end.
    Endless,
}

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub sending: Sending,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), sending: Sending::Whole }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn sending(mut self, sending: Sending) -> Self {
        self.sending = sending;
        self
    }
}

type Handler = dyn Fn(&Request, Reply) -> Reply + Send + Sync;

/// The server. It ends when dropped.
pub(crate) struct FakeRegistry {
    pub address: SocketAddr,
    state: Arc<State>,
    listener: Option<JoinHandle<()>>,
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    handler: Box<Handler>,
    log: Mutex<Vec<Request>>,
    stopped: AtomicBool,
    stop: Cancel,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl FakeRegistry {
    /// Serves `image` as `app/web:1`; `handler` may change every reply.
    pub fn start(
        image: &OciImage,
        handler: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(files_of(image), handler)
    }

    pub fn serve(
        files: BTreeMap<String, Vec<u8>>,
        handler: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(files, handler, None)
    }

    /// Serves `image` over HTTPS.
    pub fn start_tls(image: &OciImage, tls: rustls::ServerConfig) -> Self {
        Self::listen(files_of(image), |_, reply| reply, Some(Arc::new(tls)))
    }

    fn listen(
        files: BTreeMap<String, Vec<u8>>,
        handler: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            files,
            handler: Box::new(handler),
            log: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(false),
            stop: Cancel::new(),
            tls,
        });
        let shared = state.clone();
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || drop(shared.answer(stream)));
            }
        });
        Self { address, state, listener: Some(listener) }
    }

    /// Name of the image at this registry.
    pub fn image(&self) -> String {
        format!("{}/app/web:1", self.address)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn log(&self) -> Vec<Request> {
        self.state.log.lock().unwrap().clone()
    }

    /// Requests for layers; the first blob of each pull is its configuration.
    pub fn blob_requests(&self) -> Vec<Request> {
        self.log().into_iter().filter(Request::is_blob).collect()
    }
}

fn files_of(image: &OciImage) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for key in ["1".to_owned(), image.digest().to_string()] {
        files.insert(format!("/v2/app/web/manifests/{key}"), image.manifest.clone());
    }
    for (digest, bytes) in &image.blobs {
        files.insert(format!("/v2/app/web/blobs/{digest}"), bytes.clone());
    }
    files
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        self.state.stop.cancel();
        drop(TcpStream::connect(self.address));
        drop(self.listener.take().map(JoinHandle::join));
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(tls) = &self.tls else {
            let mut first = [0];
            if stream.peek(&mut first)? == 1 && first == [0x16] {
                // TLS: answered as web servers do.
                return stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
            }
            return self.talk(stream);
        };
        let connection = rustls::ServerConnection::new(tls.clone());
        let connection = connection.map_err(std::io::Error::other)?;
        self.talk(rustls::StreamOwned::new(connection, stream))
    }

    fn talk(&self, mut stream: impl Read + Write) -> std::io::Result<()> {
        let mut reader = BufReader::new(&mut stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.trim().split_once(':') {
                headers.insert(name.to_lowercase(), value.trim().to_owned());
            }
        }
        let request = {
            let mut log = self.log.lock().unwrap();
            let earlier = log.iter().filter(|r| r.path == path).count();
            let request = Request { path, headers, earlier };
            log.push(request.clone());
            request
        };
        let reply = (self.handler)(&request, self.usual(&request));
        self.send(&mut stream, &reply)
    }

    fn usual(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap_or_default();
        let Some(bytes) = self.files.get(path) else {
            let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            return Reply::new(404, body);
        };
        match request.offset() {
            0 => Reply::new(200, bytes.clone()),
            offset => {
                let range = format!("bytes {offset}-{}/{}", bytes.len() - 1, bytes.len());
                Reply::new(206, &bytes[offset..]).header("Content-Range", range)
            }
        }
    }

    fn send(&self, stream: &mut impl Write, reply: &Reply) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let announced = reply.headers.iter().any(|(name, _)| name == "Content-Length");
        if reply.sending != Sending::Endless && !announced {
            head += &format!("Content-Length: {}\r\n", reply.body.len());
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        match reply.sending {
            Sending::Whole => stream.write_all(&reply.body),
            Sending::CutAfter(n) => stream.write_all(&reply.body[..n.min(reply.body.len())]),
            Sending::Drip(pause) => {
                for byte in &reply.body {
                    stream.write_all(&[*byte])?;
                    if self.stop.wait(pause) {
                        break;
                    }
                }
                Ok(())
            }
            Sending::Silence => {
                self.stop.wait(Duration::from_secs(600));
                Ok(())
            }
            Sending::Endless => {
                stream.write_all(&reply.body)?;
                while !self.stop.is_cancelled() {
                    stream.write_all(&[b' '; 8192])?;
                }
                Ok(())
            }
        }
    }
}
