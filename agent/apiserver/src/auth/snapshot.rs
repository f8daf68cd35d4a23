//! The roles and bindings of the store, decoded, and kept up to date by watching: authorisation
//! reads no disk and decodes nothing.

use super::rbac::Rules;
use crate::at_rest;
use holm_store::{Event, KeyRange, RangeRequest, Store, StoreError};
use std::sync::{Arc, PoisonError, RwLock};

const PREFIX: &str = "/registry/rbac.authorization.k8s.io/";

/// The rules as of some moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(Arc<RwLock<Arc<Rules>>>);

impl Snapshot {
    /// The rules now.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut current));
    }

    /// Fills it from the store. Returns the revision that it shows.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn fill(&self, store: &dyn Store) -> Result<u64, StoreError> {
        let range = KeyRange::prefix(PREFIX.as_bytes());
        let listed = store.range(RangeRequest::latest(range)).await?;
        let mut rules = Rules::default();
        for entry in &listed.entries {
            if let (Some((resource, namespace, name)), object) =
                (parts(&entry.key), at_rest::object_of(entry))
            {
                rules.set(resource, namespace, name, object.as_ref());
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        Ok(listed.revision)
    }

    /// Follows the store from `revision` on, for as long as it is open.
    pub async fn follow(self, store: Arc<dyn Store>, mut revision: u64) {
        let range = KeyRange::prefix(PREFIX.as_bytes());
        loop {
            let result = async {
                let mut watch = store.watch(range.clone(), revision).await?;
                loop {
                    let event = watch.next().await?;
                    revision = event.revision;
                    self.apply(&event);
                }
            };
            let result: Result<(), StoreError> = result.await;
            match result {
                Err(StoreError::Compacted { .. }) => match self.fill(&*store).await {
                    Ok(filled) => revision = filled,
                    Err(_) => return,
                },
                // The store is closed, or broken for everyone.
                _ => return,
            }
        }
    }

    fn apply(&self, event: &Event) {
        let Some((resource, namespace, name)) = parts(&event.key) else { return };
        let object = event.entry.as_ref().and_then(at_rest::object_of);
        self.change(|rules| rules.set(resource, namespace, name, object.as_ref()));
    }
}

/// Resource, namespace and name of a key.
fn parts(key: &[u8]) -> Option<(&str, &str, &str)> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    let (resource, rest) = rest.split_once('/')?;
    let namespaced = matches!(resource, "roles" | "rolebindings");
    let (namespace, name) = if namespaced { rest.split_once('/')? } else { ("", rest) };
    Some((resource, namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_what_they_are_about() {
        let read = |text: &'static str| parts(text.as_bytes());
        assert_eq!(
            read("/registry/rbac.authorization.k8s.io/roles/a/b"),
            Some(("roles", "a", "b"))
        );
        assert_eq!(
            read("/registry/rbac.authorization.k8s.io/clusterroles/system:node"),
            Some(("clusterroles", "", "system:node"))
        );
        assert_eq!(read("/registry/core/pods/a/b"), None);
    }
}
