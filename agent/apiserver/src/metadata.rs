//! What the server itself writes into objects: names, identities, times, generations. Pure: time and
//! randomness are arguments.

use holm_api::field::{FieldError, Path};
use holm_api::{Resource, Status, Value, names, status};
use jiff::Timestamp;

/// Letters of generated names: no vowels, so that no words come about, and none that look alike.
const SUFFIX_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// Longest `generateName` that is kept whole.
const MAX_BASE: usize = 63 - SUFFIX_LENGTH;

/// A random identity from 16 random bytes, as UUID version 4.
pub fn uid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// A name from a base and random bytes.
fn generated_name(base: &str, random: [u8; SUFFIX_LENGTH]) -> String {
    let mut end = base.len().min(MAX_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base.get(..end).unwrap_or_default().to_owned();
    for byte in random {
        let letter = SUFFIX_LETTERS.get(usize::from(byte) % SUFFIX_LETTERS.len());
        name.push(char::from(letter.copied().unwrap_or(b'x')));
    }
    name
}

/// What only the outside knows.
#[derive(Debug, Clone, Copy)]
pub struct Outside {
    /// The time.
    pub now: Timestamp,
    /// 21 random bytes: 16 for a uid, 5 for a name.
    pub random: [u8; 21],
}

/// That a body is of the kind, version and namespace that its path says. Fills in what it leaves
/// out.
///
/// # Errors
/// 400 when they differ.
pub fn fit_path(
    resource: &Resource,
    object: &mut Value,
    namespace: &str,
    name: &str,
) -> Result<(), Status> {
    let (api_version, kind) = (resource.api_version(), &*resource.kind);
    let version = object.str_at(&["apiVersion"]);
    if !version.is_empty() && version != api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({api_version})"
        )));
    }
    let said = object.str_at(&["kind"]);
    if !said.is_empty() && said != kind {
        return Err(Status::bad_request(format!(
            "{said} in version {version:?} cannot be handled as a {kind}"
        )));
    }
    object.set(&["apiVersion"], api_version);
    object.set(&["kind"], kind);
    let said = object.str_at(&["metadata", "namespace"]);
    if resource.namespaced {
        if said.is_empty() {
            object.set(&["metadata", "namespace"], namespace);
        } else if said != namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    } else if !said.is_empty() {
        object.remove(&["metadata", "namespace"]);
    }
    let said = object.str_at(&["metadata", "name"]);
    if !name.is_empty() && said != name {
        if !said.is_empty() {
            return Err(Status::bad_request(format!(
                "the name of the object ({said}) does not match the name on the URL ({name})"
            )));
        }
        object.set(&["metadata", "name"], name);
    }
    Ok(())
}

/// Prepares an object that is to be created.
///
/// # Errors
/// 422 when it has no name, or none that can be one.
pub fn for_create(resource: &Resource, object: &mut Value, outside: Outside) -> Result<(), Status> {
    let (uid_bytes, suffix) = outside.random.split_at(16);
    let base = object.str_at(&["metadata", "generateName"]).to_owned();
    if object.str_at(&["metadata", "name"]).is_empty() && !base.is_empty() {
        let suffix = suffix.first_chunk().copied().unwrap_or_default();
        object.set(&["metadata", "name"], generated_name(&base, suffix));
    }
    check_name(resource, object.str_at(&["metadata", "name"]))?;
    if has_generation(resource) {
        object.set(&["metadata", "generation"], 1_i64);
    } else {
        object.remove(&["metadata", "generation"]);
    }
    let now = holm_api::time::seconds(outside.now);
    object.set(&["metadata", "creationTimestamp"], now);
    object.set(&["metadata", "uid"], uid(uid_bytes.first_chunk().copied().unwrap_or_default()));
    for name in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        object.remove(&["metadata", name]);
    }
    if resource.subresource("status").is_some() && resource.custom.is_some() {
        object.remove(&["status"]);
    }
    Ok(())
}

/// Prepares the new state of an object: what clients cannot change stays, parts that the path is not
/// about stay, and a change of what is wanted counts up the generation.
///
/// # Errors
/// 409 when the object is another than the one that was meant; 422 when something fixed changed.
pub fn for_update(
    resource: &Resource,
    old: &Value,
    new: &mut Value,
    subresource: &str,
) -> Result<(), Status> {
    let name = old.str_at(&["metadata", "name"]).to_owned();
    let version = new.str_at(&["metadata", "resourceVersion"]);
    if !version.is_empty() && version != old.str_at(&["metadata", "resourceVersion"]) {
        return Err(Status::modified(resource.group_resource(), &name));
    }
    let (uid, old_uid) = (new.str_at(&["metadata", "uid"]), old.str_at(&["metadata", "uid"]));
    if !uid.is_empty() && uid != old_uid {
        return Err(Status::conflict(
            resource.group_resource(),
            &name,
            format_args!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}"
            ),
        ));
    }
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "resourceVersion",
        "generateName",
    ] {
        keep(old, new, &["metadata", field]);
    }
    match subresource {
        "status" => {
            let status = new.get("status").cloned();
            let labels = (
                new["metadata"].get("labels").cloned(),
                new["metadata"].get("annotations").cloned(),
            );
            let managed = new["metadata"].get("managedFields").cloned();
            *new = old.clone();
            put(new, &["status"], status);
            // Custom resources keep all of their metadata; built-in ones take these.
            if resource.custom.is_none() {
                put(new, &["metadata", "labels"], labels.0);
                put(new, &["metadata", "annotations"], labels.1);
            }
            put(new, &["metadata", "managedFields"], managed);
        }
        _ if resource.subresource("status").is_some() => keep(old, new, &["status"]),
        _ => {}
    }
    if has_generation(resource) && wants_differ(old, new) {
        let generation = old.int_at(&["metadata", "generation"]).unwrap_or(0);
        new.set(&["metadata", "generation"], generation + 1);
    }
    Ok(())
}

/// Whether the two want something else: all but metadata and status.
fn wants_differ(old: &Value, new: &Value) -> bool {
    let wants = |object: &Value| {
        let mut object = object.clone();
        object.remove(&["metadata"]);
        object.remove(&["status"]);
        object
    };
    wants(old) != wants(new)
}

fn keep(old: &Value, new: &mut Value, path: &[&str]) {
    put(new, path, old.at(path).cloned());
}

fn put(object: &mut Value, path: &[&str], value: Option<Value>) {
    match value {
        Some(value) => object.set(path, value),
        None => drop(object.remove(path)),
    }
}

/// Kinds whose generation counts: those that want something and have a status, and custom ones.
fn has_generation(resource: &Resource) -> bool {
    resource.custom.is_some()
        || matches!(
            &*resource.group,
            "apps"
                | "networking.k8s.io"
                | "admissionregistration.k8s.io"
                | "flowcontrol.apiserver.k8s.io"
                | "apiextensions.k8s.io"
        )
        || matches!(
            &*resource.kind,
            "Job"
                | "CronJob"
                | "ReplicationController"
                | "PodDisruptionBudget"
                | "Pod"
                | "StorageVersionMigration"
        )
}

fn check_name(resource: &Resource, name: &str) -> Result<(), Status> {
    let path = Path::new("metadata.name");
    if name.is_empty() {
        let error = FieldError::required(&path, "name or generateName is required");
        return Err(Status::invalid(resource.group_kind(), name, &[error]));
    }
    let complaints = match &*resource.group {
        "rbac.authorization.k8s.io" => names::path_segment(name),
        _ if resource.kind == "Namespace" => names::dns_label(name),
        _ if resource.kind == "Service" => names::dns_1035_label(name),
        _ => match &*resource.plural {
            "certificatesigningrequests" | "clustertrustbundles" => names::path_segment(name),
            "ipaddresses" => names::path_segment(name),
            _ => names::dns_subdomain(name),
        },
    };
    if complaints.is_empty() {
        return Ok(());
    }
    let errors: Vec<FieldError> =
        complaints.iter().map(|it| FieldError::invalid(&path, name, it)).collect();
    Err(Status::invalid(resource.group_kind(), name, &errors))
}

/// Writes `deletionTimestamp`, with the seconds that the object gets from now on.
pub fn mark_deleted(object: &mut Value, now: Timestamp, grace_seconds: i64) {
    let at = now.checked_add(jiff::SignedDuration::from_secs(grace_seconds)).unwrap_or(now);
    object.set(&["metadata", "deletionTimestamp"], holm_api::time::seconds(at));
    object.set(&["metadata", "deletionGracePeriodSeconds"], grace_seconds);
    if let Some(generation) = object.int_at(&["metadata", "generation"]).filter(|it| *it > 0) {
        object.set(&["metadata", "generation"], generation + 1);
    }
}

/// Whether an object waits only for its finalizers, and there are none.
pub fn is_over(object: &Value) -> bool {
    !object.str_at(&["metadata", "deletionTimestamp"]).is_empty()
        && object.items_at(&["metadata", "finalizers"]).is_empty()
        && object.items_at(&["spec", "finalizers"]).is_empty()
        && object.int_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) == 0
}

/// The answer to a deletion that is done.
pub fn deleted(resource: &Resource, object: &Value) -> Value {
    let (name, uid) = (object.str_at(&["metadata", "name"]), object.str_at(&["metadata", "uid"]));
    status::success(resource.group_resource(), name, uid)
}

#[cfg(test)]
mod tests;
