//! Objects as the store keeps them, and under which keys. Pure.
//!
//! An object at rest is its JSON without a resource version, which nobody knows before the commit,
//! behind four bytes that say where it belongs. Whoever gets the object gets these bytes with the
//! version put in: no answer of one object, and no list without a selector, decodes anything.

use bytes::Bytes;
use holm_api::value::decode_value;
use holm_api::{Resource, Value};
use holm_store::{Entry, Key, KeyRange, Options, VolatilePolicy};
use std::time::Duration;

const HEADER: usize = 4;
const METADATA: &[u8] = b"\"metadata\":{";

/// The store's settings for a node's API server: Events and the nodes' heartbeats stay off the log.
#[must_use]
pub fn store_options() -> Options {
    let prefixes: [&[u8]; 2] =
        [b"/registry/core/events/", b"/registry/coordination.k8s.io/leases/kube-node-lease/"];
    let volatile = VolatilePolicy {
        prefixes: prefixes.map(<[u8]>::to_vec).to_vec(),
        checkpoint_every: Duration::from_secs(1200),
    };
    Options { volatile, ..Options::default() }
}

/// The object as it is kept. Drops its resource version.
pub fn pack(object: &mut Value) -> Bytes {
    object.remove(&["metadata", "resourceVersion"]);
    if object.get("metadata").is_none() {
        object.set(&["metadata"], Value::object());
    }
    // Members are written in the order of their names: the first `metadata` at the top is preceded
    // only by `apiVersion`, `kind` and others before `m`, whose values might hold the same text. So
    // what comes before it is counted, not searched.
    let mut before = 1;
    if let Some(map) = object.as_object() {
        for (name, value) in map.iter().take_while(|(name, _)| name.as_str() < "metadata") {
            // `"name":value,`
            before += Value::from(name.as_str()).to_json().len() + 1 + value.to_json().len() + 1;
        }
    }
    let place = before + METADATA.len();
    let json = object.to_json();
    let mut bytes = Vec::with_capacity(HEADER + json.len());
    bytes.extend_from_slice(&u32::try_from(place).unwrap_or(0).to_le_bytes());
    bytes.extend_from_slice(&json);
    Bytes::from(bytes)
}

/// Writes the JSON of what is kept, with its resource version.
pub fn write_json(stored: &[u8], resource_version: u64, out: &mut Vec<u8>) {
    let (place, json) = split(stored);
    let (head, tail) = json.split_at_checked(place).unwrap_or((&[], json));
    out.reserve(json.len() + 48);
    out.extend_from_slice(head);
    if !head.is_empty() {
        out.extend_from_slice(b"\"resourceVersion\":\"");
        out.extend_from_slice(resource_version.to_string().as_bytes());
        out.push(b'"');
        if tail.first() != Some(&b'}') {
            out.push(b',');
        }
    }
    out.extend_from_slice(tail);
}

/// The JSON of what is kept, with its resource version.
pub fn json(stored: &[u8], resource_version: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(stored, resource_version, &mut out);
    out
}

/// The object, with its resource version. `None` if the bytes are none: the store checks sums, so
/// that this tells of a fault in the program.
pub fn unpack(stored: &[u8], resource_version: u64) -> Option<Value> {
    let mut object = decode_value(split(stored).1).ok()?;
    object.set(&["metadata", "resourceVersion"], resource_version.to_string());
    Some(object)
}

/// The object of an entry.
pub fn object_of(entry: &Entry) -> Option<Value> {
    unpack(&entry.value, entry.mod_revision)
}

fn split(stored: &[u8]) -> (usize, &[u8]) {
    match stored.split_first_chunk::<HEADER>() {
        Some((place, json)) => (u32::from_le_bytes(*place) as usize, json),
        None => (0, stored),
    }
}

fn prefix_of(resource: &Resource, namespace: Option<&str>) -> String {
    let group = &*resource.storage.group;
    let group = if group.is_empty() { "core" } else { group };
    let mut prefix = format!("/registry/{group}/{}/", resource.plural);
    if let Some(namespace) = namespace.filter(|_| resource.namespaced) {
        prefix.push_str(namespace);
        prefix.push('/');
    }
    prefix
}

/// The key of one object.
pub fn key(resource: &Resource, namespace: &str, name: &str) -> Key {
    let mut key = prefix_of(resource, Some(namespace));
    key.push_str(name);
    Key::from(key.into_bytes())
}

/// The keys of a resource's objects, in one namespace or in all.
pub fn range(resource: &Resource, namespace: &str) -> KeyRange {
    let namespace = (!namespace.is_empty()).then_some(namespace);
    KeyRange::prefix(prefix_of(resource, namespace).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_api::resource::Registry;
    use holm_api::value;

    #[test]
    fn what_is_kept_gets_its_version_back_without_being_decoded() {
        let mut object = value!({
            "apiVersion": "v1",
            "data": {"a": "\"metadata\":{"},
            "kind": "ConfigMap",
            "metadata": {"name": "a", "resourceVersion": "7"},
        });
        let stored = pack(&mut object);
        let text = String::from_utf8(json(&stored, 12)).unwrap();
        assert!(text.contains(r#""metadata":{"resourceVersion":"12","name":"a"}"#), "{text}");
        let decoded = unpack(&stored, 12).unwrap();
        assert_eq!(decode_value(text.as_bytes()).unwrap(), decoded);
        object.set(&["metadata", "resourceVersion"], "12");
        assert_eq!(decoded, object);
    }

    #[test]
    fn metadata_that_is_empty_or_missing_gets_it_too() {
        for mut object in [value!({"kind": "X", "metadata": {}}), value!({"kind": "X"})] {
            let stored = pack(&mut object);
            assert_eq!(json(&stored, 3), br#"{"kind":"X","metadata":{"resourceVersion":"3"}}"#);
        }
    }

    #[test]
    fn keys_have_namespaces_where_the_resource_has() {
        let registry = Registry::built_in();
        let pods = registry.by_path("", "v1", "pods").unwrap();
        let nodes = registry.by_path("", "v1", "nodes").unwrap();
        assert_eq!(&key(pods, "a", "b")[..], b"/registry/core/pods/a/b");
        assert_eq!(&key(nodes, "", "n")[..], b"/registry/core/nodes/n");
        assert!(range(pods, "a").contains(b"/registry/core/pods/a/b"));
        assert!(!range(pods, "a").contains(b"/registry/core/pods/ab/b"));
        assert!(range(pods, "").contains(b"/registry/core/pods/ab/b"));
        let events = registry.by_path("events.k8s.io", "v1", "events").unwrap();
        assert!(store_options().volatile.covers(&key(events, "a", "b")));
    }
}
