//! Nobody gives what they do not have: roles and bindings are checked against the rules of whoever
//! writes them.

use super::{Attempt, Operation};
use crate::auth::rbac::rules_of;
use crate::request::Request;
use crate::server::Server;
use holm_api::{Status, Value};

/// Refuses roles and bindings that give more than their writer has, unless a rule lets the writer
/// `escalate` or `bind`.
pub(super) async fn escalation(
    server: &Server,
    attempt: &Attempt<'_>,
    object: &Value,
) -> Result<(), Status> {
    let resource = attempt.place.resource;
    if resource.group != "rbac.authorization.k8s.io" || attempt.operation == Operation::Delete {
        return Ok(());
    }
    let user = attempt.writing.user;
    let namespace = attempt.place.namespace;
    let ask = |verb: &'static str, plural: &str, name: &str| Request {
        is_resource: true,
        verb,
        group: resource.group.to_string(),
        version: "v1".to_owned(),
        namespace: namespace.to_owned(),
        resource: plural.to_owned(),
        name: name.to_owned(),
        ..Request::default()
    };
    let (verb, plural, name, wanted) = match &*resource.kind {
        "Role" | "ClusterRole" => {
            let unchanged = attempt.old.is_some_and(|old| {
                old["rules"] == object["rules"]
                    && old["aggregationRule"] == object["aggregationRule"]
            });
            if unchanged {
                return Ok(());
            }
            let name = object.str_at(&["metadata", "name"]);
            ("escalate", resource.plural.to_string(), name, rules_of(object))
        }
        _ => {
            let unchanged = attempt.old.is_some_and(|old| {
                old["subjects"] == object["subjects"] && old["roleRef"] == object["roleRef"]
            });
            if unchanged {
                return Ok(());
            }
            let name = object.str_at(&["roleRef", "name"]);
            let local = object.str_at(&["roleRef", "kind"]) == "Role";
            let space = if local { namespace } else { "" };
            let wanted = server.rules.rules().role(space, name).map(|it| it.to_vec());
            let plural = if local { "roles" } else { "clusterroles" };
            // A role that is not there gives nothing yet, and could give anything later.
            let wanted = wanted.unwrap_or_else(|| vec![crate::auth::rbac::Rule::everything()]);
            ("bind", plural.to_owned(), name, wanted)
        }
    };
    let rules = server.rules.rules();
    if rules.has_all(user, namespace, &wanted) || rules.allow(user, &ask(verb, &plural, name)) {
        return Ok(());
    }
    let why = format!(
        "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held",
        user.name, user.groups
    );
    Err(attempt.forbidden(object, why))
}
