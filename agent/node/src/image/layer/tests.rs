//! Whole layers, honest and hostile, unpacked into a file system in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tar_core::EntryType;

use crate::image::disk::fake::{Body, FakeDisk};
use crate::image::disk::{Disk, Meta, Node};
use crate::image::limits::Limits;
use crate::image::tar::{Entries, TarError};
use crate::image::testing::Tarball;

use super::*;

type Dump = BTreeMap<PathBuf, (Body, Meta)>;

fn run(tar: &[u8], limits: &Limits) -> (FakeDisk, Result<Unpacked, LayerError>) {
    let disk = FakeDisk::new();
    disk.make_dir(Path::new("layer")).unwrap();
    let mut tree = disk.tree(Path::new("layer")).unwrap();
    let done = unpack(&mut Entries::new(tar), &mut *tree, limits, &mut |_| Ok(()));
    drop(tree);
    (disk, done)
}

fn unpacked(tar: Tarball) -> (Dump, Unpacked) {
    let (disk, done) = run(&tar.finish(), &Limits::default());
    (disk.dump(Path::new("layer")), done.unwrap())
}

fn refused(tar: Tarball) -> Refusal {
    match run(&tar.finish(), &Limits::default()).1 {
        Err(LayerError::Entry { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

fn body<'a>(dump: &'a Dump, path: &str) -> &'a Body {
    &dump[Path::new(path)].0
}

fn is_opaque(dump: &Dump, path: &str) -> bool {
    let xattrs = &dump[Path::new(path)].1.xattrs;
    xattrs.iter().any(|(name, value)| name == "trusted.overlay.opaque" && value == b"y")
}

const WHITEOUT: Body = Body::Node(Node::Char { major: 0, minor: 0 });

#[test]
fn contents_ownership_modes_and_times_are_kept() {
    let tar = Tarball::new()
        .entry("etc", EntryType::Directory, b"", |e| e.mode(0o1777).unwrap().mtime(42).unwrap())
        .entry("etc/su", EntryType::Regular, b"x", |e| {
            e.mode(0o4755).unwrap().uid(7).unwrap().gid(8).unwrap();
            e.add_pax("SCHILY.xattr.security.capability", b"\x01\0\xff")
        })
        .entry("null", EntryType::Char, b"", |e| e.device(1, 3).unwrap())
        .entry("disk", EntryType::Block, b"", |e| e.device(8, 300).unwrap())
        .entry("pipe", EntryType::Fifo, b"", |e| e)
        .symlink("link", "/etc/passwd")
        .link("hard", "./etc/su");
    let (dump, done) = unpacked(tar);
    let (file, meta) = &dump[Path::new("etc/su")];
    assert!(matches!(file, Body::File { bytes, .. } if bytes == b"x"));
    assert_eq!((meta.mode, meta.uid, meta.gid, meta.mtime), (0o4755, 7, 8, 1000));
    assert_eq!(meta.xattrs, [("security.capability".to_owned(), b"\x01\0\xff".to_vec())]);
    assert_eq!((dump[Path::new("etc")].1.mode, dump[Path::new("etc")].1.mtime), (0o1777, 42));
    assert_eq!(body(&dump, "null"), &Body::Node(Node::Char { major: 1, minor: 3 }));
    assert_eq!(body(&dump, "disk"), &Body::Node(Node::Block { major: 8, minor: 300 }));
    assert_eq!(body(&dump, "pipe"), &Body::Node(Node::Fifo));
    assert_eq!(body(&dump, "link"), &Body::Symlink(b"/etc/passwd".to_vec()));
    assert_eq!(dump[Path::new("hard")], dump[Path::new("etc/su")]);
    assert_eq!((done.entries, done.bytes, done.implied.len()), (7, 1, 0));
}

#[test]
fn folder_keeps_its_time_though_entries_come_late() {
    let dir = |tar: Tarball, path, time| {
        tar.entry(path, EntryType::Directory, b"", |e| e.mtime(time).unwrap())
    };
    let tar = dir(dir(Tarball::new(), "a", 11), "b", 22).file("a/1", b"").file("b/1", b"");
    let tar = dir(tar.file("a/2", b""), "a", 33).file("a/2", b"again").dir("c").link("b/l", "a/1");
    let (dump, _) = unpacked(tar);
    assert_eq!(dump[Path::new("a")].1.mtime, 33);
    assert_eq!(dump[Path::new("b")].1.mtime, 22);
}

#[test]
fn sparse_file_has_its_holes() {
    let map = [tar_core::SparseEntry { offset: 4, length: 3 }];
    let mut entry = tar_core::EntryBuilder::new_gnu();
    entry.path("s").entry_type(EntryType::GnuSparse).sparse(&map, 9).size(3).unwrap();
    entry.mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(0).unwrap();
    let (dump, _) = unpacked(Tarball::new().raw(&entry.finish_bytes()).raw(b"abc"));
    assert!(matches!(body(&dump, "s"), Body::File { bytes, .. } if bytes == b"\0\0\0\0abc\0\0"));
}

#[test]
fn whiteouts_take_the_form_of_overlayfs() {
    let tar = Tarball::new()
        .dir("keep")
        .file("keep/.wh.gone", b"")
        .file("keep/.wh..wh..opq", b"")
        .file(".wh..wh.plnk", b"")
        .file(".wh..wh.aufs", b"");
    let (dump, done) = unpacked(tar);
    assert_eq!(body(&dump, "keep/gone"), &WHITEOUT);
    assert!(is_opaque(&dump, "keep"));
    assert_eq!(dump.len(), 3);
    assert!(!done.opaque_root);
}

#[test]
fn whiteout_speaks_of_lower_layers_only_wherever_it_stands() {
    for tar in [
        Tarball::new().file(".wh.d", b"").dir("d").file("d/f", b"1"),
        Tarball::new().dir("d").file("d/f", b"1").file(".wh.d", b""),
        Tarball::new().file(".wh.d", b"").file("d/f", b"1"),
    ] {
        let (dump, _) = unpacked(tar);
        assert!(is_opaque(&dump, "d"));
        assert!(matches!(body(&dump, "d/f"), Body::File { .. }));
    }
    for tar in [
        Tarball::new().file(".wh.f", b"").file("f", b"1"),
        Tarball::new().file("f", b"1").file(".wh.f", b""),
    ] {
        let (dump, _) = unpacked(tar);
        assert!(matches!(body(&dump, "f"), Body::File { .. }));
    }
}

#[test]
fn opaque_root_is_reported() {
    let (_, done) = unpacked(Tarball::new().file(".wh..wh..opq", b"").file("a", b""));
    assert!(done.opaque_root);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let tar = Tarball::new()
        .dir("a")
        .file("a/x", b"old")
        .file("a", b"now a file")
        .file("b", b"file")
        .dir("b")
        .file("b/y", b"new")
        .symlink("c", "b")
        .file("c", b"not through the link");
    let (dump, _) = unpacked(tar);
    assert!(matches!(body(&dump, "a"), Body::File { bytes, .. } if bytes == b"now a file"));
    assert!(!dump.contains_key(Path::new("a/x")));
    assert!(matches!(body(&dump, "b/y"), Body::File { .. }));
    assert!(is_opaque(&dump, "b"), "the file hid what is below, and the folder must too");
    assert!(matches!(body(&dump, "c"), Body::File { .. }));
    assert_eq!(dump.keys().filter(|p| p.starts_with("b")).count(), 2);
}

#[test]
fn entries_go_through_links_inside_the_layer() {
    let tar = Tarball::new()
        .dir("usr/lib")
        .symlink("lib", "usr/lib")
        .symlink("abs", "/usr")
        .symlink("up", "../../../../../usr")
        .file("lib/a", b"1")
        .file("abs/lib/b", b"2")
        .file("up/lib/c", b"3")
        .link("hard", "lib/a");
    let (dump, done) = unpacked(tar);
    for path in ["usr/lib/a", "usr/lib/b", "usr/lib/c", "hard"] {
        assert!(matches!(body(&dump, path), Body::File { .. }), "{path}");
    }
    assert!(done.implied.contains(Path::new("usr")));
}

#[test]
fn climbing_paths_are_refused() {
    for path in ["../evil", "a/../../evil", "/..", "a/..", "/../../etc/shadow"] {
        assert_eq!(refused(Tarball::new().file(path, b"")), Refusal::Climbs, "{path}");
    }
    assert_eq!(refused(Tarball::new().file("a", b"").link("b", "../a")), Refusal::Climbs);
    assert_eq!(refused(Tarball::new().file("/.", b"")), Refusal::Root);
}

#[test]
fn hard_links_reach_files_of_this_layer_only() {
    let missing = Refusal::Missing("etc/shadow".into());
    assert_eq!(refused(Tarball::new().dir("etc").link("a", "/etc/shadow")), missing);
    assert_eq!(refused(Tarball::new().link("a", "b")), Refusal::Missing("b".into()));
    assert_eq!(
        refused(Tarball::new().file(".wh.b", b"").link("a", "b")),
        Refusal::Missing("b".into())
    );
    assert_eq!(refused(Tarball::new().dir("d").link("a", "d")), Refusal::LinkToFolder("d".into()));
    assert_eq!(
        refused(Tarball::new().dir("d").file("d/f", b"").link("d", "d/f")),
        Refusal::Missing("d/f".into())
    );
    let (dump, _) = unpacked(Tarball::new().file("a", b"1").link("a", "./a"));
    assert!(matches!(body(&dump, "a"), Body::File { bytes, .. } if bytes == b"1"));
}

#[test]
fn attributes_that_steer_overlayfs_are_dropped() {
    let tar = Tarball::new().entry("f", EntryType::Regular, b"", |e| {
        for name in
            ["trusted.overlay.redirect", "user.overlay.opaque", "security.selinux", "user.ok"]
        {
            e.add_pax(&format!("SCHILY.xattr.{name}"), "v");
        }
        e
    });
    let (dump, _) = unpacked(tar);
    assert_eq!(dump[Path::new("f")].1.xattrs, [("user.ok".to_owned(), b"v".to_vec())]);
}

#[test]
fn owner_that_chown_would_ignore_is_refused() {
    let tar = Tarball::new()
        .entry("f", EntryType::Regular, b"", |e| e.add_pax("uid", u32::MAX.to_string()));
    assert_eq!(refused(tar), Refusal::Owner(u64::from(u32::MAX)));
}

#[test]
fn device_that_overlayfs_takes_for_a_whiteout_is_one() {
    let tar = Tarball::new().entry("w", EntryType::Char, b"", |e| e.device(0, 0).unwrap());
    assert_eq!(body(&unpacked(tar).0, "w"), &WHITEOUT);
}

#[test]
fn limits_end_a_layer_before_it_is_written() {
    let limits = Limits { unpacked_bytes: 1000, ..Limits::default() };
    let tar = Tarball::new().file("a", &[0; 600]).file("b", &[0; 600]).finish();
    let (disk, done) = run(&tar, &limits);
    assert!(matches!(done, Err(LayerError::TooLarge { limit: 1000 })));
    assert!(disk.has("layer/a") && !disk.has("layer/b"));

    let limits = Limits { entries: 2, ..Limits::default() };
    let tar = Tarball::new().dir("a").dir("b").dir("c").finish();
    assert!(matches!(run(&tar, &limits).1, Err(LayerError::TooManyEntries { limit: 2 })));

    let deep: Vec<_> = (0..5000).map(|n| format!("{n}/{n}")).collect();
    let tar = deep.iter().fold(Tarball::new(), |tar, path| tar.file(path, b"")).finish();
    assert!(matches!(run(&tar, &Limits::default()).1, Err(LayerError::TooManyImplied)));
}

#[test]
fn truncated_layer_is_an_error_of_the_archive() {
    let whole = Tarball::new().file("a", &[1; 3000]).finish();
    for cut in [100, 700, 2000, whole.len() - 600] {
        let done = run(&whole[..cut], &Limits::default()).1;
        assert!(matches!(
            done,
            Err(LayerError::Archive(TarError::Truncated { .. } | TarError::Read(_)))
        ));
    }
}

#[test]
fn folder_passed_through_is_as_in_the_layers_below() {
    let disk = FakeDisk::new();
    let layer = |name: &str, tar: Tarball| {
        disk.make_dir(Path::new(name)).unwrap();
        let mut tree = disk.tree(Path::new(name)).unwrap();
        let tar = tar.finish();
        unpack(&mut Entries::new(&tar[..]), &mut *tree, &Limits::default(), &mut |_| Ok(()))
            .unwrap()
    };
    let tmp = |mode| {
        Tarball::new().entry("tmp", EntryType::Directory, b"", |e| {
            e.mode(mode).unwrap().uid(5).unwrap().mtime(77).unwrap()
        })
    };
    layer("0", tmp(0o700));
    layer("1", tmp(0o1777).symlink("run", "tmp"));
    let done = layer("2", Tarball::new().file("tmp/a", b"").file("run/b", b"").file("new/c", b""));
    let below = [disk.tree(Path::new("0")).unwrap(), disk.tree(Path::new("1")).unwrap()];
    adopt(&mut *disk.tree(Path::new("2")).unwrap(), &done.implied, &below).unwrap();
    let dump = disk.dump(Path::new("2"));
    let meta = &dump[Path::new("tmp")].1;
    assert_eq!((meta.mode, meta.uid, meta.mtime), (0o1777, 5, 77));
    assert_eq!(dump[Path::new("run")].1.mode, 0o755);
    assert_eq!(dump[Path::new("new")].1.mode, 0o755);
}
