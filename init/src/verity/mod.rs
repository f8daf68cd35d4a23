//! dm-verity: the root's hash tree, checked by the kernel at every read.
//! Never falls back to an unverified root.

pub(crate) mod activate;
pub(crate) mod superblock;
