//! Files that readers see whole or not at all, and that are not written when nothing changed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};

/// Reads a JSON file; none when it is not there or not understood.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces a JSON file at once. Not flushed: for `/run`.
pub(crate) fn replace_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    replace(path, &text)
}

/// The same, flushed before it counts: for a disk.
pub(crate) fn replace_json_durably<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    write(path, &text, true)
}

/// Replaces a file at once. Not flushed: for `/run`.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes, false)
}

/// Removes a file; it is no error when there is none.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write(path: &Path, bytes: &[u8], durably: bool) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    if durably {
        file.sync_all()?;
    }
    fs::rename(&fresh, path)?;
    if durably {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
