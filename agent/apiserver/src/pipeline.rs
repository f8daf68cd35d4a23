//! The way of a request: path, who asks, whether they may, what they ask for, and the answer. Every
//! failure on it is a `Status`.

mod authenticate;
mod reviews;
mod serve_resource;

use crate::auth::{self, User};
use crate::body::Body;
use crate::negotiate;
use crate::parameters::Parameters;
use crate::request::{self, Request};
use crate::respond::{self, Answer};
use crate::server::Server;
use crate::{discovery, health, openapi};
use bytes::{Bytes, BytesMut};
use holm_api::{Resource, Status};
use http::request::Parts;
use http::{HeaderMap, Method, header};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most bytes of a body.
pub const MAX_BODY: usize = 3 << 20;
/// Time that a client has to send one.
const BODY_TIME: Duration = Duration::from_secs(60);

/// A request on its way.
pub(crate) struct Call {
    pub request: Request,
    pub parameters: Parameters,
    pub headers: HeaderMap,
    pub user: User,
    pub body: Bytes,
}

impl Call {
    /// The program that asks, as it names itself before the first slash.
    fn agent(&self) -> &str {
        let agent = self.headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
        agent.unwrap_or_default().split('/').next().unwrap_or_default()
    }
}

impl Server {
    /// Answers one request. `shown` is who the client's certificate says it is.
    pub async fn answer<B>(
        self: &Arc<Self>,
        request: http::Request<B>,
        shown: Option<User>,
    ) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let begin = Instant::now();
        let (parts, body) = request.into_parts();
        let head = parts.method == Method::HEAD;
        let mut verb = "";
        let mut answer = match self.try_answer(parts, body, shown, &mut verb).await {
            Ok(answer) => answer,
            Err(status) => respond::failure(&status),
        };
        if head {
            *answer.body_mut() = Body::empty();
        }
        self.counters.count(verb, answer.status().as_u16(), begin.elapsed());
        answer
    }

    async fn try_answer<B>(
        self: &Arc<Self>,
        parts: Parts,
        body: B,
        shown: Option<User>,
        verb: &mut &'static str,
    ) -> Result<Answer, Status>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let parameters = Parameters::read(parts.uri.query());
        let path = parts.uri.path();
        let request = request::read(&parts.method, path, parameters.is_true("watch"))
            .map_err(|error| Status::bad_request(error.to_string()))?;
        *verb = request.verb;
        if request.verb.is_empty() {
            return Err(Status::plain(405, "MethodNotAllowed", "the method is not supported"));
        }
        let mut user = self.authenticate(&parts.headers, shown).await?;
        if let Some((other, asked)) = auth::impersonated(&parts.headers)? {
            for one in &asked {
                self.authorize(&user, one).await?;
            }
            user = other;
        }
        self.authorize(&user, &request).await?;
        if !request.is_resource {
            return self.answer_plain(&request, &parameters, &parts.headers).await;
        }
        let body = read_body(&parts.headers, body).await?;
        let Parts { headers, .. } = parts;
        self.serve_resource(Call { request, parameters, headers, user, body }).await
    }

    /// That a user may do this.
    async fn authorize(&self, user: &User, request: &Request) -> Result<(), Status> {
        match self.may(user, request).await {
            Ok(()) => Ok(()),
            Err(why) => Err(auth::forbidden(user, request, &why)),
        }
    }

    /// Whether a user may do this; why not, where there is more to say than that no rule allows it.
    pub(crate) async fn may(&self, user: &User, request: &Request) -> Result<(), String> {
        if self.rules.rules().allow(user, request) { Ok(()) } else { Err(String::new()) }
    }

    async fn answer_plain(
        &self,
        request: &Request,
        parameters: &Parameters,
        headers: &HeaderMap,
    ) -> Result<Answer, Status> {
        if !matches!(request.verb, "get" | "head") {
            return Err(Status::plain(405, "MethodNotAllowed", "only GET is supported here"));
        }
        if let Some(answer) = health::answer(self, &request.path, parameters).await {
            return Ok(answer);
        }
        let registry = self.registry();
        if request.path.starts_with("/openapi/") {
            let answer = openapi::answer(&registry, &request.path, parameters);
            return answer.ok_or_else(Status::no_such_resource);
        }
        discovery::answer(&registry, &request.path, headers).ok_or_else(Status::no_such_resource)
    }
}

/// What the client accepts.
pub(crate) fn accepted(
    headers: &HeaderMap,
    resource: &Resource,
) -> Result<negotiate::Accepted, Status> {
    let all: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok()).collect();
    negotiate::choose(&all.join(","), resource.custom.is_none())
}

/// Reads a body as a whole, within its bounds of size and time.
async fn read_body<B>(headers: &HeaderMap, mut body: B) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let too_large = || Status::request_entity_too_large(&format!("limit is {MAX_BODY}"));
    let said = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    if said.is_some_and(|length: usize| length > MAX_BODY) {
        return Err(too_large());
    }
    let read = async {
        let mut whole = BytesMut::new();
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            match frame {
                None => return Ok(whole.freeze()),
                Some(Err(_)) => {
                    return Err(Status::bad_request("the body ended before it was complete"));
                }
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if whole.len() + data.len() > MAX_BODY {
                        return Err(too_large());
                    }
                    whole.extend_from_slice(&data);
                }
            }
        }
    };
    match tokio::time::timeout(BODY_TIME, read).await {
        Ok(result) => result,
        Err(_) => Err(Status::timeout("the request's body did not arrive in time", 0)),
    }
}
