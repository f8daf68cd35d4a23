//! Answers: objects, lists and failures as the client accepts them.

use crate::at_rest;
use crate::body::Body;
use crate::negotiate::{Accepted, Encoding, View};
use crate::table;
use crate::verbs::Stored;
use bytes::Bytes;
use holm_api::{Map, Resource, Status, Value, protobuf, value};
use http::{HeaderValue, Response, StatusCode, header};

/// An answer.
pub type Answer = Response<Body>;

/// JSON, or what is close to it, with a status.
pub fn bytes(status: u16, content_type: &'static str, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Body::Whole(bytes.into()));
    *answer.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// A value as JSON.
pub fn json(status: u16, value: &Value) -> Answer {
    bytes(status, "application/json", value.to_json())
}

/// Plain text.
pub fn text(status: u16, text: impl Into<String>) -> Answer {
    bytes(status, "text/plain; charset=utf-8", text.into())
}

/// A failure.
pub fn failure(status: &Status) -> Answer {
    failure_with(status, "")
}

/// A failure that says where a list may go on.
pub fn failure_with(status: &Status, continue_token: &str) -> Answer {
    let mut value = status.to_value();
    if !continue_token.is_empty() {
        value.set(&["metadata", "continue"], continue_token);
    }
    let mut answer = json(status.code, &value);
    let seconds = status.details.as_ref().map_or(0, |it| it.retry_after_seconds);
    if seconds > 0 && matches!(status.code, 429 | 500..) {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status.code == 401 {
        let basic = HeaderValue::from_static("Bearer realm=\"kubernetes\"");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    answer
}

/// The bytes of one object, as the client accepts it.
///
/// # Errors
/// When what is stored cannot be read.
pub fn object_bytes(
    resource: &Resource,
    stored: &Stored,
    accepted: &Accepted,
    own_kind: bool,
) -> Result<Vec<u8>, Status> {
    match &accepted.view {
        View::Whole if accepted.encoding == Encoding::Protobuf => {
            let mut object = stored.value()?;
            if own_kind {
                object.set(&["apiVersion"], resource.api_version());
            }
            if stored.revision == 0 {
                object.remove(&["metadata", "resourceVersion"]);
            }
            encode_protobuf(&object)
        }
        View::Whole if is_served_as_stored(resource) || !own_kind => {
            let mut out = Vec::new();
            write_whole(stored, &mut out);
            Ok(out)
        }
        View::Whole => {
            let mut object = stored.value()?;
            object.set(&["apiVersion"], resource.api_version());
            Ok(object.to_json())
        }
        View::Metadata(version) => Ok(partial(&stored.value()?, version).to_json()),
        View::Table(version) => {
            let mut table = table::empty(resource, version, true);
            table.set(&["metadata", "resourceVersion"], stored.revision.to_string());
            let row = table::row(resource, &stored.value()?);
            table.make_object().entry("rows").make_array().push(row);
            Ok(table.to_json())
        }
    }
}

/// A built-in object as protobuf.
///
/// # Errors
/// When it cannot be written so.
pub fn encode_protobuf(object: &Value) -> Result<Vec<u8>, Status> {
    protobuf::encode(object).map_err(Status::internal)
}

/// A list of a built-in resource as protobuf.
///
/// # Errors
/// When an object cannot be read or written.
pub fn protobuf_list(
    resource: &Resource,
    items: impl Iterator<Item = Stored>,
    metadata: &Value,
) -> Result<Vec<u8>, Status> {
    let node = resource.schema.node();
    let mut messages = Vec::new();
    for stored in items {
        let message = protobuf::encode_object(node, &stored.value()?);
        messages.push(message.map_err(Status::internal)?);
    }
    let items = messages.iter().map(Vec::as_slice);
    let raw = protobuf::list_message(metadata, items).map_err(Status::internal)?;
    let gvk = holm_api::Gvk { kind: resource.list_kind.clone(), ..resource.gvk() };
    Ok(protobuf::envelope(&gvk, &raw))
}

/// Whether stored bytes are what this version of a resource shows.
pub fn is_served_as_stored(resource: &Resource) -> bool {
    resource.storage.group == resource.group && resource.storage.version == resource.version
}

fn write_whole(stored: &Stored, out: &mut Vec<u8>) {
    // What a dry run made has no version.
    if stored.revision == 0 {
        out.extend_from_slice(stored.bytes.get(4..).unwrap_or_default());
    } else {
        at_rest::write_json(&stored.bytes, stored.revision, out);
    }
}

/// An object's metadata alone.
pub fn partial(object: &Value, version: &str) -> Value {
    value!({
        "kind": "PartialObjectMetadata",
        "apiVersion": {format!("meta.k8s.io/{version}")},
        "metadata": {object["metadata"].clone()},
    })
}

/// The metadata of a list.
pub fn list_metadata(revision: u64, continue_token: &str, remaining: Option<usize>) -> Value {
    let mut metadata = Map::new();
    metadata.insert("resourceVersion", revision.to_string());
    if !continue_token.is_empty() {
        metadata.insert("continue", continue_token);
    }
    if let Some(remaining) = remaining.filter(|it| *it > 0) {
        metadata.insert("remainingItemCount", i64::try_from(remaining).unwrap_or(i64::MAX));
    }
    Value::Object(metadata)
}

/// What stands before a list's items, in its view. `null` metadata is left for the end.
pub fn list_head(resource: &Resource, accepted: &Accepted, metadata: &Value) -> Vec<u8> {
    let (kind, version) = match &accepted.view {
        View::Whole => (resource.list_kind.to_string(), resource.api_version()),
        View::Metadata(version) => {
            ("PartialObjectMetadataList".to_owned(), format!("meta.k8s.io/{version}"))
        }
        View::Table(version) => {
            let mut table = table::empty(resource, version, true);
            set_metadata(&mut table, metadata);
            table.remove(&["rows"]);
            let mut head = table.to_json();
            head.pop();
            head.extend_from_slice(b",\"rows\":[");
            return head;
        }
    };
    let mut head = value!({"kind": kind, "apiVersion": version});
    set_metadata(&mut head, metadata);
    let mut head = head.to_json();
    head.pop();
    head.extend_from_slice(b",\"items\":[");
    head
}

/// No metadata at the head means that it follows the items.
fn set_metadata(head: &mut Value, metadata: &Value) {
    head.remove(&["metadata"]);
    if !metadata.is_null() {
        head.set(&["metadata"], metadata);
    }
}

/// Adds one item of a list.
///
/// # Errors
/// When what is stored cannot be read.
pub fn write_item(
    resource: &Resource,
    stored: &Stored,
    accepted: &Accepted,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    match &accepted.view {
        View::Table(_) => {
            let row = table::row(resource, &stored.value()?);
            out.extend_from_slice(&row.to_json());
        }
        View::Whole if is_served_as_stored(resource) => write_whole(stored, out),
        _ => out.extend_from_slice(&object_bytes(resource, stored, accepted, true)?),
    }
    Ok(())
}
