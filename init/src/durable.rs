//! Writes small files so that a power cut leaves the old content or the new.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces the content of `path`. Writes nothing when it is there already:
/// flash wears. `mode` is that of a new file.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let temporary = folder.join(name);
    // One that a power cut left behind may have another mode.
    let _ = fs::remove_file(&temporary);
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(folder)
}

/// Removes `path` so that it does not come back after a power cut.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_folder(path.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn content_is_replaced_and_left_alone_when_it_is_the_same() {
        let folder = std::env::temp_dir().join(format!("holm-durable-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("id");
        fs::write(folder.join("id.new"), "left by a power cut").unwrap();
        replace(&path, b"one", 0o600).unwrap();
        let first = fs::metadata(&path).unwrap();
        assert_eq!(first.permissions().mode() & 0o777, 0o600);
        replace(&path, b"one", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino());
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(!folder.join("id.new").exists());
        remove(&path).unwrap();
        assert!(remove(&path).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
