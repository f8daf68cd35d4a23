//! The volumes of a pod. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::fields::Object;
use super::super::quantity;
use super::super::spec::{HostPathType, Volume};
use super::names;

/// Reads `spec.volumes`.
pub fn read(spec: &Object<'_>) -> BTreeMap<String, Volume> {
    let mut volumes = BTreeMap::new();
    for object in spec.objects("volumes") {
        let volume = read_one(&object);
        let name = object.required_text("name");
        if let Some(problem) = name.and_then(names::label_problem) {
            object.problem("name", problem);
        }
        if let (Some(name), Some(volume)) = (name, volume) {
            if volumes.insert(name.to_owned(), volume).is_some() {
                object.problem("name", format!("two volumes are named {name:?}"));
            }
        }
        object.finish();
    }
    volumes
}

/// Kinds of volume that exist in Kubernetes and need what Holm does not have yet.
const UNSUPPORTED: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "ephemeral",
    "fc",
    "flexVolume",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn read_one(object: &Object<'_>) -> Option<Volume> {
    let host_path = object.object("hostPath").map(|source| read_host_path(&source));
    let empty_dir = object.object("emptyDir").map(|source| read_empty_dir(&source));
    object.refuse(UNSUPPORTED);
    let unsupported = UNSUPPORTED.iter().any(|name| object.get(name).is_some());
    match (host_path, empty_dir) {
        (Some(_), Some(_)) => {
            object.field().problem("has both hostPath and emptyDir, but must have one");
            None
        }
        (Some(volume), None) => volume,
        (None, Some(volume)) => Some(volume),
        // Kubernetes makes an emptyDir of a volume without a source.
        (None, None) if !unsupported => Some(Volume::EmptyDir { memory: false, size_limit: None }),
        (None, None) => None,
    }
}

fn read_host_path(source: &Object<'_>) -> Option<Volume> {
    let kinds = [
        ("", HostPathType::Unset),
        ("DirectoryOrCreate", HostPathType::DirectoryOrCreate),
        ("Directory", HostPathType::Directory),
        ("FileOrCreate", HostPathType::FileOrCreate),
        ("File", HostPathType::File),
        ("Socket", HostPathType::Socket),
        ("CharDevice", HostPathType::CharDevice),
        ("BlockDevice", HostPathType::BlockDevice),
    ];
    let kind = source.word("type", &kinds);
    let path = source.required_text("path");
    let wanted_kind = source.get("type").is_some();
    if let Some(path) = path {
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            source.problem("path", format!("{path:?} is not an absolute path without '..'"));
        }
    }
    let kind = if wanted_kind { kind? } else { HostPathType::Unset };
    Some(Volume::HostPath { path: PathBuf::from(path?), kind })
}

fn read_empty_dir(source: &Object<'_>) -> Volume {
    let memory = source.word("medium", &[("", false), ("Memory", true)]).unwrap_or(false);
    let size_limit = source.get("sizeLimit").and_then(|field| {
        let text = field.quantity_text()?;
        quantity::units(&text).map_err(|error| field.problem(error.to_string())).ok()
    });
    if size_limit.is_some() && !memory {
        source.problem("sizeLimit", "is supported with medium Memory only, so far");
    }
    Volume::EmptyDir { memory, size_limit }
}
