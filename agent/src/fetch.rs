//! `holm fetch URL`: prints what a URL holds, for init, which has no TLS of its own. Bounded in bytes
//! and in time; whether the content is to be believed is the caller's to decide.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// A node document has 64 KiB at most.
const LONGEST: u64 = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// Fetches and prints.
pub fn main(args: &[OsString]) -> ExitCode {
    let [url] = args else {
        eprintln!("usage: holm fetch URL");
        return ExitCode::from(2);
    };
    let url = url.to_string_lossy();
    let fetched = fetch(&url, AUTHORITIES).and_then(|content| {
        std::io::stdout().write_all(&content).map_err(|error| format!("cannot be printed: {error}"))
    });
    match fetched {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn fetch(url: &str, authorities: &str) -> Result<Vec<u8>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut certificates = Vec::new();
    if url.starts_with("https://") {
        let pem = std::fs::read(authorities).map_err(|error| format!("{authorities}: {error}"))?;
        certificates.extend(parse_pem(&pem).filter_map(certificate));
    }
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::new_with_certs(&certificates))
        .build();
    let config = ureq::Agent::config_builder().tls_config(tls).timeout_global(Some(PATIENCE));
    let agent = ureq::Agent::new_with_config(config.max_redirects(3).build());
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    let body = response.body_mut().as_reader();
    body.take(LONGEST + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() as u64 > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    Ok(content)
}

fn certificate(item: Result<PemItem<'static>, ureq::Error>) -> Option<Certificate<'static>> {
    match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with these bytes.
    fn serve(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            // Whoever has read enough hangs up.
            let _ = stream.write_all(&answer);
        });
        format!("http://{address}/holm.toml")
    }

    fn answer(status: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    #[test]
    fn content_is_fetched_whole() {
        let url = serve(answer("200 OK", b"[node]\n"));
        assert_eq!(fetch(&url, "/nonexistent"), Ok(b"[node]\n".to_vec()));
    }

    #[test]
    fn refusals_and_endless_contents_are_errors() {
        let url = serve(answer("404 Not Found", b"no"));
        assert!(fetch(&url, "/nonexistent").unwrap_err().contains("404"));
        let url = serve(answer("200 OK", &vec![b'x'; LONGEST as usize + 1]));
        assert!(fetch(&url, "/nonexistent").unwrap_err().contains("longer than"));
        let error = fetch("https://127.0.0.1:1/", "/nonexistent").unwrap_err();
        assert!(error.starts_with("/nonexistent: "), "{error}");
    }
}
