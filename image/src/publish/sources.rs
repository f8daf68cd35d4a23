//! What a built image brings to an update: the files beside it that its manifest names.

use std::fs;
use std::path::{Path, PathBuf};

use holm_payload::PartKind;
use semver::Version;
use serde::Deserialize;

use super::{Error, file};

/// One image's contribution.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The board.
    pub board: String,
    /// The version that the image says of itself.
    pub version: Version,
    /// The verity root hash.
    pub root_hash: String,
    /// Where the verity tree begins in the root.
    pub hash_offset: u64,
    /// The parts, the root first.
    pub parts: Vec<PartFile>,
}

/// A file that is a part.
#[derive(Debug, Clone, Deserialize)]
pub struct PartFile {
    /// What it is for.
    pub kind: PartKind,
    /// The slot, where it is for one only.
    #[serde(default)]
    pub slot: Option<char>,
    /// Its name on the node, where it has one.
    #[serde(default)]
    pub name: String,
    /// The file: in the manifest its name beside the image.
    pub file: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Manifest {
    board: String,
    holm: Holm,
    root_hash: String,
    update: Option<Update>,
}

#[derive(Deserialize)]
struct Holm {
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Update {
    hash_offset: u64,
    parts: Vec<PartFile>,
}

impl Sources {
    /// Reads the manifest beside `image`.
    pub fn beside(image: &Path) -> Result<Self, Error> {
        let path = image.with_extension("manifest.json");
        let text = fs::read(&path).map_err(file("read", &path))?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        let lacks = |what| Error::NotForUpdates { path: path.clone(), what };
        let update = manifest.update.ok_or_else(|| lacks("parts"))?;
        let version = manifest.holm.version.parse().map_err(|_| lacks("usable version"))?;
        let folder = image.parent().unwrap_or(Path::new(""));
        let mut parts = update.parts;
        parts.iter_mut().for_each(|part| part.file = folder.join(&part.file));
        parts.sort_by_key(|part| (part.kind, part.slot));
        if !parts.iter().any(|part| part.kind == PartKind::Root) {
            return Err(lacks("root"));
        }
        Ok(Self {
            board: manifest.board,
            version,
            root_hash: manifest.root_hash,
            hash_offset: update.hash_offset,
            parts,
        })
    }
}
