//! Layers: from a tar stream to a folder that overlayfs can stack.
//!
//! `plan` decides, `unpack` acts. Must never leave the layer's folder, whatever an entry is called.

mod paths;
mod plan;
mod unpack;

#[cfg(test)]
pub(super) mod model_tests;
#[cfg(test)]
mod tests;

pub use plan::Refusal;
pub use unpack::LayerError;
pub(crate) use unpack::{Unpacked, adopt, unpack};
