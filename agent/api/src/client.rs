//! The trait through which controllers, the node and everything else reaches objects. In one process
//! it is a function call on shared, already decoded objects; across machines it is HTTPS.

use crate::options::{DeleteOptions, ListOptions, WriteOptions};
use crate::{Gvr, Status, Value};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// An answer that comes later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send + 'a>>;

/// An object, shared by all who read it.
pub type Object = Arc<Value>;

/// Which object, collection or subresource a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The resource.
    pub resource: Gvr,
    /// The namespace; `None` for all of them and for resources of the cluster.
    pub namespace: Option<String>,
    /// The object's name; `None` for a collection.
    pub name: Option<String>,
    /// The subresource, such as `status`.
    pub subresource: Option<String>,
}

impl Target {
    /// All objects of a resource, in every namespace.
    pub fn all(resource: Gvr) -> Self {
        Self { resource, namespace: None, name: None, subresource: None }
    }

    /// Those of one namespace; an empty name is that of resources of the cluster.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        self
    }

    /// One object.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// A subresource of it.
    #[must_use]
    pub fn part(mut self, subresource: &str) -> Self {
        self.subresource = Some(subresource.to_owned());
        self
    }

    /// The path of its URL.
    pub fn path(&self) -> String {
        let mut path = self.resource.path(self.namespace.as_deref());
        for part in [&self.name, &self.subresource].into_iter().flatten() {
            path.push('/');
            path.push_str(part);
        }
        path
    }
}

/// The objects of a list, and the state that they show.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// The objects.
    pub items: Vec<Object>,
    /// The revision of the state; a watch from here misses nothing.
    pub resource_version: String,
    /// Where the next part begins; empty at the end.
    pub continue_token: String,
}

/// What a watch tells.
#[derive(Debug, Clone)]
pub enum Event {
    /// An object is new, or entered the selection.
    Added(Object),
    /// An object changed.
    Modified(Object),
    /// An object is gone, or left the selection: its last state.
    Deleted(Object),
    /// Everything up to this revision was told; `initial_end` marks the end of the initial events.
    Bookmark {
        /// The revision.
        resource_version: String,
        /// Whether the objects that were there at the start were all told.
        initial_end: bool,
    },
}

/// A watch that goes on.
pub trait Watch: Send {
    /// The next event; `None` when the watch ended. An error ends it too: one with
    /// [`Status::is_expired`] asks for a new list.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Result<Event, Status>>> + Send + '_>>;
}

/// How a patch is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`, RFC 6902.
    Json,
    /// `application/merge-patch+json`, RFC 7386.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
    /// `application/apply-patch+yaml`: server-side apply.
    Apply,
}

impl PatchKind {
    /// The kind that a content type (without parameters) stands for.
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        match content_type {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }

    /// The content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// All that may be done with objects.
pub trait Client: Send + Sync {
    /// One object, or a readable subresource of it.
    fn get<'a>(&'a self, target: &'a Target) -> Answer<'a, Object>;

    /// A collection.
    fn list<'a>(&'a self, target: &'a Target, options: &'a ListOptions) -> Answer<'a, List>;

    /// Changes in a collection from now, or from the options' resource version, on.
    fn watch<'a>(
        &'a self,
        target: &'a Target,
        options: &'a ListOptions,
    ) -> Answer<'a, Box<dyn Watch>>;

    /// Makes an object, or posts to a subresource; the answer is what the server made of it.
    fn create<'a>(
        &'a self,
        target: &'a Target,
        object: Value,
        options: &'a WriteOptions,
    ) -> Answer<'a, Object>;

    /// Replaces an object, or a subresource of it.
    fn update<'a>(
        &'a self,
        target: &'a Target,
        object: Value,
        options: &'a WriteOptions,
    ) -> Answer<'a, Object>;

    /// Changes parts of an object.
    fn patch<'a>(
        &'a self,
        target: &'a Target,
        kind: PatchKind,
        patch: Value,
        options: &'a WriteOptions,
    ) -> Answer<'a, Object>;

    /// Deletes an object; the answer is the object or a `Status`.
    fn delete<'a>(&'a self, target: &'a Target, options: &'a DeleteOptions) -> Answer<'a, Object>;

    /// Deletes the objects of a collection that the list options select.
    fn delete_collection<'a>(
        &'a self,
        target: &'a Target,
        select: &'a ListOptions,
        options: &'a DeleteOptions,
    ) -> Answer<'a, ()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_leads_to_object_and_subresource() {
        let pods = Target::all(Gvr::fixed("", "v1", "pods"));
        assert_eq!(pods.path(), "/api/v1/pods");
        let status = pods.within("x").named("web").part("status");
        assert_eq!(status.path(), "/api/v1/namespaces/x/pods/web/status");
        let nodes = Target::all(Gvr::fixed("", "v1", "nodes")).within("").named("n");
        assert_eq!(nodes.path(), "/api/v1/nodes/n");
    }

    #[test]
    fn content_types_of_patches_are_told_apart() {
        for kind in [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic, PatchKind::Apply] {
            assert_eq!(PatchKind::of_content_type(kind.content_type()), Some(kind));
        }
        assert_eq!(PatchKind::of_content_type("application/json"), None);
    }
}
