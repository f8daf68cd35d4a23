//! The root file system: what is in it, the file system itself, and its dm-verity tree.

mod contents;
mod filesystem;
mod initramfs;

pub use contents::{Contents, os_release, root_tree};
pub use filesystem::{Error, RootImage, make};
pub use initramfs::initramfs_tree;
