//! A kernel and an e2fsck that a person compiled, in the place of Debian's packages: laid out as the
//! packages are, so that nothing after this knows the difference. Must never change what is given.

use std::fs;
use std::path::{Path, PathBuf};

use super::inputs::{Inputs, Unpacked};
use super::{Error, file};
use crate::apt::Package;
use crate::board::Architecture;
use crate::digest::{Digest, Key};
use crate::steps::Steps;

/// What a package has for its source when it is none of Debian's.
pub(super) const SOURCE: &str = "given";

/// What takes the place of Debian's packages.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The kernel.
    pub kernel: Option<Kernel>,
    /// A static e2fsck.
    pub repair: Option<PathBuf>,
}

/// A kernel with what belongs to it.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The bootable image.
    pub image: PathBuf,
    /// The folder of its modules and their index, named by the release.
    pub modules: PathBuf,
    /// Device trees, in folders by vendor.
    pub device_trees: Option<PathBuf>,
}

/// Files by their paths in the package that they stand for.
type Files = Vec<(String, PathBuf)>;

impl Given {
    /// Puts what is given in the place of the packages.
    pub(super) fn replace(
        &self,
        inputs: &mut Inputs,
        architecture: Architecture,
        steps: &Steps,
    ) -> Result<(), Error> {
        if let Some(kernel) = &self.kernel {
            let (release, files) = kernel.files()?;
            let package = package("linux", &release, architecture, &files)?;
            inputs.kernel = lay_out(package, &files, steps)?;
            // Whoever compiled it compiles Holm's modules with it.
            inputs.headers = None;
        }
        if let Some(path) = &self.repair {
            let files = vec![("usr/sbin/e2fsck.static".to_owned(), path.clone())];
            let package = package("e2fsck", "", architecture, &files)?;
            inputs.repair = lay_out(package, &files, steps)?;
        }
        Ok(())
    }
}

impl Kernel {
    /// The release, and the files as Debian's kernel packages have them.
    fn files(&self) -> Result<(String, Files), Error> {
        let builtin = self.modules.join("modules.builtin");
        fs::metadata(&builtin).map_err(file("find", &builtin))?;
        let modules = self.modules.canonicalize().map_err(file("find", &self.modules))?;
        let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files = vec![(format!("boot/vmlinuz-{release}"), self.image.clone())];
        below(&modules, &format!("usr/lib/modules/{release}"), &|_| true, &mut files)?;
        if let Some(folder) = &self.device_trees {
            let before = files.len();
            let is_tree = |path: &Path| path.extension().is_some_and(|end| end == "dtb");
            below(folder, &format!("usr/lib/linux-image-{release}"), &is_tree, &mut files)?;
            if files.len() == before {
                let package = folder.display().to_string();
                return Err(Error::Lacking { package, what: "device trees".to_owned() });
            }
        }
        Ok((release, files))
    }
}

/// The wanted files of a folder, sorted. Links are left out: in a folder of modules they lead to the
/// place where the kernel was compiled.
fn below(
    folder: &Path,
    to: &str,
    is_wanted: &dyn Fn(&Path) -> bool,
    found: &mut Files,
) -> Result<(), Error> {
    let entries = fs::read_dir(folder).map_err(file("list", folder))?;
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(file("list", folder))?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths.into_iter().filter(|path| !path.is_symlink()) {
        let to = format!("{to}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            below(&path, &to, is_wanted, found)?;
        } else if is_wanted(&path) {
            found.push((to, path));
        }
    }
    Ok(())
}

/// The description of the package that the files stand for; its version, unless the files have one,
/// and its digest follow from their contents.
fn package(
    name: &str,
    version: &str,
    architecture: Architecture,
    files: &Files,
) -> Result<Package, Error> {
    let mut key = Key::new("given/1").field("name", name);
    let mut size = 0;
    for (to, from) in files {
        key = key.field("path", to);
        key = key.input("content", Digest::of_file(from).map_err(file("read", from))?);
        size += fs::metadata(from).map_err(file("measure", from))?.len();
    }
    let sha256 = key.digest();
    let version = match version {
        "" => sha256.to_string()[..12].to_owned(),
        known => known.to_owned(),
    };
    Ok(Package {
        name: name.to_owned(),
        version,
        architecture: architecture.debian().to_owned(),
        source: SOURCE.to_owned(),
        size,
        sha256,
        depends: String::new(),
    })
}

fn lay_out(package: Package, files: &Files, steps: &Steps) -> Result<Unpacked, Error> {
    let name = format!("given-{}", package.name);
    let folder = steps.run(&name, package.sha256, |folder| {
        files.iter().try_for_each(|(to, from)| {
            let to = folder.join(to);
            let parent = to.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(file("make", parent))?;
            fs::copy(from, &to).map(drop).map_err(file("copy", from))
        })
    })?;
    Ok(Unpacked { package, folder, parts: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Built(tempfile::TempDir);

    impl Built {
        fn new() -> Self {
            let built = Self(tempfile::tempdir().expect("temporary folder"));
            built.write("Image", "kernel");
            built.write("modules/6.12.91/modules.builtin", "kernel/fs/ext4.ko\n");
            built.write("modules/6.12.91/kernel/a.ko", "a");
            built.write("trees/nvidia/one.dtb", "tree");
            built.write("trees/other.img", "no tree");
            std::os::unix::fs::symlink("/build", built.path("modules/6.12.91/build"))
                .expect("link");
            built
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, text).expect("written");
        }

        fn kernel(&self, device_trees: Option<&str>) -> Kernel {
            Kernel {
                image: self.path("Image"),
                modules: self.path("modules/6.12.91"),
                device_trees: device_trees.map(|name| self.path(name)),
            }
        }

        fn unpacked(&self) -> Unpacked {
            let (release, files) = self.kernel(Some("trees")).files().expect("complete");
            let package = package("linux", &release, Architecture::Aarch64, &files);
            let steps = Steps::in_folder(self.path("steps"));
            lay_out(package.expect("read"), &files, &steps).expect("laid out")
        }
    }

    #[test]
    fn given_kernel_looks_like_debians() {
        let built = Built::new();
        let kernel = built.unpacked();
        assert_eq!(kernel.package.version, "6.12.91");
        assert_eq!((kernel.package.architecture.as_str(), kernel.package.size), ("arm64", 29));
        for (path, text) in [
            ("boot/vmlinuz-6.12.91", "kernel"),
            ("usr/lib/modules/6.12.91/kernel/a.ko", "a"),
            ("usr/lib/linux-image-6.12.91/nvidia/one.dtb", "tree"),
        ] {
            let path = kernel.file(path).expect("laid out");
            assert_eq!(fs::read_to_string(path).expect("read"), text);
        }
        assert!(kernel.file("usr/lib/linux-image-6.12.91/other.img").is_err());
        assert!(!kernel.folder.join("usr/lib/modules/6.12.91/build").is_symlink());
    }

    #[test]
    fn every_change_of_a_given_file_makes_another_package() {
        let built = Built::new();
        let before = built.unpacked().package.sha256;
        assert_eq!(built.unpacked().package.sha256, before);
        built.write("modules/6.12.91/kernel/a.ko", "b");
        assert_ne!(built.unpacked().package.sha256, before);
    }

    #[test]
    fn folder_without_modules_or_device_trees_is_refused_by_name() {
        let built = Built::new();
        let error = built.kernel(Some("modules")).files().expect_err("no device trees");
        assert!(error.to_string().ends_with("modules holds no device trees"), "{error}");
        let kernel = Kernel { modules: built.path("trees"), ..built.kernel(None) };
        let error = kernel.files().expect_err("no modules").to_string();
        assert!(error.ends_with("trees/modules.builtin"), "{error}");
    }

    #[test]
    fn program_without_a_version_is_known_by_its_content() {
        let built = Built::new();
        let files = vec![("usr/sbin/e2fsck.static".to_owned(), built.path("Image"))];
        let package = package("e2fsck", "", Architecture::X86_64, &files).expect("read");
        assert_eq!(package.version, package.sha256.to_string()[..12]);
        assert_eq!(package.source, SOURCE);
    }
}
