//! The verbs, over the store. Each takes and returns objects at rest or as values; none knows HTTP.

mod change;
mod create;
mod delete;
mod list;
mod patch;
mod read;
mod scale;

pub use delete::Deleted;
pub use list::{ListFailure, Listed, Page, selects};
pub use patch::Patch;
pub(crate) use patch::notice;

use crate::at_rest;
use crate::auth::User;
use bytes::Bytes;
use holm_api::options::WriteOptions;
use holm_api::{Resource, Status, Value};
use holm_store::{Entry, StoreError};
use std::sync::Mutex;

/// Which object, or which collection, a call is about.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The row of its resource.
    pub resource: &'a Resource,
    /// Its namespace; empty for all, and for resources of the cluster.
    pub namespace: &'a str,
    /// Its name; empty for a collection.
    pub name: &'a str,
    /// The part of it; empty for the whole.
    pub subresource: &'a str,
}

/// An object at rest with its version.
#[derive(Debug, Clone)]
pub struct Stored {
    /// As [`at_rest`] has it.
    pub bytes: Bytes,
    /// Its resource version; 0 for what was never kept, in a dry run.
    pub revision: u64,
}

/// Who writes, and how.
#[derive(Debug)]
pub struct Writing<'a> {
    /// Who asks.
    pub user: &'a User,
    /// What the query says.
    pub options: WriteOptions,
    /// Who owns the fields that are written, where the query does not say.
    agent: &'a str,
    /// What the client should be warned of.
    pub warnings: Mutex<Vec<String>>,
}

impl<'a> Writing<'a> {
    /// A write of a user with a program.
    #[must_use]
    pub fn new(user: &'a User, options: WriteOptions, agent: &'a str) -> Self {
        Self { user, options, agent, warnings: Mutex::default() }
    }

    /// Who owns the fields that are written.
    #[must_use]
    pub fn manager(&self) -> &str {
        match (self.options.field_manager.as_str(), self.agent) {
            ("", "") => "unknown",
            ("", agent) => agent.get(..128).unwrap_or(agent),
            (manager, _) => manager,
        }
    }
}

/// Who owns what a change writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// The writer owns what differs.
    OfChanges,
    /// The change itself has said who owns what.
    Said,
}

impl Stored {
    /// The object.
    pub fn value(&self) -> Result<Value, Status> {
        at_rest::unpack(&self.bytes, self.revision)
            .ok_or_else(|| Status::internal("an object at rest cannot be read"))
    }
}

impl From<Entry> for Stored {
    fn from(entry: Entry) -> Self {
        Self { revision: entry.mod_revision, bytes: entry.value }
    }
}

impl Place<'_> {
    /// That there is no such object.
    pub fn not_found(&self) -> Status {
        Status::not_found(self.resource.group_resource(), self.name)
    }
}

/// A store's refusal as clients are told.
pub fn store_failed(error: &StoreError) -> Status {
    match error {
        StoreError::Compacted { requested, compacted } => {
            Status::expired(format!("too old resource version: {requested} ({compacted})"))
        }
        StoreError::Future { requested, current } => Status::timeout(
            &format!("Too large resource version: {requested}, current: {current}"),
            1,
        )
        .with(|details| {
            details.causes = vec![holm_api::status::Cause {
                reason: "ResourceVersionTooLarge".to_owned(),
                message: "Too large resource version".to_owned(),
                field: String::new(),
            }];
        }),
        StoreError::NoSpace { .. } => Status::plain(507, "", error.to_string()),
        StoreError::Invalid(_) => Status::request_entity_too_large(&error.to_string()),
        error => {
            tracing::error!("the store failed: {error}");
            Status::internal(error)
        }
    }
}
