//! The index files that depmod writes: read in full, written for a part of the modules.
//! Must never touch a module file.

use std::collections::{BTreeMap, BTreeSet};

/// The spelling that the kernel uses for a module's name: no path, no suffix, `_` for `-`.
pub fn normal_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split(".ko").next().unwrap_or(file);
    name.replace('-', "_")
}

/// What depmod knows of a kernel's modules.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Module name → its file and the files it needs, below the modules folder.
    files: BTreeMap<String, (String, Vec<String>)>,
    /// Names that are part of the kernel itself.
    builtin: BTreeSet<String>,
    /// (pattern, module), in the order of the file.
    aliases: Vec<(String, String)>,
    /// (module, names or aliases it would like to have).
    soft: Vec<(String, Vec<String>, String)>,
    /// Lines of `modules.devname`, by module.
    device_names: Vec<(String, String)>,
}

/// The texts of depmod's files.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// `modules.dep`.
    pub dep: String,
    /// `modules.builtin`.
    pub builtin: String,
    /// `modules.alias`.
    pub alias: String,
    /// `modules.softdep`.
    pub softdep: String,
    /// `modules.devname`.
    pub devname: String,
}

impl Index {
    /// Reads the files' texts; lines that are not understood are left out.
    pub fn parse(texts: &Texts) -> Self {
        let mut index = Self::default();
        for line in texts.dep.lines() {
            let Some((file, needs)) = line.split_once(':') else { continue };
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            index.files.insert(normal_name(file), (file.to_owned(), needs));
        }
        index.builtin = texts.builtin.lines().map(normal_name).collect();
        for line in texts.alias.lines() {
            let Some(rest) = line.strip_prefix("alias ") else { continue };
            let Some((pattern, module)) = rest.rsplit_once(' ') else { continue };
            index.aliases.push((pattern.to_owned(), normal_name(module)));
        }
        for line in texts.softdep.lines() {
            let mut words = line.split_whitespace();
            let (Some("softdep"), Some(module)) = (words.next(), words.next()) else { continue };
            let names = words.filter(|word| !word.ends_with(':')).map(str::to_owned).collect();
            index.soft.push((normal_name(module), names, line.to_owned()));
        }
        for line in texts.devname.lines().filter(|line| !line.starts_with('#')) {
            let module = line.split_whitespace().next().unwrap_or_default();
            index.device_names.push((normal_name(module), line.to_owned()));
        }
        index
    }

    /// All module names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Whether the kernel has it without a module.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(name)
    }

    /// A module's file, below the modules folder.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(|(file, _)| file.as_str())
    }

    /// The names of the modules that a module cannot be loaded without.
    pub fn needs(&self, name: &str) -> Vec<String> {
        let needs = self.files.get(name).map(|(_, needs)| needs.as_slice()).unwrap_or_default();
        needs.iter().map(|file| normal_name(file)).collect()
    }

    /// The names of the modules that a module would like to have, aliases resolved.
    pub fn likes(&self, name: &str) -> Vec<String> {
        let wanted = self.soft.iter().filter(|(module, _, _)| module == name);
        wanted.flat_map(|(_, names, _)| names).flat_map(|name| self.resolve(name)).collect()
    }

    /// The modules that a plain name or an alias without wildcards stands for.
    fn resolve(&self, name: &str) -> Vec<String> {
        let normal = normal_name(name);
        if self.files.contains_key(&normal) {
            return vec![normal];
        }
        // depmod writes `_` for `-` in aliases, as the kernel does when it asks for one.
        let fits = |pattern: &str| pattern == name || pattern.replace('-', "_") == normal;
        let found = self.aliases.iter().filter(|(pattern, _)| fits(pattern));
        found.map(|(_, module)| module.clone()).collect()
    }

    /// depmod's files for the modules in `kept` alone, by name. `kept` must hold what they need.
    pub fn texts_for(&self, kept: &BTreeSet<String>) -> Vec<(&'static str, String)> {
        let dep = kept.iter().filter_map(|name| self.files.get(name));
        let dep = dep.map(|(file, needs)| match needs.as_slice() {
            [] => format!("{file}:\n"),
            needs => format!("{file}: {}\n", needs.join(" ")),
        });
        let is_kept = |module: &str| kept.contains(module);
        let alias = self.aliases.iter().filter(|(_, module)| is_kept(module));
        let soft = self.soft.iter().filter(|(module, _, _)| is_kept(module));
        let devices = self.device_names.iter().filter(|(module, _)| is_kept(module));
        vec![
            ("modules.dep", dep.collect()),
            ("modules.alias", alias.map(|(p, module)| format!("alias {p} {module}\n")).collect()),
            ("modules.softdep", soft.map(|(_, _, line)| format!("{line}\n")).collect()),
            ("modules.devname", devices.map(|(_, line)| format!("{line}\n")).collect()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index::parse(&Texts {
            dep: "kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/mbcache.ko.xz\n\
                  kernel/lib/crc16.ko.xz:\nkernel/fs/mbcache.ko.xz:\n\
                  kernel/crypto/crc32c-intel.ko.xz:\nkernel/net/tun.ko.xz:\n"
                .into(),
            builtin: "kernel/fs/fuse/fuse.ko\n".into(),
            alias: "# Aliases\nalias fs-ext4 ext4\nalias crypto-crc32c crc32c_intel\n\
                    alias pci:v*d*sv* tun\n"
                .into(),
            softdep: "# Soft\nsoftdep ext4 pre: crypto-crc32c\n".into(),
            devname: "# Device nodes\ntun net/tun c10:200\n".into(),
        })
    }

    #[test]
    fn names_are_spelt_as_the_kernel_spells_them() {
        assert_eq!(normal_name("kernel/crypto/crc32c-intel.ko.xz"), "crc32c_intel");
        assert_eq!(normal_name("8021q"), "8021q");
    }

    #[test]
    fn needs_are_names_and_soft_dependencies_resolve_aliases() {
        let index = index();
        assert_eq!(index.needs("ext4"), ["crc16", "mbcache"]);
        assert_eq!(index.likes("ext4"), ["crc32c_intel"]);
        assert!(index.is_builtin("fuse") && !index.is_builtin("ext4"));
        assert_eq!(index.file("crc32c_intel"), Some("kernel/crypto/crc32c-intel.ko.xz"));
    }

    #[test]
    fn written_files_speak_of_kept_modules_only() {
        let kept = ["tun".to_owned(), "crc16".to_owned()].into();
        let texts: BTreeMap<_, _> = index().texts_for(&kept).into_iter().collect();
        assert_eq!(texts["modules.dep"], "kernel/lib/crc16.ko.xz:\nkernel/net/tun.ko.xz:\n");
        assert_eq!(texts["modules.alias"], "alias pci:v*d*sv* tun\n");
        assert_eq!(texts["modules.softdep"], "");
        assert_eq!(texts["modules.devname"], "tun net/tun c10:200\n");
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let kept: BTreeSet<String> =
            ["ext4", "crc16", "mbcache", "crc32c_intel", "tun"].map(str::to_owned).into();
        let texts: BTreeMap<_, _> = index().texts_for(&kept).into_iter().collect();
        let again = Index::parse(&Texts {
            dep: texts["modules.dep"].clone(),
            alias: texts["modules.alias"].clone(),
            softdep: texts["modules.softdep"].clone(),
            ..Texts::default()
        });
        assert_eq!(again.needs("ext4"), index().needs("ext4"));
        assert_eq!(again.likes("ext4"), index().likes("ext4"));
    }
}
