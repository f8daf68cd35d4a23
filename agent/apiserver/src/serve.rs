//! Connections: TLS, HTTP/1.1 and HTTP/2, their bounds, and an end that waits for what is under way.

use crate::auth::certificates::{Renewing, user_of};
use crate::auth::{User, bootstrap};
use crate::server::Server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::RootCertStore;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// Connections at once. Each costs some kilobytes.
const MAX_CONNECTIONS: usize = 4096;
/// Time for a TLS handshake, and for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// Most bytes of a request's head.
const MAX_HEAD: u32 = 64 << 10;
/// Streams of one HTTP/2 connection: a client-go has one for each of its watches.
const MAX_STREAMS: u32 = 1000;
/// How often it is looked whether the certificate is due.
const RENEWAL_CHECK: Duration = Duration::from_secs(3600);
/// Share of a certificate's life after which it is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(86400 * 365 * 2 / 3);

/// Why a server does not listen.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The TLS library refuses.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// There is no verifier for client certificates.
    #[error("cannot check client certificates")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// Something with a certificate.
    #[error("cannot make the server's certificate")]
    Certificate(#[from] crate::auth::certificates::CertificateError),
}

/// A server that listens.
pub struct Listening {
    listener: TcpListener,
    server: Arc<Server>,
    tls: Option<TlsAcceptor>,
    renewing: Option<Arc<Renewing>>,
    names: Vec<String>,
}

/// The names and addresses by which a server is called from inside a cluster.
fn usual_names() -> Vec<String> {
    [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "127.0.0.1",
        "::1",
        "10.96.0.1",
    ]
    .map(str::to_owned)
    .to_vec()
}

impl Listening {
    /// Listens with TLS. Client certificates of the cluster's authority say who asks.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn tls(server: Arc<Server>, address: SocketAddr) -> Result<Self, ServeError> {
        let mut names = usual_names();
        names.extend(server.settings.names.iter().cloned());
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_string());
        }
        names.dedup();
        let renewing = Arc::new(Renewing::new(&server.authority, &names, server.now())?);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(server.authority.der().clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .allow_unauthenticated()
            .build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(renewing.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let tls = Some(TlsAcceptor::from(Arc::new(config)));
        let listener = listen(address).await?;
        Ok(Self { listener, server, tls, renewing: Some(renewing), names })
    }

    /// Listens without TLS; everyone is the cluster's administrator. For loopback only.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn plain(server: Arc<Server>, address: SocketAddr) -> Result<Self, ServeError> {
        let listener = listen(address).await?;
        Ok(Self { listener, server, tls: None, renewing: None, names: Vec::new() })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is done, then lets requests under way end for up to `grace`.
    pub async fn run(self, stop: impl Future<Output = ()>, grace: Duration) {
        let (stopping, stopped) = watch::channel(false);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let renewal = self.renewing.clone().map(|renewing| {
            let (server, names) = (self.server.clone(), self.names.clone());
            tokio::spawn(renew(renewing, server, names))
        });
        tokio::pin!(stop);
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { break };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, or the client left: others may fare better.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (server, tls, stopped) = (self.server.clone(), self.tls.clone(), stopped.clone());
            tokio::spawn(async move {
                connection(server, tls, stream, stopped).await;
                drop(place);
            });
        }
        let _ = stopping.send(true);
        let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(grace, places.acquire_many(all)).await;
        if let Some(renewal) = renewal {
            renewal.abort();
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

async fn renew(renewing: Arc<Renewing>, server: Arc<Server>, names: Vec<String>) {
    let mut since = tokio::time::Instant::now();
    let mut check = tokio::time::interval(RENEWAL_CHECK);
    loop {
        check.tick().await;
        if since.elapsed() < RENEW_AFTER {
            continue;
        }
        match renewing.renew(&server.authority, &names, server.now()) {
            Ok(()) => since = tokio::time::Instant::now(),
            Err(error) => tracing::error!("the certificate was not renewed: {error}"),
        }
    }
}

async fn connection(
    server: Arc<Server>,
    tls: Option<TlsAcceptor>,
    stream: TcpStream,
    stopped: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return serve(server, stream, Some(bootstrap::server_user()), stopped).await;
    };
    let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIME, tls.accept(stream)).await else { return };
    let shown = stream.get_ref().1.peer_certificates().and_then(|it| user_of(it.first()?));
    serve(server, stream, shown, stopped).await;
}

async fn serve(
    server: Arc<Server>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shown: Option<User>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(HEAD_TIME);
    let service = service_fn(move |request| {
        let (server, shown) = (server.clone(), shown.clone());
        async move { Ok::<_, std::convert::Infallible>(server.answer(request, shown).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
