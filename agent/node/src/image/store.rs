//! The image store's folder: what is in it, and what may go.
//!
//! ```text
//! layers/<key>/fs, layers/<key>/layer.json   an unpacked layer
//! images/<id>.json                           an image: its layers and configuration
//! names/<hash>.json                          a name and the image it stands for
//! archives/<hash>.json                       an archive that was imported
//! staging/<n>                                what is in the making; emptied at start
//! ```
//!
//! Everything is made in `staging`, flushed, and moved to its place by one rename, layers before the
//! image that has them, images before their names. Must never show what is not wholly there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Image;
use super::digest::Digest;
use super::disk::{Disk, LinuxDisk};
use super::error::{ImageError, disk_error};
use super::limits::Limits;
use super::manifest::{self, LayerPlan};
use super::platform::Platform;
use super::reference::Reference;

mod archives;
mod collect;
pub(crate) mod garbage;
mod install;
mod load;
pub(crate) mod records;

#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod tests;

pub use collect::Collected;
pub use garbage::Thresholds;
pub(crate) use install::{LayerSource, Take};
#[cfg(test)]
use records::NameRecord;
use records::{ArchiveRecord, ImageRecord, LayerKey, LayerRecord, needed};

/// A record is a configuration and some digests; configurations are bounded by `Limits`.
const RECORD_LIMIT: u64 = 16 << 20;

/// Images on this node. Calls block, may come from several threads at once, and see each other's
/// results as wholes. Two that need the same layer at the same time both unpack it, and one is kept.
pub struct ImageStore {
    pub(crate) disk: Box<dyn Disk>,
    root: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) node: Platform,
    staged: AtomicU64,
    index: Mutex<Index>,
}

/// What the folder holds, without configurations: those are read when they are asked for.
#[derive(Debug, Default)]
struct Index {
    images: BTreeMap<Digest, Known>,
    names: BTreeMap<String, Digest>,
    layers: BTreeMap<LayerKey, LayerRecord>,
    archives: BTreeMap<PathBuf, ArchiveRecord>,
    /// Layers that a running import or pull needs, and how many of them do.
    pins: BTreeMap<LayerKey, usize>,
    /// Since when a layer has had no image.
    orphans: BTreeMap<LayerKey, Instant>,
}

#[derive(Debug)]
struct Known {
    digest: Option<Digest>,
    layers: Vec<LayerKey>,
    unused_since: Option<Instant>,
}

/// An image in a list: what a node's status shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// Digest of its configuration.
    pub id: String,
    /// All its names, sorted.
    pub names: Vec<String>,
    /// What its layers take on the disk, shared ones included.
    pub bytes: u64,
}

impl ImageStore {
    /// Opens the folder, makes it where it is missing, and removes what an earlier run left half
    /// done.
    pub fn open(root: &Path, limits: Limits) -> Result<Self, ImageError> {
        let disk = LinuxDisk::open(root).map_err(disk_error("open", root))?;
        Self::with_disk(Box::new(disk), root.to_owned(), limits)
    }

    pub(crate) fn with_disk(
        disk: Box<dyn Disk>,
        root: PathBuf,
        limits: Limits,
    ) -> Result<Self, ImageError> {
        let index = load::load(&*disk)?;
        Ok(Self {
            disk,
            root,
            limits,
            node: Platform::of_this_node(),
            staged: AtomicU64::new(0),
            index: Mutex::new(index),
        })
    }

    /// The image with this name (`busybox`, `docker.io/library/busybox:1.37`, `…@sha256:…`) or ID
    /// (`sha256:…`), if it is here.
    pub fn get(&self, name: &str) -> Result<Option<Image>, ImageError> {
        let Some(id) = self.find(name)? else { return Ok(None) };
        self.image(&id).map(Some)
    }

    /// All images, by ID.
    pub fn images(&self) -> Vec<ImageSummary> {
        let index = self.index();
        let bytes = |known: &Known| {
            let unique: BTreeSet<_> = known.layers.iter().collect();
            unique.iter().filter_map(|key| index.layers.get(*key)).map(|layer| layer.bytes).sum()
        };
        let summary = |(id, known): (&Digest, &Known)| ImageSummary {
            id: id.to_string(),
            names: index.names_of(id),
            bytes: bytes(known),
        };
        index.images.iter().map(summary).collect()
    }

    /// Forgets a name, or an image by its ID. The image goes with its last tag, and a layer with its
    /// last image. The caller knows that no container uses it. `false`: there was no such image.
    pub fn remove(&self, name: &str) -> Result<bool, ImageError> {
        let Some(id) = self.find(name)? else { return Ok(false) };
        let mut index = self.index();
        let names = index.names_of(&id);
        let by_id = name == id.as_str();
        let full = if by_id { None } else { Some(full_name(name)?) };
        let tag_left = |other: &&String| Some(*other) != full.as_ref() && !other.contains('@');
        let whole = by_id || !names.iter().any(|other| tag_left(&other));
        let gone = if whole { names } else { full.into_iter().collect() };
        self.forget_names(&mut index, &gone)?;
        if whole {
            self.forget_image(&mut index, &id)?;
            let orphans = index.unused_layers();
            self.remove_layers(&mut index, &orphans)?;
        }
        Ok(true)
    }

    fn find(&self, name: &str) -> Result<Option<Digest>, ImageError> {
        let index = self.index();
        match Digest::parse(name) {
            Ok(id) => Ok(index.images.contains_key(&id).then_some(id)),
            Err(_) => Ok(index.names.get(&full_name(name)?).cloned()),
        }
    }

    /// The whole image of a known ID.
    pub(crate) fn image(&self, id: &Digest) -> Result<Image, ImageError> {
        let path = records::image_path(id);
        let bytes = self.disk.read(&path, RECORD_LIMIT).map_err(disk_error("read", &path))?;
        let record: ImageRecord = serde_json::from_slice(&bytes)
            .map_err(|e| disk_error("decode", &path)(std::io::Error::other(e)))?;
        let actual = Digest::of(record.config.as_bytes());
        if actual != *id {
            let what = "stored configuration".to_owned();
            return Err(ImageError::Digest { what, expected: id.clone(), actual });
        }
        let config = manifest::configuration(record.config.as_bytes())
            .map_err(|source| ImageError::Manifest { image: id.to_string(), source })?;
        let index = self.index();
        let layers: Vec<_> =
            record.layers.iter().filter_map(|key| index.layers.get_key_value(key)).collect();
        if layers.len() != record.layers.len() {
            let gone = std::io::Error::other("a layer of the image was removed meanwhile");
            return Err(disk_error("find layers of", &path)(gone));
        }
        Ok(Image {
            id: id.to_string(),
            digest: record.digest.map(String::from),
            names: index.names_of(id),
            layers: needed(&layers).iter().map(|key| self.root.join(key.contents())).collect(),
            config,
        })
    }

    /// Key of a layer that is here already.
    fn present(&self, layer: &LayerPlan) -> Result<Option<LayerKey>, ImageError> {
        let index = self.index();
        for key in [LayerKey::of_diff(layer), LayerKey::of_chain(layer)] {
            match index.layers.get(&key) {
                Some(record) if record.is(layer) => return Ok(Some(key)),
                Some(_) => return Err(ImageError::Collision { diff_id: layer.diff_id.clone() }),
                None => {}
            }
        }
        Ok(None)
    }

    /// A new place in `staging`.
    fn staging(&self) -> PathBuf {
        Path::new("staging").join(self.staged.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Writes a record: after this it is wholly there and flushed, or as it was before.
    fn put(&self, path: &Path, record: &impl serde::Serialize) -> Result<(), ImageError> {
        let bytes = serde_json::to_vec(record)
            .map_err(|e| disk_error("encode", path)(std::io::Error::other(e)))?;
        let staged = self.staging();
        let written = self
            .disk
            .write(&staged, &bytes)
            .map_err(disk_error("write", path))
            .and_then(|()| self.disk.rename(&staged, path).map_err(disk_error("write", path)));
        if let Err(error) = written {
            // What is left is removed at the next start too.
            let _ = self.disk.remove_file(&staged);
            return Err(error);
        }
        self.flush_parent(path)
    }

    fn flush_parent(&self, path: &Path) -> Result<(), ImageError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        self.disk.flush_dir(parent).map_err(disk_error("flush", parent))
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Each change is made after the disk has it, so a panic elsewhere leaves the index right.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn names_of(&self, id: &Digest) -> Vec<String> {
        let named = self.names.iter().filter(|(_, image)| *image == id);
        named.map(|(name, _)| name.clone()).collect()
    }

    /// Layers that neither an image nor a running pull has.
    fn unused_layers(&self) -> Vec<LayerKey> {
        let used: BTreeSet<_> = self.images.values().flat_map(|image| &image.layers).collect();
        let free = |key: &&LayerKey| !used.contains(key) && !self.pins.contains_key(key);
        self.layers.keys().filter(free).cloned().collect()
    }
}

fn full_name(name: &str) -> Result<String, ImageError> {
    Reference::parse(name).map(|r| r.to_string()).map_err(ImageError::Name)
}
