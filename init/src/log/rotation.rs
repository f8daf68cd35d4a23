//! When a log file is put aside, and which others make room. Pure.

use std::path::{Path, PathBuf};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// A file's largest size in bytes.
    pub(crate) max_size: u64,
    /// How many files, the present one included.
    pub(crate) files: u32,
}

/// Whether a file of `size` bytes is put aside before `more` are written.
pub(crate) fn is_due(size: u64, more: u64, limits: Limits) -> bool {
    size > 0 && size.saturating_add(more) > limits.max_size
}

/// The renames that put the present file aside, in order; the oldest file is
/// overwritten by the first. With one file only there is none: it is emptied.
pub(crate) fn renames(path: &Path, limits: Limits) -> Vec<(PathBuf, PathBuf)> {
    let aside = limits.files.saturating_sub(1);
    let name = |number: u32| match number {
        0 => path.to_owned(),
        number => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        }
    };
    (0..aside).rev().map(|number| (name(number), name(number + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn full_file_is_put_aside_and_an_empty_one_never() {
        let limits = Limits { max_size: 100, files: 4 };
        assert!(!is_due(50, 50, limits));
        assert!(is_due(50, 51, limits));
        assert!(!is_due(0, 1000, limits));
    }

    #[test]
    fn files_move_up_by_one_the_oldest_first() {
        let renames = renames(Path::new("/l/agent.log"), Limits { max_size: 1, files: 3 });
        let expected = [("/l/agent.log.1", "/l/agent.log.2"), ("/l/agent.log", "/l/agent.log.1")];
        assert_eq!(renames, expected.map(|(a, b)| (PathBuf::from(a), PathBuf::from(b))));
        assert!(super::renames(Path::new("/l"), Limits { max_size: 1, files: 1 }).is_empty());
        assert!(super::renames(Path::new("/l"), Limits { max_size: 1, files: 0 }).is_empty());
    }

    proptest! {
        /// Whatever is written: no more files than allowed, none larger than
        /// allowed but for one overlong line, and the newest lines are kept.
        #[test]
        fn space_is_bounded(lengths in prop::collection::vec(1u64..50, 1..200), max_size in 50u64..200, files in 1u32..5) {
            let limits = Limits { max_size, files };
            let path = Path::new("log");
            let mut disk: BTreeMap<PathBuf, u64> = BTreeMap::new();
            for length in lengths {
                let size = disk.get(path).copied().unwrap_or(0);
                if is_due(size, length, limits) {
                    for (from, to) in renames(path, limits) {
                        if let Some(size) = disk.remove(&from) { disk.insert(to, size); }
                    }
                    if files <= 1 { disk.remove(path); }
                }
                *disk.entry(path.to_owned()).or_default() += length;
                prop_assert!(disk.len() <= files as usize);
                prop_assert!(disk.values().all(|size| *size <= max_size));
            }
        }
    }
}
