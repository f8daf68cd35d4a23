//! What the server says of itself: version, health by named checks, and numbers.

use crate::body::Body;
use crate::parameters::Parameters;
use crate::respond::{self, Answer};
use crate::server::Server;
use holm_api::value;
use http::Response;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The version of Kubernetes whose API this is.
pub const MINOR: &str = "36";

/// How many requests of a verb ended with a code, and how long they took together.
type Counts = BTreeMap<(&'static str, u16), (u64, Duration)>;

/// Numbers of requests, for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters(Mutex<Counts>);

impl Counters {
    /// Counts a request that was answered.
    pub fn count(&self, verb: &'static str, code: u16, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, total) = counts.entry((verb, code)).or_default();
        *count += 1;
        *total += took;
    }
}

/// The answer to a path of the server itself; `None` for others.
pub async fn answer(server: &Server, path: &str, parameters: &Parameters) -> Option<Answer> {
    let path = path.strip_suffix('/').unwrap_or(path);
    Some(match path {
        "/version" => version(),
        "/metrics" => {
            respond::bytes(200, "text/plain; version=0.0.4; charset=utf-8", metrics(server))
        }
        "/.well-known/openid-configuration" => open_id(),
        "/openid/v1/jwks" => {
            respond::bytes(200, "application/jwk-set+json", server.signer.json_web_keys().to_json())
        }
        _ => {
            let mut parts = path.strip_prefix('/')?.splitn(2, '/');
            let kind = parts.next().filter(|it| matches!(*it, "healthz" | "livez" | "readyz"))?;
            health(server, kind, parts.next(), parameters).await
        }
    })
}

fn version() -> Answer {
    respond::json(
        200,
        &value!({
            "major": "1", "minor": MINOR,
            "gitVersion": {format!("v1.{MINOR}.0+holm{}", env!("CARGO_PKG_VERSION"))},
            "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "", "compiler": "rustc",
            "platform": {format!("linux/{}", architecture())},
        }),
    )
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn open_id() -> Answer {
    let issuer = crate::auth::service_accounts::ISSUER;
    respond::json(
        200,
        &value!({
            "issuer": issuer,
            "jwks_uri": {format!("{issuer}/openid/v1/jwks")},
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }),
    )
}

const CHECKS: [&str; 4] = ["ping", "log", "etcd", "poststarthook/rbac/bootstrap-roles"];

async fn health(
    server: &Server,
    kind: &str,
    only: Option<&str>,
    parameters: &Parameters,
) -> Answer {
    let wanted: Vec<&str> = match only {
        Some(name) if CHECKS.contains(&name) => vec![name],
        Some(_) => return respond::failure(&holm_api::Status::no_such_resource()),
        None => CHECKS.to_vec(),
    };
    let excluded: Vec<&str> =
        parameters.iter().filter(|(name, _)| *name == "exclude").map(|(_, it)| it).collect();
    let (mut lines, mut failed) = (String::new(), false);
    for name in wanted {
        if excluded.contains(&name) {
            let _ = writeln!(lines, "[+]{name} excluded: ok");
        } else if is_well(server, name).await {
            let _ = writeln!(lines, "[+]{name} ok");
        } else {
            failed = true;
            let _ = writeln!(lines, "[-]{name} failed: reason withheld");
        }
    }
    if failed {
        return respond::text(500, format!("{lines}{kind} check failed\n"));
    }
    if parameters.iter().any(|(name, _)| name == "verbose") && only.is_none() {
        return respond::text(200, format!("{lines}{kind} check passed\n"));
    }
    respond::text(200, "ok")
}

async fn is_well(server: &Server, check: &str) -> bool {
    match check {
        "etcd" => server.store.get(b"/registry/health").await.is_ok(),
        "poststarthook/rbac/bootstrap-roles" => {
            server.rules.rules().role("", "cluster-admin").is_some()
        }
        _ => true,
    }
}

fn metrics(server: &Server) -> String {
    let mut out = String::new();
    let stats = server.store.stats();
    let _ = writeln!(out, "# TYPE apiserver_request_total counter");
    let counts = server.counters.0.lock().unwrap_or_else(PoisonError::into_inner);
    for ((verb, code), (count, _)) in &*counts {
        let _ = writeln!(out, "apiserver_request_total{{verb=\"{verb}\",code=\"{code}\"}} {count}");
    }
    let _ = writeln!(out, "# TYPE apiserver_request_duration_seconds_sum counter");
    for ((verb, code), (_, total)) in &*counts {
        let seconds = total.as_secs_f64();
        let _ = writeln!(
            out,
            "apiserver_request_duration_seconds_sum{{verb=\"{verb}\",code=\"{code}\"}} {seconds}"
        );
    }
    for (name, kind, number) in [
        ("holm_store_revision", "gauge", stats.revision),
        ("holm_store_compacted_revision", "gauge", stats.compacted),
        ("holm_store_keys", "gauge", stats.keys),
        ("holm_store_used_bytes", "gauge", stats.used_bytes),
        ("holm_store_commits_total", "counter", stats.commits),
        ("holm_store_transactions_total", "counter", stats.transactions),
        ("holm_store_watchers", "gauge", stats.watchers),
    ] {
        let _ = writeln!(out, "# TYPE {name} {kind}\n{name} {number}");
    }
    let seconds = server.started.elapsed().as_secs();
    let _ = writeln!(out, "# TYPE process_uptime_seconds gauge\nprocess_uptime_seconds {seconds}");
    out
}

/// An answer without a body.
pub fn empty(status: http::StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}
