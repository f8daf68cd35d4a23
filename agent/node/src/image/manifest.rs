//! Manifests, indexes and configurations as registries and archives hold them: decoded, checked,
//! and turned into the list of layers that an image needs.
//!
//! Pure. Must never trust a number or a digest that is not compared later.

use std::collections::BTreeMap;

use oci_spec::image::ImageConfiguration;

use super::digest::Digest;
use super::platform::{self, Platform};

/// Media types to ask a registry for.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// A document that does not describe an image which can run here.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON of the expected shape.
    #[error("decode {document}")]
    Decode {
        /// Which document.
        document: &'static str,
        /// Where it breaks.
        #[source]
        source: serde_json::Error,
    },
    /// The configuration has not the expected shape.
    #[error("decode image configuration")]
    Configuration(#[source] oci_spec::OciSpecError),
    /// No manifest of the index is for this platform.
    #[error("no image for {wanted}: there is {offered}")]
    Platform {
        /// What this node is.
        wanted: String,
        /// What the index or the configuration names.
        offered: String,
    },
    /// The manifest and the configuration disagree.
    #[error("manifest lists {layers} layers, the configuration {diff_ids}")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// Layers in the configuration.
        diff_ids: usize,
    },
    /// More layers than the store takes.
    #[error("{layers} layers are more than the limit of {limit}")]
    TooManyLayers {
        /// Layers in the configuration.
        layers: usize,
        /// See `Limits::layers`.
        limit: usize,
    },
    /// A layer's digest cannot be checked.
    #[error("layer {index}")]
    LayerDigest {
        /// Position from the lowest.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: super::digest::DigestError,
    },
    /// The document is neither a manifest nor an index.
    #[error("{media_type:?} is neither an image manifest nor an index of them")]
    Kind {
        /// What it calls itself.
        media_type: String,
    },
}

/// Points at a blob.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Whether it points at the manifest of one image.
    pub fn is_manifest(&self) -> bool {
        self.media_type.contains("image.manifest")
            || self.media_type.contains("distribution.manifest.v2")
    }
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de> + Default,
{
    Ok(<Option<T> as serde::Deserialize>::deserialize(deserializer)?.unwrap_or_default())
}

/// A manifest of one image, or an index of several.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Document {
    Manifest { config: Descriptor, layers: Vec<Descriptor> },
    Index(Vec<Descriptor>),
}

/// Tells a manifest from an index by what it holds, for media types are often missing.
pub(crate) fn decode(bytes: &[u8]) -> Result<Document, ManifestError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Either {
        #[serde(default)]
        media_type: String,
        config: Option<Descriptor>,
        layers: Option<Vec<Descriptor>>,
        manifests: Option<Vec<Descriptor>>,
    }
    let either: Either = serde_json::from_slice(bytes)
        .map_err(|source| ManifestError::Decode { document: "image manifest", source })?;
    match (either.config, either.layers, either.manifests) {
        (Some(config), Some(layers), None) => Ok(Document::Manifest { config, layers }),
        (None, None, Some(manifests)) => Ok(Document::Index(manifests)),
        _ => Err(ManifestError::Kind { media_type: either.media_type }),
    }
}

/// The manifest of the index that runs on `node`.
pub(crate) fn choose<'a>(
    manifests: &'a [Descriptor],
    node: &Platform,
) -> Result<&'a Descriptor, ManifestError> {
    platform::choose(manifests, node).ok_or_else(|| {
        let offered: Vec<_> =
            manifests.iter().filter_map(|d| d.platform.as_ref()).map(ToString::to_string).collect();
        let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
        ManifestError::Platform { wanted: node.to_string(), offered }
    })
}

/// One layer that an image needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerPlan {
    /// Digest of the uncompressed layer.
    pub diff_id: Digest,
    /// Digest of this layer on top of all below it.
    pub chain_id: Digest,
    /// The compressed blob, where a manifest names one.
    pub blob: Option<Descriptor>,
}

/// An image to be made: its configuration and layers, lowest first.
#[derive(Debug, Clone)]
pub(crate) struct ImagePlan {
    pub id: Digest,
    pub manifest: Option<Digest>,
    pub config: Vec<u8>,
    pub layers: Vec<LayerPlan>,
}

/// Checks a configuration against the manifest's layers (`blobs`) and this node.
pub(crate) fn plan(
    config: Vec<u8>,
    manifest: Option<Digest>,
    blobs: Option<Vec<Descriptor>>,
    node: &Platform,
    layer_limit: usize,
) -> Result<ImagePlan, ManifestError> {
    let decoded = configuration(&config)?;
    let offered = Platform {
        os: decoded.os().to_string(),
        architecture: decoded.architecture().to_string(),
        variant: decoded.variant().clone(),
    };
    if !node.runs(&offered) {
        return Err(ManifestError::Platform {
            wanted: node.to_string(),
            offered: offered.to_string(),
        });
    }
    let diff_ids = decoded.rootfs().diff_ids();
    if diff_ids.len() > layer_limit {
        return Err(ManifestError::TooManyLayers { layers: diff_ids.len(), limit: layer_limit });
    }
    if let Some(blobs) = blobs.as_ref().filter(|blobs| blobs.len() != diff_ids.len()) {
        return Err(ManifestError::LayerCount { layers: blobs.len(), diff_ids: diff_ids.len() });
    }
    let mut blobs = blobs.map(Vec::into_iter);
    let mut layers: Vec<LayerPlan> = Vec::with_capacity(diff_ids.len());
    for (index, text) in diff_ids.iter().enumerate() {
        let diff_id =
            Digest::parse(text).map_err(|source| ManifestError::LayerDigest { index, source })?;
        let chain_id = match layers.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{} {diff_id}", below.chain_id).as_bytes()),
        };
        let blob = blobs.as_mut().and_then(Iterator::next);
        layers.push(LayerPlan { diff_id, chain_id, blob });
    }
    Ok(ImagePlan { id: Digest::of(&config), manifest, config, layers })
}

/// Decodes an image's configuration.
pub(crate) fn configuration(bytes: &[u8]) -> Result<ImageConfiguration, ManifestError> {
    ImageConfiguration::from_reader(bytes).map_err(ManifestError::Configuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const B: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn node() -> Platform {
        Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }
    }

    fn config(architecture: &str, diff_ids: &[&str]) -> Vec<u8> {
        serde_json::json!({"architecture": architecture, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids}})
        .to_string()
        .into_bytes()
    }

    #[test]
    fn chain_ids_follow_the_specification() {
        let image = plan(config("amd64", &[A, B]), None, None, &node(), 127).unwrap();
        assert_eq!(image.layers[0].chain_id.as_str(), A);
        assert_eq!(image.layers[1].chain_id, Digest::of(format!("{A} {B}").as_bytes()));
    }

    #[test]
    fn same_layer_on_another_base_has_another_chain() {
        let one = plan(config("amd64", &[A, B]), None, None, &node(), 127).unwrap();
        let two = plan(config("amd64", &[B]), None, None, &node(), 127).unwrap();
        assert_eq!(one.layers[1].diff_id, two.layers[0].diff_id);
        assert_ne!(one.layers[1].chain_id, two.layers[0].chain_id);
    }

    #[test]
    fn image_of_another_architecture_is_refused() {
        let error = plan(config("arm64", &[A]), None, None, &node(), 127).unwrap_err();
        assert_eq!(error.to_string(), "no image for linux/amd64: there is linux/arm64");
    }

    #[test]
    fn layers_of_manifest_and_configuration_must_agree_in_number() {
        let error = plan(config("amd64", &[A]), None, Some(vec![]), &node(), 127).unwrap_err();
        assert!(matches!(error, ManifestError::LayerCount { layers: 0, diff_ids: 1 }));
        let error = plan(config("amd64", &[A, B]), None, None, &node(), 1).unwrap_err();
        assert!(matches!(error, ManifestError::TooManyLayers { layers: 2, limit: 1 }));
    }

    #[test]
    fn layer_digest_that_is_a_path_is_refused() {
        let error = plan(config("amd64", &["sha256:../../x"]), None, None, &node(), 9).unwrap_err();
        assert!(matches!(error, ManifestError::LayerDigest { index: 0, .. }));
    }

    #[test]
    fn manifest_and_index_are_told_apart_without_media_type() {
        let blob = serde_json::json!({"digest": A, "size": 2, "annotations": null});
        let manifest = serde_json::json!({"config": blob, "layers": [blob]}).to_string();
        assert!(
            matches!(decode(manifest.as_bytes()), Ok(Document::Manifest { layers, .. }) if layers.len() == 1)
        );
        let index = serde_json::json!({"manifests": [blob]}).to_string();
        assert!(matches!(decode(index.as_bytes()), Ok(Document::Index(list)) if list.len() == 1));
        let v1 =
            serde_json::json!({"schemaVersion": 1, "fsLayers": [], "mediaType": "x/y"}).to_string();
        assert!(
            matches!(decode(v1.as_bytes()), Err(ManifestError::Kind { media_type }) if media_type == "x/y")
        );
        assert!(matches!(decode(b"<html>"), Err(ManifestError::Decode { .. })));
    }
}
