//! Rules for `metadata`, common to all kinds.

use crate::field::{FieldError, Path};
use crate::{Resource, Value, names};

/// Bytes that all annotations may have together.
const MOST_ANNOTATIONS: usize = 256 << 10;

/// What names of a kind must look like.
pub fn name_rule(resource: &Resource) -> fn(&str) -> Vec<String> {
    if resource.custom.is_some() {
        return names::dns_subdomain;
    }
    match (&*resource.group, &*resource.kind) {
        ("", "Namespace") => names::dns_label,
        ("", "Service") => names::dns_1035_label,
        ("rbac.authorization.k8s.io", _) => names::path_segment,
        ("", "Event") | ("events.k8s.io", "Event") => names::dns_subdomain,
        ("certificates.k8s.io", "ClusterTrustBundle") | ("networking.k8s.io", "IPAddress") => {
            names::path_segment
        }
        _ => names::dns_subdomain,
    }
}

/// The part of a `generateName` that is kept, so that five characters can follow.
pub fn generated_name_base(base: &str) -> &str {
    let mut end = base.len().min(58);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    &base[..end]
}

/// Checks the metadata of an object.
pub(super) fn check(resource: &Resource, object: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("metadata");
    let metadata = &object["metadata"];
    let rule = name_rule(resource);
    let base = metadata.str_at(&["generateName"]);
    if !base.is_empty() {
        let masked = mask_trailing_dash(base);
        for wrong in rule(&masked) {
            errors.push(FieldError::invalid(&path.child("generateName"), base, &wrong));
        }
    }
    let name = metadata.str_at(&["name"]);
    if name.is_empty() {
        let detail = "name or generateName is required";
        errors.push(FieldError::required(&path.child("name"), detail));
    } else {
        for wrong in rule(name) {
            errors.push(FieldError::invalid(&path.child("name"), name, &wrong));
        }
    }
    let namespace = metadata.str_at(&["namespace"]);
    match (resource.namespaced, namespace) {
        (true, "") => errors.push(FieldError::required(&path.child("namespace"), "")),
        (true, namespace) => {
            for wrong in names::dns_label(namespace) {
                errors.push(FieldError::invalid(&path.child("namespace"), namespace, &wrong));
            }
        }
        (false, "") => {}
        (false, _) => {
            let detail = "not allowed on this type";
            errors.push(FieldError::forbidden(&path.child("namespace"), detail));
        }
    }
    labels(metadata.get("labels"), &path.child("labels"), errors);
    annotations(metadata.get("annotations"), &path.child("annotations"), errors);
    owners(metadata.items_at(&["ownerReferences"]), &path.child("ownerReferences"), errors);
    finalizers(metadata.items_at(&["finalizers"]), &path.child("finalizers"), errors);
}

/// A generated name may end in a dash, since characters follow.
fn mask_trailing_dash(base: &str) -> String {
    match base.strip_suffix('-') {
        Some(stem) if !stem.is_empty() => format!("{stem}a"),
        _ => base.to_owned(),
    }
}

/// Checks labels, as they stand in metadata and in selectors.
pub(super) fn labels(map: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let members = map.and_then(Value::as_object).into_iter().flat_map(|map| map.iter());
    for (key, value) in members {
        for wrong in names::qualified_name(key) {
            errors.push(FieldError::invalid(path, key.as_str(), &wrong));
        }
        let text = value.as_str().unwrap_or_default();
        for wrong in names::label_value(text) {
            errors.push(FieldError::invalid(path, text, &wrong));
        }
    }
}

/// Checks annotations.
pub(super) fn annotations(map: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    let members = map.and_then(Value::as_object).into_iter().flat_map(|map| map.iter());
    for (key, value) in members {
        for wrong in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path, key.as_str(), &wrong));
        }
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > MOST_ANNOTATIONS {
        errors.push(FieldError::too_long(path, MOST_ANNOTATIONS));
    }
}

fn owners(all: &[Value], path: &Path, errors: &mut Vec<FieldError>) {
    let mut controller: Option<&Value> = None;
    for (index, owner) in all.iter().enumerate() {
        let at = path.index(index);
        for name in ["apiVersion", "kind", "name", "uid"] {
            if owner.str_at(&[name]).is_empty() {
                let detail = if name == "apiVersion" {
                    "version must not be empty"
                } else {
                    "must not be empty"
                };
                errors.push(FieldError::invalid(&at.child(name), owner.str_at(&[name]), detail));
            }
        }
        if !owner.bool_at(&["controller"]) {
            continue;
        }
        if let Some(other) = controller {
            let text = |one: &Value| format!("{}/{}", one.str_at(&["kind"]), one.str_at(&["name"]));
            let detail = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                text(other),
                text(owner)
            );
            errors.push(FieldError::invalid(path, Value::Array(all.to_vec()), &detail));
        }
        controller = Some(owner);
    }
}

fn finalizers(all: &[Value], path: &Path, errors: &mut Vec<FieldError>) {
    let names: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
    for (index, name) in names.iter().enumerate() {
        for wrong in names::qualified_name(name) {
            errors.push(FieldError::invalid(&path.index(index), *name, &wrong));
        }
    }
    if names.contains(&"orphan") && names.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, Value::Array(all.to_vec()), detail));
    }
}

/// Checks what an update may not change.
pub(super) fn check_update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("metadata");
    for name in ["name", "namespace", "uid", "creationTimestamp"] {
        let (new, was) = (object.str_at(&["metadata", name]), old.str_at(&["metadata", name]));
        if new != was && !was.is_empty() {
            errors.push(FieldError::invalid(&path.child(name), new, "field is immutable"));
        }
    }
    // A deletion that goes on takes no new finalizers.
    if old.at(&["metadata", "deletionTimestamp"]).is_some() {
        let before = old.items_at(&["metadata", "finalizers"]);
        let added: Vec<&str> = object
            .items_at(&["metadata", "finalizers"])
            .iter()
            .filter(|one| !before.contains(one))
            .filter_map(Value::as_str)
            .collect();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers [{}]",
                added.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), &detail));
        }
    }
}
