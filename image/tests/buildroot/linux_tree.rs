//! With `HOLM_LINUX_TREE`, a Linux 6.12 source: the kernel's own configuration keeps every option of
//! the fragments, and builds in every module that a board asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kernel::{Options, merged, parse};
use crate::overlay::Defconfig;
use crate::{assert_none, from_environment, list, not_checked, overlay, read, workspace};

fn tree() -> Option<PathBuf> {
    let tree = from_environment("HOLM_LINUX_TREE");
    if tree.is_none() {
        not_checked("fragments by the kernel's own rules: HOLM_LINUX_TREE names no Linux source");
    }
    tree
}

fn make(tree: &Path, output: &Path, architecture: &str, target: &str) {
    let mut make = Command::new("make");
    make.arg("-s").arg("-C").arg(tree).arg(format!("O={}", output.display()));
    make.arg(format!("ARCH={architecture}")).arg(target);
    make.env_remove("MAKEFLAGS").env_remove("MFLAGS");
    let made = make.output().expect("make starts");
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "make {target}: {said}");
}

/// The configuration that a defconfig leads to.
fn configuration(tree: &Path, output: &Path, defconfig: &Defconfig) -> Options {
    let architecture = defconfig.architecture().1;
    make(tree, output, architecture, "defconfig");
    let config = output.join(".config");
    let mut text = read(&config);
    for fragment in defconfig.fragments(&overlay().root) {
        text += &read(&fragment);
    }
    fs::write(&config, text).expect("written");
    make(tree, output, architecture, "olddefconfig");
    parse(&read(&config)).0
}

/// Options that the kernel did not take as they are, for want of what they depend on.
fn refused(wanted: &Options, got: &Options) -> Vec<String> {
    let off = "n".to_owned();
    let differs = wanted.iter().filter(|(name, value)| got.get(*name).unwrap_or(&off) != *value);
    let say = |(name, value): (&String, &String)| {
        format!("{name}={value} became {}", got.get(name).unwrap_or(&off))
    };
    differs.map(say).collect()
}

/// The options that each module is built by, out of the kernel's makefiles.
fn modules(folder: &Path, found: &mut BTreeMap<String, BTreeSet<String>>) {
    for path in list(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            modules(&path, found);
        } else if name == "Makefile" || name == "Kbuild" {
            for (option, objects) in rules(&read(&path)) {
                for object in objects {
                    found.entry(object).or_default().insert(option.clone());
                }
            }
        }
    }
}

/// `obj-$(CONFIG_X) += a.o b.o` as `X` and the modules' names.
fn rules(makefile: &str) -> Vec<(String, Vec<String>)> {
    let text = makefile.replace("\\\n", " ");
    let rule = |line: &str| {
        let (option, rest) = line.strip_prefix("obj-$(CONFIG_")?.split_once(')')?;
        let objects = rest.split_once('=')?.1.split_whitespace();
        let names = objects.filter_map(|object| object.strip_suffix(".o"));
        Some((option.to_owned(), names.map(|name| name.replace('-', "_")).collect()))
    };
    text.lines().filter_map(rule).collect()
}

/// Modules, neither optional nor with a wildcard in their name, that the configuration does not build in.
fn lacking(
    wanted: &[String],
    built_by: &BTreeMap<String, BTreeSet<String>>,
    got: &Options,
) -> Vec<String> {
    let is_on = |option: &String| got.get(option).is_some_and(|value| value == "y");
    let lacks = |name: &&String| {
        let options = built_by.get(&name.replace('-', "_"));
        !name.contains('*')
            && !name.ends_with('?')
            && !options.is_some_and(|options| options.iter().any(is_on))
    };
    wanted.iter().filter(lacks).map(|name| format!("{name} is not built in")).collect()
}

/// Modules of the board, or of the shared base where the board's file is still to come.
fn wanted_modules(board: &str) -> Vec<String> {
    let folder = workspace().join("boards");
    let lists = match holm_image::board::read(&folder, board) {
        Ok(board) => [board.modules.initramfs, board.modules.root],
        Err(_) => {
            let base: toml::Table = read(&folder.join("base.toml")).parse().expect("TOML");
            ["initramfs", "root"].map(|list| {
                let names = base["modules"][list].as_array().expect("a list").iter();
                names.filter_map(|name| Some(name.as_str()?.to_owned())).collect()
            })
        }
    };
    lists.concat()
}

#[test]
fn kernel_keeps_every_option_and_builds_in_every_module_of_the_board() {
    let Some(tree) = tree() else { return };
    let mut built_by = BTreeMap::new();
    modules(&tree, &mut built_by);
    let root = overlay().root;
    // One folder for all: the programs that read the rules are compiled once.
    let output = tempfile::tempdir().expect("temporary folder");
    for defconfig in overlay().defconfigs() {
        let got = configuration(&tree, output.path(), &defconfig);
        let mut problems = refused(&merged(&defconfig.fragments(&root)), &got);
        problems.extend(lacking(&wanted_modules(defconfig.board()), &built_by, &got));
        let named = problems.iter().map(|problem| format!("{}: {problem}", defconfig.name));
        assert_none(&named.collect::<Vec<_>>());
    }
}

#[test]
fn refused_option_and_missing_module_are_found() {
    let wanted = parse("CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\nCONFIG_D=y\n").0;
    let got = parse("CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=y\n").0;
    assert_eq!(refused(&wanted, &got), ["B=y became m", "C=n became y", "D=y became n"]);
    let makefile =
        "obj-$(CONFIG_A) += one.o \\\n\ttwo-x.o\nobj-$(CONFIG_B)\t:= three.o\nobj-y += d/\n";
    let built_by: BTreeMap<_, BTreeSet<_>> = rules(makefile)
        .into_iter()
        .flat_map(|(option, names)| names.into_iter().map(move |name| (name, option.clone())))
        .map(|(name, option)| (name, BTreeSet::from([option])))
        .collect();
    let names = ["one", "two_x", "three", "four", "f*", "five?"].map(str::to_owned);
    assert_eq!(lacking(&names, &built_by, &got), ["three is not built in", "four is not built in"]);
}
