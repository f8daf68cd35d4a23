//! Namespaces must exist before what is in them, and what everyone needs stays.

use super::{Attempt, Operation};
use crate::server::Server;
use crate::verbs::Place;
use holm_api::status::Cause;
use holm_api::{Status, Value};

const KEPT: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Nothing is made in a namespace that is missing or going.
pub(super) async fn namespaces(server: &Server, attempt: &Attempt<'_>) -> Result<(), Status> {
    let place = attempt.place;
    if place.resource.is("", "Namespace") {
        let kept = attempt.operation == Operation::Delete && KEPT.contains(&place.name);
        return match kept {
            true => Err(attempt.forbidden(&Value::Null, "this namespace may not be deleted")),
            false => Ok(()),
        };
    }
    if attempt.operation != Operation::Create || !place.resource.namespaced {
        return Ok(());
    }
    let registry = server.registry();
    let Some(namespaces) = registry.by_path("", "v1", "namespaces") else { return Ok(()) };
    let namespace =
        Place { resource: namespaces, namespace: "", name: place.namespace, subresource: "" };
    let found = server.get(namespace).await?;
    // A look at the bytes spares decoding each time: the word is rare, and then is looked at well.
    if !found.bytes.windows(b"Terminating".len()).any(|it| it == b"Terminating") {
        return Ok(());
    }
    if found.value()?.str_at(&["metadata", "deletionTimestamp"]).is_empty() {
        return Ok(());
    }
    let why = format!(
        "unable to create new content in namespace {} because it is being terminated",
        place.namespace
    );
    Err(attempt.forbidden(&Value::Null, why).with(|details| {
        details.causes.push(Cause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {} is being terminated", place.namespace),
            field: "metadata.namespace".to_owned(),
        });
    }))
}
