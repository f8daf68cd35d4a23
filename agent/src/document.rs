//! The node document as the agent needs it: found, parsed, and with its paths resolved.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use holm_config::NodeConfig;

use crate::places;

/// The document and where its relative paths start.
pub struct Document {
    /// What it says.
    pub config: NodeConfig,
    /// Its folder.
    pub folder: PathBuf,
}

/// A document that init accepted and that cannot be used all the same.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// Its text.
    #[error("{0}")]
    Text(String),
}

/// Reads the document. `file` and `folder` are what the environment says. A node without a document
/// has every default.
pub fn read(file: Option<OsString>, folder: Option<OsString>) -> Result<Document, DocumentError> {
    let path = PathBuf::from(file.unwrap_or_else(|| places::DOCUMENT.into()));
    let folder = PathBuf::from(folder.unwrap_or_else(|| places::DOCUMENT_FOLDER.into()));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(DocumentError::Read { path, source }),
    };
    let parsed = holm_config::parse(&text, &path.display().to_string());
    let config = parsed.map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        DocumentError::Text(problems.join("; "))
    })?;
    Ok(Document { config, folder })
}

impl Document {
    /// Files and folders of manifests.
    pub fn manifests(&self) -> Vec<PathBuf> {
        self.resolve(&self.config.pods.manifests)
    }

    /// Files and folders of image archives.
    pub fn preload(&self) -> Vec<PathBuf> {
        self.resolve(&self.config.images.preload)
    }

    /// An absolute path stays as it is.
    fn resolve(&self, paths: &[String]) -> Vec<PathBuf> {
        paths.iter().map(|path| self.folder.join(Path::new(path))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_start_at_the_documents_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("holm.toml");
        fs::write(&path, "[pods]\nmanifests = [\"pods\", \"/srv/pods\"]\n").unwrap();
        let document = read(Some(path.into()), Some("/config".into())).unwrap();
        assert_eq!(document.manifests(), [Path::new("/config/pods"), Path::new("/srv/pods")]);
        assert_eq!(document.preload(), [Path::new("/data/preload")]);
    }

    #[test]
    fn missing_document_is_all_defaults_and_a_broken_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("holm.toml");
        let document = read(Some(path.clone().into()), None).unwrap();
        assert_eq!(document.config, NodeConfig::default());
        fs::write(&path, "[pods\n").unwrap();
        assert!(matches!(read(Some(path.into()), None), Err(DocumentError::Text(_))));
    }
}
