//! The store over a disk in memory: sharing, names, removal, collection, leftovers, limits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::image::digest::Digest;
use crate::image::disk::Space;
use crate::image::disk::fake::{Body, FakeDisk};
use crate::image::error::ImageError;
use crate::image::layer::LayerError;
use crate::image::limits::Limits;
use crate::image::testing::{Tarball, docker_archive, layers_of, store_on};

use super::*;

/// A disk in memory, and a folder for archives, which are read from a real one.
struct Bench {
    disk: FakeDisk,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { disk: FakeDisk::new(), folder: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> ImageStore {
        store_on(&self.disk, Limits::default())
    }

    fn archive(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn import(&self, store: &ImageStore, name: &str, layers: &[Vec<u8>]) -> Image {
        let path = self.archive("x.tar", &docker_archive(&[name], layers, name));
        store.import(&path).unwrap().remove(0)
    }

    fn layer_folders(&self) -> usize {
        self.disk.names(Path::new("layers")).unwrap().len()
    }
}

fn layer(name: &str) -> Vec<u8> {
    Tarball::new().file(name, name.as_bytes()).finish()
}

#[test]
fn imported_image_is_found_by_any_of_its_names() {
    let bench = Bench::new();
    let store = bench.store();
    let image = bench.import(&store, "busybox:1.37", &[layer("a"), layer("b")]);
    assert_eq!(image.names, ["docker.io/library/busybox:1.37"]);
    assert_eq!(image.layers.len(), 2);
    assert_eq!(image.config.config().as_ref().unwrap().cmd(), &Some(vec!["busybox:1.37".into()]));
    for name in ["busybox:1.37", "docker.io/library/busybox:1.37", &image.id] {
        assert_eq!(store.get(name).unwrap().as_ref(), Some(&image), "{name}");
    }
    assert_eq!(store.get("busybox").unwrap(), None);
    assert!(matches!(store.get("Bad Name"), Err(e) if e.reason() == "InvalidImageName"));
    let files = layers_of(&bench.disk, &image);
    assert!(matches!(&files[1][Path::new("b")].0, Body::File { bytes, .. } if bytes == b"b"));
}

#[test]
fn everything_is_there_after_a_restart() {
    let bench = Bench::new();
    let store = bench.store();
    let image = bench.import(&store, "a:1", &[layer("a")]);
    drop(store);
    assert_eq!(bench.store().get("a:1").unwrap(), Some(image));
}

#[test]
fn equal_layers_are_stored_once() {
    let bench = Bench::new();
    let store = bench.store();
    let one = bench.import(&store, "one", &[layer("base"), layer("x")]);
    let two = bench.import(&store, "two", &[layer("base"), layer("y"), layer("y")]);
    assert_eq!(one.layers[0], two.layers[0]);
    assert_eq!(two.layers[1], two.layers[2]);
    assert_eq!(bench.layer_folders(), 3);
    assert_eq!(store.images().len(), 2);
}

#[test]
fn layer_that_passes_through_folders_belongs_to_its_base() {
    let bench = Bench::new();
    let store = bench.store();
    let tmp = |mode| {
        let dir = tar_core::EntryType::Directory;
        Tarball::new().entry("tmp", dir, b"", |e| e.mode(mode).unwrap()).finish()
    };
    let top = layer("tmp/file");
    let one = bench.import(&store, "one", &[tmp(0o1777), top.clone()]);
    let two = bench.import(&store, "two", &[tmp(0o700), top]);
    let mode = |image: &Image| layers_of(&bench.disk, image)[1][Path::new("tmp")].1.mode;
    assert_eq!((mode(&one), mode(&two)), (0o1777, 0o700));
    assert_ne!(one.layers[1], two.layers[1]);
}

#[test]
fn tag_moves_to_the_new_image() {
    let bench = Bench::new();
    let store = bench.store();
    let old = bench.import(&store, "a:1", &[layer("old")]);
    let new = bench.import(&store, "a:1", &[layer("new")]);
    assert_eq!(store.get("a:1").unwrap().unwrap().id, new.id);
    assert_eq!(store.get(&old.id).unwrap().unwrap().names, [""; 0]);
    drop(store);
    assert_eq!(bench.store().get("a:1").unwrap().unwrap().id, new.id);
}

#[test]
fn removal_takes_what_nobody_else_has() {
    let bench = Bench::new();
    let store = bench.store();
    bench.import(&store, "one", &[layer("base"), layer("x")]);
    let two = bench.import(&store, "two", &[layer("base"), layer("y")]);
    assert!(store.remove("one").unwrap());
    assert!(!store.remove("one").unwrap());
    assert_eq!(store.get("one").unwrap(), None);
    assert_eq!(store.get("two").unwrap(), Some(two.clone()));
    assert_eq!(bench.layer_folders(), 2);
    assert!(store.remove(&two.id).unwrap());
    assert_eq!((bench.layer_folders(), store.images()), (0, vec![]));
    assert_eq!(bench.disk.names(Path::new("staging")).unwrap(), [""; 0]);
}

#[test]
fn image_with_two_tags_stays_until_the_last_goes() {
    let bench = Bench::new();
    let store = bench.store();
    let bytes = docker_archive(&["a:1", "a:2"], &[layer("x")], "");
    store.import(&bench.archive("a.tar", &bytes)).unwrap();
    store.remove("a:1").unwrap();
    assert_eq!(store.get("a:2").unwrap().unwrap().names, ["docker.io/library/a:2"]);
    store.remove("a:2").unwrap();
    assert_eq!(store.images(), []);
}

const RULES: Thresholds =
    Thresholds { high_percent: 80, low_percent: 10, min_age: Duration::from_secs(60) };

#[test]
fn full_disk_loses_what_is_unused_only() {
    let bench = Bench::new();
    let store = bench.store();
    let used = bench.import(&store, "used", &[layer("base"), layer("u")]);
    let stopped = bench.import(&store, "stopped", &[layer("s")]);
    let idle = bench.import(&store, "idle", &[layer("base"), layer("i")]);
    let in_use = [used.id.clone(), "stopped".to_owned()];
    let start = Instant::now();
    let later = start + Duration::from_secs(61);

    let roomy = store.collect_garbage(&in_use, RULES, later).unwrap();
    assert_eq!(roomy, Collected::default());
    bench.disk.set_space(Space { total: 1000, free: 100 });
    let fresh = store.collect_garbage(&in_use, RULES, start).unwrap();
    assert_eq!(fresh.images, [""; 0], "unused since this very call");

    let later = later + Duration::from_secs(61);
    let done = store.collect_garbage(&in_use, RULES, later).unwrap();
    assert_eq!(done.images, [idle.id]);
    assert_eq!(store.get("used").unwrap(), Some(used));
    assert_eq!(store.get("stopped").unwrap(), Some(stopped));
    assert_eq!(store.get("idle").unwrap(), None);
    assert_eq!(bench.layer_folders(), 3);
    drop(store);
    assert_eq!(bench.store().images().len(), 2);
}

#[test]
fn preloaded_images_stay_while_their_archive_does() {
    let bench = Bench::new();
    let store = bench.store();
    let archive = bench.archive("app.tar", &docker_archive(&["app"], &[layer("x")], ""));
    let done = store.import_folder(bench.folder.path());
    assert!(matches!(&done[..], [one] if one.images.is_ok() && !one.unchanged));
    bench.disk.set_space(Space { total: 1000, free: 0 });
    let collect = |seconds| {
        let now = Instant::now() + Duration::from_secs(seconds);
        store.collect_garbage([""; 0], RULES, now).unwrap().images.len()
    };
    assert_eq!((collect(0), collect(1000)), (0, 0));
    fs::remove_file(archive).unwrap();
    assert!(store.import_folder(bench.folder.path()).is_empty());
    assert_eq!((collect(2000), collect(3000)), (0, 1));
}

#[test]
fn unchanged_archives_are_not_imported_again() {
    let bench = Bench::new();
    let store = bench.store();
    let path = bench.archive("app.tar", &docker_archive(&["app:1"], &[layer("x")], ""));
    bench.archive("broken.tar", b"not a tar, but long enough to look at");
    bench.archive(".hidden.tar", b"half copied");
    let first = store.import_folder(bench.folder.path());
    assert_eq!(first.len(), 2);
    assert_eq!(first[0].images.as_deref().unwrap(), ["docker.io/library/app:1"]);
    assert!(first[1].images.is_err());

    // Also after a restart: the steps that the disk saw are none.
    drop(store);
    let store = bench.store();
    let steps = bench.disk.steps();
    let again = store.import_folder(&path);
    assert!(again[0].unchanged);
    assert_eq!(again[0].images.as_deref().unwrap(), ["docker.io/library/app:1"]);
    assert_eq!(bench.disk.steps(), steps);

    bench.archive("app.tar", &docker_archive(&["app:1"], &[layer("changed")], ""));
    assert!(!store.import_folder(&path)[0].unchanged);
    assert_eq!(store.images().len(), 2);

    store.remove("app:1").unwrap();
    assert!(!store.import_folder(&path)[0].unchanged, "it was removed, and comes back");
    assert!(store.import_folder(Path::new("/nonexistent/preload")).is_empty());
}

#[test]
fn leftovers_and_records_without_their_like_are_removed_at_start() {
    let bench = Bench::new();
    let store = bench.store();
    let image = bench.import(&store, "a:1", &[layer("x")]);
    drop(store);
    let write = |path: &str, bytes: &[u8]| {
        let path = Path::new(path);
        bench.disk.make_dir(path.parent().unwrap()).unwrap();
        bench.disk.write(path, bytes).unwrap();
    };
    write("staging/7/fs/half", b"");
    write("staging/8", b"{");
    write("layers/d0123/fs/x", b"no record");
    write("images/bad.json", b"{\"id\":");
    write("names/bad.json", b"");
    let missing = NameRecord { name: "docker.io/library/b:1".into(), image: Digest::of(b"gone") };
    let path = records::name_path(&missing.name);
    write(path.to_str().unwrap(), &serde_json::to_vec(&missing).unwrap());

    let store = bench.store();
    assert_eq!(store.get("a:1").unwrap(), Some(image));
    assert_eq!(store.get("b:1").unwrap(), None);
    for (folder, left) in [("staging", 0), ("layers", 1), ("images", 1), ("names", 1)] {
        assert_eq!(bench.disk.names(Path::new(folder)).unwrap().len(), left, "{folder}");
    }
}

#[test]
fn image_whose_layer_is_gone_is_not_shown() {
    let bench = Bench::new();
    drop(bench.import(&bench.store(), "a:1", &[layer("x"), layer("y")]));
    let key = bench.disk.names(Path::new("layers")).unwrap().remove(0);
    bench.disk.remove_tree(&Path::new("layers").join(key)).unwrap();
    assert_eq!(bench.store().get("a:1").unwrap(), None);
}

#[test]
fn layer_that_would_fill_the_disk_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    bench.disk.set_space(Space { total: 1 << 30, free: (32 << 20) + 100 });
    let store = bench.store();
    let big = Tarball::new().file("a", &[1; 50]).file("b", &[2; 200]).finish();
    let path = bench.archive("a.tar", &docker_archive(&["a"], &[big], ""));
    let error = store.import(&path).unwrap_err();
    assert!(matches!(error, ImageError::Layer { source: LayerError::NoRoom { .. }, .. }));
    assert_eq!(bench.disk.names(Path::new("staging")).unwrap(), [""; 0]);
    assert_eq!((bench.layer_folders(), store.images().len()), (0, 0));
}

#[test]
fn changed_configuration_on_the_disk_is_not_used() {
    let bench = Bench::new();
    let store = bench.store();
    let image = bench.import(&store, "a:1", &[layer("x")]);
    let path = records::image_path(&Digest::parse(&image.id).unwrap());
    let text = String::from_utf8(bench.disk.read(&path, 1 << 20).unwrap()).unwrap();
    bench.disk.remove_file(&path).unwrap();
    bench.disk.write(&path, text.replace("a:1", "b:2").as_bytes()).unwrap();
    assert!(matches!(store.get("a:1"), Err(ImageError::Digest { .. })));
}

#[test]
fn opaque_root_hides_all_layers_below() {
    let bench = Bench::new();
    let store = bench.store();
    let wipe = Tarball::new().file(".wh..wh..opq", b"").file("new", b"").finish();
    let image = bench.import(&store, "a", &[layer("old"), wipe, layer("top")]);
    assert_eq!(image.layers.len(), 2);
    let all: BTreeMap<_, _> = layers_of(&bench.disk, &image).into_iter().flatten().collect();
    assert!(!all.contains_key(Path::new("old")));
}

#[test]
fn two_imports_at_once_leave_one_copy() {
    let bench = Bench::new();
    let store = bench.store();
    let path = bench.archive("a.tar", &docker_archive(&["a"], &[layer("x"), layer("y")], ""));
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| store.import(&path).unwrap());
        let two = scope.spawn(|| store.import(&path).unwrap());
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!(one[0].layers, two[0].layers);
    assert_eq!(bench.layer_folders(), 2);
    assert_eq!(bench.disk.names(Path::new("staging")).unwrap(), [""; 0]);
}
