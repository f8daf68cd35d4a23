//! Keeps what the kernel said when it died: moves the records of pstore, which is
//! small and blocks new ones when full, to the data partition. Bounded.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const PSTORE: &str = "/sys/fs/pstore";
const KEPT: &str = "/data/var/log/holm/crash";
/// How many records are kept.
const MOST_RECORDS: usize = 32;
/// How much of one record is kept.
const LARGEST_RECORD: u64 = 256 * 1024;

/// The records of this boot, one path a line: whether an update's trial ended in a panic.
const FOUND: &str = "/run/holm/crashes";

/// Moves the records, and says in [`FOUND`] where they are.
pub(crate) fn keep() -> Result<(), String> {
    let kept = keep_from(Path::new(PSTORE), Path::new(KEPT));
    let list =
        kept.iter().flatten().map(|path| format!("{}\n", path.display())).collect::<String>();
    let new = format!("{FOUND}.new");
    let said = fs::write(&new, list).and_then(|()| fs::rename(&new, FOUND));
    kept.map_err(|error| format!("{KEPT}: {error}"))?;
    said.map_err(|error| format!("{FOUND}: {error}"))
}

fn keep_from(pstore: &Path, kept: &Path) -> std::io::Result<Vec<PathBuf>> {
    let records = files(pstore);
    if records.is_empty() {
        return Ok(Vec::new());
    }
    fs::create_dir_all(kept)?;
    let mut moved = Vec::new();
    for record in &records {
        let mut content = Vec::new();
        fs::File::open(record)?.take(LARGEST_RECORD).read_to_end(&mut content)?;
        let name = record.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = free_name(kept, &name);
        let file = fs::File::create(&target)?;
        std::io::Write::write_all(&mut &file, &content)?;
        file.sync_all()?;
        // Only what is safely on the disk is removed from pstore.
        fs::remove_file(record)?;
        moved.push(target);
    }
    let all = files(kept).into_iter().map(|path| (modified(&path), path)).collect();
    for path in outdated(all, MOST_RECORDS) {
        fs::remove_file(path)?;
    }
    Ok(moved)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

/// Firmware may use a name again after its record is gone.
fn free_name(folder: &Path, name: &str) -> PathBuf {
    let plain = folder.join(name);
    let numbered = (1..1000).map(|number| folder.join(format!("{name}.{number}")));
    std::iter::once(plain.clone()).chain(numbered).find(|path| !path.exists()).unwrap_or(plain)
}

fn modified(path: &Path) -> SystemTime {
    let time = fs::metadata(path).and_then(|metadata| metadata.modified());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Which of the files to remove so that `most` are left: the oldest.
fn outdated(mut files: Vec<(SystemTime, PathBuf)>, most: usize) -> Vec<PathBuf> {
    files.sort();
    let surplus = files.len().saturating_sub(most);
    files.into_iter().take(surplus).map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("holm-crashes-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn records_are_moved_and_do_not_replace_each_other() {
        let root = folder("move");
        let (pstore, kept) = (root.join("pstore"), root.join("kept"));
        fs::create_dir_all(&pstore).unwrap();
        for content in ["first", "second"] {
            fs::write(pstore.join("dmesg-0"), content).unwrap();
            assert_eq!(keep_from(&pstore, &kept).unwrap().len(), 1);
        }
        assert_eq!(fs::read_to_string(kept.join("dmesg-0")).unwrap(), "first");
        assert_eq!(fs::read_to_string(kept.join("dmesg-0.1")).unwrap(), "second");
        assert!(files(&pstore).is_empty());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn record_stays_in_pstore_when_it_cannot_be_kept() {
        let root = folder("stay");
        fs::write(root.join("dmesg-0"), "words").unwrap();
        fs::write(root.join("kept"), "not a folder").unwrap();
        assert!(keep_from(&root, &root.join("kept")).is_err());
        assert!(root.join("dmesg-0").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn nothing_is_made_when_there_are_no_records() {
        let root = folder("none");
        assert!(keep_from(&root.join("absent"), &root.join("kept")).unwrap().is_empty());
        assert!(!root.join("kept").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn oldest_records_go_first() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let files = vec![(at(3), "c".into()), (at(1), "a".into()), (at(2), "b".into())];
        assert_eq!(outdated(files.clone(), 1), [PathBuf::from("a"), "b".into()]);
        assert!(outdated(files, 3).is_empty());
    }
}
