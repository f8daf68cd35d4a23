//! The overlay's own files: what they name must be there, and what is there must be named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::{assert_none, list, overlay, read, workspace};

/// The variable that Buildroot sets to the overlay's folder.
const ROOT: &str = "$(BR2_EXTERNAL_HOLM_PATH)";
/// The same in Config.in.
const ROOT_IN_CONFIG: &str = "$BR2_EXTERNAL_HOLM_PATH";
const FRAGMENTS: &str = "BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES";
const BOARD: &str = "BR2_PACKAGE_HOST_HOLM_IMAGE_BOARD";

/// One defconfig.
pub struct Defconfig {
    /// The file's name.
    pub name: String,
    /// Its lines, comments and blank ones left out.
    pub lines: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Defconfig {
    /// A line is `NAME=value` or `# NAME is not set`; anything else is a problem.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        let mut lines = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let unset = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set"));
            let (key, value) = match (unset, line.split_once('=')) {
                (Some(key), _) => (key, "n"),
                (None, Some((key, value))) => (key, value.trim_matches('"')),
                _ => return Err(format!("{name}: {line:?} is no assignment")),
            };
            if !key.starts_with("BR2_") || key.contains(' ') {
                return Err(format!("{name}: {key:?} is no option of Buildroot"));
            }
            if values.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("{name}: {key} is set twice"));
            }
            lines.push(line.to_owned());
        }
        Ok(Self { name: name.to_owned(), lines, values })
    }

    pub fn value(&self, key: &str) -> &str {
        self.values.get(key).map(String::as_str).unwrap_or_default()
    }

    /// Debian's and the kernel's name of the architecture.
    pub fn architecture(&self) -> (&'static str, &'static str) {
        if self.value("BR2_x86_64") == "y" { ("amd64", "x86_64") } else { ("arm64", "arm64") }
    }

    pub fn board(&self) -> &str {
        self.value(BOARD)
    }

    /// The kernel fragments in their order.
    pub fn fragments(&self, root: &Path) -> Vec<PathBuf> {
        let words = self.value(FRAGMENTS).split_whitespace();
        words.map(|word| PathBuf::from(word.replace(ROOT, &root.to_string_lossy()))).collect()
    }

    /// Paths of the overlay among the values.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let words = self.values.values().flat_map(|value| value.split_whitespace());
        words.filter_map(|word| word.strip_prefix(ROOT)?.strip_prefix('/'))
    }
}

/// The overlay.
pub struct Overlay {
    pub root: PathBuf,
}

impl Overlay {
    pub fn in_folder(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub fn defconfigs(&self) -> Vec<Defconfig> {
        let files = list(&self.root.join("configs"));
        assert!(!files.is_empty(), "no defconfigs in {}", self.root.display());
        let parse = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Defconfig::parse(&name, &read(path)).unwrap_or_else(|problem| panic!("{problem}"))
        };
        files.iter().map(parse).collect()
    }

    /// The texts in which Buildroot's options are named: defconfigs and every Config.in.
    fn option_texts(&self) -> Vec<String> {
        let folders = list(&self.root.join("package")).into_iter();
        let configs = folders.map(|folder| folder.join("Config.in"));
        list(&self.root.join("configs"))
            .into_iter()
            .chain(configs)
            .map(|path| read(&path))
            .collect()
    }

    /// Options that are defined by the overlay itself.
    fn own_options(&self) -> BTreeSet<String> {
        let texts = self.option_texts();
        let lines = texts.iter().flat_map(|text| text.lines());
        let names = lines.filter_map(|line| line.strip_prefix("config "));
        names.map(|name| name.trim().to_owned()).collect()
    }

    /// Options of Buildroot that the overlay names.
    pub fn foreign_options(&self) -> BTreeSet<String> {
        let own = self.own_options();
        let texts = self.option_texts();
        let named = texts.iter().flat_map(|text| options_in(text));
        named.filter(|name| !own.contains(*name)).map(str::to_owned).collect()
    }

    /// The committed list of Buildroot's options.
    pub fn listed_options(&self) -> BTreeSet<String> {
        let text = read(&self.root.join("checks/buildroot-2025.02-options"));
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    /// Files that something names and that are not there.
    fn missing_files(&self) -> Vec<String> {
        let mut named = Vec::new();
        for defconfig in self.defconfigs() {
            named.extend(defconfig.paths().map(|path| (defconfig.name.clone(), path.to_owned())));
        }
        for line in read(&self.root.join("Config.in")).lines() {
            let path = line.strip_prefix("source \"").and_then(|rest| rest.strip_suffix('"'));
            let path = path.and_then(|path| path.strip_prefix(ROOT_IN_CONFIG)?.strip_prefix('/'));
            let path = path.unwrap_or_else(|| panic!("Config.in: {line:?} sources no own file"));
            named.push(("Config.in".to_owned(), path.to_owned()));
        }
        let there = |path: &str| self.root.join(path).exists();
        let lacking = named.iter().filter(|(_, path)| !there(path));
        lacking.map(|(by, path)| format!("{by} names {path}, which is not there")).collect()
    }
}

/// Names of options in a text; variables that hold the overlay's place are none.
fn options_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("BR2_") && !word.starts_with("BR2_EXTERNAL"))
}

#[test]
fn description_gives_the_name_that_paths_are_made_of() {
    let text = read(&overlay().root.join("external.desc"));
    assert!(text.lines().any(|line| line == "name: HOLM"), "{text}");
    assert!(text.lines().all(|line| line.starts_with("name: ") || line.starts_with("desc: ")));
}

#[test]
fn every_named_file_is_there() {
    assert_none(&overlay().missing_files());
}

#[test]
fn missing_file_is_found() {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::create_dir(folder.path().join("configs")).expect("made");
    let text = format!("{FRAGMENTS}=\"{ROOT}/kernel/a.config {ROOT}/Config.in\"\n");
    std::fs::write(folder.path().join("configs/x_defconfig"), text).expect("written");
    let line = format!("source \"{ROOT_IN_CONFIG}/package/x/Config.in\"\n");
    std::fs::write(folder.path().join("Config.in"), line).expect("written");
    let missing = Overlay::in_folder(folder.path()).missing_files();
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].contains("kernel/a.config") && missing[1].contains("package/x/Config.in"));
}

#[test]
fn every_fragment_serves_a_defconfig() {
    let overlay = overlay();
    let used: BTreeSet<PathBuf> =
        overlay.defconfigs().iter().flat_map(|one| one.fragments(&overlay.root)).collect();
    let there: BTreeSet<PathBuf> = list(&overlay.root.join("kernel")).into_iter().collect();
    assert_eq!(used, there);
}

#[test]
fn every_package_is_offered_and_built() {
    let overlay = overlay();
    let config = read(&overlay.root.join("Config.in"));
    for folder in list(&overlay.root.join("package")) {
        let name = folder.file_name().expect("named").to_string_lossy().into_owned();
        assert!(folder.join(format!("{name}.mk")).is_file(), "{name} has no {name}.mk");
        assert!(config.contains(&format!("/package/{name}/Config.in\"")), "{name} is not offered");
        let option = name.replace('-', "_").to_uppercase();
        for defconfig in overlay.defconfigs() {
            let is_on = ["BR2_PACKAGE_", "BR2_PACKAGE_HOST_"]
                .iter()
                .any(|start| defconfig.value(&format!("{start}{option}")) == "y");
            assert!(is_on, "{} does not build {name}", defconfig.name);
        }
    }
}

#[test]
fn options_of_buildroot_are_those_of_the_committed_list() {
    let overlay = overlay();
    let (named, listed) = (overlay.foreign_options(), overlay.listed_options());
    let unknown = named.difference(&listed).map(|name| format!("{name} is not in the list"));
    let unused = listed.difference(&named).map(|name| format!("{name} is listed, but unused"));
    assert_none(&unknown.chain(unused).collect::<Vec<_>>());
}

#[test]
fn own_options_of_defconfigs_are_defined() {
    let overlay = overlay();
    let own = overlay.own_options();
    for defconfig in overlay.defconfigs() {
        for name in defconfig.values.keys().filter(|name| name.contains("HOLM")) {
            assert!(own.contains(name), "{}: no Config.in defines {name}", defconfig.name);
        }
    }
}

#[test]
fn broken_lines_of_a_defconfig_are_refused() {
    for text in ["BR2_x86_64", "CONFIG_EFI=y", "BR2_A=y\n# BR2_A is not set", "# a comment"] {
        assert!(Defconfig::parse("x", text).is_err(), "{text}");
    }
    let good = Defconfig::parse("x", "BR2_A=\"b c\"\n\n# BR2_D is not set\n").expect("valid");
    assert_eq!((good.value("BR2_A"), good.value("BR2_D"), good.lines.len()), ("b c", "n", 2));
}

#[test]
fn every_board_has_a_defconfig_of_its_architecture() {
    let folder = workspace().join("boards");
    let defconfigs = overlay().defconfigs();
    for name in holm_image::board::names(&folder) {
        // A base of several boards is no board.
        let Ok(board) = holm_image::board::read(&folder, &name) else { continue };
        if name.starts_with("base") {
            continue;
        }
        let found = defconfigs.iter().find(|one| one.board() == name);
        let found = found.unwrap_or_else(|| panic!("no defconfig for the board {name}"));
        assert_eq!(found.architecture().0, board.architecture.debian(), "{name}");
    }
    for defconfig in defconfigs {
        let name = defconfig.board().replace('-', "_");
        assert_eq!(defconfig.name, format!("holm_{name}_defconfig"));
    }
}
