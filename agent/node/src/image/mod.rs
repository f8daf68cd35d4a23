//! Images: preloaded or pulled, verified, unpacked once and shared.
//!
//! [`ImageStore`] is the whole of it: it blocks, so an async caller uses a blocking thread. An image
//! that it returns is wholly on the disk. Must never hold a layer in memory, and never let a power
//! cut leave half an image that counts as present.

use std::path::PathBuf;

mod archive;
mod compression;
mod digest;
mod disk;
mod error;
mod import;
mod layer;
mod limits;
mod manifest;
mod platform;
mod pull;
mod reference;
mod registry;
mod store;
mod tar;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod vm_tests;

pub use digest::{Digest, DigestError};
pub use error::ImageError;
pub use import::Imported;
pub use layer::{LayerError, Refusal};
pub use limits::Limits;
pub use manifest::ManifestError;
pub use reference::{Reference, ReferenceError};
pub use registry::{Cancel, Registries, RegistryError};
pub use store::{Collected, ImageStore, ImageSummary, Thresholds};
pub use tar::TarError;

/// An image that is wholly on the disk: every layer unpacked and flushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Digest of the image's configuration, `sha256:<hex>`.
    pub id: String,
    /// Digest of its manifest where it has one: what `imageID` shows.
    pub digest: Option<String>,
    /// Names it is known by, `docker.io/library/busybox:1.37`.
    pub names: Vec<String>,
    /// Unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Its configuration: command, environment, user.
    pub config: oci_spec::image::ImageConfiguration,
}
