//! Carries out a plan of the garbage collector, and removals that a person asked for.
//!
//! Must never remove an image before its names, or a layer before the images that have it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use crate::image::digest::Digest;
use crate::image::error::{ImageError, disk_error};

use super::garbage::{self, Candidate, LayerUse, Thresholds};
use super::records::{self, LayerKey};
use super::{ImageStore, Index, full_name};

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// IDs of the images that are gone.
    pub images: Vec<String>,
    /// What their layers took on the disk.
    pub bytes: u64,
    /// Bytes above the low mark that nothing is left to free.
    pub short_by: u64,
}

impl ImageStore {
    /// Removes what is unused when the disk is too full. `in_use` has the names or IDs of all images
    /// that containers have, stopped ones included. Images whose preloaded archive is still there
    /// stay. Call it now and then: an image counts as unused since the first call without it.
    pub fn collect_garbage<S: AsRef<str>>(
        &self,
        in_use: impl IntoIterator<Item = S>,
        thresholds: Thresholds,
        now: Instant,
    ) -> Result<Collected, ImageError> {
        let here = Path::new("");
        let space = self.disk.space().map_err(disk_error("measure the disk of", here))?;
        let mut index = self.index();
        let kept = index.kept(in_use);
        index.mark_use(&kept, now);
        let (images, layers) = index.candidates();
        let plan = garbage::plan(&images, &layers, space, thresholds, now);
        for id in &plan.images {
            let names = index.names_of(id);
            tracing::info!(image = %id, ?names, "removing unused image: the disk is filling");
            self.forget_names(&mut index, &names)?;
            self.forget_image(&mut index, id)?;
        }
        self.remove_layers(&mut index, &plan.layers)?;
        Ok(Collected {
            images: plan.images.into_iter().map(String::from).collect(),
            bytes: plan.bytes,
            short_by: plan.short_by,
        })
    }

    pub(super) fn forget_names(
        &self,
        index: &mut Index,
        names: &[String],
    ) -> Result<(), ImageError> {
        for name in names {
            let path = records::name_path(name);
            self.disk.remove_file(&path).map_err(disk_error("remove", &path))?;
            index.names.remove(name);
        }
        let folder = Path::new("names");
        self.disk.flush_dir(folder).map_err(disk_error("flush", folder))
    }

    pub(super) fn forget_image(&self, index: &mut Index, id: &Digest) -> Result<(), ImageError> {
        let stale: Vec<_> = index.archives.iter().filter(|(_, a)| a.images.contains(id)).collect();
        let stale: Vec<_> = stale.into_iter().map(|(path, _)| path.clone()).collect();
        for archive in stale {
            self.forget_archive(index, &archive)?;
        }
        let path = records::image_path(id);
        self.disk.remove_file(&path).map_err(disk_error("remove", &path))?;
        index.images.remove(id);
        self.flush_parent(&path)
    }

    pub(super) fn forget_archive(
        &self,
        index: &mut Index,
        archive: &Path,
    ) -> Result<(), ImageError> {
        let path = records::archive_path(archive);
        self.disk.remove_file(&path).map_err(disk_error("remove", &path))?;
        index.archives.remove(archive);
        self.flush_parent(&path)
    }

    /// A layer leaves its place as a whole before its files are removed one by one.
    pub(super) fn remove_layers(
        &self,
        index: &mut Index,
        layers: &[LayerKey],
    ) -> Result<(), ImageError> {
        let mut leaving = Vec::new();
        for key in layers {
            let (path, staged) = (key.folder(), self.staging());
            self.disk.rename(&path, &staged).map_err(disk_error("remove", &path))?;
            index.layers.remove(key);
            index.orphans.remove(key);
            leaving.push(staged);
        }
        if leaving.is_empty() {
            return Ok(());
        }
        let folder = Path::new("layers");
        self.disk.flush_dir(folder).map_err(disk_error("flush", folder))?;
        for staged in leaving {
            self.disk.remove_tree(&staged).map_err(disk_error("remove", &staged))?;
        }
        Ok(())
    }
}

impl Index {
    /// Images that stay, whatever the disk says.
    fn kept<S: AsRef<str>>(&self, in_use: impl IntoIterator<Item = S>) -> BTreeSet<Digest> {
        let mut kept: BTreeSet<Digest> = BTreeSet::new();
        for name in in_use {
            let name = name.as_ref();
            match Digest::parse(name) {
                Ok(id) => drop(kept.insert(id)),
                Err(_) => {
                    let id = full_name(name).ok().and_then(|name| self.names.get(&name));
                    kept.extend(id.cloned());
                }
            }
        }
        kept.extend(self.archives.values().flat_map(|archive| archive.images.iter().cloned()));
        kept
    }

    fn mark_use(&mut self, kept: &BTreeSet<Digest>, now: Instant) {
        for (id, known) in &mut self.images {
            if kept.contains(id) {
                known.unused_since = None;
            } else {
                known.unused_since.get_or_insert(now);
            }
        }
        let unused = self.unused_layers();
        self.orphans.retain(|key, _| unused.contains(key));
        for key in unused {
            self.orphans.entry(key).or_insert(now);
        }
    }

    fn candidates(&self) -> (Vec<Candidate>, BTreeMap<LayerKey, LayerUse>) {
        let image = |(id, known): (&Digest, &super::Known)| Candidate {
            id: id.clone(),
            layers: known.layers.clone(),
            unused_since: known.unused_since,
        };
        let layer = |(key, record): (&LayerKey, &records::LayerRecord)| {
            let pinned = self.pins.contains_key(key);
            let unused_since = self.orphans.get(key).copied();
            (key.clone(), LayerUse { bytes: record.bytes, pinned, unused_since })
        };
        (self.images.iter().map(image).collect(), self.layers.iter().map(layer).collect())
    }
}
