//! What can go wrong with an image, and the word that Kubernetes has for it.

use std::io;
use std::path::PathBuf;

use super::digest::Digest;
use super::layer::LayerError;
use super::manifest::ManifestError;
use super::reference::ReferenceError;
use super::registry::RegistryError;
use super::tar::TarError;

/// A failed operation of the image store.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The name is not one.
    #[error("read the image's name")]
    Name(#[source] ReferenceError),
    /// The store's own folder refuses.
    #[error("{operation} {path:?} in the image store")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// Path in the store.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An archive cannot be read.
    #[error("{operation} archive {path:?}")]
    Archive {
        /// What was tried.
        operation: &'static str,
        /// The archive.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An archive is not a tar.
    #[error("read archive {path:?}")]
    Tar {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: TarError,
    },
    /// An archive holds something else than images.
    #[error("archive {path:?}: {why}")]
    Contents {
        /// The archive.
        path: PathBuf,
        /// What is missing or wrong.
        why: String,
    },
    /// A manifest or configuration does not describe an image for this node.
    #[error("use image {image}")]
    Manifest {
        /// Name or file.
        image: String,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// A layer cannot be unpacked.
    #[error("unpack layer {diff_id}")]
    Layer {
        /// Which.
        diff_id: Digest,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// Contents are not what their digest says.
    #[error("{what} has digest {actual}, not {expected}")]
    Digest {
        /// Layer, blob, manifest or configuration.
        what: String,
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// Contents have another length than announced.
    #[error("{what} has {actual} bytes, not {expected}")]
    Length {
        /// Layer, blob, manifest or configuration.
        what: String,
        /// What was promised.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// Two different layers would have the same folder.
    #[error("layer {diff_id} shares its folder's name with another layer")]
    Collision {
        /// The layer that is not stored.
        diff_id: Digest,
    },
    /// No registry gave the image.
    #[error("pull {image}")]
    Pull {
        /// Full name.
        image: String,
        /// What the last one said.
        #[source]
        source: RegistryError,
    },
}

impl ImageError {
    /// The reason that a container waits with: a word that users of Kubernetes search for.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Name(_) => "InvalidImageName",
            Self::Pull { source, .. } if source.is_unreachable() => "RegistryUnavailable",
            _ => "ErrImagePull",
        }
    }
}

/// Adds the operation and the path.
pub(crate) fn disk_error(
    operation: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.to_owned();
    move |source| ImageError::Disk { operation, path, source }
}
