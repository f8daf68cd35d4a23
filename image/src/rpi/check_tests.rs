use std::io::Write;
use std::path::{Path, PathBuf};

use super::super::{autoboot_text, config_text};
use super::*;
use crate::board::Board;
use crate::disk::{Entry, Part, Role, Source, plan, write, write_fat};
use crate::uki::Slot;

fn board(name: &str) -> Board {
    let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
    crate::board::read(&boards, name).expect("the board is valid")
}

/// A card for the board, whose files are just long enough to be what they are, changed by `change`.
fn card(board: &Board, folder: &Path, change: impl Fn(&mut Vec<(String, Vec<u8>)>)) -> PathBuf {
    let mut kernel = vec![0; 64];
    kernel[56..60].copy_from_slice(b"ARMd");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&kernel).expect("written");
    let tree = [0xd00d_feed_u32, 8].map(u32::to_be_bytes).concat();
    let mut slot = vec![
        ("config.txt".to_owned(), config_text(&board.boot.config).into_bytes()),
        ("cmdline.txt".to_owned(), b"quiet".to_vec()),
        ("vmlinuz".to_owned(), packed.finish().expect("finished")),
        ("initramfs".to_owned(), 0xfd2f_b528_u32.to_le_bytes().to_vec()),
    ];
    for model in &board.boot.models {
        slot.extend(model.firmware.iter().map(|name| (name.clone(), b"firmware".to_vec())));
        let trees = model.device_tree_names().into_iter();
        slot.extend(trees.map(|name| (name.to_owned(), tree.clone())));
    }
    change(&mut slot);
    let mut select = vec![("autoboot.txt".to_owned(), autoboot_text(Slot::A))];
    select.extend(board.boot.rom.iter().map(|name| (name.clone(), b"rom".to_vec())));
    let layout = plan(board, 0, None).expect("planned");
    let volumes = [(Role::Select, select), (Role::BootA, slot)].map(|(role, files)| {
        let entry = |(path, content)| Entry { path, content: Source::Bytes(content) };
        let entries: Vec<Entry> = files.into_iter().map(entry).collect();
        let path = folder.join(role.name());
        let _ = std::fs::remove_file(&path);
        let size = layout.partition(role).expect("planned").size;
        write_fat(&path, size, 1, *b"X          ", &entries).expect("written");
        (role, path)
    });
    let parts = volumes.each_ref().map(|(role, file)| Part { role: *role, file });
    let image = folder.join("card.img");
    write(&layout, &parts, &image).expect("written");
    image
}

fn checked(name: &str, change: impl Fn(&mut Vec<(String, Vec<u8>)>)) -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let board = board(name);
    let image = card(&board, folder.path(), change);
    check(&Card::open(&image).expect("a card"), &board.boot.models, &board.boot.rom)
}

fn put(files: &mut [(String, Vec<u8>)], name: &str, content: &[u8]) {
    for (_, old) in files.iter_mut().filter(|(file, _)| file == name) {
        *old = content.to_vec();
    }
}

#[test]
fn every_model_of_the_boards_boots_a_card_that_has_its_files() {
    for name in ["rpi", "rpi5"] {
        assert_eq!(checked(name, |_| ()), Ok(()));
    }
}

#[test]
fn model_without_its_device_tree_or_firmware_is_named() {
    for (file, model) in [
        ("bcm2837-rpi-zero-2-w.dtb", "Raspberry Pi Zero 2 W"),
        ("bcm2711-rpi-cm4.dtb", "Raspberry Pi Compute Module 4"),
        ("fixup4.dat", "Raspberry Pi 4 Model B"),
    ] {
        let error = checked("rpi", |files| files.retain(|(name, _)| name != file));
        let Err(Error::Boot { model: found, source }) = error else { panic!("{file}: {error:?}") };
        assert_eq!(found, model);
        assert!(source.to_string().contains(file), "{source}");
    }
}

#[test]
fn file_of_another_kind_is_refused() {
    for (file, content) in [
        ("vmlinuz", &b"MZ some other program"[..]),
        ("vmlinuz", &[0x1f, 0x8b, 8, 0]),
        ("bcm2711-rpi-400.dtb", b"\xd0\x0d\xfe\xed\0\0\0\x09"),
        ("initramfs", b"070701"),
    ] {
        let error = checked("rpi", |files| put(files, file, content));
        assert!(matches!(error, Err(Error::Kind { file: found, .. }) if found == file));
    }
}
