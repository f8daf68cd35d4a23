//! `Status`: the answer of a request that failed, with the reasons, codes and messages that
//! upstream's `apimachinery` builds and that clients match on.

use crate::field::{FieldError, quote};
use crate::{Map, Value, value};
use std::fmt;

/// One of several reasons for one failure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    /// A machine's word, such as `FieldValueInvalid`.
    pub reason: String,
    /// A person's words.
    pub message: String,
    /// The path of the field in question.
    pub field: String,
}

/// What the failure was about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// Its API group.
    pub group: String,
    /// Its resource (plural), or its kind where the object is invalid.
    pub kind: String,
    /// Its uid.
    pub uid: String,
    /// Each single reason.
    pub causes: Vec<Cause>,
    /// Seconds to wait before another attempt; 0 where waiting is no remedy.
    pub retry_after_seconds: u32,
}

/// A failure as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// A machine's word, such as `NotFound`.
    pub reason: &'static str,
    /// A person's words.
    pub message: String,
    /// What it was about.
    pub details: Option<Box<Details>>,
}

/// A resource as messages name it: `pods`, `deployments.apps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupResource<'a> {
    /// API group; empty for the core group.
    pub group: &'a str,
    /// Plural name, or the kind where messages want it.
    pub resource: &'a str,
}

impl fmt::Display for GroupResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// A resource, or kind, of a group.
pub const fn of<'a>(group: &'a str, resource: &'a str) -> GroupResource<'a> {
    GroupResource { group, resource }
}

impl Status {
    /// A failure without details.
    pub fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    fn about(self, what: GroupResource<'_>, name: &str) -> Self {
        self.with(|details| {
            details.group = what.group.to_owned();
            details.kind = what.resource.to_owned();
            details.name = name.to_owned();
        })
    }

    /// Changes the details.
    pub fn with(mut self, change: impl FnOnce(&mut Details)) -> Self {
        change(self.details.get_or_insert_default());
        self
    }

    fn retry_after(self, seconds: u32) -> Self {
        self.with(|details| details.retry_after_seconds = seconds)
    }

    /// 404: there is no such object.
    pub fn not_found(what: GroupResource<'_>, name: &str) -> Self {
        let message = format!("{what} {} not found", quote(name));
        Self::plain(404, "NotFound", message).about(what, name)
    }

    /// 404: there is no such resource or path.
    pub fn no_such_resource() -> Self {
        Self::plain(404, "NotFound", "the server could not find the requested resource")
            .with(|_| {})
    }

    /// 409: the name is taken.
    pub fn already_exists(what: GroupResource<'_>, name: &str) -> Self {
        let message = format!("{what} {} already exists", quote(name));
        Self::plain(409, "AlreadyExists", message).about(what, name)
    }

    /// 409: no free name was found for a `generateName`.
    pub fn generated_name_taken(what: GroupResource<'_>, name: &str) -> Self {
        let message = format!(
            "{what} {} already exists, the server was not able to generate a unique name for the object",
            quote(name)
        );
        Self::plain(409, "AlreadyExists", message).about(what, name).retry_after(1)
    }

    /// 401: who is it?
    pub fn unauthorized() -> Self {
        Self::plain(401, "Unauthorized", "Unauthorized")
    }

    /// 403: the object may not be touched like this, for the reason in `why`.
    pub fn forbidden(what: GroupResource<'_>, name: &str, why: impl fmt::Display) -> Self {
        let message = match (what.resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{what} is forbidden: {why}"),
            _ => format!("{what} {} is forbidden: {why}", quote(name)),
        };
        Self::plain(403, "Forbidden", message).about(what, name)
    }

    /// 409: it changed meanwhile, or stands in the way.
    pub fn conflict(what: GroupResource<'_>, name: &str, why: impl fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {what} {}: {why}", quote(name));
        Self::plain(409, "Conflict", message).about(what, name)
    }

    /// 409: the resource version in the request is not the object's.
    pub fn modified(what: GroupResource<'_>, name: &str) -> Self {
        Self::conflict(
            what,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 410: that revision is gone.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::plain(410, "Expired", message)
    }

    /// 422: the object is invalid. `what` names the kind.
    pub fn invalid(what: GroupResource<'_>, name: &str, errors: &[FieldError]) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let head = format!("{what} {} is invalid", quote(name));
        let message = match texts.as_slice() {
            [] => head,
            [one] => format!("{head}: {one}"),
            many => format!("{head}: [{}]", many.join(", ")),
        };
        let causes = errors
            .iter()
            .map(|error| Cause {
                reason: error.wrong.reason().to_owned(),
                message: error.body.clone(),
                field: error.path.to_string(),
            })
            .collect();
        Self::plain(422, "Invalid", message).about(what, name).with(|d| d.causes = causes)
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// 405: this resource knows no such verb.
    pub fn method_not_supported(what: GroupResource<'_>, action: &str) -> Self {
        let kind = quote(&what.to_string());
        let message = format!("{action} is not supported on resources of kind {kind}");
        Self::plain(405, "MethodNotAllowed", message).about(what, "")
    }

    /// 406: none of the content types that the client accepts can be had.
    pub fn not_acceptable(supported: &[&str]) -> Self {
        let list = supported.join(", ");
        let message = format!("only the following media types are accepted: {list}");
        Self::plain(406, "NotAcceptable", message)
    }

    /// 415: the body's content type is none of `supported`.
    pub fn unsupported_media_type(supported: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            supported.join(", ")
        );
        Self::plain(415, "UnsupportedMediaType", message)
    }

    /// 413: the body is too large.
    pub fn request_entity_too_large(message: &str) -> Self {
        let message = format!("Request entity too large: {message}");
        Self::plain(413, "RequestEntityTooLarge", message)
    }

    /// 429: come back after some seconds.
    pub fn too_many_requests(message: impl Into<String>, seconds: u32) -> Self {
        Self::plain(429, "TooManyRequests", message).retry_after(seconds)
    }

    /// 500: a fault of the server.
    pub fn internal(why: impl fmt::Display) -> Self {
        let cause = Cause { message: why.to_string(), ..Cause::default() };
        Self::plain(500, "InternalError", format!("Internal error occurred: {why}"))
            .with(|details| details.causes = vec![cause])
    }

    /// 500: not now; another attempt may succeed.
    pub fn server_timeout(what: GroupResource<'_>, operation: &str, seconds: u32) -> Self {
        let message = format!(
            "The {operation} operation against {what} could not be completed at this time, please try again."
        );
        Self::plain(500, "ServerTimeout", message).about(what, operation).retry_after(seconds)
    }

    /// 503: not available.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::plain(503, "ServiceUnavailable", message)
    }

    /// 504: it took too long, and may still happen.
    pub fn timeout(message: &str, seconds: u32) -> Self {
        Self::plain(504, "Timeout", format!("Timeout: {message}")).retry_after(seconds)
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    /// Whether the name is taken.
    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    /// Whether another writer was there first.
    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    /// Whether a revision is gone, so that a list has to begin anew.
    pub fn is_expired(&self) -> bool {
        self.code == 410
    }

    /// The `Status` object.
    pub fn to_value(&self) -> Value {
        let mut status = value!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": (&self.message),
            "reason": (self.reason),
            "code": (i64::from(self.code)),
        });
        if let Some(details) = &self.details {
            status.set(&["details"], details.to_value());
        }
        status
    }

    /// Reads a `Status` object that another server sent with the HTTP status `code`.
    pub fn from_value(code: u16, status: &Value) -> Self {
        let from = |value: &Value, name: &str| value.str_at(&[name]).to_owned();
        let about = &status["details"];
        let details = about.is_object().then(|| {
            Box::new(Details {
                name: from(about, "name"),
                group: from(about, "group"),
                kind: from(about, "kind"),
                uid: from(about, "uid"),
                causes: about
                    .items_at(&["causes"])
                    .iter()
                    .map(|cause| Cause {
                        reason: from(cause, "reason"),
                        message: from(cause, "message"),
                        field: from(cause, "field"),
                    })
                    .collect(),
                retry_after_seconds: about
                    .int_at(&["retryAfterSeconds"])
                    .and_then(|seconds| u32::try_from(seconds).ok())
                    .unwrap_or_default(),
            })
        });
        let code =
            status.int_at(&["code"]).and_then(|code| u16::try_from(code).ok()).unwrap_or(code);
        let reason = status.str_at(&["reason"]);
        let reason = REASONS.iter().find(|known| **known == reason).copied();
        Self { code, reason: reason.unwrap_or_default(), message: from(status, "message"), details }
    }
}

const REASONS: [&str; 18] = [
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "AlreadyExists",
    "Conflict",
    "Gone",
    "Invalid",
    "ServerTimeout",
    "Timeout",
    "TooManyRequests",
    "BadRequest",
    "MethodNotAllowed",
    "NotAcceptable",
    "RequestEntityTooLarge",
    "UnsupportedMediaType",
    "InternalError",
    "Expired",
    "ServiceUnavailable",
];

impl Details {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (name, text) in
            [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)]
        {
            if !text.is_empty() {
                map.insert(name, text);
            }
        }
        if !self.causes.is_empty() {
            map.insert("causes", self.causes.iter().map(Cause::to_value).collect::<Value>());
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds", self.retry_after_seconds);
        }
        Value::Object(map)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (name, text) in
            [("reason", &self.reason), ("message", &self.message), ("field", &self.field)]
        {
            if !text.is_empty() {
                map.insert(name, text);
            }
        }
        Value::Object(map)
    }
}

/// The `Status` object of a request that succeeded and has nothing else to answer, such as the
/// deletion of `name` (uid in `uid`).
pub fn success(what: GroupResource<'_>, name: &str, uid: &str) -> Value {
    let details = Details {
        name: name.to_owned(),
        group: what.group.to_owned(),
        kind: what.resource.to_owned(),
        uid: uid.to_owned(),
        ..Details::default()
    };
    value!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": (details.to_value()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;

    #[test]
    fn status_survives_its_object() {
        let errors = [
            FieldError::required(&Path::new("spec.containers"), ""),
            FieldError::invalid(&Path::new("metadata.name"), "A", "must be lower case"),
        ];
        for status in [
            Status::not_found(of("apps", "deployments"), "web"),
            Status::invalid(of("", "Pod"), "web", &errors),
            Status::too_many_requests("slow down", 7),
            Status::expired("too old resource version: 1 (5)"),
            Status::internal("oops"),
        ] {
            assert_eq!(Status::from_value(0, &status.to_value()), status);
        }
    }

    #[test]
    fn messages_name_resource_group_and_object() {
        let text = |status: Status| status.message;
        assert_eq!(
            text(Status::not_found(of("apps", "deployments"), "web")),
            r#"deployments.apps "web" not found"#
        );
        assert_eq!(
            text(Status::forbidden(of("", "pods"), "", "no quota")),
            "pods is forbidden: no quota"
        );
        let one = [FieldError::required(&Path::new("spec.x"), "")];
        assert_eq!(
            text(Status::invalid(of("", "Pod"), "web", &one)),
            r#"Pod "web" is invalid: spec.x: Required value"#
        );
        let two = [one[0].clone(), FieldError::forbidden(&Path::new("spec.y"), "no")];
        assert_eq!(
            text(Status::invalid(of("batch", "Job"), "w", &two)),
            r#"Job.batch "w" is invalid: [spec.x: Required value, spec.y: Forbidden: no]"#
        );
        assert_eq!(
            text(Status::method_not_supported(of("", "bindings"), "list")),
            r#"list is not supported on resources of kind "bindings""#
        );
    }

    #[test]
    fn causes_carry_field_reason_and_message() {
        let errors = [FieldError::required(&Path::new("spec.x"), "why")];
        let status = Status::invalid(of("", "Pod"), "web", &errors).to_value();
        assert_eq!(
            status["details"],
            value!({
                "name": "web",
                "kind": "Pod",
                "causes": [{
                    "reason": "FieldValueRequired",
                    "message": "Required value: why",
                    "field": "spec.x",
                }],
            })
        );
    }
}
