//! Archives of several formats, and damaged ones.

use tar_core::SparseEntry;

use super::*;
use crate::image::testing::Tarball;

fn all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut entries = Entries::new(bytes);
    let mut out = Vec::new();
    while let Some(entry) = entries.next()? {
        let mut contents = Vec::new();
        entries.read_to_end(&mut contents).map_err(TarError::Read)?;
        out.push((entry, contents));
    }
    Ok(out)
}

#[test]
fn entries_come_with_their_contents() {
    let long = format!("{}/file", "d".repeat(200));
    let tar = Tarball::new().file("a", b"1").file(&long, &[7; 700]).dir("d").finish();
    let found = all(&tar).unwrap();
    assert_eq!(found[0].1, b"1");
    assert_eq!(found[1].0.path, long.as_bytes());
    assert_eq!(found[1].1, [7; 700]);
    assert_eq!(found[2].0.kind, EntryKind::Directory);
}

#[test]
fn contents_that_nobody_reads_are_passed_over() {
    let tar = Tarball::new().file("a", &[1; 5000]).file("b", b"2").finish();
    let mut entries = Entries::new(&tar[..]);
    entries.next().unwrap();
    assert_eq!(entries.position(), (512, 5000));
    entries.read_exact(&mut [0; 100]).unwrap();
    assert_eq!(entries.next().unwrap().unwrap().path, b"b");
    assert!(entries.next().unwrap().is_none());
}

#[test]
fn pax_records_and_gnu_long_names_apply() {
    let tar = Tarball::new()
        .entry("short", EntryType::Regular, b"", |e| {
            e.add_pax("path", "über/long").add_pax("SCHILY.xattr.user.x", b"\0\xff")
        })
        .finish();
    let found = all(&tar).unwrap();
    assert_eq!(found[0].0.path, "über/long".as_bytes());
    assert_eq!(found[0].0.xattrs, [(b"user.x".to_vec(), b"\0\xff".to_vec())]);

    let mut gnu = tar_core::EntryBuilder::new_gnu();
    gnu.path("n".repeat(300)).size(0).unwrap().mode(0o4755).unwrap().mtime(5).unwrap();
    gnu.uid(1 << 31).unwrap().gid(0).unwrap();
    let found = all(&Tarball::new().raw(&gnu.finish_bytes()).finish()).unwrap();
    assert_eq!(found[0].0.path.len(), 300);
    assert_eq!((found[0].0.mode, found[0].0.uid), (0o4755, 1 << 31));
}

#[test]
fn time_before_1970_becomes_1970() {
    let tar = Tarball::new()
        .entry("old", EntryType::Regular, b"", |e| {
            e.mtime(0).unwrap();
            e.add_pax("mtime", "-62135596800")
        })
        .finish();
    assert_eq!(all(&tar).unwrap()[0].0.mtime, 0);
}

#[test]
fn sparse_files_keep_their_map() {
    let mut builder = tar_core::EntryBuilder::new_gnu();
    let map = [SparseEntry { offset: 4096, length: 3 }];
    builder.path("s").entry_type(EntryType::GnuSparse).sparse(&map, 8192).size(3).unwrap();
    builder.mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(0).unwrap();
    let tar = Tarball::new().raw(&builder.finish_bytes()).raw(b"abc").finish();
    let found = all(&tar).unwrap();
    assert_eq!((found[0].0.size, found[0].1.as_slice()), (8192, &b"abc"[..]));
    assert_eq!(found[0].0.sparse, [(4096, 3)]);
}

#[test]
fn global_headers_are_passed_over() {
    let tar = Tarball::new()
        .entry("g", EntryType::XGlobalHeader, b"19 comment=whatever\n", |e| e)
        .file("a", b"1")
        .finish();
    assert_eq!(all(&tar).unwrap().len(), 1);
}

#[test]
fn truncation_inside_an_entry_is_an_error() {
    let whole = Tarball::new().file("a", &[1; 600]).file("b", b"2").finish();
    let between_entries = [0, 512 + 1024, whole.len() - 1024];
    for cut in 0..whole.len() - 1024 {
        assert_eq!(all(&whole[..cut]).is_err(), !between_entries.contains(&cut), "cut at {cut}");
    }
}

#[test]
fn end_of_archive_mark_may_be_missing() {
    let whole = Tarball::new().file("a", b"1").finish();
    for cut in [512, 1024] {
        assert_eq!(all(&whole[..whole.len() - cut]).unwrap().len(), 1);
    }
}

#[test]
fn garbage_is_an_error_with_its_place() {
    let tar = Tarball::new().file("a", b"1").raw(&[b'x'; 512]).finish();
    assert!(matches!(all(&tar), Err(TarError::Header { offset: 1024, .. })));
}

#[test]
fn huge_extension_is_refused_before_it_is_read() {
    let mut header = tar_core::HeaderBuilder::new_gnu();
    header.path("././@LongLink").unwrap().entry_type(EntryType::GnuLongName);
    header.mode(0).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(0).unwrap();
    header.size(1 << 40).unwrap();
    let header = header.finish();
    let tar = Tarball::new().raw(header.as_bytes()).finish();
    assert!(matches!(all(&tar), Err(TarError::Header { offset: 0, .. })));
}

#[test]
fn unknown_types_are_named() {
    let tar = Tarball::new().entry("v", EntryType::Other(b'V'), b"", |e| e).finish();
    assert!(matches!(all(&tar), Err(TarError::Kind { kind: 'V', .. })));
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..3000)) {
        let _ = all(&bytes);
    }

    #[test]
    fn no_damage_panics(at in 0usize..2048, value in 0u8..) {
        let mut tar = Tarball::new().file("a", b"x").link("l", "a").dir("d").finish();
        tar[at] = value;
        let _ = all(&tar);
    }
}
