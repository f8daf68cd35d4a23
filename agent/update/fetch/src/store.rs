//! The trusted metadata on the disk. Each change is durable before the next; a file that is torn or
//! lost costs what it bounded, and never the way to new updates.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use holm_tuf::{Change, Envelope, Role, Root, Stored};

/// Metadata files are far smaller; a larger one is damage.
const MOST: u64 = 8 << 20;

/// Why a file could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct StoreError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A folder with trusted metadata.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Keeps files in `folder`, which is made when the first one is kept.
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// What is trusted: the files here, or `first`, the root that came with the system, where that
    /// is newer or the one here is damaged. The timestamp then goes on bounding what may come, as
    /// far as the root's keys still sign it.
    pub fn load(&self, first: &[u8]) -> Stored {
        let own = self.read(Role::Root).filter(|own| version(own) >= version(first));
        Stored {
            root: own.unwrap_or_else(|| first.to_vec()),
            timestamp: self.read(Role::Timestamp),
            snapshot: self.read(Role::Snapshot),
            targets: self.read(Role::Targets),
        }
    }

    /// Performs a change, durably.
    pub fn apply(&self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Keep(role, bytes) => self.keep(role.name(), bytes),
            Change::Forget(role) => {
                let path = self.path(role.name());
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(StoreError { what: "remove", path, source: error })
                    }
                    _ => self.flush(),
                }
            }
        }
    }

    fn read(&self, role: Role) -> Option<Vec<u8>> {
        let path = self.path(role.name());
        let length = fs::metadata(&path).ok()?.len();
        fs::read(&path).ok().filter(|_| length <= MOST)
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError { what, path, source }
        };
        fs::create_dir_all(&self.folder).map_err(failed("make", &self.folder))?;
        let (path, fresh) = (self.path(name), self.folder.join(format!(".{name}.new")));
        let written = File::create(&fresh).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(failed("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(failed("replace", &path))?;
        self.flush()
    }

    fn flush(&self) -> Result<(), StoreError> {
        match File::open(&self.folder).and_then(|folder| folder.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError { what: "flush", path: self.folder.clone(), source: error })
            }
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

/// 0 for what is no root.
fn version(bytes: &[u8]) -> u64 {
    let envelope = Envelope::parse("root", bytes).ok();
    envelope.and_then(|envelope| envelope.open::<Root>("root").ok()).map_or(0, |root| root.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(version: u64) -> Vec<u8> {
        let text = r#"{"signatures": [], "signed": {"_type": "root", "spec_version": "1.0.0",
            "expires": "2030-01-01T00:00:00Z", "keys": {}, "roles": {}, "version": VERSION}}"#;
        text.replace("VERSION", &version.to_string()).into_bytes()
    }

    #[test]
    fn kept_files_are_loaded_and_forgotten_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(&folder.path().join("deep/update"));
        assert_eq!(store.load(&root(1)).root, root(1));
        store.apply(&Change::Forget(Role::Timestamp)).unwrap();
        store.apply(&Change::Keep(Role::Root, root(2))).unwrap();
        store.apply(&Change::Keep(Role::Timestamp, b"t".to_vec())).unwrap();
        let loaded = store.load(&root(1));
        assert_eq!((loaded.root, loaded.timestamp), (root(2), Some(b"t".to_vec())));
        store.apply(&Change::Forget(Role::Timestamp)).unwrap();
        store.apply(&Change::Forget(Role::Timestamp)).unwrap();
        assert_eq!(store.load(&root(1)).timestamp, None);
    }

    #[test]
    fn newer_root_of_the_system_and_a_damaged_one_here_give_way() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(folder.path());
        store.apply(&Change::Keep(Role::Root, root(2))).unwrap();
        assert_eq!(store.load(&root(3)).root, root(3));
        fs::write(folder.path().join("root.json"), &root(2)[..40]).unwrap();
        assert_eq!(store.load(&root(1)).root, root(1));
    }

    #[test]
    fn folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let store = Store::in_folder(&folder.path().join("file"));
        let error = store.apply(&Change::Keep(Role::Root, root(1))).unwrap_err();
        assert!(error.to_string().starts_with("cannot make /"), "{error}");
    }
}
