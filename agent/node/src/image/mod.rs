//! Images: preloaded or pulled, verified, unpacked once and shared.

use std::path::PathBuf;

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
    pub config: oci_spec::image::ImageConfiguration,
}
