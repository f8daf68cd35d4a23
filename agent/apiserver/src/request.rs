//! What a method and a path ask for. Pure; never looks at a body, and never fails: what is no path
//! of a resource is a path of its own.

use http::Method;

/// What a request is about. Empty texts where the path says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Whether the path is one of a resource, rather than `/healthz` or `/apis`.
    pub is_resource: bool,
    /// What is asked, as RBAC spells it: `get`, `list`, `deletecollection`; for paths that are no
    /// resource, the method in lower case.
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: String,
    /// Version of the group.
    pub version: String,
    /// Namespace. Of a namespace itself, its own name, as upstream has it for authorisation.
    pub namespace: String,
    /// Plural name of the resource.
    pub resource: String,
    /// Name of the object.
    pub name: String,
    /// Part of it that is asked for.
    pub subresource: String,
    /// What follows the subresource, for `proxy`; with its leading slash.
    pub rest: String,
    /// The path as it came.
    pub path: String,
}

/// The path cannot be one: it is refused before anything else looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path is malformed: {0}")]
pub struct BadPath(&'static str);

/// Reads a method, a path as it is in the request line, and whether the query asks to watch.
///
/// # Errors
/// A path with dot segments, an encoded slash in a name, or bytes that are no text.
pub fn read(method: &Method, path: &str, watch: bool) -> Result<Request, BadPath> {
    let mut request = Request { path: path.to_owned(), ..Request::default() };
    request.verb = plain_verb(method);
    let Some(rooted) = path.strip_prefix('/') else { return Err(BadPath("it has no root")) };
    let mut segments = rooted.split('/');
    request.group = match segments.next() {
        Some("api") => String::new(),
        Some("apis") => match segments.next() {
            Some(group) if !group.is_empty() => decode(group)?,
            _ => return Ok(request),
        },
        _ => {
            check_plain(rooted)?;
            return Ok(request);
        }
    };
    request.version = match segments.next() {
        Some(version) if !version.is_empty() => decode(version)?,
        _ => return Ok(request),
    };
    let mut parts = Vec::with_capacity(5);
    let mut rest = String::new();
    for segment in segments {
        // What a proxied path has is the other end's concern.
        if is_proxy(&parts) {
            rest.push('/');
            rest.push_str(segment);
        } else {
            parts.push(decode(segment)?);
        }
    }
    if parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    if parts.iter().any(String::is_empty) {
        return Err(BadPath("a segment is empty"));
    }
    request.rest = rest;
    take_resource(&mut request, parts);
    if request.is_resource {
        request.verb = resource_verb(method, &request, watch);
    }
    Ok(request)
}

fn is_proxy(parts: &[String]) -> bool {
    let place = if parts.first().is_some_and(|it| it == "namespaces") { 4 } else { 2 };
    parts.len() == place + 1 && parts.get(place).is_some_and(|it| it == "proxy")
}

fn take_resource(request: &mut Request, parts: Vec<String>) {
    let mut parts = parts.into_iter().peekable();
    let Some(first) = parts.next() else { return };
    request.is_resource = true;
    let mut resource = first;
    if resource == "namespaces"
        && let Some(namespace) = parts.next()
    {
        request.namespace = namespace;
        // `finalize` and `status` are parts of the namespace, not resources in it.
        match parts.peek().map(String::as_str) {
            None | Some("finalize" | "status") if request.group.is_empty() => {
                request.name.clone_from(&request.namespace);
                request.subresource = parts.next().unwrap_or_default();
                request.resource = resource;
                return;
            }
            Some(_) => resource = parts.next().unwrap_or_default(),
            None => {}
        }
    }
    request.resource = resource;
    request.name = parts.next().unwrap_or_default();
    request.subresource = parts.next().unwrap_or_default();
    // A path that goes on is none of ours: it names a part that does not exist.
    for part in parts {
        request.subresource.push('/');
        request.subresource.push_str(&part);
    }
}

fn plain_verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "",
    }
}

fn resource_verb(method: &Method, request: &Request, watch: bool) -> &'static str {
    let one = !request.name.is_empty();
    match method.as_str() {
        "GET" | "HEAD" if one => "get",
        "GET" | "HEAD" if watch => "watch",
        "GET" | "HEAD" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if one => "delete",
        "DELETE" => "deletecollection",
        _ => "",
    }
}

fn check_plain(path: &str) -> Result<(), BadPath> {
    path.split('/').try_for_each(|segment| decode(segment).map(drop))
}

/// Takes percent signs out of a segment.
fn decode(segment: &str) -> Result<String, BadPath> {
    let decoded = percent_decode(segment, false).ok_or(BadPath("it is not valid text"))?;
    if decoded == "." || decoded == ".." {
        return Err(BadPath("it has dot segments"));
    }
    if decoded.contains(['/', '\0']) {
        return Err(BadPath("a segment has a slash or a zero byte"));
    }
    Ok(decoded)
}

/// Decodes `%41`, and `+` as a space where that is the custom.
pub(crate) fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|it| char::from(it).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Request {
        read(&Method::GET, path, false).unwrap()
    }

    fn parts(request: &Request) -> [&str; 7] {
        let Request { verb, group, version, namespace, resource, name, subresource, .. } = request;
        [verb, group, version, namespace, resource, name, subresource]
    }

    #[test]
    fn paths_of_resources_name_what_they_are_about() {
        for (path, expected) in [
            ("/api/v1/pods", ["list", "", "v1", "", "pods", "", ""]),
            ("/api/v1/pods/", ["list", "", "v1", "", "pods", "", ""]),
            ("/api/v1/namespaces", ["list", "", "v1", "", "namespaces", "", ""]),
            ("/api/v1/namespaces/a", ["get", "", "v1", "a", "namespaces", "a", ""]),
            ("/api/v1/namespaces/a/status", ["get", "", "v1", "a", "namespaces", "a", "status"]),
            ("/api/v1/namespaces/a/pods/b", ["get", "", "v1", "a", "pods", "b", ""]),
            ("/api/v1/namespaces/a/pods/b/log", ["get", "", "v1", "a", "pods", "b", "log"]),
            (
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                ["get", "apps", "v1", "a", "deployments", "b", "scale"],
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
                ["get", "rbac.authorization.k8s.io", "v1", "", "clusterroles", "system:node", ""],
            ),
            ("/api/v1/nodes/n/a/b", ["get", "", "v1", "", "nodes", "n", "a/b"]),
        ] {
            let request = get(path);
            assert!(request.is_resource, "{path}");
            assert_eq!(parts(&request), expected, "{path}");
        }
    }

    #[test]
    fn paths_of_groups_and_of_the_server_are_no_resources() {
        for path in ["/", "/api", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz/ping", "/x"] {
            assert!(!get(path).is_resource, "{path}");
        }
        assert_eq!(get("/apis/apps/v1").version, "v1");
    }

    #[test]
    fn methods_are_verbs() {
        let verb = |method: Method, path: &str| read(&method, path, false).unwrap().verb;
        assert_eq!(verb(Method::POST, "/api/v1/pods"), "create");
        assert_eq!(verb(Method::PUT, "/api/v1/namespaces/a/pods/b"), "update");
        assert_eq!(verb(Method::PATCH, "/api/v1/namespaces/a/pods/b"), "patch");
        assert_eq!(verb(Method::DELETE, "/api/v1/namespaces/a/pods/b"), "delete");
        assert_eq!(verb(Method::DELETE, "/api/v1/namespaces/a/pods"), "deletecollection");
        assert_eq!(verb(Method::DELETE, "/healthz"), "delete");
        assert_eq!(verb(Method::TRACE, "/api/v1/pods"), "");
        assert_eq!(read(&Method::GET, "/api/v1/pods", true).unwrap().verb, "watch");
    }

    #[test]
    fn what_follows_a_proxy_is_left_as_it_is() {
        let request = get("/api/v1/namespaces/a/services/web:80/proxy/x/../%2e//y");
        assert_eq!((&*request.subresource, &*request.rest), ("proxy", "/x/../%2e//y"));
        assert_eq!(get("/api/v1/nodes/n/proxy/stats").rest, "/stats");
    }

    #[test]
    fn tricks_with_paths_are_refused() {
        for path in [
            "",
            "api/v1",
            "/api/v1/namespaces/../pods",
            "/api/v1/namespaces/%2e%2e/pods",
            "/api/v1/namespaces/a%2fb/pods",
            "/api/v1/namespaces//pods",
            "/api/v1//pods",
            "/api/v1/pods/%",
            "/api/v1/pods/%zz",
            "/api/v1/pods/%ff",
            "/api/v1/pods/a%00",
            "/healthz/../api",
        ] {
            assert!(read(&Method::GET, path, false).is_err(), "{path}");
        }
    }
}
