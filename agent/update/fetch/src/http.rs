//! Requests to a web server: ranges, redirects, proxy, TLS, and limits of time.
//! Must never decide whether an answer is right: only whether it is an answer.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ureq::http::{StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use crate::pace::Pace;
use crate::place::{Body, FetchError};
use crate::settings::{Settings, SettingsError, Traffic};

/// ureq's own buffers are 128 KiB each way.
const INPUT_BUFFER: usize = 32 << 10;
const OUTPUT_BUFFER: usize = 4 << 10;
const MOST_HEADERS: usize = 16 << 10;
const MOST_REDIRECTS: u32 = 5;

/// A bundle of all public authorities has about 230 KB.
const MOST_CERTIFICATES: u64 = 4 << 20;

/// A web server with the repository below a base URL.
pub struct Http {
    base: String,
    agent: Agent,
    traffic: Traffic,
    /// A fresh copy for each transfer.
    pace: Pace,
}

impl Http {
    /// Gets files below `base`.
    pub(crate) fn new(
        base: &str,
        settings: &Settings,
        traffic: Traffic,
    ) -> Result<Self, SettingsError> {
        let base = base.trim_end_matches('/').to_owned();
        let is_url = ureq::http::Uri::try_from(&base).is_ok_and(|uri| uri.host().is_some());
        if !is_url {
            return Err(SettingsError::Place(base));
        }
        let proxy = settings
            .proxy
            .as_ref()
            .map(|proxy| Proxy::new(proxy).map_err(|_| SettingsError::Proxy(proxy.clone())));
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls(&base, settings)?)
            .proxy(proxy.transpose()?)
            .user_agent(concat!("holm/", env!("CARGO_PKG_VERSION")))
            .max_redirects(MOST_REDIRECTS)
            .max_response_header_size(MOST_HEADERS)
            .timeout_resolve(Some(settings.silence))
            .timeout_connect(Some(settings.silence))
            .timeout_send_request(Some(settings.silence))
            .timeout_recv_response(Some(settings.silence))
            .timeout_per_read(Some(settings.silence))
            .input_buffer_size(INPUT_BUFFER)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections(1)
            .build()
            .new_agent();
        let pace = Pace::new(settings.rate_limit, settings.least_rate, settings.silence);
        Ok(Self { base, agent, traffic, pace })
    }

    /// The URL that names are relative to.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn get(&self, file: &str, range: Option<Range<u64>>) -> Result<Body, FetchError> {
        let url = format!("{}/{file}", self.base);
        let mut request = self.agent.get(&url);
        if let Some(range) = range.as_ref().filter(|range| range.end > range.start) {
            let value = format!("bytes={}-{}", range.start, range.end - 1);
            request = request.header(header::RANGE, value);
        }
        self.traffic.add_request();
        let response = match request.call() {
            Ok(response) => response,
            Err(source) => return Err(FetchError::Transport { url, source: Box::new(source) }),
        };
        let wanted = range.map_or(0, |range| range.start);
        let (begin, is_range) = match response.status() {
            StatusCode::OK => (0, false),
            StatusCode::PARTIAL_CONTENT => {
                let text = response.headers().get(header::CONTENT_RANGE);
                let text = text.and_then(|value| value.to_str().ok()).unwrap_or_default();
                match range_begin(text) {
                    Some(begin) if begin <= wanted => (begin, true),
                    _ => return Err(FetchError::Range { url, wanted, found: text.to_owned() }),
                }
            }
            // Object stores that may not be listed say the second of what they have not.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::GONE => {
                return Err(FetchError::Missing(url));
            }
            other => return Err(FetchError::Status { url, status: other.as_u16() }),
        };
        let reader = Box::new(response.into_body().into_reader());
        let (pace, traffic) = (self.pace.clone(), self.traffic.clone());
        Ok(Body::new(url, begin, is_range, reader, pace, traffic))
    }
}

impl Http {
    /// Sends JSON to `file`. What the server says of it is of no interest, beside that it took it.
    pub(crate) fn post(&self, file: &str, json: &[u8]) -> Result<(), FetchError> {
        let url = format!("{}/{file}", self.base);
        self.traffic.add_request();
        let request = self.agent.post(&url).header(header::CONTENT_TYPE, "application/json");
        match request.send(json) {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(FetchError::Status { url, status: response.status().as_u16() }),
            Err(source) => Err(FetchError::Transport { url, source: Box::new(source) }),
        }
    }
}

/// The first byte of `bytes FIRST-LAST/TOTAL`.
fn range_begin(text: &str) -> Option<u64> {
    let (first, _) = text.trim().strip_prefix("bytes")?.trim_start().split_once('-')?;
    first.parse().ok()
}

fn tls(base: &str, settings: &Settings) -> Result<TlsConfig, SettingsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut certificates = Vec::new();
    // Read for HTTPS only: parsed, they take more memory than the rest of a client. A server that
    // speaks plain HTTP and redirects to HTTPS is refused there, for lack of authorities.
    if base.starts_with("https://") {
        for path in &settings.authorities {
            read_certificates(path, &mut certificates)?;
        }
    }
    let roots = RootCerts::new_with_certs(&certificates);
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    Ok(builder.root_certs(roots).build())
}

fn read_certificates(
    path: &Path,
    into: &mut Vec<Certificate<'static>>,
) -> Result<(), SettingsError> {
    let wrong = |why: String| SettingsError::Certificates { path: path.to_owned(), why };
    let length = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > MOST_CERTIFICATES {
        return Err(wrong(format!("larger than {MOST_CERTIFICATES} bytes")));
    }
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let before = into.len();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(error.to_string()))? {
            into.push(certificate);
        }
    }
    if into.len() == before { Err(wrong("no PEM certificate in it".to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begin_of_a_range_is_read_from_its_header() {
        assert_eq!(range_begin("bytes 5-9/100"), Some(5));
        assert_eq!(range_begin("bytes 5-9/*"), Some(5));
        for bad in ["", "bytes */100", "items 5-9/100", "bytes x-9/100"] {
            assert_eq!(range_begin(bad), None, "{bad}");
        }
    }

    #[test]
    fn certificates_that_cannot_be_used_name_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, "nothing").unwrap();
        let settings = Settings { authorities: vec![path], ..Settings::default() };
        let error = tls("https://x", &settings).unwrap_err();
        assert!(error.to_string().contains("ca.pem: no PEM certificate in it"), "{error}");
        assert!(tls("http://x", &settings).is_ok());
    }

    #[test]
    fn proxy_that_is_none_is_refused() {
        let settings = Settings { proxy: Some("::".into()), ..Settings::default() };
        let made = Http::new("http://x", &settings, Traffic::default());
        assert!(matches!(made, Err(SettingsError::Proxy(_))));
    }
}
