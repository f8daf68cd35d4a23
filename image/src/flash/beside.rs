//! What lies beside an image and speaks of it: a `.sha256`, the build's manifest, a block map.
//! Must never take a checksum of another file for the image's.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;

/// Why what lies beside an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is there and cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// It should name the image's SHA-256 and does not.
    #[error("{0} holds no SHA-256 of {1}; make it anew, or take it away")]
    NoChecksum(PathBuf, String),
    /// The image is not the one that the checksum was made of.
    #[error("the image is broken: its SHA-256 is {found}, and {} says {named}", by.display())]
    Broken {
        /// The image's own.
        found: Digest,
        /// What it should be.
        named: Digest,
        /// Who says so.
        by: PathBuf,
    },
}

/// The SHA-256 that a file beside `image` names for it, and which file that is.
pub fn checksum(image: &Path) -> Result<Option<(PathBuf, Digest)>, Error> {
    let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sums = with_suffix(image, ".sha256");
    if let Some(text) = read(&sums)? {
        let Some(digest) = in_sums(&text, &name) else {
            return Err(Error::NoChecksum(sums, name));
        };
        return Ok(Some((sums, digest)));
    }
    for stem in stems(image) {
        let manifest = with_suffix(&stem, ".manifest.json");
        let digest = read(&manifest)?.and_then(|text| in_manifest(&text, &name));
        if let Some(digest) = digest {
            return Ok(Some((manifest, digest)));
        }
    }
    Ok(None)
}

/// Compares the image with the checksum beside it, if there is one; reads all of it.
pub fn check(image: &Path) -> Result<(), Error> {
    let Some((by, named)) = checksum(image)? else { return Ok(()) };
    let found = Digest::of_file(image).map_err(|error| Error::Read(image.to_owned(), error))?;
    if found == named { Ok(()) } else { Err(Error::Broken { found, named, by }) }
}

/// The block map beside an image: its name with `.bmap` added, ever more endings taken off before.
pub fn block_map(image: &Path) -> Result<Option<(PathBuf, String)>, Error> {
    for stem in stems(image) {
        let path = with_suffix(&stem, ".bmap");
        if let Some(text) = read(&path)? {
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// `a.img.zst`, `a.img`, `a`.
fn stems(image: &Path) -> impl Iterator<Item = PathBuf> {
    std::iter::successors(Some(image.to_owned()), |path| {
        path.extension().is_some().then(|| path.with_extension(""))
    })
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Read(path.to_owned(), error)),
    }
}

/// Lines as `sha256sum` writes them, or a digest alone.
fn in_sums(text: &str, name: &str) -> Option<Digest> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.find_map(|line| {
        let (digest, rest) = line.split_at_checked(64)?;
        let file = rest.trim_start().trim_start_matches('*');
        let is_meant = file.is_empty() || file.rsplit('/').next() == Some(name);
        Digest::parse(&digest.to_ascii_lowercase()).filter(|_| is_meant)
    })
}

/// The digest among the outputs of a build.
fn in_manifest(text: &str, name: &str) -> Option<Digest> {
    let manifest: serde_json::Value = serde_json::from_str(text).ok()?;
    let outputs = manifest.get("outputs")?.as_array()?;
    let output = outputs.iter().find(|output| output["name"] == name)?;
    Digest::parse(output["sha256"].as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("temporary folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    #[test]
    fn checksum_is_found_in_every_usual_form() {
        let digest = Digest::of(b"image");
        let forms = [
            format!("{digest}\n"),
            format!("{digest}  a.img\n"),
            format!("{digest} *out/a.img\n"),
            format!("{}  b.img\n{digest}  a.img\n", Digest::of(b"other")),
            digest.to_string().to_uppercase(),
        ];
        for text in forms {
            let folder = folder(&[("a.img", "image"), ("a.img.sha256", &text)]);
            let found = checksum(&folder.path().join("a.img")).expect("readable");
            assert_eq!(found.map(|(_, digest)| digest), Some(digest), "{text}");
            check(&folder.path().join("a.img")).expect("whole");
        }
    }

    #[test]
    fn checksum_of_another_file_is_no_checksum() {
        let text = format!("{}  b.img\n", Digest::of(b"image"));
        for text in [text.as_str(), "no digest", ""] {
            let folder = folder(&[("a.img", "image"), ("a.img.sha256", text)]);
            let error = check(&folder.path().join("a.img"));
            assert!(matches!(error, Err(Error::NoChecksum(..))), "{text:?}");
        }
    }

    #[test]
    fn changed_image_is_told_apart_by_sums_and_by_the_manifest() {
        let digest = Digest::of(b"image");
        let manifest =
            format!(r#"{{"outputs": [{{"name": "a.img.zst", "sha256": "{digest}", "size": 5}}]}}"#);
        let files = [("a.img.zst", "image"), ("a.manifest.json", manifest.as_str())];
        let whole = folder(&files);
        check(&whole.path().join("a.img.zst")).expect("whole");
        let broken = folder(&[("a.img.zst", "imagE"), files[1]]);
        let error = check(&broken.path().join("a.img.zst")).expect_err("broken");
        assert!(error.to_string().contains("a.manifest.json"), "{error}");
        let other = folder(&[("a.img", "imagE"), files[1]]);
        check(&other.path().join("a.img")).expect("the manifest does not speak of this file");
    }

    #[test]
    fn block_map_is_found_below_the_endings() {
        for name in ["a.img.zst.bmap", "a.img.bmap", "a.bmap"] {
            let folder = folder(&[(name, "map")]);
            let found = block_map(&folder.path().join("a.img.zst")).expect("readable");
            assert_eq!(found.map(|(path, _)| path), Some(folder.path().join(name)));
        }
        let none = folder(&[("b.bmap", "map")]);
        assert!(block_map(&none.path().join("a.img")).expect("readable").is_none());
    }
}
