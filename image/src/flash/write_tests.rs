//! Images onto disks that work, and onto disks that fail in every way; nothing of it may pass for
//! a success that is none.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::flash::bmap::{self, BlockMap};
use crate::flash::document::Changes;
use crate::flash::samples::{self, MIB};
use crate::flash::source::{self, Source};
use crate::flash::target::FileTarget;
use crate::flash::target::double::Double;
use crate::flash::{Edits, Image, flash};

fn image_of(bytes: &[u8]) -> Image {
    Image::stream(Box::new(Cursor::new(bytes.to_vec()))).expect("an image")
}

fn run(bytes: &[u8], edits: Edits, target: &mut Double) -> Result<Report, Error> {
    flash(image_of(bytes), edits, target, &mut |_, _| {})
}

fn named(hostname: &str) -> Edits {
    let changes = Changes { hostname: Some(hostname.to_owned()), ..Changes::default() };
    Edits { changes, ..Edits::default() }
}

fn map_of(bytes: &[u8]) -> BlockMap {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("image");
    std::fs::write(&path, bytes).expect("written");
    bmap::create(&path).expect("mapped")
}

/// Neither a table nor anything else that a firmware or a person could take for a finished disk.
fn has_no_table(disk: &Double) -> bool {
    is_zero(&disk.bytes[..HEAD])
}

#[test]
fn disk_holds_the_image_and_beyond_it_what_it_held() {
    let image = samples::image();
    for (can_zero, at_once) in [(false, None), (true, None), (false, Some(5000)), (true, Some(1))] {
        // A byte at a time takes as many calls: a smaller image does.
        let image = if at_once == Some(1) {
            samples::gpt(3 * MIB, &[("boot", MIB..2 * MIB)])
        } else {
            image.clone()
        };
        let mut disk = Double { can_zero, at_once, ..Double::disk(30 * MIB) };
        let report = run(&image, Edits::default(), &mut disk).expect("written");
        assert!(disk.bytes[..image.len()] == image && disk.is_complete);
        assert!(disk.bytes[image.len()..].iter().all(|byte| *byte == 0xee));
        assert_eq!(report.image, image.len() as u64);
        assert_eq!(report.zeroed > 0, can_zero);
    }
}

#[test]
fn table_is_cleared_first_and_written_last() {
    let image = samples::image();
    let mut disk = Double::disk(24 * MIB);
    run(&image, Edits::default(), &mut disk).expect("written");
    let flushes: Vec<usize> =
        (0..disk.writes.len()).filter(|n| disk.writes[*n].is_empty()).collect();
    let [cleared, body, head] = flushes[..] else { panic!("three flushes: {flushes:?}") };
    assert!(disk.writes[..cleared].iter().all(|range| range.end <= MIB));
    assert!(disk.writes[cleared + 1..body].iter().all(|range| range.start >= MIB));
    assert!(disk.writes[body + 1..head].iter().all(|range| range.end <= MIB));
}

#[test]
fn failure_at_any_call_is_an_error_and_leaves_no_table() {
    let image = samples::gpt(6 * MIB, &[("boot", MIB..2 * MIB), ("data", 2 * MIB..5 * MIB)]);
    let disk = || Double { at_once: Some(300_000), ..Double::disk(6 * MIB) };
    let mut whole = disk();
    run(&image, Edits::default(), &mut whole).expect("written");
    let head_written = |disk: &Double| disk.writes.iter().rev().any(|range| range.contains(&512));
    for goes in [false, true] {
        for call in 0..whole.calls {
            let mut disk = Double { fails_at: Some(call), goes, ..disk() };
            let error = run(&image, Edits::default(), &mut disk).expect_err("it failed");
            match error {
                Error::Gone { .. } => assert!(goes),
                Error::Target { .. } => assert!(!goes),
                other => panic!("call {call}: {other}"),
            }
            assert!(!disk.is_complete, "call {call}");
            // Only when all else was written and read back the table is there.
            if disk.bytes.get(512..520) == Some(b"EFI PART") {
                assert!(head_written(&disk) && disk.bytes[HEAD..] == image[HEAD..], "call {call}");
            }
        }
    }
}

#[test]
fn disk_that_is_too_small_is_refused_before_or_during() {
    let image = samples::image();
    let mut small = Double::disk(23 * MIB);
    let error = run(&image, Edits::default(), &mut small).expect_err("too small");
    assert!(matches!(error, Error::TooSmall { has, .. } if has == 23 * MIB));
    assert!(small.writes.is_empty(), "nothing was written");
    // What lies behind the last partition shows only when it comes.
    let longer = [&image[..], &[1; 4096]].concat();
    let mut exact = Double::disk(24 * MIB);
    let error = run(&longer, Edits::default(), &mut exact).expect_err("too small");
    assert!(matches!(error, Error::TooSmall { .. }));
    assert!(has_no_table(&exact));
}

#[test]
fn full_disk_is_named_as_full() {
    let mut disk = Double { bytes: vec![0; 20 << 20], ..Double::disk(24 * MIB) };
    let error = run(&samples::image(), Edits::default(), &mut disk).expect_err("full");
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(has_no_table(&disk));
}

#[test]
fn disk_that_lies_is_found_out() {
    let image = samples::image();
    for at in [0, 600, 2 * MIB, 17 * MIB + 5, 22 * MIB, 24 * MIB - 1] {
        let mut disk = Double { lies_at: Some(at), ..Double::disk(24 * MIB) };
        let error = run(&image, Edits::default(), &mut disk).expect_err("it lies");
        let names_place =
            matches!(error, Error::Differs { at: first, end } if (first..end).contains(&at));
        assert!(names_place, "{at}: {error}");
        assert!(!disk.is_complete && (at < MIB || has_no_table(&disk)));
    }
}

#[test]
fn stick_with_a_forged_size_is_found_out() {
    let mut disk = Double { wraps_at: Some(16 * MIB), ..Double::disk(24 * MIB) };
    let error = run(&samples::image(), Edits::default(), &mut disk).expect_err("forged");
    assert!(matches!(error, Error::Differs { .. }), "{error}");
}

#[test]
fn broken_image_leaves_no_table() {
    let image = samples::image();
    let mut packed = zstd::encode_all(&image[..], 1).expect("packed");
    packed.truncate(packed.len() - 100);
    let mut disk = Double::disk(24 * MIB);
    let error = run(&packed, Edits::default(), &mut disk).expect_err("cut");
    assert!(matches!(error, Error::Source(source::Error::Cut { .. })), "{error}");
    assert!(has_no_table(&disk) && !disk.is_complete);
}

#[test]
fn name_goes_into_the_document_of_the_image_on_the_way() {
    let image = samples::image();
    let before = image.clone();
    let mut disk = Double::disk(24 * MIB);
    run(&image, named("edge-7"), &mut disk).expect("written");
    let document = samples::read_boot(&disk.bytes, "holm.toml").expect("there");
    assert_eq!(document, b"# ours\n[node]\nhostname = \"edge-7\"\n");
    let kernel = samples::read_boot(&disk.bytes, "kernel.efi");
    assert_eq!(kernel, samples::read_boot(&image, "kernel.efi"));
    assert!(disk.bytes[..MIB as usize] == image[..MIB as usize]);
    assert!(disk.bytes[17 << 20..] == image[17 << 20..]);
    assert!(image == before);
}

#[test]
fn document_and_files_replace_those_of_the_image() {
    let document = b"[node]\nhostname = \"other\"\n".to_vec();
    let edits = Edits {
        document: Some(("mine.toml".to_owned(), document.clone())),
        files: vec![("manifests/web.yaml".to_owned(), vec![b'w'; 70_000])],
        ..Edits::default()
    };
    let mut disk = Double::disk(24 * MIB);
    run(&samples::image(), edits, &mut disk).expect("written");
    assert_eq!(samples::read_boot(&disk.bytes, "holm.toml"), Some(document));
    let manifest = samples::read_boot(&disk.bytes, "manifests/web.yaml");
    assert_eq!(manifest, Some(vec![b'w'; 70_000]));
}

#[test]
fn invalid_document_and_image_without_boot_partition_are_refused() {
    let mut disk = Double::disk(24 * MIB);
    let error = run(&samples::image(), named("No Name"), &mut disk).expect_err("invalid");
    assert!(matches!(error, Error::Document(_)), "{error}");
    assert!(has_no_table(&disk));
    let image = samples::gpt(6 * MIB, &[("data", MIB..2 * MIB)]);
    let mut disk = Double::disk(6 * MIB);
    assert!(matches!(run(&image, named("a"), &mut disk), Err(Error::NoBoot)));
    assert!(disk.writes.is_empty());
    let image = samples::gpt(6 * MIB, &[("boot", MIB..2 * MIB)]);
    assert!(matches!(run(&image, named("a"), &mut disk), Err(Error::Boot(_))), "no FAT on it");
}

#[test]
fn map_leaves_the_rest_alone_and_files_are_whole_all_the_same() {
    let image = samples::image();
    let map = map_of(&image);
    for edits in [Edits::default(), named("edge-7")] {
        let mut disk = Double::disk(24 * MIB);
        let source = Source::stream(Box::new(Cursor::new(image.clone()))).expect("an image");
        let mapped = Image { source, map: Some(map.clone()) };
        let is_edited = !edits.is_empty();
        let report = flash(mapped, edits, &mut disk, &mut |_, _| {}).expect("written");
        assert!(report.written + report.zeroed < 9 * MIB, "{report:?}");
        assert!(disk.bytes.iter().filter(|byte| **byte == 0xee).count() > 10 << 20);
        assert_eq!(
            samples::read_boot(&disk.bytes, "kernel.efi"),
            samples::read_boot(&image, "kernel.efi")
        );
        let document = samples::read_boot(&disk.bytes, "holm.toml").expect("there");
        assert_eq!(String::from_utf8_lossy(&document).contains("edge-7"), is_edited);
        for (at, block) in image.chunks(4096).enumerate().skip(17 << 8) {
            assert!(is_zero(block) || disk.bytes[at * 4096..][..block.len()] == *block);
        }
    }
}

#[test]
fn image_that_does_not_fit_its_map_is_refused() {
    let mut image = samples::image();
    let map = map_of(&image);
    image[18 << 20] ^= 1;
    let source = Source::stream(Box::new(Cursor::new(image))).expect("an image");
    let mut disk = Double::disk(24 * MIB);
    let mapped = Image { source, map: Some(map) };
    let error = flash(mapped, Edits::default(), &mut disk, &mut |_, _| {}).expect_err("changed");
    assert!(matches!(error, Error::Map(_)));
    assert!(has_no_table(&disk));
}

#[test]
fn file_gets_the_image_with_its_zeros_as_holes() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("disk.img");
    let image = samples::image();
    let mut target = FileTarget::create(&path).expect("made");
    let mut stages = [0, 0];
    let report = flash(image_of(&image), Edits::default(), &mut target, &mut |stage, bytes| {
        stages[usize::from(stage == Stage::Verifying)] += bytes;
    });
    let report = report.expect("written");
    assert_eq!(stages, [24 * MIB, 24 * MIB], "every byte is counted in both stages");
    assert!(std::fs::read(&path).expect("there") == image);
    let data = image.chunks(4096).filter(|block| !is_zero(block)).count() as u64 * 4096;
    assert!(std::fs::metadata(&path).expect("there").blocks() * 512 <= data + 65536);
    assert_eq!(report.written, data);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_image_arrives_through_any_disk(
        blocks in proptest::collection::vec((0_usize..5 * 256, 1_u8..255), 0..60),
        at_once in proptest::option::of(1000_usize..2_000_000),
        can_zero: bool, with_map: bool, is_packed: bool, least in 0_u64..3_000_000,
    ) {
        let mut image = samples::gpt(7 * MIB, &[("data", MIB..6 * MIB)]);
        for (block, byte) in blocks {
            image[MIB as usize + block * 4096..][..4096].fill(byte);
        }
        let bytes = if is_packed { zstd::encode_all(&image[..], 1).expect("packed") } else { image.clone() };
        let source = Source::stream(Box::new(Cursor::new(bytes))).expect("an image");
        let map = with_map.then(|| map_of(&image));
        let mut disk = Double { at_once, can_zero, least_zeros: least, ..Double::disk(8 * MIB) };
        let mapped = Image { source, map: map.clone() };
        flash(mapped, Edits::default(), &mut disk, &mut |_, _| {}).expect("written");
        match map {
            None => prop_assert!(disk.bytes[..image.len()] == image),
            Some(map) => for range in map.wanted().iter() {
                let range = range.start as usize..range.end as usize;
                prop_assert!(disk.bytes[range.clone()] == image[range]);
            }
        }
    }
}
