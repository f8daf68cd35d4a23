//! get.

use super::{Place, Stored, store_failed};
use crate::at_rest;
use crate::server::Server;
use holm_api::Status;
use holm_api::options::AtVersion;

impl Server {
    /// One object, as it is now.
    ///
    /// # Errors
    /// 404.
    pub async fn get(&self, place: Place<'_>) -> Result<Stored, Status> {
        let key = at_rest::key(place.resource, place.namespace, place.name);
        let entry = self.store.get(&key).await.map_err(|error| store_failed(&error))?;
        entry.map(Stored::from).ok_or_else(|| place.not_found())
    }

    /// That a read at `at` can be answered with the newest state.
    pub(crate) fn check_not_older(&self, at: AtVersion) -> Result<(), Status> {
        match at {
            AtVersion::NotOlderThan(requested) if requested > self.store.revision() => {
                let current = self.store.revision();
                Err(store_failed(&holm_store::StoreError::Future { requested, current }))
            }
            _ => Ok(()),
        }
    }
}
