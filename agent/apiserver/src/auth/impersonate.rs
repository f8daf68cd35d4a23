//! Requests on behalf of others. Pure: whether that is allowed is asked elsewhere.

use super::{AUTHENTICATED, UNAUTHENTICATED, User};
use crate::request::{Request, percent_decode};
use holm_api::Status;
use http::HeaderMap;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// Whom a request wants to be, and what its user must be allowed for that. `None` when it wants to
/// be nobody else.
///
/// # Errors
/// 400 when it names groups without a user.
pub fn impersonated(headers: &HeaderMap) -> Result<Option<(User, Vec<Request>)>, Status> {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let name = text(USER);
    let groups: Vec<&str> =
        headers.get_all(GROUP).iter().filter_map(|it| it.to_str().ok()).collect();
    let extras = headers.iter().filter_map(|(header, value)| {
        let key = header.as_str().strip_prefix(EXTRA)?;
        Some((percent_decode(key, false)?, value.to_str().ok()?.to_owned()))
    });
    let extras: Vec<(String, String)> = extras.collect();
    if name.is_empty() {
        if groups.is_empty() && extras.is_empty() && text(UID).is_empty() {
            return Ok(None);
        }
        return Err(Status::internal(
            "requested to impersonate groups, a UID or extra fields, but not a user",
        ));
    }
    let mut user = User { name: name.to_owned(), uid: text(UID).to_owned(), ..User::default() };
    let mut asked = Vec::new();
    if let Some(account) = name.strip_prefix("system:serviceaccount:")
        && let Some((namespace, account)) = account.split_once(':')
    {
        asked.push(ask("", "serviceaccounts", namespace, account, ""));
        if groups.is_empty() {
            user.groups.push("system:serviceaccounts".to_owned());
            user.groups.push(format!("system:serviceaccounts:{namespace}"));
        }
    } else {
        asked.push(ask("", "users", "", name, ""));
    }
    for group in groups {
        asked.push(ask("", "groups", "", group, ""));
        user.groups.push(group.to_owned());
    }
    if !user.uid.is_empty() {
        asked.push(ask("authentication.k8s.io", "uids", "", &user.uid, ""));
    }
    for (key, value) in extras {
        asked.push(ask("authentication.k8s.io", "userextras", "", &value, &key));
        user.extra.entry(key).or_default().push(value);
    }
    let anonymous = name == "system:anonymous";
    let implied = if anonymous { UNAUTHENTICATED } else { AUTHENTICATED };
    if !user.is_in(implied) {
        user.groups.push(implied.to_owned());
    }
    Ok(Some((user, asked)))
}

fn ask(group: &str, resource: &str, namespace: &str, name: &str, subresource: &str) -> Request {
    Request {
        is_resource: true,
        verb: "impersonate",
        group: group.to_owned(),
        version: "v1".to_owned(),
        namespace: namespace.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        ..Request::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn each_thing_that_is_taken_on_is_asked_for() {
        let headers = headers(&[
            ("impersonate-user", "ann"),
            ("impersonate-group", "devs"),
            ("impersonate-group", "ops"),
            ("impersonate-extra-acme.com%2fscope", "x"),
        ]);
        let (user, asked) = impersonated(&headers).unwrap().unwrap();
        assert_eq!(user.groups, ["devs", "ops", AUTHENTICATED]);
        assert_eq!(user.extra["acme.com/scope"], ["x"]);
        let names: Vec<_> = asked.iter().map(|it| (&*it.resource, &*it.name)).collect();
        assert_eq!(
            names,
            [("users", "ann"), ("groups", "devs"), ("groups", "ops"), ("userextras", "x")]
        );
    }

    #[test]
    fn a_service_account_brings_its_groups() {
        let headers = headers(&[("impersonate-user", "system:serviceaccount:a:b")]);
        let (user, asked) = impersonated(&headers).unwrap().unwrap();
        assert!(user.is_in("system:serviceaccounts:a"));
        assert_eq!((&*asked[0].namespace, &*asked[0].name), ("a", "b"));
    }

    #[test]
    fn groups_without_a_user_make_no_sense() {
        assert!(impersonated(&headers(&[("impersonate-group", "ops")])).is_err());
        assert!(impersonated(&headers(&[])).unwrap().is_none());
    }
}
