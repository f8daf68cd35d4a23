//! Whole images in every packing come out as they went in; broken ones never do.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::flash::piece::PIECE;
use crate::flash::samples;

fn read(mut source: Source) -> Result<Vec<u8>, Error> {
    let mut image = Vec::new();
    let mut piece = Piece::zeroed(PIECE);
    loop {
        piece.set_length(PIECE);
        match source.next(&mut piece)? {
            None => break,
            Some(Run::Bytes(range)) => {
                assert_eq!(range.start, image.len() as u64);
                image.extend_from_slice(&piece);
            }
            Some(Run::Zeros(range)) => image.resize(range.end as usize, 0),
        }
        assert_eq!(source.position(), image.len() as u64);
    }
    Ok(image)
}

fn from_bytes(bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    read(Source::stream(Box::new(Cursor::new(bytes)))?)
}

fn xz(image: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(image).expect("packed");
    encoder.finish().expect("packed")
}

fn zst(image: &[u8]) -> Vec<u8> {
    zstd::encode_all(image, 1).expect("packed")
}

#[test]
fn image_comes_out_the_same_from_every_packing() {
    let image = samples::image();
    for packed in [image.clone(), xz(&image), zst(&image)] {
        assert!(from_bytes(packed.clone()).expect("whole") == image);
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("image");
        std::fs::write(&path, packed).expect("written");
        assert!(read(Source::open(&path).expect("opened")).expect("whole") == image);
    }
    let (one, two) = image.split_at(5_000_000);
    let parts = [xz(one), xz(two)].concat();
    assert!(from_bytes(parts).expect("whole") == image, "two packed parts in a row");
}

#[test]
fn holes_of_a_file_come_as_zeros_without_being_read() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("image");
    let image = samples::image();
    let file = File::create(&path).expect("made");
    file.set_len(image.len() as u64).expect("sized");
    for (n, block) in image.chunks(4096).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, n as u64 * 4096).expect("written");
        }
    }
    let mut source = Source::open(&path).expect("opened");
    assert_eq!(source.size, Some(24 << 20));
    let mut piece = Piece::zeroed(PIECE);
    let mut holes = 0;
    while let Some(run) = source.next(&mut piece).expect("read") {
        piece.set_length(PIECE);
        if let Run::Zeros(range) = run {
            holes += range.end - range.start;
        }
    }
    assert!(holes > 15 << 20, "{holes}");
    assert!(read(Source::open(&path).expect("opened")).expect("whole") == image);
}

#[test]
fn sizes_are_known_before_reading_where_something_tells_them() {
    let image = samples::image();
    let mut known = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    known.set_pledged_src_size(Some(image.len() as u64)).expect("set");
    known.include_contentsize(true).expect("set");
    known.write_all(&image).expect("packed");
    let source = Source::stream(Box::new(Cursor::new(known.finish().expect("packed"))));
    assert_eq!(source.expect("opened").size, Some(24 << 20));
    let source = Source::stream(Box::new(Cursor::new(xz(&image)))).expect("opened");
    assert_eq!((source.size, source.least_size()), (None, 24 << 20), "by the partition table");
}

#[test]
fn other_packings_are_named() {
    for (magic, name) in
        [(&b"\x1f\x8b\x08"[..], "gzip"), (b"BZh9", "bzip2"), (b"PK\x03\x04", "zip")]
    {
        let error = from_bytes(magic.to_vec()).expect_err("not known");
        assert!(matches!(error, Error::Format(found) if found == name), "{error}");
    }
}

#[test]
fn raw_image_that_was_cut_is_refused_when_opened() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("image");
    let mut image = samples::image();
    image.truncate(20 << 20);
    std::fs::write(&path, &image).expect("written");
    let error = Source::open(&path).err().expect("cut");
    assert_eq!(error.to_string(), "the image was cut: it ends after 20971520 bytes of 25165824");
    assert!(matches!(from_bytes(image), Err(Error::Cut { has: 20_971_520, .. })));
}

#[test]
fn image_with_half_a_sector_more_is_refused() {
    let mut image = samples::image();
    image.extend([1; 100]);
    assert!(matches!(from_bytes(image), Err(Error::Sectors(_))));
}

#[test]
fn changed_byte_in_a_packed_image_is_seen() {
    let image = samples::image();
    for packed in [xz(&image), zst_checked(&image)] {
        for at in [packed.len() / 2, packed.len() - 20] {
            let mut broken = packed.clone();
            broken[at] ^= 0x10;
            assert!(from_bytes(broken).is_err(), "byte {at} of {}", packed.len());
        }
    }
}

fn zst_checked(image: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.include_checksum(true).expect("set");
    encoder.write_all(image).expect("packed");
    encoder.finish().expect("packed")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn packed_image_cut_anywhere_is_never_whole(at in 0.0_f64..1.0, kind in 0..2) {
        let image = samples::gpt(4 << 20, &[("boot", 1 << 20..2 << 20)]);
        let packed = if kind == 0 { xz(&image) } else { zst(&image) };
        let cut = packed[..((packed.len() - 1) as f64 * at) as usize].to_vec();
        prop_assert!(from_bytes(cut).is_err());
    }
}
