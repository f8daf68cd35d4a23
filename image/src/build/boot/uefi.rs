//! UEFI: a signed unified kernel image for each slot, and signed systemd-boot, on one partition.
//! Must never write an entry without a try counter: a kernel that hangs must lose its turn.

use std::fs;

use super::super::stages::{RootStage, Stages};
use super::super::{Error, file};
use super::{BootStage, Request, Volume, entry, read};
use crate::budget::Use;
use crate::digest::{Digest, Key};
use crate::disk::{Entry, Role, Source};
use crate::keys::Keys;
use crate::uki::{self, Parts, Slot};

/// No menu, no editor: who stands before the machine must not change the command line.
const LOADER_CONF: &str = "timeout 0\neditor no\nconsole-mode keep\nsecure-boot-enroll manual\n";

pub(super) fn assemble(stages: &Stages, request: &Request) -> Result<BootStage, Error> {
    let Request { contents, keys, root: RootStage { root_hash, hash_offset, .. }, .. } = request;
    let (board, boot) = (stages.board, &stages.inputs.boot_loader);
    let suffix = board.architecture.uefi();
    let efi = "usr/lib/systemd/boot/efi";
    let stub = boot.file(&format!("{efi}/linux{suffix}.efi.stub"))?;
    let loader = boot.file(&format!("{efi}/systemd-boot{suffix}.efi"))?;
    let mut arguments = board.kernel.arguments();
    arguments.extend(request.append.iter().cloned());
    let [command_line, command_line_b] =
        [Slot::A, Slot::B].map(|slot| uki::command_line(slot, root_hash, *hash_offset, &arguments));
    let (stub, kernel) = (read(&stub)?, read(&contents.kernel)?);
    let initramfs = read(request.initramfs)?;
    let trees = contents.device_trees.iter().map(|(_, path)| read(path));
    let device_trees = trees.collect::<Result<Vec<_>, _>>()?;
    let os_release = uki::without_version(&contents.root.os_release);
    let parts = Parts {
        os_release: &os_release,
        kernel_release: &contents.root.kernel_release,
        command_line: &command_line,
        kernel: &kernel,
        initramfs: &initramfs,
        device_trees: &device_trees,
    };
    let trees = device_trees.iter().map(|tree| Digest::of(tree));
    let (epoch, tools) = (stages.source.epoch, &stages.inputs.tools.toolbox);
    let key = trees
        .fold(Key::new("kernel/2"), |key, tree| key.input("device tree", tree))
        .input("stub", Digest::of(&stub))
        .input("kernel", Digest::of(&kernel))
        .input("initramfs", Digest::of(&initramfs))
        .field("command line", &command_line)
        .field("os-release", parts.os_release)
        .input("boot loader", boot.package.sha256)
        .input("tools", stages.tools())
        .input("keys", keys.digest()?)
        .field("epoch", epoch.to_le_bytes());
    let folder = stages.steps.run("kernel", key.digest(), |folder| -> Result<(), Error> {
        let unsigned = folder.join("unsigned.efi");
        for (name, command_line) in [("holm.efi", &command_line), ("holm-b.efi", &command_line_b)] {
            let image = uki::assemble(&stub, &Parts { command_line, ..parts })?;
            fs::write(&unsigned, image).map_err(file("write", &unsigned))?;
            keys.sign(&unsigned, &folder.join(name), epoch, tools)?;
        }
        keys.sign(&loader, &folder.join("boot.efi"), epoch, tools)?;
        fs::remove_file(&unsigned).map_err(file("remove", &unsigned))
    })?;
    // The one of slot B goes to no image: updates bring it.
    let [uki, uki_b, boot_loader] =
        ["holm.efi", "holm-b.efi", "boot.efi"].map(|name| folder.join(name));
    let bytes = fs::metadata(&uki).map_err(file("measure", &uki))?.len();

    let mut entries = vec![
        entry(format!("EFI/BOOT/BOOT{}.EFI", suffix.to_uppercase()), &boot_loader),
        // Three tries; the agent takes the count away when it is healthy.
        entry("EFI/Linux/holm-a+3.efi", &uki),
        Entry { path: "loader/loader.conf".to_owned(), content: Source::Bytes(LOADER_CONF.into()) },
    ];
    // For the owner to enrol from the boot menu, on firmware in setup mode.
    for name in Keys::names() {
        entries.push(entry(format!("loader/keys/holm/{name}.auth"), &keys.path(name, ".auth")));
    }
    Ok(BootStage {
        command_line,
        volumes: vec![Volume { role: Role::Boot, label: *b"HOLM-BOOT  ", entries }],
        documents: Role::Boot,
        results: vec![("efi", uki), ("b.efi", uki_b), ("boot-loader.efi", boot_loader)],
        kernels: vec![('a', "efi"), ('b', "b.efi")],
        uses: vec![Use { what: "UKI", bytes, budget: board.budgets.boot }],
    })
}
