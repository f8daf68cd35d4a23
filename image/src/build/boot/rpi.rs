//! Raspberry Pi: a partition by which the firmware chooses the slot, and a partition for each slot
//! with all that it loads. Must never put a program of the firmware on the first one: what cannot
//! be chosen would be booted.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};

use super::super::stages::{RootStage, Stages};
use super::super::{Error, file};
use super::{BootStage, Request, Volume, entry};
use crate::board::{Board, Model};
use crate::budget::Use;
use crate::digest::{Digest, Key};
use crate::disk::{Entry, Role, Source};
use crate::uki::{self, Slot};
use crate::{modules, rpi};

pub(super) fn assemble(stages: &Stages, request: &Request) -> Result<BootStage, Error> {
    let Request { contents, root: RootStage { root_hash, hash_offset, .. }, .. } = request;
    let board = stages.board;
    let mut arguments = board.kernel.arguments();
    arguments.extend(request.append.iter().cloned());
    let command_line = uki::command_line(Slot::A, root_hash, *hash_offset, &arguments);
    let mut slot = vec![
        text("config.txt", rpi::config_text(&board.boot.config)),
        text(rpi::COMMAND_LINE, format!("{command_line}\n")),
        entry(rpi::KERNEL, &compressed_kernel(stages, &contents.kernel)?),
        entry(rpi::INITRAMFS, request.initramfs),
    ];
    slot.extend(firmware(stages, board.boot.models.iter().flat_map(|model| &model.firmware))?);
    for model in &board.boot.models {
        slot.extend(device_trees(model, &contents.device_trees));
    }
    sort(&mut slot);
    let bytes = slot.iter().map(size).sum::<Result<u64, Error>>()?;

    let mut select = firmware(stages, board.boot.rom.iter())?;
    select.push(text(rpi::AUTOBOOT, rpi::autoboot_text(Slot::A)));
    if !board.boot.rom.is_empty() {
        // The ROM's program looks for it before it reads which slot to take.
        select.push(text("config.txt", "# Settings are on the partition of the slot.\n"));
    }
    sort(&mut select);
    let volume = |role, label: &[u8; 11], entries| Volume { role, label: *label, entries };
    Ok(BootStage {
        command_line,
        volumes: vec![
            volume(Role::Select, b"HOLM-SELECT", select),
            volume(Role::BootA, b"HOLM-BOOT-A", slot),
            volume(Role::BootB, b"HOLM-BOOT-B", vec![]),
        ],
        documents: Role::Select,
        results: vec![],
        uses: vec![Use { what: "boot slot", bytes, budget: board.budgets.boot }],
    })
}

/// The device trees that the models ask for, as patterns for the kernel's package.
pub(super) fn wanted_device_trees(board: &Board) -> Vec<String> {
    board.boot.models.iter().map(|model| model.device_tree.clone()).collect()
}

fn device_trees(model: &Model, trees: &[(String, PathBuf)]) -> Vec<Entry> {
    let found = trees.iter().find(|(path, _)| modules::matches(&model.device_tree, path));
    let names = model.device_tree_names().into_iter();
    found.map(|(_, from)| names.map(|name| entry(name, from)).collect()).unwrap_or_default()
}

fn firmware<'a>(
    stages: &Stages,
    names: impl Iterator<Item = &'a String>,
) -> Result<Vec<Entry>, Error> {
    let package = &stages.inputs.boot_loader;
    let find =
        |name: &String| Ok(entry(name, &package.file(&format!("usr/lib/raspi-firmware/{name}"))?));
    names.map(find).collect()
}

/// The kernel in the only form of compression that the firmware takes.
fn compressed_kernel(stages: &Stages, kernel: &Path) -> Result<PathBuf, Error> {
    let digest = Digest::of_file(kernel).map_err(file("read", kernel))?;
    let key = Key::new("gzip/1").input("kernel", digest).digest();
    let name = "vmlinuz.gz";
    let folder = stages.steps.run("gzip", key, |folder| -> Result<(), Error> {
        let path = folder.join(name);
        let pack = || -> io::Result<()> {
            let mut from = File::open(kernel)?;
            // No name and no time in its head.
            let mut to = GzBuilder::new().write(File::create_new(&path)?, Compression::best());
            io::copy(&mut from, &mut to)?;
            to.finish()?.flush()
        };
        pack().map_err(file("compress", kernel))
    })?;
    Ok(folder.join(name))
}

fn text(path: &str, text: impl Into<Vec<u8>>) -> Entry {
    Entry { path: path.to_owned(), content: Source::Bytes(text.into()) }
}

/// By name, each once: models share most of their files.
fn sort(entries: &mut Vec<Entry>) {
    entries.sort_by(|one, two| one.path.cmp(&two.path));
    entries.dedup_by(|one, two| one.path == two.path);
}

fn size(entry: &Entry) -> Result<u64, Error> {
    match &entry.content {
        Source::Bytes(bytes) => Ok(bytes.len() as u64),
        Source::File(path) => Ok(fs::metadata(path).map_err(file("measure", path))?.len()),
    }
}
