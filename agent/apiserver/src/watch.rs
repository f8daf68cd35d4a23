//! One watch as its client sees it: what is there already, then changes, as far as the selectors
//! take them, with bookmarks. An object that leaves the selection is told as deleted.

use crate::at_rest;
use crate::negotiate::{Accepted, Encoding, View};
use crate::respond;
use crate::server::Server;
use crate::table;
use crate::verbs::{Listed, Place, Stored, selects, store_failed};
use bytes::Bytes;
use holm_api::options::{AtVersion, ListOptions};
use holm_api::{Resource, Status, Value, protobuf, value};
use holm_store::{Entry, Event, KeyRange, Watch};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Time between bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts when the client does not say.
const DEFAULT_SECONDS: u64 = 1800;
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// What happened, in a watch's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new, or new in the selection.
    Added,
    /// It changed.
    Modified,
    /// It is gone, or gone from the selection.
    Deleted,
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// What is made of an event once, for all who watch it.
#[derive(Default)]
struct Shown {
    now: OnceLock<Option<Arc<Value>>>,
    before: OnceLock<Option<Arc<Value>>>,
    frame: OnceLock<Bytes>,
    protobuf_frame: OnceLock<Bytes>,
}

/// A watch that has begun, behind its selectors.
pub struct Selected {
    watch: Watch,
    options: ListOptions,
}

/// One change that the selectors take: the object's last state, and the revision of the change.
pub struct Selection {
    /// What happened.
    pub change: Change,
    /// The event.
    pub event: Arc<Event>,
}

fn decoded(entry: Option<&Entry>) -> Option<Arc<Value>> {
    entry.and_then(at_rest::object_of).map(Arc::new)
}

/// What an event is to those who select by `options`; `None` when it is nothing to them.
fn select(event: &Event, options: &ListOptions) -> Option<Change> {
    if options.labels.is_everything() && options.fields.is_everything() {
        return Some(match (&event.entry, &event.previous) {
            (None, _) => Change::Deleted,
            (Some(_), None) => Change::Added,
            (Some(_), Some(_)) => Change::Modified,
        });
    }
    let shown = event.derived(|_| Shown::default())?;
    let taken = |slot: &OnceLock<Option<Arc<Value>>>, entry: Option<&Entry>| {
        slot.get_or_init(|| decoded(entry)).as_ref().is_some_and(|it| selects(it, options))
    };
    match (taken(&shown.before, event.previous.as_ref()), taken(&shown.now, event.entry.as_ref())) {
        (false, true) => Some(Change::Added),
        (true, true) => Some(Change::Modified),
        (true, false) => Some(Change::Deleted),
        (false, false) => None,
    }
}

impl Selection {
    /// The object as this change shows it: with the revision of the change.
    fn stored(&self) -> Option<Stored> {
        let entry = match self.change {
            Change::Deleted => self.event.previous.as_ref()?,
            _ => self.event.entry.as_ref()?,
        };
        Some(Stored { bytes: entry.value.clone(), revision: self.event.revision })
    }

    /// The object, decoded once for all who want it so.
    pub fn object(&self) -> Option<Arc<Value>> {
        let shown = self.event.derived(|_| Shown::default())?;
        if self.change == Change::Deleted {
            return self.stored()?.value().ok().map(Arc::new);
        }
        shown.now.get_or_init(|| decoded(self.event.entry.as_ref())).clone()
    }
}

impl Selected {
    /// The next change that the selectors take.
    ///
    /// # Errors
    /// 410 when the watcher was so slow that history is gone.
    pub async fn next(&mut self) -> Result<Selection, Status> {
        loop {
            let event = self.watch.next().await.map_err(|error| store_failed(&error))?;
            if let Some(change) = select(&event, &self.options) {
                return Ok(Selection { change, event });
            }
        }
    }

    /// The revision up to which everything was told; `None` while something waits.
    pub fn progress(&mut self) -> Option<u64> {
        self.watch.progress()
    }
}

impl Server {
    /// Watches a collection for changes after a revision.
    ///
    /// # Errors
    /// 410 when history does not go back so far.
    pub async fn watch_after(
        &self,
        place: Place<'_>,
        options: &ListOptions,
        revision: u64,
    ) -> Result<Selected, Status> {
        let range = match options.fields.required("metadata.name") {
            // One object: only its own changes wake the watch.
            Some(name) if !place.resource.namespaced || !place.namespace.is_empty() => {
                KeyRange::key(&at_rest::key(place.resource, place.namespace, name))
            }
            _ => at_rest::range(place.resource, place.namespace),
        };
        let watch = self.store.watch(range, revision).await.map_err(|it| store_failed(&it))?;
        Ok(Selected { watch, options: options.clone() })
    }

    /// Serves a watch into `parts` until it ends.
    pub async fn serve_watch(
        self: Arc<Self>,
        place: OwnedPlace,
        options: ListOptions,
        accepted: Accepted,
        parts: mpsc::Sender<Bytes>,
    ) {
        let seconds = options.timeout_seconds.filter(|it| *it > 0).unwrap_or(DEFAULT_SECONDS);
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut writer = Writer { place: &place, accepted, parts, columns_told: false };
        let result = tokio::time::timeout_at(end, self.watch_into(&options, &mut writer)).await;
        if let Ok(Err(Ended::Failed(status))) = result
            && let Ok(frame) = writer.frame("ERROR", &status.to_value())
        {
            let _ = writer.parts.send(frame).await;
        }
    }

    async fn watch_into(
        &self,
        options: &ListOptions,
        writer: &mut Writer<'_>,
    ) -> Result<(), Ended> {
        let place = writer.place.borrow();
        let initial = options.send_initial_events;
        // Without a revision, a watch begins with what is there: the old form of initial events.
        let tells_initial = initial == Some(true)
            || (initial.is_none() && matches!(options.resource_version.as_str(), "" | "0"));
        let mut revision = match options.at {
            AtVersion::NotOlderThan(revision) | AtVersion::Exact(revision) if !tells_initial => {
                revision
            }
            at => {
                self.check_not_older(at)?;
                self.store.revision()
            }
        };
        if tells_initial {
            let all = ListOptions {
                labels: options.labels.clone(),
                fields: options.fields.clone(),
                ..ListOptions::default()
            };
            let mut listed = Listed::begin(place, &all)?;
            loop {
                let (page, last) =
                    self.next_page(&mut listed, &all).await.map_err(|it| it.status)?;
                for entry in page.entries {
                    writer.object(Change::Added, &Stored::from(entry)).await?;
                }
                revision = page.revision;
                if last {
                    break;
                }
            }
            if initial == Some(true) && options.bookmarks {
                writer.bookmark(revision, true).await?;
            }
        }
        let mut watch = self.watch_after(place, options, revision).await?;
        let mut bookmarks = tokio::time::interval(BOOKMARK_EVERY);
        bookmarks.reset();
        loop {
            tokio::select! {
                selection = watch.next() => writer.change(&selection?).await?,
                _ = bookmarks.tick(), if options.bookmarks => {
                    if let Some(revision) = watch.progress() {
                        writer.bookmark(revision, false).await?;
                    }
                }
                () = writer.parts.closed() => return Err(Ended::Left),
            }
        }
    }
}

/// What a watch is about, for as long as it lasts.
#[derive(Debug, Clone)]
pub struct OwnedPlace {
    /// The row of its resource.
    pub resource: Arc<Resource>,
    /// Its namespace; empty for all.
    pub namespace: String,
}

impl OwnedPlace {
    fn borrow(&self) -> Place<'_> {
        Place { resource: &self.resource, namespace: &self.namespace, name: "", subresource: "" }
    }
}

/// Why a watch ends.
enum Ended {
    /// The client is told.
    Failed(Status),
    /// There is nobody to tell.
    Left,
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

/// Frames of one watch, to its client.
struct Writer<'a> {
    place: &'a OwnedPlace,
    accepted: Accepted,
    parts: mpsc::Sender<Bytes>,
    columns_told: bool,
}

impl Writer<'_> {
    async fn send(&self, frame: Bytes) -> Result<(), Ended> {
        self.parts.send(frame).await.map_err(|_| Ended::Left)
    }

    async fn change(&mut self, selection: &Selection) -> Result<(), Ended> {
        let stored = selection
            .stored()
            .ok_or_else(|| Status::internal("a change came without its object"))?;
        // The usual frame is made once for all watchers of the event.
        let usual = self.accepted.view == View::Whole
            && respond::is_served_as_stored(&self.place.resource)
            && selection.options_are_plain();
        let protobuf = self.accepted.encoding == Encoding::Protobuf;
        if usual
            && protobuf
            && let Some(shown) = selection.event.derived(|_| Shown::default())
        {
            let frame = match shown.protobuf_frame.get() {
                Some(frame) => frame.clone(),
                None => {
                    let frame = self.object_frame(selection.change, &stored)?;
                    shown.protobuf_frame.get_or_init(|| frame).clone()
                }
            };
            return self.send(frame).await;
        }
        if usual
            && !protobuf
            && let Some(shown) = selection.event.derived(|_| Shown::default())
        {
            let frame = shown.frame.get_or_init(|| {
                let mut out = Vec::with_capacity(stored.bytes.len() + 96);
                head(selection.change, &mut out);
                at_rest::write_json(&stored.bytes, stored.revision, &mut out);
                out.extend_from_slice(b"}\n");
                out.into()
            });
            return self.send(frame.clone()).await;
        }
        self.object(selection.change, &stored).await
    }

    async fn object(&mut self, change: Change, stored: &Stored) -> Result<(), Ended> {
        let frame = self.object_frame(change, stored)?;
        self.send(frame).await
    }

    fn object_frame(&mut self, change: Change, stored: &Stored) -> Result<Bytes, Status> {
        let resource = &*self.place.resource;
        if self.accepted.encoding == Encoding::Protobuf {
            let object = respond::object_bytes(resource, stored, &self.accepted, true)?;
            return Ok(protobuf::watch_frame(change.word(), &object).into());
        }
        let mut out = Vec::with_capacity(stored.bytes.len() + 96);
        head(change, &mut out);
        match &self.accepted.view {
            View::Table(version) => {
                let mut shown = table::empty(resource, version, !self.columns_told);
                self.columns_told = true;
                let row = table::row(resource, &stored.value()?);
                shown.set(&["metadata", "resourceVersion"], stored.revision.to_string());
                shown.set(&["rows"], vec![row]);
                out.extend_from_slice(&shown.to_json());
            }
            _ => out.extend_from_slice(&respond::object_bytes(
                resource,
                stored,
                &self.accepted,
                true,
            )?),
        }
        out.extend_from_slice(b"}\n");
        Ok(out.into())
    }

    /// A frame of something that is no object of the store.
    fn frame(&self, event: &str, object: &Value) -> Result<Bytes, Status> {
        if self.accepted.encoding == Encoding::Protobuf {
            let object = respond::encode_protobuf(object)?;
            return Ok(protobuf::watch_frame(event, &object).into());
        }
        let mut frame = value!({"type": event, "object": object}).to_json();
        frame.push(b'\n');
        Ok(frame.into())
    }

    async fn bookmark(&self, revision: u64, initial_end: bool) -> Result<(), Ended> {
        let resource = &*self.place.resource;
        let mut metadata = value!({"resourceVersion": {revision.to_string()}});
        if initial_end {
            metadata.set(&["annotations", INITIAL_END], "true");
        }
        let object = match &self.accepted.view {
            View::Metadata(version) => respond::partial(&value!({"metadata": metadata}), version),
            View::Table(version) => {
                let mut table = table::empty(resource, version, false);
                table.set(&["metadata"], metadata.clone());
                if initial_end {
                    let object = respond::partial(&value!({"metadata": metadata}), version);
                    table.set(&["rows"], vec![value!({"cells": [], "object": object})]);
                }
                table
            }
            View::Whole => value!({
                "kind": {&*resource.kind}, "apiVersion": {resource.api_version()},
                "metadata": metadata,
            }),
        };
        let frame = self.frame("BOOKMARK", &object)?;
        self.send(frame).await
    }
}

impl Selection {
    /// Whether the change is the same to everyone: not a matter of this watch's selectors.
    fn options_are_plain(&self) -> bool {
        let plain = match (&self.event.entry, &self.event.previous) {
            (None, _) => Change::Deleted,
            (Some(_), None) => Change::Added,
            (Some(_), Some(_)) => Change::Modified,
        };
        plain == self.change
    }
}

fn head(change: Change, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(change.word().as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_api::selector::LabelSelector;

    fn entry(label: &str, revision: u64) -> Entry {
        let mut object = value!({"metadata": {"name": "a", "labels": {"l": label}}});
        Entry {
            key: Arc::from(b"k".as_slice()),
            value: at_rest::pack(&mut object),
            mod_revision: revision,
            create_revision: 1,
            version: 1,
            lease: None,
        }
    }

    fn change(now: Option<&str>, before: Option<&str>) -> Option<Change> {
        let key = Arc::from(b"k".as_slice());
        let entry = |label: Option<&str>| label.map(|label| entry(label, 5));
        let event = Event::of(5, key, entry(now), entry(before));
        let labels = LabelSelector::parse("l=in").unwrap();
        select(&event, &ListOptions { labels, ..ListOptions::default() })
    }

    #[test]
    fn what_leaves_the_selection_is_deleted_and_what_enters_it_added() {
        assert_eq!(change(Some("in"), None), Some(Change::Added));
        assert_eq!(change(Some("out"), None), None);
        assert_eq!(change(Some("in"), Some("in")), Some(Change::Modified));
        assert_eq!(change(Some("out"), Some("in")), Some(Change::Deleted));
        assert_eq!(change(Some("in"), Some("out")), Some(Change::Added));
        assert_eq!(change(None, Some("in")), Some(Change::Deleted));
        assert_eq!(change(None, Some("out")), None);
    }
}
