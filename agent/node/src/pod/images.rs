//! What pods need of the image store, so that tests need no registry.

use std::path::Path;
use std::sync::{Arc, RwLock};

use crate::image::{Cancel, Image, ImageStore, Registries};

/// Images by reference. Every call may block for as long as a disk or a registry takes.
pub trait Images: Send + Sync {
    /// The image, when it is wholly on the disk.
    fn find(&self, reference: &str) -> Result<Option<Image>, String>;
    /// Fetches the image, though it may be there already.
    fn pull(&self, reference: &str) -> Result<(), String>;
}

/// The image store of the node, with the registries of the node document.
pub struct StoredImages {
    store: Arc<ImageStore>,
    registries: RwLock<Registries>,
    cancel: Cancel,
}

impl StoredImages {
    /// Images of `store`; `cancel` ends all pulls.
    pub fn new(store: Arc<ImageStore>, registries: Registries, cancel: Cancel) -> Self {
        Self { store, registries: RwLock::new(registries), cancel }
    }

    /// Takes over a changed node document.
    pub fn set_registries(&self, registries: Registries) {
        *self.registries.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = registries;
    }

    /// Imports archives of a file or folder. Returns what is wrong with some of them.
    pub fn import(&self, path: &Path) -> Vec<String> {
        let imported = self.store.import_folder(path);
        let problem = |one: crate::image::Imported| {
            let error = one.images.err()?;
            Some(format!("{}: {}", one.path.display(), chain(&error)))
        };
        imported.into_iter().filter_map(problem).collect()
    }
}

impl Images for StoredImages {
    fn find(&self, reference: &str) -> Result<Option<Image>, String> {
        self.store.get(reference).map_err(|error| chain(&error))
    }

    fn pull(&self, reference: &str) -> Result<(), String> {
        let registries =
            self.registries.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let pulled = self.store.pull(reference, &registries, &self.cancel);
        pulled.map(drop).map_err(|error| chain(&error))
    }
}

/// An error and all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_told_with_its_causes() {
        let error = super::super::records::RecordError {
            operation: "read",
            path: "/data/pods/1/pod.json".into(),
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        };
        assert_eq!(chain(&error), "read /data/pods/1/pod.json: entity not found");
    }
}
