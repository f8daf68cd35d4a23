//! delete and deletecollection.

use super::{ListFailure, Listed, Place, Stored, Writing, store_failed};
use crate::admission::{Attempt, Operation};
use crate::at_rest;
use crate::metadata;
use crate::server::Server;
use holm_api::options::{DeleteOptions, ListOptions, Propagation};
use holm_api::{Resource, Status, Value};
use holm_store::{Txn, TxnOutcome};

/// What a deletion led to.
#[derive(Debug)]
pub enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Stored),
    /// It is marked, and goes when its finalizers and its time are over.
    Marked(Stored),
}

const ATTEMPTS: u32 = 20;

impl Server {
    /// Deletes an object, or marks it for those who have to do something first.
    ///
    /// # Errors
    /// 404, 409 when a precondition does not hold, and what admission says.
    pub async fn delete(
        &self,
        place: Place<'_>,
        options: &DeleteOptions,
        writing: &Writing<'_>,
    ) -> Result<Deleted, Status> {
        let mut current = self.get(place).await?;
        for _ in 0..ATTEMPTS {
            let old = current.value()?;
            check_preconditions(place, &old, options)?;
            let attempt = Attempt { operation: Operation::Delete, place, old: Some(&old), writing };
            self.admit(&attempt, &mut Value::Null).await?;
            let marked = mark(place.resource, &old, options, self.now());
            if let Some(new) = marked {
                if new == old {
                    return Ok(Deleted::Marked(current));
                }
                match self.replace(place, &current, new, options.dry_run).await? {
                    Ok(stored) => return Ok(Deleted::Marked(stored)),
                    Err(changed) => current = changed,
                }
                continue;
            }
            if options.dry_run {
                return Ok(Deleted::Gone(current));
            }
            let key = at_rest::key(place.resource, place.namespace, place.name);
            let txn = Txn::delete(key, current.revision);
            match self.store.txn(txn).await.map_err(|error| store_failed(&error))? {
                TxnOutcome::Committed { revision } => {
                    let bytes = current.bytes;
                    return Ok(Deleted::Gone(Stored { bytes, revision }));
                }
                TxnOutcome::Conflict { current: Some(entry), .. } => current = entry.into(),
                TxnOutcome::Conflict { current: None, .. } => return Err(place.not_found()),
            }
        }
        Err(Status::modified(place.resource.group_resource(), place.name))
    }

    /// Deletes every object of a collection that the selectors take. Returns what was there.
    ///
    /// # Errors
    /// Those of a list, and the first of a deletion; what was deleted before it stays deleted.
    pub async fn delete_collection(
        &self,
        place: Place<'_>,
        select: &ListOptions,
        options: &DeleteOptions,
        writing: &Writing<'_>,
    ) -> Result<Vec<Stored>, ListFailure> {
        let mut listed = Listed::begin(place, select)?;
        let mut deleted = Vec::new();
        loop {
            let (page, last) = self.next_page(&mut listed, select).await?;
            for entry in page.entries {
                let stored = Stored::from(entry);
                let object = stored.value()?;
                let one = Place {
                    namespace: object.str_at(&["metadata", "namespace"]),
                    name: object.str_at(&["metadata", "name"]),
                    ..place
                };
                match self.delete(one, options, writing).await {
                    Ok(_) => deleted.push(stored),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if last {
                return Ok(deleted);
            }
        }
    }
}

fn check_preconditions(
    place: Place<'_>,
    object: &Value,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let conflict = |what: &str, wanted: &str, found: &str| {
        let why = format!(
            "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
        );
        Err(Status::conflict(place.resource.group_resource(), place.name, why))
    };
    let (uid, version) =
        (object.str_at(&["metadata", "uid"]), object.str_at(&["metadata", "resourceVersion"]));
    match (&options.uid, &options.resource_version) {
        (Some(wanted), _) if wanted != uid => conflict("UID", wanted, uid),
        (_, Some(wanted)) if wanted != version => conflict("ResourceVersion", wanted, version),
        _ => Ok(()),
    }
}

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// The object marked for deletion; `None` when it can go at once.
fn mark(
    resource: &Resource,
    object: &Value,
    options: &DeleteOptions,
    now: jiff::Timestamp,
) -> Option<Value> {
    let mut new = object.clone();
    set_propagation(&mut new, options.propagation);
    let grace = grace_seconds(resource, object, options);
    let waits = !new.items_at(&["metadata", "finalizers"]).is_empty()
        || (resource.is("", "Namespace") && !new.items_at(&["spec", "finalizers"]).is_empty());
    if !waits && grace == 0 {
        return None;
    }
    let marked = !object.str_at(&["metadata", "deletionTimestamp"]).is_empty();
    let before = object.int_at(&["metadata", "deletionGracePeriodSeconds"]);
    if !marked || before.is_some_and(|before| grace < before) {
        metadata::mark_deleted(&mut new, now, grace);
    }
    if resource.is("", "Namespace") {
        new.set(&["status", "phase"], "Terminating");
    }
    Some(new)
}

/// Finalizers stand for what is to become of what the object owns.
fn set_propagation(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let mut finalizers: Vec<Value> = object.items_at(&["metadata", "finalizers"]).to_vec();
    finalizers.retain(|it| !matches!(it.as_str(), Some(ORPHAN | FOREGROUND)));
    match propagation {
        Propagation::Orphan => finalizers.push(ORPHAN.into()),
        Propagation::Foreground => finalizers.push(FOREGROUND.into()),
        Propagation::Background => {}
    }
    if finalizers.is_empty() {
        object.remove(&["metadata", "finalizers"]);
    } else {
        object.set(&["metadata", "finalizers"], finalizers);
    }
}

/// Only pods get time, and only those that run somewhere.
fn grace_seconds(resource: &Resource, object: &Value, options: &DeleteOptions) -> i64 {
    if !resource.is("", "Pod") {
        return 0;
    }
    let over = matches!(object.str_at(&["status", "phase"]), "Succeeded" | "Failed");
    if object.str_at(&["spec", "nodeName"]).is_empty() || over {
        return 0;
    }
    let own = object.int_at(&["spec", "terminationGracePeriodSeconds"]).unwrap_or(30);
    options.grace_period_seconds.unwrap_or(own).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_api::resource::Registry;
    use holm_api::value;

    fn marked(plural: &str, object: &Value, options: &DeleteOptions) -> Option<Value> {
        let registry = Registry::built_in();
        let resource = registry.by_path("", "v1", plural).unwrap();
        mark(resource, object, options, jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_nobody_waits_for_goes_at_once() {
        let object = value!({"metadata": {"name": "a"}});
        assert_eq!(marked("configmaps", &object, &DeleteOptions::default()), None);
    }

    #[test]
    fn finalizers_keep_an_object_and_say_what_becomes_of_what_it_owns() {
        let object = value!({"metadata": {"name": "a", "finalizers": ["orphan", "x/y"]}});
        let options = |propagation| DeleteOptions {
            propagation: Some(propagation),
            ..DeleteOptions::default()
        };
        let finalizers = |propagation| {
            marked("configmaps", &object, &options(propagation)).unwrap()["metadata"]["finalizers"]
                .clone()
        };
        assert_eq!(finalizers(Propagation::Background), value!(["x/y"]));
        assert_eq!(finalizers(Propagation::Orphan), value!(["x/y", "orphan"]));
        assert_eq!(finalizers(Propagation::Foreground), value!(["x/y", "foregroundDeletion"]));
    }

    #[test]
    fn a_pod_that_runs_gets_its_time_and_a_shorter_one_wins() {
        let mut pod = value!({
            "metadata": {"name": "a"},
            "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 10_i64},
        });
        let first = marked("pods", &pod, &DeleteOptions::default()).unwrap();
        assert_eq!(first.int_at(&["metadata", "deletionGracePeriodSeconds"]), Some(10));
        assert_eq!(first.str_at(&["metadata", "deletionTimestamp"]), "1970-01-01T00:00:10Z");
        let short = |seconds| DeleteOptions {
            grace_period_seconds: Some(seconds),
            ..DeleteOptions::default()
        };
        let second = marked("pods", &first, &short(60)).unwrap();
        assert_eq!(second, first, "time is never added");
        assert_eq!(
            marked("pods", &first, &short(5))
                .unwrap()
                .int_at(&["metadata", "deletionGracePeriodSeconds"]),
            Some(5)
        );
        assert_eq!(marked("pods", &pod, &short(0)), None);
        pod.remove(&["spec", "nodeName"]);
        assert_eq!(marked("pods", &pod, &DeleteOptions::default()), None);
    }

    #[test]
    fn a_namespace_waits_for_what_is_in_it() {
        let object = value!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}});
        let new = marked("namespaces", &object, &DeleteOptions::default()).unwrap();
        assert_eq!(new.str_at(&["status", "phase"]), "Terminating");
    }
}
