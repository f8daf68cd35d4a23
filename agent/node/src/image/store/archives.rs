//! Which archives were imported, so that they are not imported again, and their images stay.

use std::path::{Path, PathBuf};

use crate::image::digest::Digest;
use crate::image::error::ImageError;

use super::ImageStore;
use super::records::{self, ArchiveRecord};

impl ImageStore {
    /// Names of the archive's images, if it was imported in this state.
    pub(crate) fn imported(&self, path: &Path, (length, mtime): (u64, i64)) -> Option<Vec<String>> {
        let index = self.index();
        let record = index.archives.get(path)?;
        let same = (record.length, record.mtime) == (length, mtime);
        same.then(|| record.images.iter().flat_map(|id| index.names_of(id)).collect())
    }

    /// Remembers that the archive was imported.
    pub(crate) fn remember(
        &self,
        path: &Path,
        (length, mtime): (u64, i64),
        images: Vec<Digest>,
    ) -> Result<(), ImageError> {
        let record = ArchiveRecord { path: path.to_owned(), length, mtime, images };
        let mut index = self.index();
        self.put(&records::archive_path(path), &record)?;
        index.archives.insert(path.to_owned(), record);
        Ok(())
    }

    /// Archives that were imported.
    pub(crate) fn archives(&self) -> Vec<PathBuf> {
        self.index().archives.keys().cloned().collect()
    }

    /// The archive is gone: its images may be collected.
    pub(crate) fn forget(&self, path: &Path) -> Result<(), ImageError> {
        self.forget_archive(&mut self.index(), path)
    }
}
