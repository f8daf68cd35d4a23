//! Debian packages through a private apt root: apt verifies the archive's signatures, and the
//! host's own package state is neither read nor changed.

mod index;
mod root;
mod sources;

pub use index::{Package, header_parts, kernel_package, kernel_parts, qualified};
pub use root::{Error, Root, Settings};
pub use sources::{Mirrors, parse_deb822, parse_one_line, pick_mirrors};
