//! Brings the images of archives into the store: one archive, or all of a folder at start.
//!
//! Must never import an unchanged archive twice, and never let one bad archive keep the others out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::Image;
use super::archive::{Archive, ArchiveImage, images};
use super::digest::Digest;
use super::error::ImageError;
use super::store::{ImageStore, LayerSource, Take};

/// What became of one archive.
#[derive(Debug)]
pub struct Imported {
    /// The archive.
    pub path: PathBuf,
    /// Names of its images; or what is wrong with it.
    pub images: Result<Vec<String>, ImageError>,
    /// It was there before and has not changed.
    pub unchanged: bool,
}

impl ImageStore {
    /// Imports all images of an archive that run here.
    pub fn import(&self, path: &Path) -> Result<Vec<Image>, ImageError> {
        let archive = Archive::open(path)?;
        let found = images(&archive, &self.node, &self.limits)?;
        let install = |image: &ArchiveImage| {
            let mut layers = Layers { archive: &archive, image };
            self.install(&image.plan, &image.names, &mut layers)
        };
        found.iter().map(install).collect()
    }

    /// Imports all archives of a folder, or one archive, unless they are unchanged since the last
    /// time. Nothing there is fine. Images of archives that are still there are never collected.
    pub fn import_folder(&self, path: &Path) -> Vec<Imported> {
        let mut done: Vec<Imported> = Vec::new();
        match archives(path) {
            Ok(found) => done.extend(found.into_iter().map(|path| self.import_once(path))),
            Err(source) => done.push(Imported {
                path: path.to_owned(),
                images: Err(ImageError::Archive {
                    operation: "list",
                    path: path.to_owned(),
                    source,
                }),
                unchanged: false,
            }),
        }
        for path in self.archives() {
            // Only what is surely gone: a disk that cannot be read may come back.
            if matches!(fs::metadata(&path), Err(e) if e.kind() == io::ErrorKind::NotFound) {
                if let Err(error) = self.forget(&path) {
                    tracing::warn!(%error, archive = %path.display(), "cannot forget archive");
                }
            }
        }
        done
    }

    fn import_once(&self, path: PathBuf) -> Imported {
        let now = match state(&path) {
            Ok(now) => now,
            Err(source) => {
                let images =
                    Err(ImageError::Archive { operation: "look at", path: path.clone(), source });
                return Imported { path, images, unchanged: false };
            }
        };
        if let Some(names) = self.imported(&path, now) {
            return Imported { path, images: Ok(names), unchanged: true };
        }
        let images = self.import(&path).and_then(|images| {
            let ids = images.iter().filter_map(|image| Digest::parse(&image.id).ok()).collect();
            self.remember(&path, now, ids)?;
            Ok(images.into_iter().flat_map(|image| image.names).collect())
        });
        Imported { path, images, unchanged: false }
    }
}

/// Length and modification time: what tells one archive from its successor.
pub(crate) type State = (u64, i64);

fn state(path: &Path) -> io::Result<State> {
    let metadata = fs::metadata(path)?;
    let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((metadata.len(), i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)))
}

/// Files of the folder in order of their names; hidden ones are some tool's unfinished business.
fn archives(path: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
        Ok(metadata) if metadata.is_file() => return Ok(vec![path.to_owned()]),
        Ok(_) => {}
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let path = entry.path();
        if !hidden && fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

struct Layers<'a> {
    archive: &'a Archive,
    image: &'a ArchiveImage,
}

impl LayerSource for Layers<'_> {
    fn each(&mut self, wanted: &[usize], take: &mut Take<'_>) -> Result<(), ImageError> {
        let member = |&n: &usize| (n, self.image.members[n].as_str());
        self.archive.visit(&wanted.iter().map(member).collect::<Vec<_>>(), take)
    }
}
