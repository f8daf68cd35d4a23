//! Gathers a board's Debian packages: resolves, downloads, verifies, unpacks.
//! Must never take a file from the host in a package's place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Error, Place, file};
use crate::apt::{self, Mirrors, Package, Root, Settings};
use crate::board::{Architecture, Board};
use crate::digest::{Digest, Key};
use crate::steps::Steps;
use crate::toolbox::{self, Toolbox};
use crate::{process, progress};

/// A package of the board, unpacked.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// What the archive says about it.
    pub package: Package,
    /// Packages that it was split into, unpacked over it.
    pub parts: Vec<Package>,
    /// Where its files are.
    pub folder: PathBuf,
}

impl Unpacked {
    /// A file of the package, which it must have.
    pub fn file(&self, path: &str) -> Result<PathBuf, Error> {
        let found = self.folder.join(path);
        if found.is_file() { Ok(found) } else { Err(self.lacking(path)) }
    }

    /// A digest of everything in it.
    pub fn digest(&self) -> Digest {
        let key = Key::new("unpacked/1").input("package", self.package.sha256);
        self.parts.iter().fold(key, |key, part| key.input("part", part.sha256)).digest()
    }

    pub(super) fn lacking(&self, what: &str) -> Error {
        Error::Lacking { package: self.package.exact(), what: what.to_owned() }
    }
}

/// Everything that comes from Debian.
pub struct Inputs {
    /// Kernel and modules.
    pub kernel: Unpacked,
    /// What modules of Holm's own are compiled against, where the board has such.
    pub headers: Option<Unpacked>,
    /// systemd-boot and the EFI stub, or the board's firmware.
    pub boot_loader: Unpacked,
    /// The static e2fsck.
    pub repair: Unpacked,
    /// Certificate authorities.
    pub certificates: Unpacked,
    /// Firmware, in the order of the board file.
    pub firmware: Vec<Unpacked>,
    /// The tools.
    pub tools: Tools,
}

impl Inputs {
    /// The packages that a node has files of.
    pub fn on_node(&self) -> impl Iterator<Item = &Package> {
        let fixed = [&self.kernel, &self.boot_loader, &self.repair, &self.certificates];
        let all = fixed.into_iter().chain(&self.firmware);
        all.flat_map(|unpacked| [&unpacked.package].into_iter().chain(&unpacked.parts))
    }
}

/// The tools alone, with what they were unpacked from.
pub struct Tools {
    /// The packages.
    pub packages: Vec<Package>,
    /// The tools.
    pub toolbox: Toolbox,
}

/// Gets everything that the board names; `notes` gets what a person should know.
pub fn gather(
    board: &Board,
    place: &Place,
    folder: &Path,
    steps: &Steps,
    notes: &mut Vec<String>,
) -> Result<Inputs, Error> {
    let root = Root::create(settings(board, place, folder)?)?;
    notes.extend(root.update()?);
    let architecture = board.architecture.debian();
    let roles = &board.packages;
    let show = |name: &str| one(&root, &apt::qualified(name, architecture));
    let kernel = show(&apt::kernel_package(&show(&roles.kernel)?))?;
    let parts = apt::kernel_parts(&kernel);
    let parts = parts.iter().map(|name| show(name)).collect::<Result<Vec<_>, _>>()?;
    let headers = match board.modules.own.is_empty() {
        true => None,
        false => Some(kernel_headers(&kernel, &show, &|name| one(&root, name))?),
    };
    // Firmware that runs on another processor is in packages for all architectures.
    let boot_loader = show(&roles.boot_loader).or_else(|_| one(&root, &roles.boot_loader))?;
    let repair = show(&roles.repair)?;
    let certificates = one(&root, &roles.certificates)?;
    let firmware = board.firmware.iter().map(|firmware| one(&root, &firmware.package));
    let firmware = firmware.collect::<Result<Vec<_>, _>>()?;
    let tools = root.closure(&toolbox::PACKAGES)?;

    let fixed = [&kernel, &boot_loader, &repair, &certificates];
    let all = fixed.into_iter().chain(&parts).chain(&firmware).chain(&tools);
    let all = all.chain(headers.iter().flat_map(|(one, parts)| [one].into_iter().chain(parts)));
    root.fetch(&all.cloned().collect::<Vec<_>>())?;
    let unpacked_with = |package: Package, parts: Vec<Package>| -> Result<Unpacked, Error> {
        let key = Key::new("package/1").input("deb", package.sha256);
        let key = parts.iter().fold(key, |key, part| key.input("deb", part.sha256)).digest();
        let name = format!("package-{}", package.name);
        let folder = steps.run(&name, key, |folder| {
            let mut all = [&package].into_iter().chain(&parts);
            all.try_for_each(|package| unpack(&root.file(package), folder))
        })?;
        Ok(Unpacked { package, parts, folder })
    };
    let unpacked = |package| unpacked_with(package, Vec::new());
    Ok(Inputs {
        kernel: unpacked_with(kernel, parts)?,
        headers: headers.map(|(one, parts)| unpacked_with(one, parts)).transpose()?,
        boot_loader: unpacked(boot_loader)?,
        repair: unpacked(repair)?,
        certificates: unpacked(certificates)?,
        firmware: firmware.into_iter().map(unpacked).collect::<Result<_, _>>()?,
        tools: unpack_tools(tools, &root, steps)?,
    })
}

/// The headers of a kernel, and the packages that go with them: those for all architectures, and
/// tools for this machine's.
fn kernel_headers(
    kernel: &Package,
    of_board: &dyn Fn(&str) -> Result<Package, apt::Error>,
    of_host: &dyn Fn(&str) -> Result<Package, apt::Error>,
) -> Result<(Package, Vec<Package>), apt::Error> {
    let headers = of_board(&kernel.name.replacen("-image-", "-headers-", 1))?;
    let parts = apt::header_parts(&headers);
    let parts = parts.iter().map(|name| of_host(name)).collect::<Result<Vec<_>, _>>()?;
    Ok((headers, parts))
}

/// Gets the tools alone.
pub fn tools(board: &Board, place: &Place, folder: &Path, steps: &Steps) -> Result<Tools, Error> {
    let root = Root::create(settings(board, place, folder)?)?;
    root.update()?;
    let packages = root.closure(&toolbox::PACKAGES)?;
    root.fetch(&packages)?;
    unpack_tools(packages, &root, steps)
}

/// Unpacks packages and what they depend on, for this machine's architecture, into one folder.
pub(super) fn closure(
    board: &Board,
    place: &Place,
    folder: &Path,
    steps: &Steps,
    names: &[&str],
) -> Result<PathBuf, Error> {
    let root = Root::create(settings(board, place, folder)?)?;
    root.update()?;
    let packages = root.closure(names)?;
    root.fetch(&packages)?;
    unpack_all(&packages, &format!("with-{}", names.join("-")), &root, steps)
}

fn one(root: &Root, name: &str) -> Result<Package, apt::Error> {
    root.show(&[name.to_owned()]).map(|mut found| found.swap_remove(0))
}

fn unpack_tools(packages: Vec<Package>, root: &Root, steps: &Steps) -> Result<Tools, Error> {
    let folder = unpack_all(&packages, "tools", root, steps)?;
    Ok(Tools { packages, toolbox: Toolbox::in_folder(folder)? })
}

fn unpack_all(
    packages: &[Package],
    step: &str,
    root: &Root,
    steps: &Steps,
) -> Result<PathBuf, Error> {
    let key = Key::new(&format!("{step}/1"));
    let key = packages.iter().fold(key, |key, package| key.input(&package.name, package.sha256));
    steps.run(step, key.digest(), |folder| {
        packages.iter().try_for_each(|package| unpack(&root.file(package), folder))
    })
}

fn unpack(package: &Path, folder: &Path) -> Result<(), Error> {
    let name = package.file_name().unwrap_or_default().to_string_lossy();
    let bar = progress::spinner(name.split('_').next().unwrap_or_default());
    let result = process::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder));
    bar.finish_and_clear();
    Ok(result.map(drop)?)
}

fn settings(board: &Board, place: &Place, folder: &Path) -> Result<Settings, Error> {
    let mirrors = mirrors(place)?;
    let keyring = mirrors.keyring.clone().map(PathBuf::from).filter(|path| path.is_file());
    let keyring = keyring.unwrap_or_else(debian_keyring);
    let cache = place.cache.clone().unwrap_or_else(|| folder.join("cache")).join("apt");
    fs::create_dir_all(&cache).map_err(file("make", &cache))?;
    let cache = cache.canonicalize().map_err(file("find", &cache))?;
    let host = Architecture::of_host()
        .ok_or(Error::Toolbox(toolbox::Error::Architecture(std::env::consts::ARCH)))?;
    let mut architectures = vec![host.debian().to_owned(), board.architecture.debian().to_owned()];
    architectures.dedup();
    Ok(Settings {
        folder: folder.join("apt"),
        cache,
        mirrors,
        keyring,
        suite: board.debian.suite.clone(),
        also: board.other_suites(),
        components: board.debian.components.clone(),
        architectures,
        offline: place.offline,
    })
}

/// The mirror that was named, or the one that the host itself uses.
fn mirrors(place: &Place) -> Result<Mirrors, Error> {
    let trim = |uri: &String| uri.trim_end_matches('/').to_owned();
    let security = place.security_mirror.as_ref().map(trim);
    if let Some(archive) = &place.mirror {
        return Ok(Mirrors { archive: trim(archive), security, keyring: None });
    }
    let mut sources = Vec::new();
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    sources.extend(apt::parse_one_line(&read(Path::new("/etc/apt/sources.list"))));
    let listed = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten();
    let mut parts: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    parts.sort();
    for path in parts {
        match path.extension().and_then(|end| end.to_str()) {
            Some("sources") => sources.extend(apt::parse_deb822(&read(&path))),
            Some("list") => sources.extend(apt::parse_one_line(&read(&path))),
            _ => {}
        }
    }
    let found = apt::pick_mirrors(&sources).ok_or(Error::NoMirror)?;
    Ok(Mirrors { security: security.or(found.security), ..found })
}

/// Debian renamed the file after bookworm.
fn debian_keyring() -> PathBuf {
    let names = ["debian-archive-keyring.pgp", "debian-archive-keyring.gpg"];
    let paths = names.map(|name| Path::new("/usr/share/keyrings").join(name));
    let [new, old] = paths;
    if new.is_file() { new } else { old }
}
