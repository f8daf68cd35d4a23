//! Which groups, versions and resources there are, in the old form and in the aggregated one. Pure.

use crate::respond::{self, Answer};
use holm_api::resource::{Registry, Subresource, join_api_version};
use holm_api::{Gvk, Resource, Value, value};
use http::{HeaderMap, HeaderValue, header};

/// Groups in the order in which clients prefer them: the core group, then by name.
fn groups(registry: &Registry) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for resource in registry.iter() {
        let version = resource.version.to_string();
        match groups.iter_mut().find(|(group, _)| *group == resource.group) {
            Some((_, versions)) if versions.contains(&version) => {}
            Some((_, versions)) => versions.push(version),
            None => groups.push((resource.group.to_string(), vec![version])),
        }
    }
    for (_, versions) in &mut groups {
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    }
    groups
}

/// Stable versions before beta before alpha, higher numbers first.
fn priority(version: &str) -> (u8, u32, u32) {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let rest = version.strip_prefix('v').unwrap_or_default();
    let major = digits(rest);
    let Some(tail) = rest.get(major.len()..).filter(|_| !major.is_empty()) else {
        return (0, 0, 0);
    };
    let number = |text: &str| text.parse().unwrap_or(0);
    match tail {
        "" => (3, number(&major), 0),
        tail if tail.starts_with("beta") => {
            (2, number(&major), number(tail.trim_start_matches("beta")))
        }
        tail if tail.starts_with("alpha") => {
            (1, number(&major), number(tail.trim_start_matches("alpha")))
        }
        _ => (0, 0, 0),
    }
}

/// The answer to a path of discovery; `None` when it is none, or names a group that there is not.
pub fn answer(registry: &Registry, path: &str, headers: &HeaderMap) -> Option<Answer> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let value = match parts.as_slice() {
        ["api"] | ["apis"] if wants_aggregated(headers).is_some() => {
            let version = wants_aggregated(headers).unwrap_or("v2");
            return Some(aggregated(registry, parts == ["api"], version, headers));
        }
        ["api"] => value!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
        ["apis"] => {
            let groups: Value = groups(registry)
                .iter()
                .filter(|(group, _)| !group.is_empty())
                .map(group_value)
                .collect();
            value!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        ["apis", group] => {
            let groups = groups(registry);
            let mut value = group_value(groups.iter().find(|(name, _)| name == group)?);
            value.set(&["kind"], "APIGroup");
            value.set(&["apiVersion"], "v1");
            value
        }
        ["api", version] => resource_list(registry, "", version)?,
        ["apis", group, version] => resource_list(registry, group, version)?,
        _ => return None,
    };
    Some(respond::json(200, &value))
}

fn group_value((group, versions): &(String, Vec<String>)) -> Value {
    let version = |version: &String| value!({"groupVersion": {join_api_version(group, version)}, "version": version});
    let preferred = versions.first().map(version).unwrap_or_default();
    let versions: Value = versions.iter().map(version).collect();
    value!({"name": group, "versions": versions, "preferredVersion": preferred})
}

fn of_version<'a>(
    registry: &'a Registry,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = &'a Resource> {
    registry.iter().map(|it| &**it).filter(move |it| it.group == group && it.version == version)
}

fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut items = Vec::new();
    for resource in of_version(registry, group, version) {
        let mut item = value!({
            "name": {&*resource.plural},
            "singularName": {&*resource.singular},
            "namespaced": {resource.namespaced},
            "kind": {&*resource.kind},
            "verbs": {verbs(resource.verbs)},
        });
        for (name, texts) in
            [("shortNames", &resource.short_names), ("categories", &resource.categories)]
        {
            if !texts.is_empty() {
                item.set(&[name], texts.iter().map(|it| &**it).collect::<Value>());
            }
        }
        items.push(item);
        for part in &resource.subresources {
            let kind = part.kind.clone().unwrap_or_else(|| resource.gvk());
            let mut item = value!({
                "name": {format!("{}/{}", resource.plural, part.name)},
                "singularName": "",
                "namespaced": {resource.namespaced},
                "kind": {&*kind.kind},
                "verbs": {verbs(part.verbs)},
            });
            if part.kind.is_some() {
                item.set(&["group"], &*kind.group);
                item.set(&["version"], &*kind.version);
            }
            items.push(item);
        }
    }
    if items.is_empty() {
        return None;
    }
    items.sort_by(|a, b| a.str_at(&["name"]).cmp(b.str_at(&["name"])));
    Some(value!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": {join_api_version(group, version)}, "resources": items,
    }))
}

fn verbs(verbs: holm_api::resource::Verbs) -> Value {
    verbs.iter().map(holm_api::resource::Verb::as_str).collect()
}

/// The version of aggregated discovery that a client prefers to the old form.
fn wants_aggregated(headers: &HeaderMap) -> Option<&'static str> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    let first = accept.split(',').map(str::trim).find(|it| {
        let plain = it.split(';').next().unwrap_or_default();
        plain == "application/json" || plain == "*/*"
    })?;
    let says = |wanted: &str| first.split(';').any(|it| it.trim() == wanted);
    match says("as=APIGroupDiscoveryList") && says("g=apidiscovery.k8s.io") {
        true if says("v=v2") => Some("v2"),
        true if says("v=v2beta1") => Some("v2beta1"),
        _ => None,
    }
}

fn aggregated(
    registry: &Registry,
    core: bool,
    version: &'static str,
    headers: &HeaderMap,
) -> Answer {
    let items: Value = groups(registry)
        .iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Value = versions
                .iter()
                .map(|version| {
                    let resources: Value =
                        of_version(registry, group, version).map(aggregated_resource).collect();
                    value!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            value!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    let value = value!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": {format!("apidiscovery.k8s.io/{version}")},
        "metadata": {}, "items": items,
    });
    let body = value.to_json();
    let digest = ring::digest::digest(&ring::digest::SHA256, &body);
    let hash: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let tag = format!("\"{hash}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    let mut answer = if known == Some(tag.as_str()) {
        crate::health::empty(http::StatusCode::NOT_MODIFIED)
    } else {
        let content_type = match version {
            "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        };
        respond::bytes(200, content_type, body)
    };
    let headers = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    answer
}

fn kind_value(gvk: &Gvk) -> Value {
    value!({"group": {&*gvk.group}, "version": {&*gvk.version}, "kind": {&*gvk.kind}})
}

fn aggregated_resource(resource: &Resource) -> Value {
    let part = |part: &Subresource| {
        let kind = part.kind.clone().unwrap_or_else(|| resource.gvk());
        value!({
            "subresource": {&*part.name},
            "responseKind": {kind_value(&kind)},
            "verbs": {verbs(part.verbs)},
        })
    };
    let mut item = value!({
        "resource": {&*resource.plural},
        "responseKind": {kind_value(&resource.gvk())},
        "scope": {if resource.namespaced { "Namespaced" } else { "Cluster" }},
        "singularResource": {&*resource.singular},
        "verbs": {verbs(resource.verbs)},
    });
    for (name, texts) in
        [("shortNames", &resource.short_names), ("categories", &resource.categories)]
    {
        if !texts.is_empty() {
            item.set(&[name], texts.iter().map(|it| &**it).collect::<Value>());
        }
    }
    if !resource.subresources.is_empty() {
        item.set(&["subresources"], resource.subresources.iter().map(part).collect::<Value>());
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;

    fn read(path: &str, accept: &'static str) -> Value {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        let answer = answer(&Registry::built_in(), path, &headers).unwrap();
        let Body::Whole(bytes) = answer.into_body() else { panic!("it is whole") };
        holm_api::value::decode_value(&bytes).unwrap()
    }

    #[test]
    fn versions_are_ordered_by_how_stable_they_are() {
        let mut versions = ["v1alpha1", "v2beta1", "v1", "v10", "v2", "odd", "v1beta2"];
        versions.sort_by_key(|it| std::cmp::Reverse(priority(it)));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "odd"]);
    }

    #[test]
    fn both_forms_name_the_same_resources() {
        let registry = Registry::built_in();
        let aggregated =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let mut count = 0;
        for path in ["/api", "/apis"] {
            let new = read(path, aggregated);
            assert_eq!(new.str_at(&["kind"]), "APIGroupDiscoveryList");
            for group in new.items_at(&["items"]) {
                for version in group.items_at(&["versions"]) {
                    let name = group.str_at(&["metadata", "name"]);
                    let v = version.str_at(&["version"]);
                    let path = if name.is_empty() {
                        format!("/api/{v}")
                    } else {
                        format!("/apis/{name}/{v}")
                    };
                    let old = read(&path, "application/json");
                    let plain = old.items_at(&["resources"]).iter();
                    let plain = plain.filter(|it| !it.str_at(&["name"]).contains('/')).count();
                    assert_eq!(plain, version.items_at(&["resources"]).len(), "{path}");
                    count += plain;
                }
            }
        }
        assert_eq!(count, registry.iter().count());
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let registry = Registry::built_in();
        let mut headers = HeaderMap::new();
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        let first = answer(&registry, "/apis", &headers).unwrap();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(answer(&registry, "/apis", &headers).unwrap().status(), 304);
    }

    #[test]
    fn groups_that_are_not_there_have_no_answer() {
        let headers = HeaderMap::new();
        for path in ["/apis/nothing", "/apis/apps/v9", "/api/v2", "/apis/apps/v1/deployments"] {
            assert!(answer(&Registry::built_in(), path, &headers).is_none(), "{path}");
        }
    }
}
