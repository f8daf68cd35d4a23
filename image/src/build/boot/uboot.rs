//! U-Boot in the board's own flash: our script, two state files and a folder for each slot, on one
//! FAT partition. Must never let a slot look whole that is not: `boot.env` is what makes it one.

use std::fs;

use holm_update::state_files::{self, State};

use super::super::stages::{RootStage, Stages};
use super::super::{Error, file};
use super::{BootStage, Request, Volume, entry, read};
use crate::budget::Use;
use crate::digest::{Digest, Key};
use crate::disk::{Entry, Role, Source};
use crate::uboot;
use crate::uki::{self, Slot};

/// The folder of slot a; what is in it is what an update replaces in the other slot's.
const FOLDER: &str = "a";

pub(super) fn assemble(stages: &Stages, request: &Request) -> Result<BootStage, Error> {
    let Request { contents, root: RootStage { root_hash, hash_offset, .. }, .. } = request;
    let board = stages.board;
    let mut arguments = board.kernel.arguments();
    arguments.extend(request.append.iter().cloned());
    let command_line = uki::command_line(Slot::A, root_hash, *hash_offset, &arguments);
    let kernel = read(&contents.kernel)?;
    if !uboot::is_image(&kernel) {
        return Err(stages.inputs.kernel.lacking("kernel that U-Boot can start uncompressed"));
    }
    let epoch = stages.source.epoch;
    let key = Key::new("boot-script/1")
        .input("text", Digest::of(uboot::SCRIPT.as_bytes()))
        .input("tools", stages.tools())
        .field("epoch", epoch.to_le_bytes());
    let folder = stages.steps.run("boot-script", key.digest(), |folder| -> Result<(), Error> {
        uboot::write_script(folder, epoch, &stages.inputs.tools.toolbox)?;
        Ok(())
    })?;

    let environment = uboot::environment(&[("bootargs", &command_line)], uboot::ENVIRONMENT)?;
    let in_slot = |name: &str| format!("{FOLDER}/{name}");
    let bytes = |path: String, bytes: Vec<u8>| Entry { path, content: Source::Bytes(bytes) };
    let mut slot = vec![
        entry(in_slot("vmlinuz"), &contents.kernel),
        entry(in_slot("initramfs.zst"), request.initramfs),
    ];
    for (path, from) in &contents.device_trees {
        slot.push(entry(in_slot(&format!("dtb/{path}")), from));
    }
    let mut used = environment.len() as u64;
    for Entry { content, .. } in &slot {
        if let Source::File(path) = content {
            used += fs::metadata(path).map_err(file("measure", path))?.len();
        }
    }
    slot.push(bytes(in_slot("boot.env"), environment));

    let mut entries = vec![entry(uboot::SCRIPT_NAME, &folder.join(uboot::SCRIPT_NAME))];
    for name in state_files::NAMES {
        entries.push(bytes(name.to_owned(), State::INITIAL.encode().to_vec()));
    }
    entries.extend(slot);
    // For the boards whose flash Debian's package has something for.
    for path in &board.boot.firmware {
        let from = stages.inputs.boot_loader.file(&format!("usr/lib/u-boot/{path}"))?;
        entries.push(entry(format!("u-boot/{path}"), &from));
    }
    Ok(BootStage {
        command_line,
        volumes: vec![Volume { role: Role::Boot, label: *b"HOLM-BOOT  ", entries }],
        documents: Role::Boot,
        results: Vec::new(),
        uses: vec![Use { what: "slot", bytes: used, budget: board.budgets.boot }],
    })
}
