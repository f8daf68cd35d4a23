//! Resources that CRDs add while the server runs: follows the CRDs in the store, says which names
//! they got, and changes the registry. What a CRD defined goes with it.

use crate::at_rest;
use crate::auth::bootstrap::server_user;
use crate::server::Server;
use crate::verbs::{Ownership, Place, Writing, store_failed};
use holm_api::options::{DeleteOptions, ListOptions, WriteOptions};
use holm_api::{Resource, Status, Value, crd};
use holm_store::{RangeRequest, StoreError};
use std::sync::Arc;

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";

fn definitions(server: &Server) -> Result<Arc<Resource>, Status> {
    let registry = server.registry();
    registry.by_path(GROUP, "v1", PLURAL).cloned().ok_or_else(Status::no_such_resource)
}

async fn all(server: &Server, resource: &Resource) -> Result<(Vec<Value>, u64), Status> {
    let request = RangeRequest::latest(at_rest::range(resource, ""));
    let range = server.store.range(request).await.map_err(|error| store_failed(&error))?;
    Ok((range.entries.iter().filter_map(at_rest::object_of).collect(), range.revision))
}

/// Serves what the store's CRDs define. Returns the revision that this shows.
///
/// # Errors
/// When the store fails.
pub async fn fill(server: &Arc<Server>) -> Result<u64, Status> {
    let resource = definitions(server)?;
    let (found, revision) = all(server, &resource).await?;
    for definition in &found {
        take(server, &resource, definition).await;
    }
    Ok(revision)
}

/// Follows the CRDs from `revision` on, for as long as the store is open.
pub async fn follow(server: Arc<Server>, mut revision: u64) {
    let Ok(resource) = definitions(&server) else { return };
    loop {
        let error = follow_until_error(&server, &resource, &mut revision).await;
        match error {
            StoreError::Compacted { .. } => match fill(&server).await {
                Ok(filled) => revision = filled,
                Err(_) => return,
            },
            _ => return,
        }
    }
}

async fn follow_until_error(
    server: &Arc<Server>,
    resource: &Resource,
    revision: &mut u64,
) -> StoreError {
    let mut watch = match server.store.watch(at_rest::range(resource, ""), *revision).await {
        Ok(watch) => watch,
        Err(error) => return error,
    };
    loop {
        let event = match watch.next().await {
            Ok(event) => event,
            Err(error) => return error,
        };
        *revision = event.revision;
        match (&event.entry, &event.previous) {
            (Some(entry), _) => {
                if let Some(definition) = at_rest::object_of(entry) {
                    take(server, resource, &definition).await;
                }
            }
            (None, Some(entry)) => {
                if let Some(definition) = at_rest::object_of(entry) {
                    drop_resource(server, &definition).await;
                }
            }
            (None, None) => {}
        }
    }
}

/// Brings a CRD's status up to date, and serves it once its names are accepted.
async fn take(server: &Arc<Server>, resource: &Resource, definition: &Value) {
    let name = definition.str_at(&["metadata", "name"]);
    let now = holm_api::time::seconds(server.now());
    let others = match all(server, resource).await {
        Ok((others, _)) => others,
        Err(error) => return tracing::error!("cannot look at CRDs: {error}"),
    };
    let others: Vec<&Value> = others.iter().collect();
    let status = crd::conditions(definition, &others, &now);
    if status != definition["status"] {
        let user = server_user();
        let writing = Writing::new(&user, WriteOptions::default(), "kube-apiserver");
        let place = Place { resource, namespace: "", name, subresource: "status" };
        let changed = server.change(place, &writing, Ownership::OfChanges, |old| {
            let mut new = old.clone();
            new.set(&["status"], status.clone());
            Ok(new)
        });
        if let Err(error) = changed.await {
            tracing::warn!("the status of {name} was not written: {error}");
        }
    }
    let mut definition = definition.clone();
    definition.set(&["status"], status);
    let conditions = definition.items_at(&["status", "conditions"]);
    let established = conditions
        .iter()
        .any(|it| it.str_at(&["type"]) == "Established" && it.str_at(&["status"]) == "True");
    if !established {
        return;
    }
    let group = definition.str_at(&["spec", "group"]);
    let plural = definition.str_at(&["spec", "names", "plural"]);
    match crd::rows(&definition) {
        Ok(rows) => server.serve_custom(group, plural, rows),
        Err(errors) => {
            tracing::warn!("{name} is not served: {:?}", errors.first().map(ToString::to_string));
        }
    }
}

/// Deletes the objects of a resource whose CRD is gone, and stops to serve it.
async fn drop_resource(server: &Arc<Server>, definition: &Value) {
    let group = definition.str_at(&["spec", "group"]);
    let plural = definition.str_at(&["spec", "names", "plural"]);
    let registry = server.registry();
    if let Some(resource) = registry.versions(group, plural).next() {
        let user = server_user();
        let writing = Writing::new(&user, WriteOptions::default(), "kube-apiserver");
        let place = Place { resource, namespace: "", name: "", subresource: "" };
        let (select, options) = (ListOptions::default(), DeleteOptions::default());
        if let Err(failure) = server.delete_collection(place, &select, &options, &writing).await {
            tracing::warn!("objects of {plural}.{group} stay: {}", failure.status);
        }
    }
    server.serve_custom(group, plural, Vec::new());
}
