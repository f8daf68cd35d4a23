//! The store on a real file system.
//!
//! What needs no privilege runs everywhere; `vm` is for root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::disk::{Disk, Kind, LinuxDisk, Meta, Tree};

fn tree_of(disk: &LinuxDisk) -> Box<dyn Tree + '_> {
    disk.make_dir(Path::new("layer")).unwrap();
    disk.tree(Path::new("layer")).unwrap()
}

#[test]
fn no_operation_follows_a_link_out_of_the_layer() {
    let folder = tempfile::tempdir().unwrap();
    let disk = LinuxDisk::open(&folder.path().join("images")).unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s").unwrap();
    let mut tree = tree_of(&disk);
    let target = outside.to_str().unwrap().as_bytes();
    tree.make_symlink(Path::new("out"), target).unwrap();
    tree.make_symlink(Path::new("up"), b"../../outside").unwrap();

    for link in ["out", "up"] {
        let inside = Path::new(link).join("secret");
        assert!(tree.kind(&inside).is_err());
        assert!(tree.make_dir(&Path::new(link).join("new")).is_err());
        assert!(tree.make_file(&Path::new(link).join("new")).is_err());
        assert!(tree.make_link(Path::new("stolen"), &inside).is_err());
        assert!(tree.remove(&inside).is_err());
        assert!(tree.set_mtime(&inside, 1).is_err());
        assert!(matches!(tree.kind(Path::new(link)).unwrap(), Some(Kind::Symlink(_))));
        assert!(tree.make_file(Path::new(link)).is_err(), "the link itself is in the way");
    }
    for climbing in ["../x", "..", "a/../../x", "/etc"] {
        assert!(tree.make_dir(Path::new(climbing)).is_err(), "{climbing}");
    }
    tree.remove(Path::new("out")).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn files_have_their_contents_modes_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let disk = LinuxDisk::open(folder.path()).unwrap();
    let mut tree = tree_of(&disk);
    let own = fs::metadata(folder.path()).unwrap();
    let meta = Meta { mode: 0o640, uid: own.uid(), gid: own.gid(), mtime: 77, xattrs: vec![] };
    tree.make_dir(Path::new("d")).unwrap();
    let mut sink = tree.make_file(Path::new("d/f")).unwrap();
    sink.copy(&mut &b"abcdef"[..], 3).unwrap();
    sink.seek(10).unwrap();
    sink.copy(&mut &b"xyz"[..], 3).unwrap();
    sink.set_len(20).unwrap();
    assert!(sink.copy(&mut &b"short"[..], 9).is_err());
    drop(sink);
    tree.set_meta(Path::new("d/f"), &meta).unwrap();
    tree.make_link(Path::new("hard"), Path::new("d/f")).unwrap();
    tree.make_symlink(Path::new("s"), b"d").unwrap();
    tree.set_meta(Path::new("s"), &Meta { mtime: 5, ..meta.clone() }).unwrap();
    assert_eq!(tree.meta(Path::new("hard")).unwrap(), meta);
    assert_eq!(tree.kind(Path::new("")).unwrap(), Some(Kind::Directory));
    assert_eq!(tree.kind(Path::new("d/none")).unwrap(), None);
    let layer = folder.path().join("layer");
    assert_eq!(
        fs::metadata(layer.join("d/f")).unwrap().ino(),
        fs::metadata(layer.join("hard")).unwrap().ino()
    );
    assert_eq!(fs::metadata(layer.join("d/f")).unwrap().permissions().mode() & 0o7777, 0o640);
    tree.remove(Path::new("d")).unwrap();
    tree.make_dir(Path::new("d")).unwrap();
    assert_eq!(tree.kind(Path::new("d/f")).unwrap(), None, "the folder is a new one");
    let root = Meta { mode: 0o755, mtime: 9, ..meta };
    tree.set_meta(Path::new(""), &root).unwrap();
    assert_eq!(tree.meta(Path::new("")).unwrap(), root);
}

#[test]
fn store_folder_keeps_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let disk = LinuxDisk::open(&folder.path().join("a/b")).unwrap();
    let path = Path::new("x");
    disk.write(path, b"12345").unwrap();
    assert!(disk.write(path, b"").is_err(), "never in place");
    assert_eq!(disk.read(path, 5).unwrap(), b"12345");
    assert!(disk.read(path, 4).is_err());
    disk.flush_all().unwrap();
    disk.rename(path, Path::new("y")).unwrap();
    disk.flush_dir(Path::new("")).unwrap();
    assert_eq!(disk.names(Path::new("")).unwrap(), ["y"]);
    for _ in 0..2 {
        disk.remove_tree(Path::new("y")).unwrap();
        disk.remove_file(Path::new("y")).unwrap();
    }
    let space = disk.space().unwrap();
    assert!(space.free > 0 && space.free <= space.total);
    assert_eq!(
        fs::metadata(folder.path().join("a/b")).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

/// Ownership, devices, attributes and overlayfs itself.
mod vm {
    use std::collections::BTreeMap;
    use std::ffi::CString;
    use std::path::PathBuf;
    use std::process::Command;

    use tar_core::EntryType;

    use super::super::testing::{OciImage, Tarball, docker_archive, zstd};
    use super::super::{ImageStore, Limits};
    use super::*;

    /// A file system of its own, so that `syncfs` and overlayfs are at home anywhere.
    struct Mounted(tempfile::TempDir);

    impl Mounted {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let options = CString::new("mode=0755").unwrap();
            let none = rustix::mount::MountFlags::empty();
            rustix::mount::mount("tmpfs", folder.path(), "tmpfs", none, &*options).unwrap();
            Self(folder)
        }

        fn path(&self) -> &Path {
            self.0.path()
        }
    }

    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::DETACH);
        }
    }

    /// Stacks the layers and lists what a container would see: contents, or `None` for a folder.
    fn seen(base: &Path, layers: &[PathBuf]) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let merged = base.join("merged");
        fs::create_dir_all(&merged).unwrap();
        fs::create_dir_all(base.join("empty")).unwrap();
        let mut lower: Vec<_> = layers.iter().rev().map(|p| p.display().to_string()).collect();
        // overlayfs wants two.
        lower.push(base.join("empty").display().to_string());
        let options = CString::new(format!("lowerdir={}", lower.join(":"))).unwrap();
        let none = rustix::mount::MountFlags::empty();
        rustix::mount::mount("overlay", &merged, "overlay", none, &*options).unwrap();
        let mut found = BTreeMap::new();
        let mut pending = vec![merged.clone()];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                // A whiteout in a folder that has no namesake below is listed, and not found.
                let Ok(meta) = fs::symlink_metadata(&path) else { continue };
                let inside = path.strip_prefix(&merged).unwrap().to_owned();
                if meta.is_dir() {
                    pending.push(path);
                    found.insert(inside, None);
                } else if meta.is_file() {
                    found.insert(inside, Some(fs::read(&path).unwrap()));
                } else {
                    found.insert(inside, Some(b"special".to_vec()));
                }
            }
        }
        rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::empty()).unwrap();
        found
    }

    fn import(base: &Path, layers: &[Vec<u8>]) -> super::super::Image {
        let archive = base.join("a.tar");
        fs::write(&archive, docker_archive(&["a"], layers, "")).unwrap();
        let store = ImageStore::open(&base.join("images"), Limits::default()).unwrap();
        store.import(&archive).unwrap().remove(0)
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn ownership_devices_and_capabilities_reach_the_disk() {
        let base = Mounted::new();
        // cap_net_raw=ep, version 2.
        let caps = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let layer = Tarball::new()
            .entry("ping", EntryType::Regular, b"x", |e| {
                e.mode(0o4711).unwrap().uid(12).unwrap().gid(34).unwrap();
                e.add_pax("SCHILY.xattr.security.capability", caps)
            })
            .link("ping6", "ping")
            .entry("null", EntryType::Char, b"", |e| e.mode(0o666).unwrap().device(1, 3).unwrap())
            .entry("pipe", EntryType::Fifo, b"", |e| e)
            .entry("link", EntryType::Symlink, b"", |e| e.uid(5).unwrap().link_name("/nowhere"))
            .finish();
        let image = import(base.path(), &[layer]);
        let at = |name: &str| image.layers[0].join(name);
        let ping = fs::metadata(at("ping")).unwrap();
        assert_eq!(
            (ping.mode() & 0o7777, ping.uid(), ping.gid(), ping.mtime()),
            (0o4711, 12, 34, 1000)
        );
        assert_eq!(ping.ino(), fs::metadata(at("ping6")).unwrap().ino());
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(at("ping"), "security.capability", &mut value).unwrap();
        assert_eq!(&value[..length], caps);
        let null = fs::metadata(at("null")).unwrap();
        assert_eq!((null.rdev(), null.mode() & 0o7777), (rustix::fs::makedev(1, 3), 0o666));
        assert_eq!(fs::symlink_metadata(at("link")).unwrap().uid(), 5);
        assert_eq!(fs::metadata(&image.layers[0]).unwrap().mode() & 0o7777, 0o755);
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn overlayfs_shows_what_the_layers_say() {
        let base = Mounted::new();
        let image = import(
            base.path(),
            &[
                Tarball::new()
                    .file("d/old", b"1")
                    .file("e/old", b"1")
                    .file("f", b"1")
                    .file("g/x", b"1")
                    .finish(),
                Tarball::new()
                    .file(".wh.f", b"")
                    .file("d/.wh..wh..opq", b"")
                    .file("d/new", b"2")
                    .file("e/.wh.old", b"")
                    .file("g", b"now a file")
                    .finish(),
                Tarball::new().file("e/late", b"3").finish(),
            ],
        );
        let file = |text: &str| Some(text.as_bytes().to_vec());
        let expected = [
            ("d", None),
            ("d/new", file("2")),
            ("e", None),
            ("e/late", file("3")),
            ("g", file("now a file")),
        ];
        let expected = expected.into_iter().map(|(path, seen)| (PathBuf::from(path), seen));
        assert_eq!(seen(base.path(), &image.layers), expected.collect());
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn real_overlayfs_agrees_with_the_model() {
        use super::super::layer::model_tests::{Seen, archives};
        use proptest::strategy::{Strategy, ValueTree};
        use proptest::test_runner::TestRunner;

        let mut runner = TestRunner::deterministic();
        for _ in 0..100 {
            let (layers, expected) = archives().new_tree(&mut runner).unwrap().current();
            let base = Mounted::new();
            let image = import(base.path(), &layers);
            let found = seen(base.path(), &image.layers);
            let expected: BTreeMap<_, _> = expected
                .into_iter()
                .map(|(path, seen)| match seen {
                    Seen::Folder => (path, None),
                    Seen::File(bytes) => (path, Some(bytes)),
                })
                .collect();
            assert_eq!(found, expected, "{layers:?}");
        }
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn archive_of_the_system_tar_unpacks_alike() {
        let base = Mounted::new();
        let source = base.path().join("source");
        fs::create_dir_all(source.join("a").join("n".repeat(200))).unwrap();
        fs::write(source.join("a/file"), vec![7; 100_000]).unwrap();
        fs::hard_link(source.join("a/file"), source.join("z")).unwrap();
        std::os::unix::fs::symlink("a/file", source.join("s")).unwrap();
        // A VM's payload has busybox' tar at best, which knows no formats.
        let version = Command::new("tar").arg("--version").output();
        let version = version.map(|output| output.stdout).unwrap_or_default();
        if !version.starts_with(b"tar (GNU tar)") {
            return;
        }
        for format in ["gnu", "pax"] {
            let tar = base.path().join("layer.tar");
            let made = Command::new("tar")
                .args(["--format", format, "--numeric-owner", "-C"])
                .arg(&source)
                .arg("-cf")
                .arg(&tar)
                .arg(".")
                .status();
            assert!(made.unwrap().success());
            let layer = fs::read(&tar).unwrap();
            let image = OciImage::new(&[layer], "", zstd).layout(serde_json::json!(null));
            fs::write(base.path().join("i.tar"), image).unwrap();
            let store = ImageStore::open(&base.path().join(format), Limits::default()).unwrap();
            let image = store.import(&base.path().join("i.tar")).unwrap().remove(0);
            let layer = &image.layers[0];
            assert_eq!(fs::read(layer.join("a/file")).unwrap(), vec![7; 100_000]);
            assert_eq!(fs::metadata(layer.join("z")).unwrap().nlink(), 2);
            assert!(layer.join("a").join("n".repeat(200)).is_dir());
            assert_eq!(fs::read_link(layer.join("s")).unwrap(), Path::new("a/file"));
        }
    }
}
