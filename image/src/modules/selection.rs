//! Picks the modules of a board: its lists, plus the closure of their dependencies, no more.

use std::collections::BTreeSet;

use super::index::{Index, normal_name};
use crate::board;

/// The modules of each place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// In the initramfs.
    pub initramfs: BTreeSet<String>,
    /// On the root file system; a superset of the initramfs.
    pub root: BTreeSet<String>,
    /// Loaded first by stage one; those built into the kernel are left out.
    pub load: Vec<String>,
}

/// Why a board's list does not fit the kernel.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name that is neither a module nor built in.
    #[error("modules.{list}: this kernel has no module {name:?}{}", hint(nearest))]
    Unknown {
        /// The list in the board file.
        list: &'static str,
        /// The name in it.
        name: String,
        /// The name in the kernel that is most like it.
        nearest: Option<String>,
    },
    /// To be loaded by stage one, but not in its list.
    #[error("modules.load names {name:?}, which modules.initramfs does not bring")]
    NotInInitramfs {
        /// The name.
        name: String,
    },
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; is {name:?} meant?")).unwrap_or_default()
}

/// The closure of the board's lists over what the kernel package holds.
pub fn select(lists: &board::Modules, index: &Index) -> Result<Selection, Error> {
    let initramfs = closure(&find(&lists.initramfs, "initramfs", index)?, index);
    let mut root = closure(&find(&lists.root, "root", index)?, index);
    root.extend(initramfs.iter().cloned());
    let load = find(&lists.load, "load", index)?;
    if let Some(name) = load.iter().find(|name| !initramfs.contains(*name)) {
        return Err(Error::NotInInitramfs { name: name.clone() });
    }
    Ok(Selection { initramfs, root, load })
}

/// The modules that a list names, in its order, wildcards expanded, built-in ones left out.
fn find(names: &[String], list: &'static str, index: &Index) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for name in names {
        // One kernel's module is another's built-in code, or gone with its hardware.
        let (name, is_optional) = match name.strip_suffix('?') {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let normal = normal_name(name);
        let mut matching: Vec<String> =
            index.names().filter(|module| matches(&normal, module)).map(str::to_owned).collect();
        if matching.is_empty() && !is_optional && !index.is_builtin(&normal) {
            let nearest = nearest(&normal, index.names());
            return Err(Error::Unknown { list, name: name.to_owned(), nearest });
        }
        found.append(&mut matching);
    }
    Ok(found)
}

fn closure(names: &[String], index: &Index) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> = names.to_vec();
    while let Some(name) = open.pop() {
        if index.file(&name).is_some() && reached.insert(name.clone()) {
            open.extend(index.needs(&name));
            open.extend(index.likes(&name));
        }
    }
    reached
}

/// Whether `text` fits `pattern`, in which `*` stands for any characters.
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..]))
        }),
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let (distance, best) = known.map(|other| (edits(name, other), other)).min()?;
    (distance <= 1 + name.len() / 4).then(|| best.to_owned())
}

/// The number of single-letter changes between two words.
fn edits(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in two.iter().enumerate() {
            let replaced = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[two.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::index::Texts;
    use super::*;

    fn index() -> Index {
        Index::parse(&Texts {
            dep: "k/ext4.ko: k/crc16.ko k/jbd2.ko\nk/crc16.ko:\nk/jbd2.ko:\nk/crc32c-intel.ko:\n\
                  k/nft_fib.ko: k/nf_tables.ko\nk/nft_fib_ipv4.ko: k/nft_fib.ko k/nf_tables.ko\n\
                  k/nf_tables.ko:\nk/i6300esb.ko:\nk/unused.ko:\n"
                .into(),
            builtin: "k/fuse.ko\n".into(),
            alias: "alias crypto-crc32c crc32c_intel\n".into(),
            softdep: "softdep ext4 pre: crypto-crc32c\n".into(),
            devname: String::new(),
        })
    }

    fn lists(initramfs: &[&str], load: &[&str], root: &[&str]) -> board::Modules {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        board::Modules {
            initramfs: owned(initramfs),
            load: owned(load),
            root: owned(root),
            own: vec![],
        }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn closure_brings_hard_and_soft_dependencies_and_nothing_else() {
        let selection = select(&lists(&["ext4"], &[], &["nft_fib_ipv4"]), &index()).expect("known");
        let initramfs = set(&["ext4", "crc16", "jbd2", "crc32c_intel"]);
        assert_eq!(selection.initramfs, initramfs);
        let mut root = set(&["nft_fib_ipv4", "nft_fib", "nf_tables"]);
        root.extend(initramfs);
        assert_eq!(selection.root, root);
    }

    #[test]
    fn wildcard_takes_all_that_fit() {
        let selection = select(&lists(&[], &[], &["nft_fib*"]), &index()).expect("known");
        assert_eq!(selection.root, set(&["nft_fib", "nft_fib_ipv4", "nf_tables"]));
    }

    #[test]
    fn builtin_is_satisfied_without_a_file() {
        let selection = select(&lists(&["fuse", "i6300esb"], &["fuse", "i6300esb"], &[]), &index());
        let selection = selection.expect("fuse is built in");
        assert_eq!(selection.initramfs, set(&["i6300esb"]));
        assert_eq!(selection.load, ["i6300esb"]);
    }

    #[test]
    fn unknown_module_is_an_error_that_suggests_the_nearest() {
        let error = select(&lists(&["i6300esd"], &[], &[]), &index()).expect_err("a typo");
        let text = error.to_string();
        assert!(text.contains("modules.initramfs") && text.contains("\"i6300esb\""), "{text}");
    }

    #[test]
    fn optional_module_is_taken_where_the_kernel_has_it_and_no_error_where_not() {
        let selection = select(&lists(&["i6300esb?", "ahci?"], &["ahci?"], &[]), &index());
        let selection = selection.expect("ahci is optional");
        assert_eq!(selection.initramfs, set(&["i6300esb"]));
        assert_eq!(selection.load, Vec::<String>::new());
    }

    #[test]
    fn module_to_load_first_must_be_in_the_initramfs() {
        let error = select(&lists(&["ext4"], &["i6300esb"], &["i6300esb"]), &index());
        assert_eq!(error, Err(Error::NotInInitramfs { name: "i6300esb".into() }));
    }

    proptest! {
        #[test]
        fn selection_is_closed_under_dependencies(picked in proptest::sample::subsequence(
            vec!["ext4", "nft_fib_ipv4", "nft_fib", "crc16", "unused", "fuse"], 0..=6)) {
            let index = index();
            let selection = select(&lists(&[], &[], &picked), &index).expect("all are known");
            for name in &selection.root {
                for need in index.needs(name) {
                    prop_assert!(selection.root.contains(&need));
                }
            }
        }

        #[test]
        fn pattern_of_a_lone_star_fits_everything(text in "[a-z_0-9é]{0,12}") {
            prop_assert!(matches("*", &text));
            let (open, longer) = (format!("{text}*"), format!("{text}x"));
            prop_assert!(matches(&open, &text));
            prop_assert!(!matches(&text, &longer));
        }
    }
}
