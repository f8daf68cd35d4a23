//! From kernel, initramfs and root hash to what firmware boots: one file for each boot path, all of
//! which end in the same description. What a path needs of packages and board is its own matter.

mod rpi;
mod uboot;
mod uefi;

use std::path::{Path, PathBuf};

use super::contents::Gathered;
use super::stages::{RootStage, Stages};
use super::{Error, file};
use crate::board::{Board, BootPath};
use crate::budget::Use;
use crate::disk::{Entry, Role, Source};
use crate::keys::Keys;
use crate::rpi::{Card, check as check_card};

/// What every boot path starts from.
pub(super) struct Request<'a> {
    pub(super) contents: &'a Gathered,
    pub(super) root: &'a RootStage,
    /// The initramfs, compressed.
    pub(super) initramfs: &'a Path,
    /// Kernel arguments beside the board's.
    pub(super) append: &'a [String],
    pub(super) keys: &'a Keys,
}

/// What the firmware boots, for slot A of a fresh image.
#[derive(Debug, Clone)]
pub struct BootStage {
    /// The kernel's command line.
    pub(super) command_line: String,
    /// The FAT partitions, and what is on them.
    pub(super) volumes: Vec<Volume>,
    /// The one of them that takes the node document.
    pub(super) documents: Role,
    /// Files to be put beside the image, each with the end of its name.
    pub(super) results: Vec<(&'static str, PathBuf)>,
    /// How much of the path's budgets is used.
    pub(super) uses: Vec<Use>,
}

/// A FAT partition.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub(super) role: Role,
    /// In capitals, padded with blanks.
    pub(super) label: [u8; 11],
    pub(super) entries: Vec<Entry>,
}

impl Stages<'_> {
    pub(super) fn boot(&self, request: &Request) -> Result<BootStage, Error> {
        match self.board.boot.path {
            BootPath::UBoot => uboot::assemble(self, request),
            BootPath::Uefi => uefi::assemble(self, request),
            BootPath::Rpi => rpi::assemble(self, request),
        }
    }
}

/// Checks a finished image by what its firmware would do with it.
pub(super) fn check(board: &Board, image: &Path) -> Result<(), Error> {
    match board.boot.path {
        // The firmware of these asks for no more than the layout promises.
        BootPath::Uefi | BootPath::UBoot => Ok(()),
        BootPath::Rpi => {
            let card = Card::open(image)?;
            Ok(check_card(&card, &board.boot.models, &board.boot.rom)?)
        }
    }
}

/// The device trees that a board's boot path asks for, as patterns of paths in the kernel's package.
pub(super) fn device_trees(board: &Board) -> Vec<String> {
    let mut wanted = board.kernel.device_trees.clone();
    if board.boot.path == BootPath::Rpi {
        wanted.extend(rpi::wanted_device_trees(board));
    }
    wanted
}

fn entry(path: impl Into<String>, from: &Path) -> Entry {
    Entry { path: path.into(), content: Source::File(from.into()) }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(file("read", path))
}
