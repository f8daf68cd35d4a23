//! The power is cut at every single step of an import, a removal and a collection. After each cut
//! the store opens, shows whole images only, and the same work done again succeeds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::image::disk::Meta;
use crate::image::disk::fake::{Body, FakeDisk, Survives};
use crate::image::limits::Limits;
use crate::image::testing::{OciImage, Tarball, docker_archive, gzip, layers_of, store_on};

use super::*;

type Contents = Vec<BTreeMap<PathBuf, (Body, Meta)>>;

fn layers() -> Vec<Vec<u8>> {
    vec![
        Tarball::new().dir("etc").file("etc/a", &[1; 5000]).link("b", "etc/a").finish(),
        Tarball::new().file("etc/new", b"2").file("etc/.wh.a", b"").finish(),
    ]
}

/// Length counts for tests, not what was flushed when.
fn without_flushes(mut contents: Contents) -> Contents {
    for (body, _) in contents.iter_mut().flat_map(BTreeMap::values_mut) {
        if let Body::File { flushed, .. } = body {
            *flushed = 0;
        }
    }
    contents
}

fn contents(disk: &FakeDisk, image: &Image) -> Contents {
    without_flushes(layers_of(disk, image))
}

/// Runs `work` with the power cut at every step, and checks what is found after each cut.
fn cut_everywhere(
    prepared: &FakeDisk,
    work: &dyn Fn(&ImageStore) -> Result<(), ImageError>,
    check: &dyn Fn(&FakeDisk, &ImageStore, bool),
) -> u64 {
    for step in 0.. {
        let disk = prepared.after_cut(Survives::Metadata);
        let store = store_on(&disk, Limits::default());
        disk.cut_power_at(step);
        let done = work(&store).is_ok();
        drop(store);
        for survives in [Survives::Nothing, Survives::Metadata] {
            let found = disk.after_cut(survives);
            let store = store_on(&found, Limits::default());
            assert_eq!(found.names(Path::new("staging")).unwrap(), [""; 0], "step {step}");
            check(&found, &store, done);
            // The second start may be cut as well, and the third must still be right.
            work(&store).unwrap_or_else(|e| panic!("again after step {step}: {e:?}"));
            check(&found, &store, true);
        }
        if done {
            return step;
        }
    }
    unreachable!("the steps of an import are finite");
}

#[test]
fn import_cut_at_any_step_leaves_whole_images_or_none() {
    for archive in [
        docker_archive(&["app:1", "app:2"], &layers(), ""),
        gzip(&docker_archive(&["app:1", "app:2"], &layers(), "")),
        OciImage::new(&layers(), "", gzip).layout(serde_json::json!({
            "io.containerd.image.name": "docker.io/library/app:1"
        })),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.tar");
        fs::write(&path, archive).unwrap();
        let whole = FakeDisk::new();
        let store = store_on(&whole, Limits::default());
        let image = store.import(&path).unwrap().remove(0);
        let expected = contents(&whole, &image);

        let steps = cut_everywhere(
            &FakeDisk::new(),
            &|store| {
                let done = store.import_folder(folder.path()).remove(0);
                done.images.map(drop)
            },
            &|disk, store, done| {
                let found = store.get("app:1").unwrap();
                assert!(found.is_some() || !done, "acknowledged, and lost");
                for summary in store.images() {
                    let image = store.get(&summary.id).unwrap().unwrap();
                    assert_eq!(contents(disk, &image), expected);
                }
            },
        );
        assert!(steps > 30, "{steps} steps");
    }
}

#[test]
fn tag_that_moves_is_on_the_old_or_the_new_image_at_any_cut() {
    let folder = tempfile::tempdir().unwrap();
    let archive = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, docker_archive(&["app:1"], &[bytes.to_vec()], name)).unwrap();
        path
    };
    let old = archive("old", &Tarball::new().file("a", b"old").finish());
    let new = archive("new", &Tarball::new().file("a", b"new").finish());
    let disk = FakeDisk::new();
    let store = store_on(&disk, Limits::default());
    let old = store.import(&old).unwrap().remove(0).id;
    drop(store);
    cut_everywhere(&disk, &|store| store.import(&new).map(drop), &|_, store, done| {
        let now = store.get("app:1").unwrap().expect("the name never vanishes");
        assert!(!done || now.id != old);
    });
}

#[test]
fn removal_cut_at_any_step_leaves_the_other_images_whole() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FakeDisk::new();
    let store = store_on(&disk, Limits::default());
    let import = |name: &str, top: &str| {
        let path = folder.path().join(name);
        let top = Tarball::new().file(top, b"x").finish();
        let all = [layers().remove(0), top];
        fs::write(&path, docker_archive(&[name], &all, name)).unwrap();
        store.import(&path).unwrap().remove(0)
    };
    import("gone", "g");
    let kept = import("kept", "k");
    let expected = contents(&disk, &kept);
    drop(store);
    let check = |disk: &FakeDisk, store: &ImageStore, done: bool| {
        let image = store.get("kept").unwrap().expect("not touched");
        assert_eq!(contents(disk, &image), expected);
        let gone = store.get("gone").unwrap();
        assert!(!done || gone.is_none());
        if let Some(image) = gone {
            assert_eq!(contents(disk, &image).len(), 2);
        }
    };
    let steps = cut_everywhere(&disk, &|store| store.remove("gone").map(drop), &check);
    assert!(steps >= 6, "{steps} steps");

    let rules = Thresholds { high_percent: 0, low_percent: 0, min_age: Duration::ZERO };
    let now = Instant::now();
    cut_everywhere(
        &disk,
        &|store| {
            // The fake disk forgets its size at a cut; any is too full for these rules.
            store.collect_garbage(["kept"], rules, now).map(drop)
        },
        &check,
    );
}
