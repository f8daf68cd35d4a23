//! Who asks, and what they may.

pub mod bootstrap;
pub mod certificates;
mod impersonate;
pub mod rbac;
pub mod service_accounts;
mod snapshot;

pub use impersonate::impersonated;
pub use snapshot::Snapshot;

use crate::request::Request;
use holm_api::status::GroupResource;
use std::collections::BTreeMap;

/// Group of everyone who said who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of everyone who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Group that may do everything, whatever the rules say.
pub const MASTERS: &str = "system:masters";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Their name.
    pub name: String,
    /// Their identity, where there is one beside the name.
    pub uid: String,
    /// The groups that they are in.
    pub groups: Vec<String>,
    /// What else is known of them.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Someone of these groups, and of those who said who they are.
    #[must_use]
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|it| (*it).to_owned()).collect();
        if !groups.iter().any(|it| it == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    /// Someone who did not say who they are.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// Whether they are in a group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|it| it == group)
    }
}

/// The message of a 403.
pub fn refusal(user: &User, request: &Request, why: &str) -> String {
    let name = &user.name;
    let reason = if why.is_empty() { String::new() } else { format!(": {why}") };
    if !request.is_resource {
        return format!("User {name:?} cannot {} path {:?}{reason}", request.verb, request.path);
    }
    let resource = match request.subresource.as_str() {
        "" => request.resource.clone(),
        part => format!("{}/{part}", request.resource),
    };
    let scope = match request.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let (verb, group) = (request.verb, &request.group);
    format!(
        "User {name:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}{reason}"
    )
}

/// The 403 itself.
pub fn forbidden(user: &User, request: &Request, why: &str) -> holm_api::Status {
    let message = refusal(user, request, why);
    let what = GroupResource { group: &request.group, resource: &request.resource };
    holm_api::Status::forbidden(what, &request.name, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn a_refusal_says_who_cannot_do_what() {
        let user = User::new("ann", &[]);
        let read = |path| crate::request::read(&Method::GET, path, false).unwrap();
        assert_eq!(
            forbidden(&user, &read("/apis/apps/v1/namespaces/a/deployments"), "").message,
            "deployments.apps is forbidden: User \"ann\" cannot list resource \"deployments\" in API group \"apps\" in the namespace \"a\""
        );
        assert_eq!(
            forbidden(&user, &read("/api/v1/nodes/n"), "").message,
            "nodes \"n\" is forbidden: User \"ann\" cannot get resource \"nodes\" in API group \"\" at the cluster scope"
        );
        assert_eq!(
            forbidden(&user, &read("/metrics"), "").message,
            "forbidden: User \"ann\" cannot get path \"/metrics\""
        );
    }
}
