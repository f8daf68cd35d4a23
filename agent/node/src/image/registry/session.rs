//! Requests to the endpoints of one registry, during one pull: authentication, manifests, answers.
//!
//! Must never keep a token longer than the pull.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::{HeaderMap, Response, header};
use ureq::{Agent, Body};

use crate::image::digest::Digest;
use crate::image::limits::Limits;
use crate::image::manifest::ACCEPT;

use super::cancel::Cancel;
use super::challenge::{self, Challenge};
use super::endpoint::{Credentials, Endpoint, endpoints};
use super::transfer::Transfer;
use super::{Registries, RegistryError, tls};

/// A token server's answer, and what is shown of an error.
const ANSWER_LIMIT: u64 = 64 * 1024;
const MESSAGE_LIMIT: usize = 300;

/// Rounds over all endpoints for a manifest: who wants the image asks again later anyway.
const MANIFEST_ROUNDS: u32 = 3;

/// Buffers of one connection; ureq's own default is 128 KiB each way.
const INPUT_BUFFER: usize = 32 * 1024;
const OUTPUT_BUFFER: usize = 8 * 1024;

/// One pull's view of a registry and its mirrors.
pub(crate) struct Session<'a> {
    places: Vec<Place>,
    registries: &'a Registries,
    pub limits: &'a Limits,
    pub cancel: &'a Cancel,
}

/// An endpoint with what was learnt about it.
struct Place {
    endpoint: Endpoint,
    /// Made at the first request.
    agent: RefCell<Option<Agent>>,
    authorization: RefCell<Option<String>>,
    /// It speaks no TLS, or its certificate is refused: asking again is of no use.
    useless: Cell<bool>,
}

/// An answer with a body that is wanted.
pub(super) struct Answer {
    pub url: String,
    pub response: Response<Body>,
}

impl<'a> Session<'a> {
    pub fn new(
        host: &str,
        registries: &'a Registries,
        limits: &'a Limits,
        cancel: &'a Cancel,
    ) -> Self {
        let place = |endpoint| Place {
            endpoint,
            agent: RefCell::new(None),
            authorization: RefCell::new(None),
            useless: Cell::new(false),
        };
        let places = endpoints(host, registries).into_iter().map(place).collect();
        Self { places, registries, limits, cancel }
    }

    /// How many endpoints there are.
    pub fn endpoints(&self) -> usize {
        self.places.len()
    }

    /// Whether an endpoint may answer. When none may, all are asked, for their errors.
    pub(super) fn is_useful(&self, endpoint: usize) -> bool {
        !self.places[endpoint].useless.get() || self.places.iter().all(|p| p.useless.get())
    }

    /// A manifest or index by tag or digest, its digest, and the endpoint that gave it.
    pub fn manifest(
        &self,
        repository: &str,
        key: &str,
    ) -> Result<(Vec<u8>, Digest, usize), RegistryError> {
        let path = format!("{repository}/manifests/{key}");
        let wanted = Digest::parse(key).ok();
        let mut wait = self.limits.retry_first;
        let mut last = RegistryError::Cancelled;
        for round in 0..MANIFEST_ROUNDS.min(self.limits.attempts).max(1) {
            let mut again = None;
            if round > 0 && self.cancel.wait(wait) {
                return Err(RegistryError::Cancelled);
            }
            for n in (0..self.places.len()).filter(|&n| self.is_useful(n)) {
                match self.document(n, &path, wanted.as_ref(), self.limits.document_bytes) {
                    Ok((bytes, digest)) => return Ok((bytes, digest, n)),
                    Err(RegistryError::Cancelled) => return Err(RegistryError::Cancelled),
                    Err(error) => {
                        tracing::debug!(%error, "endpoint gave no manifest");
                        if error.is_transient() {
                            again = again.max(Some(self.pause(&error, wait)));
                        }
                        last = worse(last, error);
                    }
                }
            }
            match again {
                Some(pause) => wait = pause.max(wait * 2).min(self.limits.retry_longest),
                None => break,
            }
        }
        Err(last)
    }

    /// How long to wait after `error`: at least `wait`, and what the registry asks for, in bounds.
    pub(super) fn pause(&self, error: &RegistryError, wait: Duration) -> Duration {
        match error {
            RegistryError::Status { retry_after: Some(asked), .. } => {
                (*asked).min(self.limits.retry_longest).max(wait)
            }
            _ => wait,
        }
    }

    /// A whole small document, checked against its digest.
    fn document(
        &self,
        endpoint: usize,
        path: &str,
        wanted: Option<&Digest>,
        limit: u64,
    ) -> Result<(Vec<u8>, Digest), RegistryError> {
        let answer = self.get(endpoint, path, ACCEPT, None)?;
        let url = answer.url;
        let (parts, body) = answer.response.into_parts();
        let bytes = Transfer::new(url.clone(), body.into_reader()).collect(self, limit + 1)?;
        if bytes.len() as u64 > limit {
            return Err(RegistryError::Length { url, expected: limit, actual: limit + 1 });
        }
        let claimed = text(&parts.headers, "docker-content-digest");
        let claimed = claimed.and_then(|text| Digest::parse(text).ok());
        let wanted = wanted.or(claimed.as_ref());
        if let Some(wanted) = wanted.filter(|wanted| !wanted.matches(&bytes)) {
            let _ = wanted;
            return Err(RegistryError::Digest { url, actual: Digest::of(&bytes).to_string() });
        }
        let digest = wanted.cloned().unwrap_or_else(|| Digest::of(&bytes));
        Ok((bytes, digest))
    }

    /// Asks an endpoint, and authenticates where it wants that.
    pub(super) fn get(
        &self,
        endpoint: usize,
        path: &str,
        accept: &str,
        from: Option<u64>,
    ) -> Result<Answer, RegistryError> {
        let place = &self.places[endpoint];
        let url = match &place.endpoint.namespace {
            Some(namespace) => format!("{}/{path}?ns={namespace}", place.endpoint.base),
            None => format!("{}/{path}", place.endpoint.base),
        };
        let mut response = self.request(place, &url, accept, from).inspect_err(|error| {
            let transport = matches!(error, RegistryError::Transport { .. });
            place.useless.set(transport && !error.is_transient());
        })?;
        if response.status().as_u16() == 401 {
            let repository = path.split_once("/manifests/").or(path.split_once("/blobs/"));
            let repository = repository.map_or(path, |(repository, _)| repository);
            let offered: Vec<_> = response
                .headers()
                .get_all(header::WWW_AUTHENTICATE)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(challenge::parse)
                .collect();
            drop(response);
            let authorization = self.authorize(place, &url, repository, offered)?;
            *place.authorization.borrow_mut() = Some(authorization);
            response = self.request(place, &url, accept, from)?;
        }
        if response.status().is_success() {
            return Ok(Answer { url, response });
        }
        Err(self.status_error(url, response))
    }

    fn request(
        &self,
        place: &Place,
        url: &str,
        accept: &str,
        from: Option<u64>,
    ) -> Result<Response<Body>, RegistryError> {
        let agent = self.agent(place)?;
        let mut request = agent.get(url).header(header::ACCEPT, accept);
        if let Some(authorization) = &*place.authorization.borrow() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(offset) = from {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
        }
        self.call(url, request)
    }

    fn call(
        &self,
        url: &str,
        request: ureq::RequestBuilder<ureq::typestate::WithoutBody>,
    ) -> Result<Response<Body>, RegistryError> {
        if self.cancel.is_cancelled() {
            return Err(RegistryError::Cancelled);
        }
        let transport = |e| RegistryError::Transport { url: url.to_owned(), source: Box::new(e) };
        request.call().map_err(transport)
    }

    fn agent(&self, place: &Place) -> Result<Agent, RegistryError> {
        if let Some(agent) = &*place.agent.borrow() {
            return Ok(agent.clone());
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls::config(&place.endpoint, self.registries)?)
            .user_agent(concat!("holm/", env!("CARGO_PKG_VERSION")))
            .max_redirects(5)
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(self.limits.connect_timeout))
            .timeout_recv_response(Some(self.stall_timeout()))
            .timeout_per_read(Some(self.stall_timeout()))
            .timeout_per_write(Some(self.stall_timeout()))
            .input_buffer_size(INPUT_BUFFER)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections(2)
            .build()
            .new_agent();
        Ok(place.agent.borrow_mut().insert(agent).clone())
    }

    pub(super) fn stall_timeout(&self) -> Duration {
        self.registries.timeout.unwrap_or(self.limits.stall_timeout)
    }

    pub(super) fn status_error(&self, url: String, response: Response<Body>) -> RegistryError {
        let status = response.status().as_u16();
        let seconds = text(response.headers(), "retry-after").and_then(|text| text.parse().ok());
        // An explanation that cannot be read is none.
        let body = self.short_body(&url, response).unwrap_or_default();
        let message = message(&body).map(|text| format!(": {text}")).unwrap_or_default();
        let retry_after = seconds.map(Duration::from_secs);
        RegistryError::Status { url, status, message, retry_after }
    }

    fn short_body(&self, url: &str, response: Response<Body>) -> Result<Vec<u8>, RegistryError> {
        let reader = response.into_body().into_reader();
        Transfer::new(url.to_owned(), reader).collect(self, ANSWER_LIMIT)
    }

    /// What to put into `Authorization`.
    fn authorize(
        &self,
        place: &Place,
        url: &str,
        repository: &str,
        offered: Vec<Challenge>,
    ) -> Result<String, RegistryError> {
        let refuse = |why: &str| RegistryError::Challenge { url: url.into(), why: why.into() };
        let credentials = place.endpoint.credentials.as_ref();
        // A token shows the password to the token server only.
        let bearer = offered.iter().find(|c| matches!(c, Challenge::Bearer { .. }));
        match (bearer.or(offered.first()), credentials) {
            (Some(Challenge::Bearer { realm, service, scope }), _) => {
                if url.starts_with("https://") && !realm.starts_with("https://") {
                    return Err(refuse("its token server is not reached over HTTPS"));
                }
                let scope = scope.clone().unwrap_or(format!("repository:{repository}:pull"));
                let mut request = self.agent(place)?.get(realm).query("scope", scope);
                if let Some(service) = service {
                    request = request.query("service", service);
                }
                if let Some(credentials) = credentials {
                    request = request.header(header::AUTHORIZATION, basic(credentials));
                }
                let response = self.call(realm, request)?;
                if !response.status().is_success() {
                    return Err(self.status_error(realm.clone(), response));
                }
                let body = self.short_body(realm, response)?;
                let token = challenge::token(&body).ok_or(refuse("its answer has no token"))?;
                Ok(format!("Bearer {token}"))
            }
            (Some(Challenge::Basic), Some(credentials)) => Ok(basic(credentials)),
            (Some(Challenge::Basic), None) => Err(refuse(
                "it wants a user name and a password: set them in the node document's [registries]",
            )),
            (None, _) => Err(refuse("it asks for nothing that is known here")),
        }
    }
}

fn basic(credentials: &Credentials) -> String {
    let plain = format!("{}:{}", credentials.username, credentials.password.reveal());
    format!("Basic {}", BASE64_STANDARD.encode(plain))
}

/// Of two errors, the one that tells more: an answer before no answer.
pub(super) fn worse(old: RegistryError, new: RegistryError) -> RegistryError {
    match (&old, &new) {
        (RegistryError::Cancelled, _) => new,
        (RegistryError::Transport { .. }, _) => new,
        (_, RegistryError::Transport { .. }) => old,
        _ => new,
    }
}

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// What the registry says: `{"errors": [{"code": …, "message": …}]}`, or `details` of a token server.
fn message(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let first = answer.get("errors").and_then(|errors| errors.get(0));
    let field = |value: &serde_json::Value, name| {
        value.get(name).and_then(|v| v.as_str()).map(ToOwned::to_owned)
    };
    let text = match first {
        Some(error) => field(error, "message").or(field(error, "code")),
        None => field(&answer, "details").or(field(&answer, "message")),
    }?;
    Some(text.chars().filter(|c| !c.is_control()).take(MESSAGE_LIMIT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_a_registry_is_found_and_bounded() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no\nsuch tag"}]}"#;
        assert_eq!(message(body).as_deref(), Some("nosuch tag"));
        assert_eq!(
            message(br#"{"details":"incorrect password"}"#).as_deref(),
            Some("incorrect password")
        );
        assert_eq!(message(b"<html>"), None);
        let long = serde_json::json!({"message": "x".repeat(9999)}).to_string();
        assert_eq!(message(long.as_bytes()).unwrap().len(), MESSAGE_LIMIT);
    }
}
