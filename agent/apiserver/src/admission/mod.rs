//! What may be created, changed and deleted: small functions in a fixed order, first those that
//! change an object, then those that only look. Each sees what those before it made.
//!
//! Webhooks and policies have their places in the order; they are not built.

mod lifecycle;
mod limits;
mod nodes;
mod pods;
mod rules;
mod security;

use crate::server::Server;
use crate::verbs::{Place, Writing};
use holm_api::{Status, Value};

/// What is about to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// An object is made.
    Create,
    /// It, or a part of it, is changed.
    Update,
    /// It is deleted.
    Delete,
}

/// One attempt to change something.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// What is about to happen.
    pub operation: Operation,
    /// To what.
    pub place: Place<'a>,
    /// What is there, where something is.
    pub old: Option<&'a Value>,
    /// By whom.
    pub writing: &'a Writing<'a>,
}

impl Attempt<'_> {
    /// Whether an object of this core kind is made.
    fn creates(&self, kind: &str) -> bool {
        self.operation == Operation::Create
            && self.place.subresource.is_empty()
            && self.place.resource.is("", kind)
    }

    /// The 403 of an attempt.
    fn forbidden(&self, object: &Value, why: impl std::fmt::Display) -> Status {
        let name = match self.place.name {
            "" => object.str_at(&["metadata", "name"]),
            name => name,
        };
        Status::forbidden(self.place.resource.group_resource(), name, why)
    }
}

impl Server {
    /// Runs an attempt through admission.
    ///
    /// # Errors
    /// The first refusal.
    pub(crate) async fn admit(
        &self,
        attempt: &Attempt<'_>,
        object: &mut Value,
    ) -> Result<(), Status> {
        lifecycle::namespaces(self, attempt).await?;
        rules::escalation(self, attempt, object).await?;
        nodes::restriction(attempt, object)?;
        if attempt.creates("Pod") {
            pods::default_tolerations(object);
            pods::priority(self, attempt, object).await?;
            pods::service_account(self, attempt, object).await?;
            pods::runtime_class(self, attempt, object).await?;
        }
        limits::default_storage_class(self, attempt, object).await?;
        limits::limit_ranges(self, attempt, object).await?;
        // Here: mutating policies and webhooks. What follows only looks.
        security::admit(self, attempt, object).await?;
        // Here: validating policies and webhooks.
        limits::quotas(self, attempt, object).await
    }
}
