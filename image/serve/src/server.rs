//! Connections: a thread for each, so many and no more, with or without TLS. A side that is silent
//! or slow is left.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::request::{self, RequestError};
use crate::site::{Answer, Body, Site};

/// Connections at once; more wait for nothing and are closed.
const MOST_CONNECTIONS: usize = 256;
const SILENCE: Duration = Duration::from_secs(30);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// Certificate or key.
    #[error("cannot use the certificate and its key: {0}")]
    Tls(String),
}

/// A server.
pub struct Server {
    listener: TcpListener,
    site: Arc<Site>,
    tls: Option<Arc<ServerConfig>>,
}

impl Server {
    /// Listens on `address`; with TLS where `tls` names a certificate chain and a key, in PEM.
    pub fn bind(
        address: SocketAddr,
        site: Site,
        tls: Option<(&Path, &Path)>,
    ) -> Result<Self, ServerError> {
        let tls = tls.map(|(chain, key)| configure(chain, key)).transpose()?;
        let listener =
            TcpListener::bind(address).map_err(|error| ServerError::Listen(address, error))?;
        Ok(Self { listener, site: Arc::new(site), tls })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for ever.
    pub fn run(self) -> io::Result<()> {
        let open = Arc::new(AtomicUsize::new(0));
        for stream in self.listener.incoming() {
            let Ok(stream) = stream else { continue };
            if open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (site, tls, open) = (self.site.clone(), self.tls.clone(), open.clone());
            thread::spawn(move || {
                // How a connection ends is the other side's business.
                let _ = talk(stream, &site, tls);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Ok(())
    }
}

fn talk(stream: TcpStream, site: &Site, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    stream.set_nodelay(true)?;
    match tls {
        None => serve(stream, site),
        Some(config) => {
            let session = ServerConnection::new(config).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(session, stream);
            let served = serve(&mut stream, site);
            stream.conn.send_close_notify();
            let _ = stream.flush();
            served
        }
    }
}

fn serve(mut stream: impl Read + Write, site: &Site) -> io::Result<()> {
    let mut left = Vec::new();
    loop {
        let request = match request::read(&mut stream, &mut left) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(RequestError::Io(error)) => return Err(error),
            Err(error) => {
                let status = if matches!(error, RequestError::TooLarge) { 413 } else { 400 };
                let body = Body::Text(format!("{error}\n"));
                let answer = Answer { status, headers: Vec::new(), body };
                return send(&mut stream, answer, true, false).map(drop);
            }
        };
        let answer = site.answer(&request, Timestamp::now());
        let status = answer.status;
        let sent = send(&mut stream, answer, request.method != "HEAD", request.keep_alive);
        site.metrics.count(status, *sent.as_ref().unwrap_or(&0));
        sent?;
        if !request.keep_alive {
            return Ok(());
        }
    }
}

/// Returns the bytes of the body that were sent.
fn send(to: &mut impl Write, answer: Answer, with_body: bool, keep_alive: bool) -> io::Result<u64> {
    let length = match &answer.body {
        Body::Text(text) => text.len() as u64,
        Body::File(_, length) => *length,
    };
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let connection = if keep_alive { "keep-alive" } else { "close" };
    head.push_str(&format!("Content-Length: {length}\r\nConnection: {connection}\r\n\r\n"));
    to.write_all(head.as_bytes())?;
    let sent = match answer.body {
        _ if !with_body => 0,
        Body::Text(text) => to.write_all(text.as_bytes()).map(|()| length)?,
        Body::File(file, length) => io::copy(&mut BufReader::new(file).take(length), to)?,
    };
    to.flush()?;
    // A file that shrank meanwhile: only the end of the connection can tell.
    if with_body && sent < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(sent) }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        _ => "Internal Server Error",
    }
}

fn configure(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, ServerError> {
    let wrong = |path: &Path, why: String| ServerError::Tls(format!("{}: {why}", path.display()));
    let read = |path: &Path| fs::read(path).map_err(|error| wrong(path, error.to_string()));
    let certificates = CertificateDer::pem_slice_iter(&read(chain)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(chain, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| wrong(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, private))
        .map_err(|error| wrong(chain, error.to_string()))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
