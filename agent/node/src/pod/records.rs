//! What outlives the agent: each pod's manifest and memory on the disk, whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::files::Paths;
use super::memory::Memory;

/// The manifest that a pod was made from, so that it runs on when its file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The file.
    pub source: String,
    /// The document as JSON.
    pub pod: serde_json::Value,
}

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}", path.display())]
pub struct RecordError {
    /// `read`, `list` or `write`.
    pub operation: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    #[source]
    pub source: io::Error,
}

/// Everything that is on record of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its UID, the name of its folder.
    pub uid: String,
    /// `None`: missing or broken.
    pub manifest: Option<Manifest>,
    /// `None`: missing or broken.
    pub memory: Option<Memory>,
}

/// Reads all records. What is broken is left out and reported, because one bad file must not keep
/// the other pods from running.
pub fn load(paths: &Paths) -> (Vec<Record>, Vec<RecordError>) {
    let (mut records, mut errors) = (Vec::new(), Vec::new());
    let mut note = |error: Option<RecordError>| errors.extend(error);
    let uids = match folder_names(&paths.pods) {
        Ok(uids) => uids,
        Err(error) => {
            note(Some(error));
            return (records, errors);
        }
    };
    for uid in uids {
        let (manifest, error) = split(read(&paths.manifest(&uid)));
        note(error);
        let (memory, error) = split(read(&paths.memory(&uid)));
        note(error);
        records.push(Record { uid, manifest, memory });
    }
    (records, errors)
}

fn split<T>(read: Result<Option<T>, RecordError>) -> (Option<T>, Option<RecordError>) {
    match read {
        Ok(value) => (value, None),
        Err(error) => (None, Some(error)),
    }
}

fn folder_names(folder: &Path) -> Result<Vec<String>, RecordError> {
    let failed = |source| RecordError { operation: "list", path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RecordError> {
    let failed = |source| RecordError { operation: "read", path: path.to_owned(), source };
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Saves a value so that a power cut leaves the old file or the new one.
pub fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), RecordError> {
    let write = || {
        let text = serde_json::to_vec(value)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&new, path)
    };
    write().map_err(|source| RecordError { operation: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(dir: &Path) -> Paths {
        Paths {
            pods: dir.to_owned(),
            logs: "/logs".into(),
            containers: "/containers".into(),
            list: "/list".into(),
            resolv_conf: "/resolv.conf".into(),
        }
    }

    #[test]
    fn records_are_read_back_and_broken_ones_do_not_hide_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        let manifest =
            Manifest { source: "/boot/web.yaml".into(), pod: serde_json::json!({"a": 1}) };
        let memory = Memory { boot_id: "boot".into(), ..Memory::default() };
        for uid in ["a", "b"] {
            save(&paths.manifest(uid), &manifest).unwrap();
            save(&paths.memory(uid), &memory).unwrap();
        }
        fs::write(paths.memory("b"), "{\"boot_id\"").unwrap();
        fs::create_dir(dir.path().join("c")).unwrap();
        let (records, errors) = load(&paths);
        let whole =
            Record { uid: "a".into(), manifest: Some(manifest.clone()), memory: Some(memory) };
        let half = Record { uid: "b".into(), manifest: Some(manifest), memory: None };
        let empty = Record { uid: "c".into(), manifest: None, memory: None };
        assert_eq!(records, [whole, half, empty]);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].to_string(), format!("read {}", paths.memory("b").display()));
    }

    #[test]
    fn missing_folder_is_no_pods() {
        let dir = tempfile::tempdir().unwrap();
        let (records, errors) = load(&paths(&dir.path().join("none")));
        assert!(records.is_empty() && errors.is_empty());
    }
}
