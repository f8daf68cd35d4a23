//! What the store remembers, as small JSON files: one for each image, name, layer and archive.
//!
//! Pure. One file for all would be one point of corruption.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;
use crate::image::manifest::LayerPlan;

/// `images/<hex>.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub id: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Keys of its layers, lowest first.
    pub layers: Vec<LayerKey>,
    /// The configuration, byte for byte.
    pub config: String,
}

/// `names/<hash>.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameRecord {
    pub name: String,
    pub image: Digest,
}

/// `layers/<key>/layer.json`: written and flushed before the folder gets its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub diff_id: Digest,
    /// Set where the layer took ownership and modes over from the ones below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<Digest>,
    /// What it takes on the disk.
    pub bytes: u64,
    pub entries: u64,
    #[serde(default)]
    pub opaque_root: bool,
}

/// `archives/<hash>.json`: an archive that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchiveRecord {
    pub path: PathBuf,
    pub length: u64,
    /// Modification time in nanoseconds since 1970, as the file system tells it.
    pub mtime: i64,
    pub images: Vec<Digest>,
}

/// Name of a layer's folder. Short, because overlayfs' mount options hold all of them in a page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct LayerKey(String);

impl LayerKey {
    /// Folder of a layer that is the same on any base.
    pub fn of_diff(layer: &LayerPlan) -> Self {
        Self(format!("d{}", short(&layer.diff_id)))
    }

    /// Folder of a layer that depends on those below it.
    pub fn of_chain(layer: &LayerPlan) -> Self {
        Self(format!("c{}", short(&layer.chain_id)))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(['d', 'c'])?;
        let good = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        good.then(|| Self(text.to_owned()))
    }

    pub fn folder(&self) -> PathBuf {
        Path::new("layers").join(&self.0)
    }

    /// The layer itself.
    pub fn contents(&self) -> PathBuf {
        self.folder().join("fs")
    }
}

impl TryFrom<String> for LayerKey {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no key of a layer")
    }
}

impl From<LayerKey> for String {
    fn from(key: LayerKey) -> Self {
        key.0
    }
}

impl LayerRecord {
    /// Whether this is the layer that is meant, and not another with the same short name.
    pub fn is(&self, layer: &LayerPlan) -> bool {
        self.diff_id == layer.diff_id
            && self.chain_id.as_ref().is_none_or(|chain| *chain == layer.chain_id)
    }
}

pub(crate) fn image_path(id: &Digest) -> PathBuf {
    Path::new("images").join(format!("{}.json", id.hex()))
}

pub(crate) fn name_path(name: &str) -> PathBuf {
    Path::new("names").join(format!("{}.json", short(&Digest::of(name.as_bytes()))))
}

pub(crate) fn archive_path(archive: &Path) -> PathBuf {
    let hash = Digest::of(archive.as_os_str().as_encoded_bytes());
    Path::new("archives").join(format!("{}.json", short(&hash)))
}

fn short(digest: &Digest) -> &str {
    digest.hex().get(..32).unwrap_or_default()
}

/// Which layers a container needs of an image's, lowest first: nothing below a layer whose root is
/// opaque, which overlayfs does not honour for a root, and no empty ones beside others.
pub(crate) fn needed<'a>(layers: &[(&'a LayerKey, &LayerRecord)]) -> Vec<&'a LayerKey> {
    let bottom = layers.iter().rposition(|(_, layer)| layer.opaque_root).unwrap_or(0);
    let above = &layers[bottom.min(layers.len())..];
    let full: Vec<_> = above.iter().filter(|(_, layer)| layer.entries > 0).collect();
    match (full.is_empty(), above.first()) {
        (true, Some((key, _))) => vec![key],
        _ => full.into_iter().map(|(key, _)| *key).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(diff: &str, chain: &str) -> LayerPlan {
        LayerPlan {
            diff_id: Digest::of(diff.as_bytes()),
            chain_id: Digest::of(chain.as_bytes()),
            blob: None,
        }
    }

    fn record(entries: u64, opaque_root: bool) -> LayerRecord {
        LayerRecord { diff_id: Digest::of(b""), chain_id: None, bytes: 0, entries, opaque_root }
    }

    #[test]
    fn keys_are_short_and_never_a_path() {
        let key = LayerKey::of_diff(&layer("a", "b"));
        assert_eq!(key.contents().as_os_str().len(), "layers/".len() + 33 + "/fs".len());
        assert_eq!(LayerKey::parse(&String::from(key.clone())), Some(key));
        for bad in ["", "d", "../../x", "x0123", &format!("d{}", "g".repeat(32))] {
            assert_eq!(LayerKey::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn same_layer_has_one_folder_on_any_base_unless_it_depends_on_it() {
        let (one, two) = (layer("a", "x"), layer("a", "y"));
        assert_eq!(LayerKey::of_diff(&one), LayerKey::of_diff(&two));
        assert_ne!(LayerKey::of_chain(&one), LayerKey::of_chain(&two));
    }

    #[test]
    fn record_of_another_layer_is_not_taken() {
        let mut record = record(1, false);
        assert!(!record.is(&layer("a", "x")));
        record.diff_id = Digest::of(b"a");
        assert!(record.is(&layer("a", "x")));
        record.chain_id = Some(Digest::of(b"y"));
        assert!(!record.is(&layer("a", "x")));
    }

    #[test]
    fn containers_get_no_hidden_and_no_empty_layers() {
        let keys: Vec<_> = ["a", "b", "c", "d"].map(|n| LayerKey::of_diff(&layer(n, n))).into();
        let pick = |records: &[LayerRecord]| {
            let layers: Vec<_> = keys.iter().zip(records).collect();
            needed(&layers).into_iter().cloned().collect::<Vec<_>>()
        };
        let (full, empty) = (record(1, false), record(0, false));
        let all = [full.clone(), empty.clone(), record(2, true), full.clone()];
        assert_eq!(pick(&all), &keys[2..]);
        assert_eq!(pick(&[full.clone(), empty.clone(), full]), [keys[0].clone(), keys[2].clone()]);
        assert_eq!(pick(&[empty.clone(), empty]), &keys[..1]);
        assert_eq!(pick(&[]), []);
    }
}
