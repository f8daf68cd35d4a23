//! Kernel fragments: their syntax, and their options against those of Debian's kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::{assert_none, overlay, read};

/// Options by name, `n` for those that are not set.
pub type Options = BTreeMap<String, String>;

/// Options of a kernel configuration or a fragment, and the lines that are neither option nor text.
pub fn parse(text: &str) -> (Options, Vec<String>) {
    let (mut options, mut problems) = (Options::new(), Vec::new());
    for line in text.lines() {
        let unset =
            line.strip_prefix("# CONFIG_").and_then(|rest| rest.strip_suffix(" is not set"));
        let (name, value) = match (unset, line.strip_prefix("CONFIG_")) {
            (Some(name), _) => (name, "n"),
            (None, Some(rest)) => match rest.split_once('=') {
                Some((name, value)) => (name, value),
                None => {
                    problems.push(format!("{line:?} is no assignment"));
                    continue;
                }
            },
            (None, None) if line.is_empty() || line.starts_with('#') => continue,
            _ => {
                problems.push(format!("{line:?} is no option"));
                continue;
            }
        };
        if options.insert(name.to_owned(), value.to_owned()).is_some() {
            problems.push(format!("{name} is set twice"));
        }
    }
    (options, problems)
}

/// An option that Debian leaves out, the architecture, and why we do not.
pub struct Exception {
    name: String,
    architecture: String,
    reason: String,
}

fn exceptions(text: &str) -> Vec<Exception> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let name = words.next()?.strip_prefix("CONFIG_")?.to_owned();
        Some(Exception { name, architecture: words.next()?, reason: words.next()? })
    };
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("{line:?} is no exception"))).collect()
}

/// What is wrong with `wanted` when Debian's kernel says `debian`: an option that Debian does not
/// build may be misspelt or gone, and needs a reason; a reason that is no longer needed must go.
fn against(
    wanted: &Options,
    debian: &Options,
    exceptions: &[Exception],
    architecture: &str,
) -> Vec<String> {
    let builds = |name: &str| matches!(debian.get(name).map(String::as_str), Some("y" | "m"));
    let excepted: BTreeSet<&str> = exceptions
        .iter()
        .filter(|one| one.architecture == architecture)
        .map(|one| one.name.as_str())
        .collect();
    let mut problems = Vec::new();
    for (name, value) in wanted {
        match value.as_str() {
            "y" if excepted.contains(name.as_str()) && builds(name) => {
                problems.push(format!("{name}: Debian has it, so it is no exception"));
            }
            "y" if !excepted.contains(name.as_str()) && !builds(name) => {
                problems.push(format!("{name}: not in Debian's kernel for {architecture}"));
            }
            "n" if builds(name) => problems.push(format!("{name}: off here, but on in Debian's")),
            "y" | "n" => {}
            other => problems.push(format!("{name}={other}: what a board needs is built in")),
        }
    }
    let unused = excepted.iter().filter(|name| !wanted.contains_key(**name));
    problems.extend(unused.map(|name| format!("{name}: an exception that nothing uses")));
    problems
}

/// The fragments of all defconfigs of an architecture, as Debian calls it.
fn fragments(architecture: &str) -> Vec<PathBuf> {
    let overlay = overlay();
    let defconfigs = overlay.defconfigs();
    let of = defconfigs.iter().filter(|one| one.architecture().0 == architecture);
    let paths: BTreeSet<PathBuf> = of.flat_map(|one| one.fragments(&overlay.root)).collect();
    paths.into_iter().collect()
}

/// Everything that these files set.
pub fn merged(paths: &[PathBuf]) -> Options {
    paths.iter().flat_map(|path| parse(&read(path)).0).collect()
}

/// What the committed list says of Debian's kernel.
pub fn committed(architecture: &str) -> Options {
    let name = format!("checks/debian-6.12-{architecture}.config");
    let (options, problems) = parse(&read(&overlay().root.join(name)));
    assert_none(&problems);
    options
}

#[test]
fn fragments_set_each_option_of_a_board_once() {
    let overlay = overlay();
    for defconfig in overlay.defconfigs() {
        let texts = defconfig.fragments(&overlay.root);
        let text: String = texts.iter().map(|path| read(path)).collect();
        let (options, problems) = parse(&text);
        assert_none(&problems);
        assert!(options.len() > 200, "{}: {} options", defconfig.name, options.len());
    }
}

#[test]
fn every_option_is_one_of_debians_kernel_or_an_exception_with_a_reason() {
    let exceptions = exceptions(&read(&overlay().root.join("checks/debian-exceptions")));
    assert!(exceptions.iter().all(|one| one.reason.len() > 10));
    for architecture in ["amd64", "arm64"] {
        let (wanted, debian) = (merged(&fragments(architecture)), committed(architecture));
        assert_none(&against(&wanted, &debian, &exceptions, architecture));
        let unused = debian.keys().filter(|name| !wanted.contains_key(*name));
        let unused = unused.map(|name| format!("{architecture}: {name} is listed, but unused"));
        assert_none(&unused.collect::<Vec<_>>());
    }
}

#[test]
fn what_a_node_cannot_do_without_is_in_every_board() {
    let overlay = overlay();
    for defconfig in overlay.defconfigs() {
        let options = merged(&defconfig.fragments(&overlay.root));
        for name in [
            "DM_VERITY",
            "SQUASHFS",
            "EROFS_FS",
            "EXT4_FS",
            "OVERLAY_FS",
            "MEMCG",
            "CGROUP_PIDS",
            "CPUSETS",
            "BLK_CGROUP",
            "CFS_BANDWIDTH",
            "CGROUP_BPF",
            "NET_NS",
            "PID_NS",
            "USER_NS",
            "NF_TABLES",
            "NFT_NAT",
            "VETH",
            "VLAN_8021Q",
            "BRIDGE",
            "BONDING",
            "SECCOMP_FILTER",
            "PSTORE_RAM",
            "SOFT_WATCHDOG",
        ] {
            let value = options.get(name).map(String::as_str);
            assert_eq!(value, Some("y"), "{}: {name}", defconfig.name);
        }
    }
}

#[test]
fn broken_fragment_is_found() {
    let (wanted, problems) =
        parse("CONFIG_EXT4_FS=y\nCONFIG_EXT5_FS=y\nCONFIG_VETH=m\nEXT4=y\nCONFIG_X\n# text\n");
    assert_eq!(problems, ["\"EXT4=y\" is no option", "\"CONFIG_X\" is no assignment"]);
    let debian = parse("CONFIG_EXT4_FS=m\nCONFIG_VETH=m\n").0;
    let found = against(&wanted, &debian, &[], "amd64");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("EXT5_FS: not in Debian's") && found[1].starts_with("VETH=m"));
    assert_eq!(parse("CONFIG_A=y\n# CONFIG_A is not set\n").1, ["A is set twice"]);
}

#[test]
fn exception_must_be_needed_and_used_and_for_its_architecture() {
    let debian = parse("CONFIG_A=y\n# CONFIG_B is not set\n").0;
    let known =
        exceptions("# why\nCONFIG_A arm64 not so\nCONFIG_B arm64 a reason\nCONFIG_C arm64 x\n");
    let wanted = parse("CONFIG_A=y\nCONFIG_B=y\n").0;
    let found = against(&wanted, &debian, &known, "arm64");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("A: Debian has it") && found[1].starts_with("C: an exception"));
    let elsewhere = against(&wanted, &debian, &known, "amd64");
    assert_eq!(elsewhere, ["B: not in Debian's kernel for amd64"]);
    let off = against(&parse("# CONFIG_A is not set").0, &debian, &[], "amd64");
    assert_eq!(off, ["A: off here, but on in Debian's"]);
}
