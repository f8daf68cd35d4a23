//! Programs of Debian's that a board asks for, each with the shared libraries that it needs and the
//! loader that brings them together. Must never take a file from the host, or one that nothing needs.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

use super::{Error, file};
use crate::apt::Package;
use crate::tree::Content;

/// Packages of the programs, unpacked over one another.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The packages, with all that they depend on.
    pub packages: Vec<Package>,
    /// Where their files are.
    pub folder: PathBuf,
}

/// Where a loader of Debian's looks for libraries, below the root, most special first.
fn library_folders(triplet: &str) -> [String; 3] {
    [format!("usr/lib/{triplet}"), format!("lib/{triplet}"), "usr/lib".to_owned()]
}

/// The files of the root that `programs` (paths below the root) need, themselves included.
pub fn files(
    unpacked: &Programs,
    triplet: &str,
    programs: &[String],
) -> Result<Vec<(String, Content)>, Error> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut waiting: VecDeque<(String, PathBuf)> = VecDeque::new();
    for program in programs {
        waiting.push_back((program.clone(), lookup(&unpacked.folder, program)?));
    }
    while let Some((place, path)) = waiting.pop_front() {
        if found.contains_key(&place) {
            continue;
        }
        let needs = needs(&path)?;
        found.insert(place, path);
        if let Some(loader) = needs.loader {
            let path = lookup(&unpacked.folder, &loader)?;
            waiting.push_back((on_root(&loader), path));
        }
        for library in needs.libraries {
            let folders = library_folders(triplet);
            let places = folders.iter().map(|folder| format!("{folder}/{library}"));
            let path = places.into_iter().find_map(|place| lookup(&unpacked.folder, &place).ok());
            let path = path.ok_or_else(|| lacking(unpacked, &library))?;
            waiting.push_back((format!("usr/lib/{triplet}/{library}"), path));
        }
    }
    let content = |(place, path): (String, PathBuf)| {
        Ok((place, Content::of_file(path.clone()).map_err(file("read", &path))?))
    };
    found.into_iter().map(content).collect()
}

fn lacking(unpacked: &Programs, what: &str) -> Error {
    let package = unpacked.packages.first().map(Package::exact).unwrap_or_default();
    Error::Lacking { package, what: what.to_owned() }
}

/// `lib` and `lib64` are links into `usr` on a root, and folders of their own in packages.
fn on_root(path: &str) -> String {
    let path = path.trim_start_matches('/');
    if path.starts_with("lib") { format!("usr/{path}") } else { path.to_owned() }
}

/// The file at `place`, through the links of the packages, and not out of their folder.
fn lookup(folder: &Path, place: &str) -> Result<PathBuf, Error> {
    let place = place.trim_start_matches('/');
    let candidates = [place.to_owned(), on_root(place)];
    for candidate in candidates {
        let mut path = folder.join(&candidate);
        for _ in 0..8 {
            match fs::read_link(&path) {
                Ok(target) if target.is_absolute() => {
                    path = folder.join(target.strip_prefix("/").unwrap_or(&target));
                }
                Ok(target) => path = path.parent().unwrap_or(folder).join(target),
                Err(_) => break,
            }
        }
        let real = path.canonicalize().ok();
        let root = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        if let Some(real) = real.filter(|real| real.is_file() && real.starts_with(&root)) {
            return Ok(real);
        }
    }
    Err(Error::Lacking { package: folder.display().to_string(), what: place.to_owned() })
}

/// What one file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    loader: Option<String>,
    libraries: Vec<String>,
}

fn needs(path: &Path) -> Result<Needs, Error> {
    let data = fs::read(path).map_err(file("read", path))?;
    let failed = |error: object::read::Error| Error::File {
        what: "understand",
        path: path.to_owned(),
        source: std::io::Error::other(error.to_string()),
    };
    parse(&data).map_err(failed)
}

fn parse(data: &[u8]) -> object::read::Result<Needs> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let mut needs = Needs::default();
    for segment in header.program_headers(endian, data)? {
        if let Some(loader) = segment.interpreter(endian, data)? {
            needs.loader = Some(String::from_utf8_lossy(loader).into_owned());
        }
    }
    let sections = header.sections(endian, data)?;
    if let Some((entries, link)) = sections.dynamic(endian, data)? {
        let strings = sections.strings(endian, data, link)?;
        for entry in entries.iter().filter(|entry| entry.tag(endian) == DT_NEEDED) {
            let name = entry.string(endian, strings)?;
            needs.libraries.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loader_and_libraries_of_a_program_are_read() {
        // This test is one, or was linked statically, as CI does.
        let own = std::env::current_exe().unwrap();
        let needs = needs(&own).unwrap();
        let is_dynamic = needs.loader.is_some();
        assert_eq!(is_dynamic, needs.libraries.iter().any(|name| name.starts_with("libc.so")));
        assert!(super::needs(Path::new("/etc/passwd")).is_err());
    }

    #[test]
    fn links_lead_within_the_packages_only() {
        let folder = tempfile::tempdir().unwrap();
        let lib = folder.path().join("usr/lib/x");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("liba.so.1.2"), "").unwrap();
        std::os::unix::fs::symlink("liba.so.1.2", lib.join("liba.so.1")).unwrap();
        std::os::unix::fs::symlink("/usr/lib/x/liba.so.1", lib.join("libb.so")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", lib.join("libc.so")).unwrap();
        for name in ["lib/x/liba.so.1", "/usr/lib/x/libb.so"] {
            let found = lookup(folder.path(), name).unwrap();
            assert!(found.ends_with("usr/lib/x/liba.so.1.2"), "{}", found.display());
        }
        assert!(lookup(folder.path(), "usr/lib/x/libc.so").is_err());
    }

    #[test]
    fn loaders_land_where_the_links_of_a_root_lead() {
        assert_eq!(on_root("/lib64/ld-linux-x86-64.so.2"), "usr/lib64/ld-linux-x86-64.so.2");
        assert_eq!(on_root("usr/sbin/wpa_supplicant"), "usr/sbin/wpa_supplicant");
    }
}
