//! Archives of all forms, and broken ones.

use std::path::PathBuf;

use crate::image::disk::fake::FakeDisk;
use crate::image::layer::LayerError;
use crate::image::limits::Limits;
use crate::image::manifest::ManifestError;
use crate::image::store::ImageStore;
use crate::image::testing::{
    OciImage, Tarball, config, docker_archive, gzip, layers_of, store_on, zstd,
};
use crate::image::{Digest, Image};

use super::*;

struct Bench {
    disk: FakeDisk,
    store: ImageStore,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let disk = FakeDisk::new();
        let store = store_on(&disk, limits);
        Self { disk, store, folder: tempfile::tempdir().unwrap() }
    }

    fn import(&self, bytes: &[u8]) -> Result<Vec<Image>, ImageError> {
        let path: PathBuf = self.folder.path().join("app.tar");
        std::fs::write(&path, bytes).unwrap();
        self.store.import(&path)
    }

    fn leaves_nothing(&self) -> bool {
        let empty = |folder: &str| self.disk.names(Path::new(folder)).unwrap().is_empty();
        empty("staging") && empty("layers") && empty("images") && empty("names")
    }
}

use crate::image::disk::Disk;

fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn layers() -> Vec<Vec<u8>> {
    let big: Vec<u8> = (0..60_000u32).flat_map(u32::to_le_bytes).collect();
    vec![
        Tarball::new().dir("bin").file("bin/sh", &big).link("bin/ls", "bin/sh").finish(),
        Tarball::new().file("etc/conf", b"2").finish(),
        Tarball::new().finish(),
        Tarball::new().file("etc/.wh.conf", b"").finish(),
    ]
}

fn bare() -> serde_json::Value {
    serde_json::json!({"org.opencontainers.image.ref.name": "v1"})
}

#[test]
fn all_forms_of_an_archive_give_the_same_layers() {
    let reference = Bench::new();
    let expected =
        reference.import(&docker_archive(&["app:v1"], &layers(), "run")).unwrap().remove(0);
    let expected = layers_of(&reference.disk, &expected);
    assert_eq!(expected.len(), 3, "the empty layer is not needed");
    for wrap in [plain, gzip, zstd] {
        let docker = wrap(&docker_archive(&["app:v1"], &layers(), "run"));
        let mut forms = vec![docker];
        for compress in [plain, gzip, zstd] {
            forms.push(wrap(&OciImage::new(&layers(), "run", compress).layout(bare())));
        }
        for form in forms {
            let bench = Bench::new();
            let images = bench.import(&form).unwrap();
            assert_eq!(images.len(), 1);
            assert!(images[0].names.contains(&"docker.io/library/app:v1".to_owned()));
            assert_eq!(layers_of(&bench.disk, &images[0]), expected);
        }
    }
}

#[test]
fn layers_may_come_in_any_order() {
    let layers = layers();
    let config = config(&layers, "");
    let manifest = serde_json::json!([{
        "Config": "c.json", "RepoTags": ["a:1"], "Layers": ["0", "1", "2", "3"],
    }]);
    let mut tar = Tarball::new().file("manifest.json", manifest.to_string().as_bytes());
    for n in [3, 1, 0, 2] {
        tar = tar.file(&n.to_string(), &layers[n]);
    }
    let tar = tar.file("c.json", &config).finish();
    let one = Bench::new();
    let image = one.import(&gzip(&tar)).unwrap().remove(0);
    let two = Bench::new();
    let other = two.import(&docker_archive(&["a:1"], &layers, "")).unwrap().remove(0);
    assert_eq!(layers_of(&one.disk, &image), layers_of(&two.disk, &other));
}

#[test]
fn linked_layers_of_old_archives_are_followed() {
    let layer = Tarball::new().file("a", b"1").finish();
    let layers = [layer.clone(), layer.clone()];
    let manifest = serde_json::json!([{
        "Config": "c.json", "RepoTags": null, "Layers": ["1/layer.tar", "2/layer.tar"],
    }]);
    let tar = Tarball::new()
        .file("1/layer.tar", &layer)
        .symlink("2/layer.tar", "../1/layer.tar")
        .file("c.json", &config(&layers, ""))
        .file("manifest.json", manifest.to_string().as_bytes())
        .finish();
    for form in [plain(&tar), gzip(&tar)] {
        let bench = Bench::new();
        let images = bench.import(&form).unwrap();
        assert_eq!(images[0].names, ["docker.io/library/app:latest"], "by the file's name");
    }
}

#[test]
fn digest_of_a_layout_is_known() {
    let bench = Bench::new();
    let image = OciImage::new(&layers(), "", gzip);
    let found = bench.import(&image.layout(bare())).unwrap().remove(0);
    assert_eq!(found.digest, Some(image.digest().to_string()));
    let by_digest = format!("app@{}", image.digest());
    assert_eq!(bench.store.get(&by_digest).unwrap().unwrap().id, found.id);
}

#[test]
fn lies_about_digests_and_lengths_are_found_and_leave_nothing() {
    let honest = OciImage::new(&layers()[..1], "", gzip);
    let (digest, blob) = honest.blobs[1].clone();
    let layout = |blob: &[u8], config: &[u8]| {
        let index = serde_json::json!({"manifests": [honest.descriptor(bare())]});
        Tarball::new()
            .file("oci-layout", b"{}")
            .file("index.json", index.to_string().as_bytes())
            .file(&format!("blobs/sha256/{}", honest.digest().hex()), &honest.manifest)
            .file(&format!("blobs/sha256/{}", honest.blobs[0].0.hex()), config)
            .file(&format!("blobs/sha256/{}", digest.hex()), blob)
            .finish()
    };
    let config = &honest.blobs[0].1;
    assert!(Bench::new().import(&layout(&blob, config)).is_ok());

    let other = gzip(&layers()[1]);
    let mut longer = blob.clone();
    longer.extend([0; 9]);
    let mut flipped = blob.clone();
    flipped[blob.len() / 2] ^= 1;
    for bad in [&other, &longer, &flipped, &blob[..blob.len() - 1].to_vec(), &Vec::new()] {
        for wrap in [plain, gzip] {
            let bench = Bench::new();
            assert!(bench.import(&wrap(&layout(bad, config))).is_err());
            assert!(bench.leaves_nothing());
        }
    }
    let bench = Bench::new();
    let error = bench.import(&layout(&blob, &config.to_ascii_uppercase())).unwrap_err();
    assert!(matches!(error, ImageError::Digest { .. }));
}

#[test]
fn layer_of_a_docker_archive_must_have_its_diff_id() {
    let layers = [Tarball::new().file("a", b"1").finish()];
    let archive = docker_archive(&["a"], &layers, "");
    let at = archive.windows(512).position(|w| w == &layers[0][..512]).unwrap();
    let mut changed = archive.clone();
    changed[at + 512] = b'2';
    let bench = Bench::new();
    let error = bench.import(&changed).unwrap_err();
    assert!(
        matches!(&error, ImageError::Digest { expected, .. } if *expected == Digest::of(&layers[0]))
    );
    assert!(bench.leaves_nothing());
}

#[test]
fn bombs_are_stopped() {
    let limits = Limits { unpacked_bytes: 1 << 20, entries: 100, ..Limits::default() };
    let bomb = Tarball::new().file("zeros", &vec![0; 2 << 20]).finish();
    for compress in [gzip, zstd] {
        let bench = Bench::with(limits.clone());
        let error =
            bench.import(&OciImage::new(std::slice::from_ref(&bomb), "", compress).layout(bare()));
        let too_large = LayerError::TooLarge { limit: 1 << 20 };
        assert!(
            matches!(error, Err(ImageError::Layer { source, .. }) if source.to_string() == too_large.to_string())
        );
        assert!(bench.leaves_nothing());
    }
    // Endless zeros behind the end-of-archive mark.
    let mut tail = Tarball::new().file("a", b"").finish();
    tail.resize(3 << 20, 0);
    let bench = Bench::with(limits);
    let error = bench.import(&OciImage::new(&[tail], "", gzip).layout(bare()));
    assert!(matches!(error, Err(ImageError::Layer { source: LayerError::TooLarge { .. }, .. })));
}

#[test]
fn truncated_archives_are_refused_and_leave_nothing() {
    let whole = docker_archive(&["a"], &layers(), "");
    for cut in [0, 100, 600, whole.len() / 3, whole.len() - 4000] {
        for form in [whole[..cut].to_vec(), gzip(&whole[..cut])] {
            let bench = Bench::new();
            assert!(bench.import(&form).is_err(), "cut at {cut}");
            assert!(bench.leaves_nothing());
        }
    }
}

#[test]
fn errors_say_what_an_archive_lacks() {
    let fails = |tar: Tarball| Bench::new().import(&tar.finish()).unwrap_err().to_string();
    assert!(fails(Tarball::new().file("x", b"")).contains("neither oci-layout"));
    let manifest = br#"[{"Config": "c.json", "RepoTags": [], "Layers": ["l"]}]"#;
    assert!(fails(Tarball::new().file("manifest.json", manifest)).contains("has no c.json"));
    let tar =
        Tarball::new().file("manifest.json", manifest).file("c.json", &config(&[vec![1]], ""));
    assert!(fails(tar).contains("has no l"));
    assert!(fails(Tarball::new().file("manifest.json", b"[{}]")).contains("use image"));
    let outside = br#"[{"Config": "../../etc/passwd", "Layers": []}]"#;
    assert!(
        fails(Tarball::new().file("manifest.json", outside)).contains("has no ../../etc/passwd")
    );
    let folder = tempfile::tempdir().unwrap();
    let error = Bench::new().store.import(folder.path()).unwrap_err();
    assert!(error.to_string().contains("must be packed"));
}

#[test]
fn image_for_another_machine_is_refused_unless_ours_lies_beside_it() {
    let image = OciImage::new(&layers()[..1], "", plain);
    let foreign = |descriptor: &mut serde_json::Value| {
        descriptor["platform"]["architecture"] = "sparc".into()
    };
    let layout = |list: Vec<serde_json::Value>| {
        let index = serde_json::json!({ "manifests": list });
        let mut tar = Tarball::new()
            .file("oci-layout", b"{}")
            .file("index.json", index.to_string().as_bytes())
            .file(&format!("blobs/sha256/{}", image.digest().hex()), &image.manifest);
        for (digest, bytes) in &image.blobs {
            tar = tar.file(&format!("blobs/sha256/{}", digest.hex()), bytes);
        }
        tar.finish()
    };
    let ours = image.descriptor(bare());
    let mut other = ours.clone();
    foreign(&mut other);
    assert_eq!(Bench::new().import(&layout(vec![other.clone(), ours])).unwrap().len(), 1);
    let error = Bench::new().import(&layout(vec![other])).unwrap_err().to_string();
    assert!(error.contains("has no image for linux/"), "{error}");

    let config = String::from_utf8(config(&layers()[..1], "")).unwrap();
    let node = crate::image::platform::Platform::of_this_node().architecture;
    let manifest = br#"[{"Config": "c", "Layers": ["l"]}]"#;
    let tar = Tarball::new()
        .file("manifest.json", manifest)
        .file("c", config.replace(&node, "sparc").as_bytes())
        .finish();
    let error = Bench::new().import(&tar).unwrap_err();
    assert!(matches!(error, ImageError::Manifest { source: ManifestError::Platform { .. }, .. }));
}

#[test]
fn name_in_an_archive_that_is_no_name_is_an_error() {
    let bench = Bench::new();
    let error = bench.import(&docker_archive(&["Bad Name"], &layers(), "")).unwrap_err();
    assert_eq!(error.reason(), "InvalidImageName");
}
