//! Brings an image into the store: unpacks and verifies the layers that are missing, then records
//! the image and its names.
//!
//! Must never move a layer to its place before all of it is flushed.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::image::Image;
use crate::image::compression::Decompressed;
use crate::image::digest::{Digest, HashingReader};
use crate::image::disk::Disk;
use crate::image::error::{ImageError, disk_error};
use crate::image::layer::{LayerError, Unpacked, adopt, unpack};
use crate::image::limits::Limits;
use crate::image::manifest::{ImagePlan, LayerPlan};
use crate::image::reference::Reference;
use crate::image::tar::{Entries, TarError};

use super::records::{self, ImageRecord, LayerKey, LayerRecord, NameRecord};
use super::{ImageStore, Known};

/// Between the decoder and the reader of tar headers.
const PLAIN_BUFFER: usize = 32 * 1024;

/// Gives a layer's bytes to a function, as stored.
pub(crate) type Take<'a> = dyn FnMut(usize, &mut dyn Read) -> Result<(), ImageError> + 'a;

/// Where layers come from: an archive or a registry.
pub(crate) trait LayerSource {
    /// Calls `take` with the position and the bytes of each wanted layer, in whatever order suits.
    fn each(&mut self, wanted: &[usize], take: &mut Take<'_>) -> Result<(), ImageError>;
}

/// A layer in `staging`, unpacked and verified. Removed again unless it is moved to its place.
struct Staged<'a> {
    disk: &'a dyn Disk,
    folder: PathBuf,
    done: Unpacked,
    placed: bool,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        if let Err(error) = self.disk.remove_tree(&self.folder) {
            // The next start removes it.
            tracing::warn!(%error, folder = %self.folder.display(), "cannot remove unfinished layer");
        }
    }
}

/// Keeps the layers of an image from being collected while it is not recorded yet.
struct Pins<'a> {
    store: &'a ImageStore,
    keys: Vec<LayerKey>,
}

impl Drop for Pins<'_> {
    fn drop(&mut self) {
        let mut index = self.store.index();
        for key in &self.keys {
            if let Some(count) = index.pins.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    index.pins.remove(key);
                }
            }
        }
    }
}

impl ImageStore {
    /// Makes the image present, under `names`.
    pub(crate) fn install(
        &self,
        plan: &ImagePlan,
        names: &[Reference],
        source: &mut dyn LayerSource,
    ) -> Result<Image, ImageError> {
        let pins = self.pin(plan);
        let keys = self.bring_layers(plan, source)?;
        let config = String::from_utf8(plan.config.clone())
            .map_err(|e| disk_error("record", Path::new("images"))(io::Error::other(e)))?;
        let record = ImageRecord {
            id: plan.id.clone(),
            digest: plan.manifest.clone(),
            layers: keys,
            config,
        };
        self.record(record, names)?;
        drop(pins);
        self.image(&plan.id)
    }

    fn pin(&self, plan: &ImagePlan) -> Pins<'_> {
        let both = |layer| [LayerKey::of_diff(layer), LayerKey::of_chain(layer)];
        let keys: Vec<_> = plan.layers.iter().flat_map(both).collect();
        let mut index = self.index();
        for key in &keys {
            *index.pins.entry(key.clone()).or_default() += 1;
        }
        Pins { store: self, keys }
    }

    fn bring_layers(
        &self,
        plan: &ImagePlan,
        source: &mut dyn LayerSource,
    ) -> Result<Vec<LayerKey>, ImageError> {
        let mut keys: Vec<LayerKey> = Vec::with_capacity(plan.layers.len());
        let mut staged: BTreeMap<usize, Staged<'_>> = BTreeMap::new();
        self.place(plan, &mut staged, &mut keys)?;
        while let Some(next) = plan.layers.get(keys.len()) {
            let mut wanted: Vec<usize> = Vec::new();
            for (n, layer) in plan.layers.iter().enumerate().skip(keys.len()) {
                let twice = wanted.iter().any(|&m| plan.layers[m].diff_id == layer.diff_id);
                if !twice && !staged.contains_key(&n) && self.present(layer)?.is_none() {
                    wanted.push(n);
                }
            }
            let before = keys.len();
            source.each(&wanted, &mut |n, bytes| {
                staged.insert(n, self.stage(&plan.layers[n], bytes)?);
                self.place(plan, &mut staged, &mut keys)
            })?;
            if keys.len() == before {
                let why = "the archive has no such entry";
                let source = LayerError::Archive(TarError::Read(io::Error::other(why)));
                return Err(ImageError::Layer { diff_id: next.diff_id.clone(), source });
            }
        }
        Ok(keys)
    }

    /// Moves staged layers to their places, as long as all below them are there.
    fn place(
        &self,
        plan: &ImagePlan,
        staged: &mut BTreeMap<usize, Staged<'_>>,
        keys: &mut Vec<LayerKey>,
    ) -> Result<(), ImageError> {
        while let Some(layer) = plan.layers.get(keys.len()) {
            let key = match (self.present(layer)?, staged.remove(&keys.len())) {
                (Some(key), _) => key,
                (None, Some(staged)) => self.commit(layer, staged, keys)?,
                (None, None) => return Ok(()),
            };
            keys.push(key);
        }
        Ok(())
    }

    /// Unpacks into `staging`, and compares both digests.
    fn stage(&self, layer: &LayerPlan, bytes: &mut dyn Read) -> Result<Staged<'_>, ImageError> {
        let folder = self.staging();
        let contents = folder.join("fs");
        let mut staged =
            Staged { disk: &*self.disk, folder, done: Unpacked::default(), placed: false };
        self.disk.make_dir(&contents).map_err(disk_error("make", &contents))?;
        let mut tree = self.disk.tree(&contents).map_err(disk_error("open", &contents))?;
        let reserve = self.limits.reserve_bytes;
        let mut enough_room = |next: u64| match self.disk.space() {
            Ok(space) if space.free < next.saturating_add(reserve) => {
                Err(LayerError::NoRoom { free: space.free, reserve })
            }
            _ => Ok(()),
        };
        let checked = verified(layer, bytes, &self.limits, |entries| {
            unpack(entries, &mut *tree, &self.limits, &mut enough_room)
        });
        staged.done = checked?;
        Ok(staged)
    }

    fn commit(
        &self,
        layer: &LayerPlan,
        mut staged: Staged<'_>,
        below: &[LayerKey],
    ) -> Result<LayerKey, ImageError> {
        let layer_error = |source| ImageError::Layer { diff_id: layer.diff_id.clone(), source };
        let depends = !staged.done.implied.is_empty();
        if depends {
            let contents = staged.folder.join("fs");
            let open = |path: PathBuf| self.disk.tree(&path).map_err(disk_error("open", &path));
            let below: Result<Vec<_>, _> = below.iter().map(|key| open(key.contents())).collect();
            adopt(&mut *open(contents)?, &staged.done.implied, &below?).map_err(layer_error)?;
        }
        let record = LayerRecord {
            diff_id: layer.diff_id.clone(),
            chain_id: depends.then(|| layer.chain_id.clone()),
            bytes: staged.done.room,
            entries: staged.done.entries,
            opaque_root: staged.done.opaque_root,
        };
        let key = if depends { LayerKey::of_chain(layer) } else { LayerKey::of_diff(layer) };
        let path = staged.folder.join("layer.json");
        let bytes = serde_json::to_vec(&record)
            .map_err(|e| disk_error("encode", &path)(io::Error::other(e)))?;
        self.disk.write(&path, &bytes).map_err(disk_error("write", &path))?;
        self.disk.flush_all().map_err(disk_error("flush", &staged.folder))?;

        let place = key.folder();
        let mut index = self.index();
        if let Some(other) = index.layers.get(&key) {
            // Another call was faster; this copy is removed.
            return if other.is(layer) {
                Ok(key)
            } else {
                Err(ImageError::Collision { diff_id: layer.diff_id.clone() })
            };
        }
        self.disk.rename(&staged.folder, &place).map_err(disk_error("make", &place))?;
        staged.placed = true;
        self.flush_parent(&place)?;
        index.layers.insert(key.clone(), record);
        Ok(key)
    }

    fn record(&self, mut record: ImageRecord, names: &[Reference]) -> Result<(), ImageError> {
        let mut index = self.index();
        let known = index.images.get(&record.id);
        let known_digest = known.and_then(|known| known.digest.clone());
        // An image that came from a registry and comes again from an archive keeps its digest.
        record.digest = record.digest.or(known_digest.clone());
        let same = known.is_some_and(|k| k.layers == record.layers && k.digest == record.digest);
        if !same {
            self.put(&records::image_path(&record.id), &record)?;
        }
        let fresh = Known { digest: record.digest, layers: record.layers, unused_since: None };
        index.images.insert(record.id.clone(), fresh);
        for name in names.iter().map(Reference::to_string) {
            if index.names.get(&name) != Some(&record.id) {
                let entry = NameRecord { name: name.clone(), image: record.id.clone() };
                self.put(&records::name_path(&name), &entry)?;
                index.names.insert(name, record.id.clone());
            }
        }
        Ok(())
    }
}

/// Runs `work` on the entries of a layer, reads on to its end, and compares length and digests.
fn verified<T>(
    layer: &LayerPlan,
    bytes: &mut dyn Read,
    limits: &Limits,
    work: impl FnOnce(&mut Entries<BufReader<PlainReader<'_>>>) -> Result<T, LayerError>,
) -> Result<T, ImageError> {
    let layer_error = |source| ImageError::Layer { diff_id: layer.diff_id.clone(), source };
    let read_error = |e| layer_error(LayerError::Archive(TarError::Read(e)));
    let expected = layer.blob.as_ref().map_or(&layer.diff_id, |blob| &blob.digest);
    let most = layer.blob.as_ref().map_or(limits.blob_bytes, |blob| blob.size);
    // One byte more than announced is enough to know.
    let raw = HashingReader::new(bytes.take(most.saturating_add(1)), expected);
    let plain = Decompressed::new(raw).map_err(read_error)?;
    // Headers and padding beside the contents.
    let most_plain = limits.unpacked_bytes.saturating_add(limits.entries.saturating_mul(4096));
    let plain = HashingReader::new(plain, &layer.diff_id).take(most_plain);
    let mut entries = Entries::new(BufReader::with_capacity(PLAIN_BUFFER, plain));
    let done = work(&mut entries).map_err(layer_error)?;
    entries.drain().map_err(|e| layer_error(LayerError::Archive(e)))?;
    let plain = entries.into_inner().into_inner();
    if plain.limit() == 0 {
        return Err(layer_error(LayerError::TooLarge { limit: limits.unpacked_bytes }));
    }
    let (decoder, diff_id) = plain.into_inner().into_parts();
    let mut raw = decoder.into_inner();
    io::copy(&mut raw, &mut io::sink()).map_err(read_error)?;
    let (digest, length) = raw.finish();
    if let Some(blob) = &layer.blob {
        let what = || format!("layer blob {}", blob.digest);
        if length != blob.size {
            return Err(ImageError::Length { what: what(), expected: blob.size, actual: length });
        }
        compare(what, &blob.digest, digest)?;
    }
    compare(|| "unpacked layer".to_owned(), &layer.diff_id, diff_id)?;
    Ok(done)
}

type PlainReader<'a> =
    io::Take<HashingReader<Decompressed<HashingReader<io::Take<&'a mut dyn Read>>>>>;

fn compare(
    what: impl FnOnce() -> String,
    expected: &Digest,
    actual: Digest,
) -> Result<(), ImageError> {
    if *expected == actual {
        return Ok(());
    }
    Err(ImageError::Digest { what: what(), expected: expected.clone(), actual })
}
