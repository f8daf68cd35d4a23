//! Reads the store's folder at start and removes what a power cut left behind.
//!
//! Must never remove what it merely failed to read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::image::disk::Disk;
use crate::image::error::{ImageError, disk_error};

use super::records::{self, ArchiveRecord, ImageRecord, LayerKey, LayerRecord, NameRecord};
use super::{Index, Known, RECORD_LIMIT};

pub(super) fn load(disk: &dyn Disk) -> Result<Index, ImageError> {
    for folder in ["layers", "images", "names", "archives", "staging"] {
        let path = Path::new(folder);
        if !disk.exists(path).map_err(disk_error("look for", path))? {
            disk.make_dir(path).map_err(disk_error("make", path))?;
        }
    }
    for (path, _) in entries(disk, "staging")? {
        remove(disk, &path)?;
    }
    let mut index = Index { layers: layers(disk)?, ..Index::default() };
    for (path, record) in all::<ImageRecord>(disk, "images")? {
        let whole = record.layers.iter().all(|key| index.layers.contains_key(key));
        if whole && path == records::image_path(&record.id) {
            let known = Known { digest: record.digest, layers: record.layers, unused_since: None };
            index.images.insert(record.id, known);
        } else {
            remove(disk, &path)?;
        }
    }
    for (path, record) in all::<NameRecord>(disk, "names")? {
        let known = index.images.contains_key(&record.image);
        if known && path == records::name_path(&record.name) {
            index.names.insert(record.name, record.image);
        } else {
            remove(disk, &path)?;
        }
    }
    for (path, record) in all::<ArchiveRecord>(disk, "archives")? {
        if record.images.iter().all(|id| index.images.contains_key(id)) {
            index.archives.insert(record.path.clone(), record);
        } else {
            remove(disk, &path)?;
        }
    }
    Ok(index)
}

fn layers(disk: &dyn Disk) -> Result<BTreeMap<LayerKey, LayerRecord>, ImageError> {
    let mut layers = BTreeMap::new();
    for (path, name) in entries(disk, "layers")? {
        let record = read::<LayerRecord>(disk, &path.join("layer.json"))?;
        match (LayerKey::parse(&name), record) {
            (Some(key), Some(record)) => drop(layers.insert(key, record)),
            _ => remove(disk, &path)?,
        }
    }
    Ok(layers)
}

/// Records of a folder; what is no record is removed.
fn all<T: DeserializeOwned>(
    disk: &dyn Disk,
    folder: &str,
) -> Result<Vec<(PathBuf, T)>, ImageError> {
    let mut found = Vec::new();
    for (path, _) in entries(disk, folder)? {
        match read(disk, &path)? {
            Some(record) => found.push((path, record)),
            None => remove(disk, &path)?,
        }
    }
    Ok(found)
}

/// `None`: missing, or no record.
fn read<T: DeserializeOwned>(disk: &dyn Disk, path: &Path) -> Result<Option<T>, ImageError> {
    match disk.read(path, RECORD_LIMIT) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound) => Ok(None),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(disk_error("read", path)(e)),
    }
}

fn entries(disk: &dyn Disk, folder: &str) -> Result<Vec<(PathBuf, String)>, ImageError> {
    let folder = Path::new(folder);
    let mut names = disk.names(folder).map_err(disk_error("list", folder))?;
    names.sort();
    Ok(names.into_iter().map(|name| (folder.join(&name), name)).collect())
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), ImageError> {
    tracing::info!(path = %path.display(), "removing what an earlier run left unfinished");
    disk.remove_tree(path).map_err(disk_error("remove", path))
}
