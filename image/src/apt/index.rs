//! Reads what `apt-cache show` says about packages. Must never run apt.

use crate::digest::Digest;

/// A package of the archive, as its signed index describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Full Debian version.
    pub version: String,
    /// Debian architecture, or `all`.
    pub architecture: String,
    /// The source package it was built from.
    pub source: String,
    /// Size in bytes of the package file.
    pub size: u64,
    /// Digest of the package file.
    pub sha256: Digest,
    /// The dependencies, as written.
    pub depends: String,
}

impl Package {
    /// The package file's name, as `apt-get download` writes it.
    pub fn file_name(&self) -> String {
        let version = self.version.replace(':', "%3a");
        format!("{}_{}_{}.deb", self.name, version, self.architecture)
    }

    /// `name:architecture=version`, which apt takes as a name for just this package.
    pub fn exact(&self) -> String {
        match self.architecture.as_str() {
            "all" => format!("{}={}", self.name, self.version),
            architecture => format!("{}:{}={}", self.name, architecture, self.version),
        }
    }
}

/// Parses the paragraphs of `apt-cache show`. Paragraphs that lack a field are left out: those are
/// packages that are only known by name.
pub fn parse(text: &str) -> Vec<Package> {
    text.split("\n\n").filter_map(parse_paragraph).collect()
}

fn parse_paragraph(text: &str) -> Option<Package> {
    let field = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).map(str::trim)
    };
    let name = field("Package")?;
    // `Source: name (version)` where the versions differ; absent where the names agree.
    let source = field("Source").and_then(|value| value.split_whitespace().next()).unwrap_or(name);
    Some(Package {
        name: name.to_owned(),
        version: field("Version")?.to_owned(),
        architecture: field("Architecture")?.to_owned(),
        source: source.to_owned(),
        size: field("Size")?.parse().ok()?,
        sha256: Digest::parse(field("SHA256")?)?,
        depends: field("Depends").unwrap_or_default().to_owned(),
    })
}

/// The kernel that a meta-package stands for: the name of its `linux-image-` dependency, or its own
/// name when it is a kernel itself.
pub fn kernel_package(package: &Package) -> String {
    let dependencies = package.depends.split(',').map(str::trim);
    dependencies
        .filter_map(|one| one.split_whitespace().next())
        .find(|name| name.starts_with("linux-image-"))
        .unwrap_or(&package.name)
        .to_owned()
}

/// The other packages that a kernel was split into: its dependencies that end with its own release.
pub fn kernel_parts(kernel: &Package) -> Vec<String> {
    let Some(release) = kernel.name.strip_prefix("linux-image-") else { return Vec::new() };
    let names = kernel.depends.split(',').filter_map(|one| one.split_whitespace().next());
    let is_part = |name: &&str| name.strip_prefix("linux-").is_some_and(|n| n.ends_with(release));
    names.filter(is_part).map(str::to_owned).collect()
}

/// What a kernel's headers need beside themselves: the part that all flavours share, and the tools.
pub fn header_parts(headers: &Package) -> Vec<String> {
    let names = headers.depends.split(',').filter_map(|one| one.split_whitespace().next());
    let is_part = |name: &&str| {
        name.starts_with("linux-kbuild-")
            || (name.starts_with("linux-headers-") && name.ends_with("-common"))
    };
    names.filter(is_part).map(str::to_owned).collect()
}

/// A name in a board file as apt takes it: of one architecture, and of another suite if it says so.
pub fn qualified(name: &str, architecture: &str) -> String {
    match name.split_once('/') {
        Some((name, suite)) => format!("{name}:{architecture}/{suite}"),
        None => format!("{name}:{architecture}"),
    }
}

/// The package names in the output of `apt-get --print-uris`: `'uri' file_version_arch.deb size …`.
pub fn parse_uris(text: &str) -> Vec<String> {
    let file = |line: &str| line.strip_prefix('\'')?.split_whitespace().nth(1).map(str::to_owned);
    let name = |file: String| {
        let mut parts = file.strip_suffix(".deb")?.split('_');
        let (name, architecture) = (parts.next()?, parts.nth(1)?);
        Some(match architecture {
            "all" => name.to_owned(),
            _ => format!("{name}:{architecture}"),
        })
    };
    text.lines().filter_map(file).filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "\
Package: linux-image-amd64
Source: linux-signed-amd64 (6.12.117+1)
Version: 6.12.117-1
Architecture: amd64
Depends: linux-base, linux-image-6.12.117+deb13-amd64 (= 6.12.117-1)
Size: 1476
SHA256: c91bd9b74771215b734ac74717b7994f654d694091336f381c9f6b5368a88b5d
Description: Linux for 64-bit PCs
 Package: not a field, a description

Package: only-a-name
State: not a real package

Package: lib
Version: 1:1.3
Architecture: all
Size: 7
SHA256: c91bd9b74771215b734ac74717b7994f654d694091336f381c9f6b5368a88b5d
";

    #[test]
    fn paragraphs_become_packages() {
        let packages = parse(SHOWN);
        assert_eq!(packages.len(), 2, "the name without a package is left out");
        assert_eq!(packages[0].source, "linux-signed-amd64");
        assert_eq!(packages[0].exact(), "linux-image-amd64:amd64=6.12.117-1");
        assert_eq!(packages[1].file_name(), "lib_1%3a1.3_all.deb");
        assert_eq!(packages[1].exact(), "lib=1:1.3");
        assert_eq!(packages[1].source, "lib");
    }

    #[test]
    fn meta_package_leads_to_its_kernel() {
        let packages = parse(SHOWN);
        assert_eq!(kernel_package(&packages[0]), "linux-image-6.12.117+deb13-amd64");
        assert_eq!(kernel_package(&packages[1]), "lib");
    }

    #[test]
    fn headers_come_with_their_common_part_and_tools() {
        let depends = "linux-base (>= 4.12~), linux-headers-6.12.1-common (= 6.12.1-1), \
            linux-image-6.12.1-arm64 (= 6.12.1-1) | linux-image-6.12.1-arm64-unsigned, \
            linux-kbuild-6.12.1, gcc-14";
        let headers = Package { depends: depends.into(), ..parse(SHOWN).swap_remove(0) };
        assert_eq!(header_parts(&headers), ["linux-headers-6.12.1-common", "linux-kbuild-6.12.1"]);
    }

    #[test]
    fn kernel_in_several_packages_is_found_whole() {
        let depends = "dracut | linux-initramfs-tool, linux-base (>= 4.3), \
                       linux-binary-7.3.4-arm64 (= 7.3.4-1), linux-modules-7.3.4-arm64 (= 7.3.4-1)";
        let [meta, _] = &parse(SHOWN)[..] else { panic!("two packages") };
        let kernel = Package {
            name: "linux-image-7.3.4-arm64".into(),
            depends: depends.into(),
            ..meta.clone()
        };
        assert_eq!(
            kernel_parts(&kernel),
            ["linux-binary-7.3.4-arm64", "linux-modules-7.3.4-arm64"]
        );
        let whole = Package { name: "linux-image-6.12-amd64".into(), ..kernel };
        assert_eq!(kernel_parts(&whole), Vec::<String>::new());
    }

    #[test]
    fn package_of_another_suite_keeps_it_behind_its_architecture() {
        assert_eq!(qualified("linux-image-arm64", "arm64"), "linux-image-arm64:arm64");
        assert_eq!(qualified("a/trixie-backports", "arm64"), "a:arm64/trixie-backports");
    }

    #[test]
    fn printed_uris_give_names_and_architectures() {
        let text = "\
'http://m.example/pool/a_1.0_amd64.deb' a_1.0_amd64.deb 49432 MD5Sum:8c
'http://m.example/pool/z_1%3a2_all.deb' z_1%3a2_all.deb 10 SHA256:00
Reading package lists...";
        assert_eq!(parse_uris(text), ["a:amd64", "z"]);
    }
}
