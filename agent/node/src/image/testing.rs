//! Layers and images made in memory, for tests.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tar_core::{EntryBuilder, EntryType};

use super::digest::Digest;
use super::disk::Meta;
use super::disk::fake::{Body, FakeDisk};
use super::platform::Platform;
use super::{Image, ImageStore, Limits};

/// A tar archive in the making.
#[derive(Default, Clone)]
pub(crate) struct Tarball(Vec<u8>);

impl Tarball {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn file(self, path: &str, contents: &[u8]) -> Self {
        self.entry(path, EntryType::Regular, contents, |e| e)
    }

    pub fn dir(self, path: &str) -> Self {
        self.entry(path, EntryType::Directory, b"", |e| {
            e.mode(0o755).unwrap();
            e
        })
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, EntryType::Symlink, b"", |e| e.link_name(target))
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, EntryType::Link, b"", |e| e.link_name(target))
    }

    pub fn entry(
        mut self,
        path: &str,
        kind: EntryType,
        contents: &[u8],
        more: impl FnOnce(&mut EntryBuilder) -> &mut EntryBuilder,
    ) -> Self {
        let mut builder = EntryBuilder::new_ustar();
        builder.path(path).entry_type(kind);
        builder.mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap();
        builder.mtime(1000).unwrap().size(contents.len() as u64).unwrap();
        more(&mut builder);
        self.0.extend(builder.finish_bytes());
        self.0.extend(contents);
        self.pad();
        self
    }

    /// Bytes as they are: for what no builder would write.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A configuration for this node with these uncompressed layers.
pub(crate) fn config(layers: &[Vec<u8>], command: &str) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    serde_json::json!({
        "architecture": Platform::of_this_node().architecture, "os": "linux",
        "config": {"Cmd": [command]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
    .to_string()
    .into_bytes()
}

/// A docker-archive of one image.
pub(crate) fn docker_archive(names: &[&str], layers: &[Vec<u8>], command: &str) -> Vec<u8> {
    let config = config(layers, command);
    let id = Digest::of(&config);
    let paths: Vec<_> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let config_path = format!("{}.json", id.hex());
    let manifest = serde_json::json!([{
        "Config": config_path, "RepoTags": names, "Layers": paths,
    }]);
    let mut tar = Tarball::new().file(&config_path, &config);
    for (path, layer) in paths.iter().zip(layers) {
        tar = tar.file(path, layer);
    }
    tar.file("manifest.json", manifest.to_string().as_bytes()).finish()
}

/// An image as a registry or an OCI layout holds it.
pub(crate) struct OciImage {
    pub manifest: Vec<u8>,
    /// Blobs with their digests, configuration first.
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

impl OciImage {
    pub fn new(layers: &[Vec<u8>], command: &str, compress: fn(&[u8]) -> Vec<u8>) -> Self {
        let config = config(layers, command);
        let mut blobs = vec![(Digest::of(&config), config)];
        blobs.extend(layers.iter().map(|layer| {
            let blob = compress(layer);
            (Digest::of(&blob), blob)
        }));
        let describe = |(digest, bytes): &(Digest, Vec<u8>)| serde_json::json!({"mediaType": "x", "digest": digest, "size": bytes.len()});
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe(&blobs[0]),
            "layers": blobs[1..].iter().map(describe).collect::<Vec<_>>(),
        });
        Self { manifest: manifest.to_string().into_bytes(), blobs }
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    pub fn descriptor(&self, annotations: serde_json::Value) -> serde_json::Value {
        serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": self.digest(), "size": self.manifest.len(), "annotations": annotations,
            "platform": {"os": "linux", "architecture": Platform::of_this_node().architecture},
        })
    }

    /// An OCI layout tar of this image alone.
    pub fn layout(&self, annotations: serde_json::Value) -> Vec<u8> {
        let index = serde_json::json!({
            "schemaVersion": 2, "manifests": [self.descriptor(annotations)],
        });
        let mut tar = Tarball::new().file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        for (digest, bytes) in &self.blobs {
            tar = tar.file(&format!("blobs/sha256/{}", digest.hex()), bytes);
        }
        tar.file(&format!("blobs/sha256/{}", self.digest().hex()), &self.manifest)
            .file("index.json", index.to_string().as_bytes())
            .finish()
    }
}

/// A store on a disk in memory.
pub(crate) fn store_on(disk: &FakeDisk, limits: Limits) -> ImageStore {
    ImageStore::with_disk(Box::new(disk.clone()), "/data/images".into(), limits).unwrap()
}

/// Quick retries, so that tests need no patience.
pub(crate) fn quick() -> Limits {
    Limits {
        retry_first: Duration::from_millis(1),
        retry_longest: Duration::from_millis(4),
        ..Limits::default()
    }
}

/// The layers of an image, as the disk has them.
pub(crate) fn layers_of(disk: &FakeDisk, image: &Image) -> Vec<BTreeMap<PathBuf, (Body, Meta)>> {
    let inside = |path: &PathBuf| path.strip_prefix("/data/images").unwrap().to_owned();
    image.layers.iter().map(|path| disk.dump(&inside(path))).collect()
}
