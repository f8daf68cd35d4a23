//! create.

use super::{Ownership, Place, Stored, Writing, store_failed};
use crate::admission::{Attempt, Operation};
use crate::at_rest;
use crate::metadata::{self, Outside};
use crate::server::Server;
use holm_api::{Status, Value};
use holm_store::{Txn, TxnOutcome};

/// Names that are tried for a `generateName` before the client is told to try again.
const NAME_ATTEMPTS: u32 = 8;

impl Server {
    /// Makes an object.
    ///
    /// # Errors
    /// 409 when its name is taken, and what admission and validation say.
    pub async fn create(
        &self,
        place: Place<'_>,
        object: Value,
        writing: &Writing<'_>,
    ) -> Result<Stored, Status> {
        self.create_owned(place, object, writing, Ownership::OfChanges).await
    }

    /// The same, for one that may have said who owns what.
    ///
    /// # Errors
    /// Those of a create.
    pub(super) async fn create_owned(
        &self,
        place: Place<'_>,
        object: Value,
        writing: &Writing<'_>,
        ownership: Ownership,
    ) -> Result<Stored, Status> {
        let generates = object.str_at(&["metadata", "name"]).is_empty();
        for attempt in 1.. {
            let mut object = object.clone();
            match self.create_once(place, &mut object, writing, ownership).await {
                Err(error) if error.is_already_exists() && generates => {
                    if attempt == NAME_ATTEMPTS {
                        let name = object.str_at(&["metadata", "name"]);
                        let what = place.resource.group_resource();
                        return Err(Status::generated_name_taken(what, name));
                    }
                }
                result => return result,
            }
        }
        Err(Status::internal("no name was tried"))
    }

    async fn create_once(
        &self,
        place: Place<'_>,
        object: &mut Value,
        writing: &Writing<'_>,
        ownership: Ownership,
    ) -> Result<Stored, Status> {
        let Place { resource, namespace, name, .. } = place;
        metadata::fit_path(resource, object, namespace, name)?;
        let outside = Outside { now: self.now(), random: self.random()? };
        metadata::for_create(resource, object, outside)?;
        let attempt = Attempt { operation: Operation::Create, place, old: None, writing };
        self.admit(&attempt, object).await?;
        self.check(resource, object, None)?;
        if ownership == Ownership::OfChanges {
            self.own_changes(place, None, object, writing);
        }
        let name = object.str_at(&["metadata", "name"]).to_owned();
        let key = at_rest::key(resource, namespace, &name);
        let bytes = at_rest::pack(object);
        let taken = || Status::already_exists(resource.group_resource(), &name);
        if writing.options.dry_run {
            let found = self.store.get(&key).await.map_err(|error| store_failed(&error))?;
            return if found.is_some() { Err(taken()) } else { Ok(Stored { bytes, revision: 0 }) };
        }
        let lease = self.lease_for(resource).await?;
        let mut txn = Txn::create(key, bytes.clone());
        if let Some(lease) = lease {
            txn = txn.with_lease(lease);
        }
        match self.store.txn(txn).await.map_err(|error| store_failed(&error))? {
            TxnOutcome::Committed { revision } => Ok(Stored { bytes, revision }),
            TxnOutcome::Conflict { .. } => Err(taken()),
        }
    }
}
