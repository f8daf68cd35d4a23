//! Measures a running API server over TLS, as its clients meet it: starts the server's binary with an
//! empty store, then prints one `name value unit` a line. Called by `ci/bench api`.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How long each throughput is measured.
const SPAN: Duration = Duration::from_secs(5);
const PODS: usize = 5000;
const WATCHERS: usize = 1000;

fn main() -> ExitCode {
    let Some(server) = std::env::args().nth(1) else {
        eprintln!("usage: holm-apiserver-bench SERVER-BINARY");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.map_err(Into::into).and_then(|it| it.block_on(measure(&server)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("api: cannot be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tell(name: &str, value: f64, unit: &str) {
    println!("api.{name} {value:.2} {unit}");
}

/// A server that runs until it is dropped.
struct Running {
    child: Child,
    address: String,
    ready: Duration,
}

impl Running {
    fn start(binary: &str, folder: &Path) -> Result<Self> {
        let begin = Instant::now();
        let mut child =
            Command::new(binary).arg(folder).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().strip_prefix("ready on ").ok_or("it is not ready")?.to_owned();
        Ok(Self { child, address, ready: begin.elapsed() })
    }

    fn stat(&self, file: &str, name: &str) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?;
        let line = text.lines().find_map(|it| it.strip_prefix(name)).ok_or("no such line")?;
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    }

    fn resident_mib(&self) -> Result<f64> {
        Ok(self.stat("status", "VmRSS:")? / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.child.wait();
    }
}

/// What a client needs to connect.
struct Access {
    connector: TlsConnector,
    address: String,
}

impl Access {
    fn new(folder: &Path, address: &str) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("keys/ca.crt"))?)?;
        let kubeconfig = std::fs::read_to_string(folder.join("kubeconfig"))?;
        let field = |name: &str| -> Result<Vec<u8>> {
            use base64::Engine;
            let text = kubeconfig.lines().find_map(|it| it.trim().strip_prefix(name));
            let text = text.ok_or("the kubeconfig lacks a field")?.trim();
            Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
        };
        let certificate = CertificateDer::from_pem_slice(&field("client-certificate-data:")?)?;
        let key = PrivateKeyDer::from_pem_slice(&field("client-key-data:")?)?;
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { connector, address: address.to_owned() })
    }

    async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.connector.connect(ServerName::try_from("localhost")?, stream).await?;
        Ok(Connection(tokio::io::BufReader::new(stream)))
    }
}

/// One HTTP/1.1 connection that is kept.
struct Connection(tokio::io::BufReader<TlsStream<TcpStream>>);

impl Connection {
    async fn send(&mut self, method: &str, path: &str, body: &str) -> Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(head.as_bytes()).await?;
        Ok(self.0.flush().await?)
    }

    /// Reads the head of an answer: its status, and its length if it has one.
    async fn head(&mut self) -> Result<(u16, Option<usize>)> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let code = line.split(' ').nth(1).ok_or("no status")?.parse()?;
        let mut length = None;
        loop {
            line.clear();
            self.0.read_line(&mut line).await?;
            if line.trim().is_empty() {
                return Ok((code, length));
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = Some(value.trim().parse()?);
            }
        }
    }

    async fn request(&mut self, method: &str, path: &str, body: &str) -> Result<usize> {
        self.send(method, path, body).await?;
        let (code, length) = self.head().await?;
        let mut bytes = 0;
        match length {
            Some(length) => {
                bytes = length;
                let mut body = vec![0; length];
                self.0.read_exact(&mut body).await?;
            }
            None => loop {
                let mut line = String::new();
                self.0.read_line(&mut line).await?;
                let size = usize::from_str_radix(line.trim(), 16)?;
                let mut chunk = vec![0; size + 2];
                self.0.read_exact(&mut chunk).await?;
                bytes += size;
                if size == 0 {
                    break;
                }
            },
        }
        if !(200..300).contains(&code) {
            return Err(format!("{method} {path}: {code}").into());
        }
        Ok(bytes)
    }
}

/// A config map of about 1 KiB.
fn config_map(name: &str) -> String {
    let blob = "x".repeat(900);
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"k":"{blob}"}}}}"#
    )
}

fn pod(name: &str) -> String {
    let environment: Vec<String> = (0..20)
        .map(|n| format!(r#"{{"name":"SETTING_{n}","value":"a value of some length {n}"}}"#))
        .collect();
    let environment = environment.join(",");
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{"app":"web","tier":"front"}}}},"spec":{{"automountServiceAccountToken":false,"containers":[{{"name":"web","image":"registry.example/web:1.2.3","env":[{environment}],"resources":{{"requests":{{"cpu":"100m","memory":"64Mi"}},"limits":{{"memory":"128Mi"}}}}}}]}}}}"#
    )
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const ALL_PODS: &str = "/api/v1/namespaces/default/pods";

/// Requests a second of so many clients, and the latency of which half and 99% stay below.
async fn throughput(
    access: &Arc<Access>,
    name: &str,
    clients: usize,
    make: impl Fn(usize, u64) -> (&'static str, String, String) + Send + Sync + Copy + 'static,
) -> Result<()> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(access.connect().await?);
    }
    let end = Instant::now() + SPAN;
    let done = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for (client, mut connection) in connections.into_iter().enumerate() {
        let done = done.clone();
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            let mut n = 0;
            while Instant::now() < end {
                let (method, path, body) = make(client, n);
                let begin = Instant::now();
                connection.request(method, &path, &body).await?;
                took.push(begin.elapsed());
                done.fetch_add(1, Ordering::Relaxed);
                n += 1;
            }
            Result::Ok(took)
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).map_or(0.0, Duration::as_secs_f64);
    tell(&format!("{name}_per_s_{clients}"), took.len() as f64 / SPAN.as_secs_f64(), "1/s");
    tell(&format!("{name}_p50_{clients}"), at(50) * 1000.0, "ms");
    tell(&format!("{name}_p99_{clients}"), at(99) * 1000.0, "ms");
    Ok(())
}

/// The time from a change of one object until a thousand watchers have all read it.
async fn fan_out(access: &Arc<Access>) -> Result<()> {
    let mut writer = access.connect().await?;
    writer.request("POST", MAPS, &config_map("hot")).await?;
    let path = format!("{MAPS}?watch=1&fieldSelector=metadata.name%3Dhot&resourceVersion=0");
    let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for _ in 0..WATCHERS {
        let mut watch = access.connect().await?;
        watch.send("GET", &path, "").await?;
        watch.head().await?;
        let told = told.clone();
        tasks.push(tokio::spawn(async move {
            let mut line = Vec::new();
            loop {
                line.clear();
                match watch.0.read_until(b'\n', &mut line).await {
                    Ok(0) | Err(_) => return,
                    // Lines of chunk lengths are short.
                    Ok(length) if length > 100 => {
                        let _ = told.send(Instant::now());
                    }
                    Ok(_) => {}
                }
            }
        }));
    }
    for _ in 0..WATCHERS {
        seen.recv().await.ok_or("a watcher left")?;
    }
    let mut times = Vec::new();
    for n in 0..10 {
        let patch = config_map("hot").replace("\"k\":", &format!("\"n\":\"{n}\",\"k\":"));
        let begin = Instant::now();
        writer.request("PUT", &format!("{MAPS}/hot"), &patch).await?;
        for _ in 0..WATCHERS {
            seen.recv().await.ok_or("a watcher left")?;
        }
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let middle = times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64);
    tell("fanout_1000_watchers", middle * 1000.0, "ms");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

async fn fill(access: &Arc<Access>, path: &'static str, make: fn(&str) -> String) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..32 {
        let (access, next) = (access.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            let mut connection = access.connect().await?;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= PODS as u64 {
                    return Result::Ok(());
                }
                connection.request("POST", path, &make(&format!("filler-{n}"))).await?;
            }
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn measure(binary: &str) -> Result<()> {
    let folder = tempfile_folder("small")?;
    let server = Running::start(binary, &folder)?;
    tell("exec_to_ready", server.ready.as_secs_f64(), "s");
    tokio::time::sleep(Duration::from_secs(3)).await;
    tell("idle_rss", server.resident_mib()?, "MiB");
    let written = server.stat("io", "write_bytes:")?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let hour = (server.stat("io", "write_bytes:")? - written) * 360.0;
    tell("idle_bytes_written_per_hour", hour / 1048576.0, "MiB");
    let access = Arc::new(Access::new(&folder, &server.address)?);
    access.connect().await?.request("POST", MAPS, &config_map("one")).await?;
    let service_account =
        r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    // A controller may have made it.
    let _ = access.connect().await?.request("POST", accounts, service_account).await;
    for clients in [1, 16, 64] {
        throughput(&access, "get", clients, |_, _| ("GET", format!("{MAPS}/one"), String::new()))
            .await?;
        match clients {
            1 => create::<1>(&access).await?,
            16 => create::<16>(&access).await?,
            _ => create::<64>(&access).await?,
        }
    }
    fan_out(&access).await?;
    drop(server);

    let folder = tempfile_folder("large")?;
    let server = Running::start(binary, &folder)?;
    let access = Arc::new(Access::new(&folder, &server.address)?);
    let _ = access.connect().await?.request("POST", accounts, service_account).await;
    fill(&access, ALL_PODS, pod).await?;
    fill(&access, MAPS, config_map).await?;
    let mut watches = Vec::new();
    for _ in 0..200 {
        let mut watch = access.connect().await?;
        watch
            .send(
                "GET",
                &format!("{ALL_PODS}?watch=1&resourceVersion=0&limit=1&labelSelector=none"),
                "",
            )
            .await?;
        watch.head().await?;
        watches.push(watch);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    tell("rss_5000_pods", server.resident_mib()?, "MiB");
    let mut connection = access.connect().await?;
    let begin = Instant::now();
    let bytes = connection.request("GET", ALL_PODS, "").await?;
    tell("list_5000_pods", begin.elapsed().as_secs_f64() * 1000.0, "ms");
    tell("list_5000_pods_size", bytes as f64 / 1048576.0, "MiB");
    tell("rss_after_list", server.resident_mib()?, "MiB");
    drop(watches);
    drop(server);
    let server = Running::start(binary, &folder)?;
    tell("exec_to_ready_10k", server.ready.as_secs_f64(), "s");
    Ok(())
}

async fn create<const CLIENTS: usize>(access: &Arc<Access>) -> Result<()> {
    throughput(access, "create", CLIENTS, |client, n| {
        ("POST", MAPS.to_owned(), config_map(&format!("c{CLIENTS}-{client}-{n}")))
    })
    .await
}

/// A folder on the disk that the benchmark is run on, empty.
fn tempfile_folder(name: &str) -> Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("holm-api-bench-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
