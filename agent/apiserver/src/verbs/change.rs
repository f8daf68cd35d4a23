//! update, and the loop under every other change: read, change, check, write if nobody was faster.

use super::{Ownership, Place, Stored, Writing, store_failed};
use crate::admission::{Attempt, Operation};
use crate::at_rest;
use crate::metadata;
use crate::server::Server;
use holm_api::{Resource, Status, Value, apply};
use holm_store::{Condition, Txn, TxnOutcome, Write};

/// Attempts before a change that meets others all the time is given up.
const ATTEMPTS: u32 = 20;

impl Server {
    /// Replaces an object, or a part of it.
    ///
    /// # Errors
    /// 404, 409 when it changed meanwhile, and what admission and validation say.
    pub async fn update(
        &self,
        place: Place<'_>,
        mut object: Value,
        writing: &Writing<'_>,
    ) -> Result<Stored, Status> {
        metadata::fit_path(place.resource, &mut object, place.namespace, place.name)?;
        let version = object.str_at(&["metadata", "resourceVersion"]);
        if version.is_empty() && needs_version(place.resource) {
            let path = holm_api::field::Path::new("metadata.resourceVersion");
            let error =
                holm_api::field::FieldError::invalid(&path, "", "must be specified for an update");
            let kind = place.resource.group_kind();
            return Err(Status::invalid(kind, place.name, &[error]));
        }
        self.change(place, writing, Ownership::OfChanges, |_| Ok(object.clone())).await
    }

    /// Changes an object by a function of its current state, again and again until nobody else
    /// changed it meanwhile. A change that makes no difference writes nothing.
    ///
    /// # Errors
    /// What the function says, 404, and what admission and validation say.
    pub async fn change(
        &self,
        place: Place<'_>,
        writing: &Writing<'_>,
        ownership: Ownership,
        mut make: impl FnMut(&Value) -> Result<Value, Status> + Send,
    ) -> Result<Stored, Status> {
        let Place { resource, namespace, name, subresource } = place;
        let mut current = self.get(place).await?;
        for _ in 0..ATTEMPTS {
            let old = current.value()?;
            let mut new = make(&old)?;
            metadata::fit_path(resource, &mut new, namespace, name)?;
            metadata::for_update(resource, &old, &mut new, subresource)?;
            let attempt = Attempt { operation: Operation::Update, place, old: Some(&old), writing };
            self.admit(&attempt, &mut new).await?;
            self.check(resource, &mut new, Some(&old))?;
            if ownership == Ownership::OfChanges {
                self.own_changes(place, Some(&old), &mut new, writing);
            }
            match self.replace(place, &current, new, writing.options.dry_run).await? {
                Ok(stored) => return Ok(stored),
                Err(changed) => current = changed,
            }
        }
        Err(Status::modified(resource.group_resource(), name))
    }

    /// Gives the writer the fields that a change differs in.
    pub(super) fn own_changes(
        &self,
        place: Place<'_>,
        old: Option<&Value>,
        new: &mut Value,
        writing: &Writing<'_>,
    ) {
        let (api_version, now) =
            (place.resource.api_version(), holm_api::time::seconds(self.now()));
        let ignored = apply::ignored_fields(place.resource, place.subresource);
        let write = apply::Write {
            node: place.resource.schema.node(),
            api_version: &api_version,
            manager: writing.manager(),
            subresource: place.subresource,
            now: &now,
            force: writing.options.force,
            ignored: &ignored,
        };
        apply::update(&write, old, new);
    }

    /// Writes the new state of an object, or deletes it when only finalizers had kept it. The inner
    /// error is what somebody else made of it meanwhile.
    pub(super) async fn replace(
        &self,
        place: Place<'_>,
        current: &Stored,
        mut new: Value,
        dry_run: bool,
    ) -> Result<Result<Stored, Stored>, Status> {
        let over = metadata::is_over(&new);
        let bytes = at_rest::pack(&mut new);
        if bytes == current.bytes && !over {
            return Ok(Ok(current.clone()));
        }
        if dry_run {
            return Ok(Ok(Stored { bytes, revision: current.revision }));
        }
        let key = at_rest::key(place.resource, place.namespace, place.name);
        let write = if over {
            Write::Delete { key: key.clone() }
        } else {
            let lease = self.lease_for(place.resource).await?;
            Write::Put { key: key.clone(), value: bytes.clone(), lease }
        };
        let conditions = vec![Condition { key, mod_revision: current.revision }];
        let txn = Txn { conditions, writes: vec![write] };
        match self.store.txn(txn).await.map_err(|error| store_failed(&error))? {
            TxnOutcome::Committed { revision } => Ok(Ok(Stored { bytes, revision })),
            TxnOutcome::Conflict { current: Some(entry), .. } => Ok(Err(entry.into())),
            TxnOutcome::Conflict { current: None, .. } => Err(place.not_found()),
        }
    }
}

/// Kinds whose updates must say which state they are of.
fn needs_version(resource: &Resource) -> bool {
    resource.custom.is_some()
        || matches!(
            &*resource.plural,
            "customresourcedefinitions"
                | "apiservices"
                | "leases"
                | "endpointslices"
                | "ingressclasses"
        ) && resource.plural != "leases"
}
