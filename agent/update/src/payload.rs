//! What an update brings, as the installer takes it: the boundary between getting a payload
//! (download, deltas, metadata, USB stick) and writing it to a slot.
//!
//! Whoever implements [`Source`] has verified the metadata: names, sizes and hashes are what the
//! owner signed. The content need not be verified yet: the installer checks every byte that it
//! reads against `sha256`, again on the disk, and the root against `root_hash`.

use std::io::{self, Read};

use crate::slot::Slot;

/// What a part is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// The root file system with its verity tree, to be written to the slot's partition. The same
    /// for both slots.
    Root,
    /// What starts the slot. UEFI: the signed unified kernel image of this slot (the slot is in
    /// its command line, so there is one for each). Others: a file of the slot's boot folder.
    Kernel,
}

/// One part of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is for.
    pub kind: PartKind,
    /// Its file name where it is one of several files, such as `kernel8.img`; relative, within the
    /// slot's boot folder. Not looked at for [`PartKind::Root`] and for UEFI kernels.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
}

/// A payload for one board and one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The version, as published.
    pub version: String,
    /// The board that it was built for; the installer refuses another's.
    pub board: String,
    /// The verity root hash, in hex, as the kernel's command line has it.
    pub root_hash: String,
    /// Where the verity hash tree begins in the root part, bytes.
    pub hash_offset: u64,
    /// The parts, in the order in which they are written: the root first.
    pub parts: Vec<Part>,
}

/// Where a verified payload comes from.
pub trait Source {
    /// What there is for `slot`. Metadata only; nothing large is fetched.
    ///
    /// # Errors
    /// Whatever kept it from being known.
    fn payload(&self, slot: Slot) -> io::Result<Payload>;

    /// The content of one part, in order from `offset` to its end. Reads block; an error ends the
    /// attempt, which goes on later from where it was. `offset` is a multiple of [`BLOCK`].
    ///
    /// # Errors
    /// Whatever kept it from being opened.
    fn open<'a>(&'a self, part: &Part, offset: u64) -> io::Result<Box<dyn Read + 'a>>;
}

/// The unit of writing, bytes: a multiple of every sector size and of a verity block.
pub const BLOCK: usize = 256 * 1024;
