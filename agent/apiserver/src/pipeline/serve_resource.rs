//! Requests of resources: to the verb, and its result to an answer.

use super::{Call, accepted};
use crate::body::Body;
use crate::negotiate::{Accepted, Encoding, PROTOBUF};
use crate::respond::{self, Answer};
use crate::server::Server;
use crate::verbs::{ListFailure, Listed, Patch, Place, Stored, Writing};
use crate::watch::OwnedPlace;
use bytes::Bytes;
use holm_api::client::PatchKind;
use holm_api::options::{DeleteOptions, FieldValidation, ListOptions, WriteOptions};
use holm_api::resource::Verb;
use holm_api::{Gvk, Resource, Status, Value, decode, protobuf, value};
use http::{HeaderMap, HeaderValue, Response, header};
use std::sync::{Arc, PoisonError};
use tokio::sync::mpsc;

/// Parts of a list or watch that wait for a slow client.
const PARTS: usize = 16;
/// Bytes of a list that are sent at once.
const PART_BYTES: usize = 64 << 10;

impl Server {
    /// Serves a request whose user may ask for it.
    pub(super) async fn serve_resource(self: &Arc<Self>, call: Call) -> Result<Answer, Status> {
        let registry = self.registry();
        let request = &call.request;
        let resource = registry
            .by_path(&request.group, &request.version, &request.resource)
            .ok_or_else(Status::no_such_resource)?
            .clone();
        let verb = Verb::ALL.into_iter().find(|it| it.as_str() == request.verb);
        let verb = verb.ok_or_else(Status::no_such_resource)?;
        let allowed = match request.subresource.as_str() {
            "" => resource.verbs.has(verb),
            name => {
                let part = resource.subresource(name).ok_or_else(Status::no_such_resource)?;
                part.verbs.has(verb)
            }
        };
        if !allowed {
            return Err(Status::method_not_supported(resource.group_resource(), request.verb));
        }
        let namespace = if resource.is("", "Namespace") { "" } else { request.namespace.as_str() };
        if resource.namespaced == namespace.is_empty()
            && !(resource.namespaced && matches!(verb, Verb::List | Verb::Watch))
        {
            return Err(Status::no_such_resource());
        }
        let name = request.name.as_str();
        let place =
            Place { resource: &resource, namespace, name, subresource: &request.subresource };
        match verb {
            Verb::List | Verb::Watch => self.read_collection(&call, &resource, place).await,
            Verb::Get => self.read_one(&call, place).await,
            Verb::Delete | Verb::DeleteCollection => self.remove(&call, place).await,
            Verb::Create | Verb::Update | Verb::Patch => self.write(&call, place, verb).await,
        }
    }

    async fn read_one(self: &Arc<Self>, call: &Call, place: Place<'_>) -> Result<Answer, Status> {
        let accepted = accepted(&call.headers, place.resource)?;
        let stored = match place.subresource {
            "" | "status" | "approval" | "ephemeralcontainers" | "resize" => {
                self.get(place).await?
            }
            "scale" => self.get_scale(place).await?,
            _ => return Err(Status::no_such_resource()),
        };
        let options = ListOptions::from_query(call.parameters.iter())?;
        self.check_not_older(options.at)?;
        let bytes = respond::object_bytes(
            place.resource,
            &stored,
            &accepted,
            place.subresource != "scale",
        )?;
        Ok(finish(200, &accepted, bytes, &call.headers))
    }

    async fn read_collection(
        self: &Arc<Self>,
        call: &Call,
        resource: &Arc<Resource>,
        place: Place<'_>,
    ) -> Result<Answer, Status> {
        let accepted = accepted(&call.headers, place.resource)?;
        let mut options = ListOptions::from_query(call.parameters.iter())?;
        check_fields(resource, &options)?;
        if !place.name.is_empty() {
            return Err(Status::no_such_resource());
        }
        if call.request.verb == "watch" || options.watch {
            options.watch = true;
            let (sender, parts) = mpsc::channel(PARTS);
            let place =
                OwnedPlace { resource: resource.clone(), namespace: place.namespace.to_owned() };
            let content_type = HeaderValue::from_static(accepted.watch_content_type());
            tokio::spawn(self.clone().serve_watch(place, options, accepted, sender));
            let mut answer = Response::new(Body::Parts(parts));
            let headers = answer.headers_mut();
            headers.insert(header::CONTENT_TYPE, content_type);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
            return Ok(answer);
        }
        self.check_not_older(options.at)?;
        let mut listed = Listed::begin(place, &options)?;
        let first = self.next_page(&mut listed, &options).await;
        let (page, last) = match first {
            Ok(first) => first,
            Err(ListFailure { status, continue_token }) => {
                return Ok(respond::failure_with(&status, &continue_token));
            }
        };
        if accepted.encoding == Encoding::Protobuf {
            let body = self.protobuf_list(listed, &options, resource, page, last).await?;
            return Ok(finish(200, &accepted, body, &call.headers));
        }
        let metadata = respond::list_metadata(page.revision, &page.continue_token, page.remaining);
        let mut head = respond::list_head(resource, &accepted, &metadata);
        if last {
            write_items(resource, page.entries, &accepted, true, &mut head)?;
            head.extend_from_slice(b"]}");
            return Ok(finish(200, &accepted, head, &call.headers));
        }
        // A long list whose end is not known yet: its token has to come after its items.
        let head = respond::list_head(resource, &accepted, &Value::Null);
        let (sender, parts) = mpsc::channel(PARTS);
        let content_type = HeaderValue::from_static(accepted.content_type());
        let long = LongList { listed, options, accepted, resource: resource.clone(), sender };
        tokio::spawn(self.clone().send_long_list(long, head, page));
        let mut answer = Response::new(Body::Parts(parts));
        answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
        Ok(answer)
    }

    /// A list whose length stands before it, so that it has to be whole.
    async fn protobuf_list(
        &self,
        mut listed: Listed,
        options: &ListOptions,
        resource: &Resource,
        mut page: crate::verbs::Page,
        mut last: bool,
    ) -> Result<Vec<u8>, Status> {
        let mut entries = std::mem::take(&mut page.entries);
        while !last {
            (page, last) =
                self.next_page(&mut listed, options).await.map_err(|failure| failure.status)?;
            entries.append(&mut page.entries);
        }
        let metadata = respond::list_metadata(page.revision, &page.continue_token, page.remaining);
        respond::protobuf_list(resource, entries.into_iter().map(Stored::from), &metadata)
    }

    /// Sends a list page by page, so that it never is in memory as a whole. Fails by ending before
    /// the end: the client sees that its JSON is not complete.
    async fn send_long_list(
        self: Arc<Self>,
        mut long: LongList,
        head: Vec<u8>,
        first: crate::verbs::Page,
    ) {
        let mut out = head;
        let (mut page, mut is_first, mut last) = (first, true, false);
        loop {
            let (revision, token, remaining) =
                (page.revision, std::mem::take(&mut page.continue_token), page.remaining);
            let entries = std::mem::take(&mut page.entries);
            if !entries.is_empty() {
                let written =
                    write_items(&long.resource, entries, &long.accepted, is_first, &mut out);
                if written.is_err() {
                    return;
                }
                is_first = false;
            }
            if last {
                let metadata = respond::list_metadata(revision, &token, remaining);
                out.extend_from_slice(b"],\"metadata\":");
                out.extend_from_slice(&metadata.to_json());
                out.push(b'}');
            }
            if last || out.len() >= PART_BYTES {
                let part = Bytes::from(std::mem::take(&mut out));
                if long.sender.send(part).await.is_err() {
                    return;
                }
            }
            if last {
                return;
            }
            match self.next_page(&mut long.listed, &long.options).await {
                Ok((next, is_last)) => (page, last) = (next, is_last),
                Err(failure) => {
                    tracing::warn!("a list was cut off: {}", failure.status);
                    return;
                }
            }
        }
    }

    async fn remove(self: &Arc<Self>, call: &Call, place: Place<'_>) -> Result<Answer, Status> {
        let accepted = accepted(&call.headers, place.resource)?;
        let mut options = DeleteOptions::from_query(call.parameters.iter())?;
        if !call.body.is_empty() {
            let kind = Gvk::of("v1", "DeleteOptions");
            let value = read_value(&call.headers, &call.body, &kind)?;
            if value.str_at(&["kind"]) == "DeleteOptions" || value.get("kind").is_none() {
                options = DeleteOptions::from_value(&value)?;
            }
        }
        let write = WriteOptions { dry_run: options.dry_run, ..WriteOptions::default() };
        let writing = Writing::new(&call.user, write, call.agent());
        if place.name.is_empty() {
            let select = ListOptions::from_query(call.parameters.iter())?;
            check_fields(place.resource, &select)?;
            let result = self.delete_collection(place, &select, &options, &writing).await;
            let deleted = match result {
                Ok(deleted) => deleted,
                Err(failure) => {
                    return Ok(respond::failure_with(&failure.status, &failure.continue_token));
                }
            };
            let metadata = respond::list_metadata(self.store.revision(), "", None);
            if accepted.encoding == Encoding::Protobuf {
                let items = deleted.into_iter();
                let body = respond::protobuf_list(place.resource, items, &metadata)?;
                return Ok(finish(200, &accepted, body, &call.headers));
            }
            let mut out = respond::list_head(place.resource, &accepted, &metadata);
            for (at, stored) in deleted.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                respond::write_item(place.resource, stored, &accepted, &mut out)?;
            }
            out.extend_from_slice(b"]}");
            return Ok(finish(200, &accepted, out, &call.headers));
        }
        use crate::verbs::Deleted;
        match self.delete(place, &options, &writing).await? {
            Deleted::Gone(stored) if !place.resource.is("", "Pod") => {
                let done = crate::metadata::deleted(place.resource, &stored.value()?);
                if accepted.encoding == Encoding::Protobuf {
                    let body = respond::encode_protobuf(&done)?;
                    return Ok(finish(200, &accepted, body, &call.headers));
                }
                Ok(respond::json(200, &done))
            }
            Deleted::Gone(stored) | Deleted::Marked(stored) => {
                let bytes = respond::object_bytes(place.resource, &stored, &accepted, true)?;
                Ok(finish(200, &accepted, bytes, &call.headers))
            }
        }
    }

    async fn write(
        self: &Arc<Self>,
        call: &Call,
        place: Place<'_>,
        verb: Verb,
    ) -> Result<Answer, Status> {
        let accepted = accepted(&call.headers, place.resource)?;
        let options = WriteOptions::from_query(call.parameters.iter())?;
        let writing = Writing::new(&call.user, options, call.agent());
        if let Some(answer) = self.review(call, place).await? {
            return Ok(answer);
        }
        let (stored, code) = match (verb, place.subresource) {
            (Verb::Patch, "scale") => {
                let patch = self.read_patch(call)?;
                (self.patch_scale(place, &patch, &writing).await?, 200)
            }
            (Verb::Patch, _) => {
                let patch = self.read_patch(call)?;
                let (stored, created) = self.patch(place, &patch, &writing).await?;
                (stored, if created { 201 } else { 200 })
            }
            (Verb::Update, "scale") => {
                let kind = Gvk::of("autoscaling/v1", "Scale");
                let scale = read_value(&call.headers, &call.body, &kind)?;
                (self.change_scale(place, &writing, |_| Ok(scale.clone())).await?, 200)
            }
            (Verb::Update, _) => {
                let object = read_object(place, call, &writing)?;
                (self.update(place, object, &writing).await?, 200)
            }
            (_, "") => {
                let object = read_object(place, call, &writing)?;
                (self.create(place, object, &writing).await?, 201)
            }
            _ => return Err(Status::no_such_resource()),
        };
        let own_kind = place.subresource != "scale";
        let bytes = respond::object_bytes(place.resource, &stored, &accepted, own_kind)?;
        let mut answer = finish(code, &accepted, bytes, &call.headers);
        add_warnings(&writing, answer.headers_mut());
        Ok(answer)
    }

    async fn patch_scale(
        &self,
        place: Place<'_>,
        patch: &Patch,
        writing: &Writing<'_>,
    ) -> Result<Stored, Status> {
        self.change_scale(place, writing, |scale| {
            let mut scale = scale.clone();
            patch.apply_plainly(&mut scale)?;
            Ok(scale)
        })
        .await
    }

    fn read_patch(&self, call: &Call) -> Result<Patch, Status> {
        let content_type = content_type(&call.headers);
        let kind = PatchKind::of_content_type(content_type).ok_or_else(|| {
            Status::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
                "application/apply-patch+yaml",
            ])
        })?;
        let document = match kind {
            PatchKind::Apply => read_yaml(&call.body)?,
            _ => read_json(&call.body)?,
        };
        Ok(Patch { kind, document })
    }
}

struct LongList {
    listed: Listed,
    options: ListOptions,
    accepted: Accepted,
    resource: Arc<Resource>,
    sender: mpsc::Sender<Bytes>,
}

fn write_items(
    resource: &Resource,
    entries: Vec<holm_store::Entry>,
    accepted: &Accepted,
    mut first: bool,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    for entry in entries {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        respond::write_item(resource, &Stored::from(entry), accepted, out)?;
    }
    Ok(())
}

/// Compresses what is long, for those who take it.
fn finish(code: u16, accepted: &Accepted, body: Vec<u8>, headers: &HeaderMap) -> Answer {
    const LONG: usize = 128 << 10;
    let takes_gzip = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|it| it.to_str().ok())
        .is_some_and(|it| it.split(',').any(|it| it.trim() == "gzip"));
    if body.len() < LONG || !takes_gzip {
        return respond::bytes(code, accepted.content_type(), body);
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = std::io::Write::write_all(&mut encoder, &body).and_then(|()| encoder.finish());
    let Ok(packed) = packed else { return respond::bytes(code, accepted.content_type(), body) };
    let mut answer = respond::bytes(code, accepted.content_type(), packed);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}

fn add_warnings(writing: &Writing<'_>, headers: &mut HeaderMap) {
    let warnings = writing.warnings.lock().unwrap_or_else(PoisonError::into_inner);
    for warning in warnings.iter() {
        let text: String = warning
            .chars()
            .filter(|it| !it.is_control())
            .flat_map(|it| match it {
                '"' | '\\' => vec!['\\', it],
                it => vec![it],
            })
            .collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            headers.append(header::WARNING, value);
        }
    }
}

/// Fields by which objects can be selected: those that upstream has, for each kind.
fn check_fields(resource: &Resource, options: &ListOptions) -> Result<(), Status> {
    let more: &[&str] = match &*resource.kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "Node" => &["spec.unschedulable"],
        "Namespace" => &["status.phase"],
        "Secret" => &["type"],
        "ReplicaSet" | "ReplicationController" => &["status.replicas"],
        "Job" => &["status.successful"],
        "CertificateSigningRequest" => &["spec.signerName"],
        "Service" => &["spec.clusterIP", "spec.type"],
        _ => &[],
    };
    for one in options.fields.requirements.iter().map(|it| it.field.as_str()) {
        if !matches!(one, "metadata.name" | "metadata.namespace") && !more.contains(&one) {
            return Err(Status::bad_request(format!(
                "Unable to find \"{}\" that match label selector \"\", field selector \"{}\": field label not supported: {one}",
                resource.gvr(),
                options.fields
            )));
        }
    }
    Ok(())
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    value.unwrap_or("application/json").split(';').next().unwrap_or_default().trim()
}

fn read_json(body: &[u8]) -> Result<Value, Status> {
    value::decode(body)
        .map(|it| it.value)
        .map_err(|error| Status::bad_request(format!("error decoding the body: {error}")))
}

fn read_yaml(body: &[u8]) -> Result<Value, Status> {
    // JSON is YAML, and most bodies are JSON: it is read faster, and its duplicates are told.
    if body.first() == Some(&b'{') {
        return read_json(body);
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: 128, max_nodes: 250_000, max_documents: 1 },
    };
    let text = std::str::from_utf8(body)
        .map_err(|_| Status::bad_request("error decoding the body: it is not valid text"))?;
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| Status::bad_request(format!("error converting YAML to JSON: {error}")))
}

/// A body by its content type.
pub(super) fn read_value(headers: &HeaderMap, body: &[u8], kind: &Gvk) -> Result<Value, Status> {
    match content_type(headers) {
        PROTOBUF => protobuf::decode(body, kind)
            .map_err(|error| Status::bad_request(format!("error decoding the body: {error}"))),
        "application/json" | "" => read_json(body),
        "application/yaml" => read_yaml(body),
        _ => Err(Status::unsupported_media_type(&crate::negotiate::MEDIA_TYPES)),
    }
}

/// An object of the resource's kind.
fn read_object(place: Place<'_>, call: &Call, writing: &Writing<'_>) -> Result<Value, Status> {
    let node = place.resource.schema.node();
    let gvk = place.resource.gvk();
    let wrong = |why: String| Status::bad_request(decode::wrong_shape(&gvk, why));
    let strict = writing.options.field_validation != FieldValidation::Ignore;
    let (value, noticed) = if content_type(&call.headers) == "application/json" {
        let read = decode::read(node, &call.body).map_err(|error| wrong(error.to_string()))?;
        (read.value, read.noticed)
    } else {
        let mut value = read_value(&call.headers, &call.body, &gvk)?;
        let unknown = decode::normalize(node, &mut value, decode::Fill::Whole)
            .map_err(|error| wrong(error.to_string()))?;
        (value, unknown.iter().map(|it| format!("unknown field {it:?}")).collect())
    };
    if !value.is_object() {
        return Err(Status::bad_request("the body is no object"));
    }
    if strict {
        crate::verbs::notice(place, writing, noticed.into_iter())?;
    }
    Ok(value)
}
