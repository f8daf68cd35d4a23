//! A disk that loses its power. SQLite appends to its log, flushes it, and now and then copies
//! pages from the log into the database and flushes that: what is on the disk at any moment is a
//! mix of the files before and after.

use std::path::Path;

const PAGE: usize = 4096;

/// How far the disk had come.
#[derive(Debug, Clone, Copy)]
pub struct Torn {
    /// How much of what changed in the log is there, out of 65536.
    pub cut: u16,
    /// Which pages of the database are the new ones, as a bit mask that repeats.
    pub pages: u64,
}

/// A new folder; in memory where the system has such a place, since flushes are only imagined here.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A copy of the files as they are.
pub fn snapshot(from: &Path) -> tempfile::TempDir {
    let copy = folder();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        // The shared memory file is never flushed: after a power cut it is not there.
        if !file.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
    }
    copy
}

/// The files when the power went between `before` and `after`.
pub fn power_cut(before: &Path, after: &Path, torn: Torn) -> tempfile::TempDir {
    let disk = snapshot(after);
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap_or_default();
    let (old_log, new_log) = (read(before, "store.db-wal"), read(after, "store.db-wal"));
    let (old, new) = (read(before, "store.db"), read(after, "store.db"));
    if old == new {
        std::fs::write(disk.path().join("store.db-wal"), tear(&old_log, &new_log, torn.cut))
            .unwrap();
        return disk;
    }
    // Pages were copied. Either the log was flushed before that and is there in full: then any of
    // the pages may be. Or the log has begun anew, and then all pages are there.
    if new_log.len() >= old_log.len() && new_log.starts_with(&old_log) {
        std::fs::write(disk.path().join("store.db"), mix(&old, &new, torn.pages)).unwrap();
    }
    disk
}

/// The new bytes up to a point, the old ones after it.
fn tear(old: &[u8], new: &[u8], cut: u16) -> Vec<u8> {
    let differs = old.iter().zip(new).position(|(a, b)| a != b);
    let begin = differs.unwrap_or_else(|| old.len().min(new.len()));
    let written = (new.len() - begin) * usize::from(cut) / usize::from(u16::MAX);
    let end = begin + written;
    let mut torn = new[..end].to_vec();
    torn.extend_from_slice(old.get(end..).unwrap_or_default());
    torn
}

fn mix(old: &[u8], new: &[u8], pages: u64) -> Vec<u8> {
    let mut mixed = new.to_vec();
    for (number, page) in mixed.chunks_mut(PAGE).enumerate() {
        let begin = number * PAGE;
        if pages >> (number % 64) & 1 == 0
            && let Some(before) = old.get(begin..begin + page.len())
        {
            page.copy_from_slice(before);
        }
    }
    mixed
}
