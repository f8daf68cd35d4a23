//! The cluster's database and the configuration across a change of their schema: copied before a
//! newer version takes them over, brought back when an older one runs again.
//!
//! | schema on the disk | this version's | what is done                                          |
//! |--------------------|----------------|-------------------------------------------------------|
//! | none               | any            | noted                                                 |
//! | the same           | the same       | nothing                                               |
//! | older              | newer          | snapshot, then noted                                  |
//! | newer              | older          | the snapshot brought back, its schema noted           |
//! | newer              | older, no snapshot of its kind | nothing: said, and left to a person   |
//!
//! To be called before anything opens what is copied. A power cut at any moment leaves what was
//! there, or the same work to be done again. Never removes the only copy of anything.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The schema that this version reads and writes. To be raised with each change that an older
/// version could not read.
pub const SCHEMA: u32 = 1;
/// What is kept, below the state partition.
const FOLDERS: [&str; 2] = ["config", "cluster"];
/// Where, below the state partition.
const PLACE: &str = "update";
const MARKER: &str = "schema";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Nothing had to be.
    Nothing,
    /// The state was copied: this version's schema is newer than this one.
    Copied(u32),
    /// The state was brought back from the snapshot of this schema.
    BroughtBack(u32),
    /// The state is of this newer schema, and there is no snapshot of one that this version knows.
    Foreign(u32),
}

/// Does what the table says, for a version that reads `schema`. `state` is the state partition.
///
/// # Errors
/// A file could not be read or written; what was there is still there.
pub fn settle(state: &Path, schema: u32) -> io::Result<Done> {
    let place = state.join(PLACE);
    fs::create_dir_all(&place)?;
    let kept = place.join("snapshot");
    let present = match read_number(&place.join(MARKER))? {
        None => {
            note(&place, schema)?;
            return Ok(Done::Nothing);
        }
        Some(present) if present == schema => return Ok(Done::Nothing),
        Some(present) => present,
    };
    if present < schema {
        copy_away(state, &kept, present)?;
        note(&place, schema)?;
        return Ok(Done::Copied(present));
    }
    match read_number(&kept.join(MARKER)) {
        Ok(Some(snapshot)) if snapshot <= schema => {
            bring_back(state, &kept)?;
            note(&place, snapshot)?;
            Ok(Done::BroughtBack(snapshot))
        }
        _ => Ok(Done::Foreign(present)),
    }
}

/// The snapshot is complete or not there: it gets its name last.
fn copy_away(state: &Path, kept: &Path, schema: u32) -> io::Result<()> {
    let new = kept.with_extension("new");
    remove(&new)?;
    fs::create_dir_all(&new)?;
    for folder in FOLDERS {
        if state.join(folder).exists() {
            copy(&state.join(folder), &new.join(folder))?;
        }
    }
    write(&new.join(MARKER), &schema.to_string())?;
    sync(&new)?;
    remove(kept)?;
    fs::rename(&new, kept)?;
    sync(kept.parent().unwrap_or(Path::new("/")))
}

/// The snapshot stays, so that a cut begins anew; what it replaces stays beside it as `.failed`.
fn bring_back(state: &Path, kept: &Path) -> io::Result<()> {
    for folder in FOLDERS {
        let (present, failed) = (state.join(folder), state.join(format!("{folder}.failed")));
        let new = state.join(format!("{folder}.new"));
        remove(&new)?;
        if kept.join(folder).exists() {
            copy(&kept.join(folder), &new)?;
        }
        if present.exists() {
            remove(&failed)?;
            fs::rename(&present, &failed)?;
        }
        if new.exists() {
            fs::rename(&new, &present)?;
        }
    }
    sync(state)
}

fn note(place: &Path, schema: u32) -> io::Result<()> {
    let new = place.join("schema.new");
    write(&new, &schema.to_string())?;
    fs::rename(&new, place.join(MARKER))?;
    sync(place)
}

fn read_number(path: &Path) -> io::Result<Option<u32>> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &to)?;
            File::open(&to)?.sync_all()?;
        }
        // Sockets and the like are made anew by whoever needs them.
    }
    sync(to)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let file = File::create(path)?;
    io::Write::write_all(&mut &file, text.as_bytes())?;
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> tempfile::TempDir {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir_all(state.path().join("cluster/wal")).unwrap();
        set(state.path(), "old");
        state
    }

    fn set(state: &Path, text: &str) {
        fs::write(state.join("cluster/wal/db"), text).unwrap();
    }

    fn content(state: &Path) -> String {
        fs::read_to_string(state.join("cluster/wal/db")).unwrap()
    }

    #[test]
    fn newer_schema_is_preceded_by_a_snapshot_that_an_older_version_gets_back() {
        let state = state();
        let state = state.path();
        assert_eq!(settle(state, 1).unwrap(), Done::Nothing);
        assert_eq!(settle(state, 2).unwrap(), Done::Copied(1));
        set(state, "new");
        assert_eq!(settle(state, 2).unwrap(), Done::Nothing);
        assert_eq!(settle(state, 1).unwrap(), Done::BroughtBack(1));
        assert_eq!(content(state), "old");
        assert_eq!(fs::read_to_string(state.join("cluster.failed/wal/db")).unwrap(), "new");
        assert_eq!(settle(state, 1).unwrap(), Done::Nothing);
        // The same again, over what is there by now.
        assert_eq!(settle(state, 2).unwrap(), Done::Copied(1));
        set(state, "newer");
        assert_eq!(settle(state, 1).unwrap(), Done::BroughtBack(1));
        assert_eq!(content(state), "old");
    }

    #[test]
    fn rollback_within_a_schema_keeps_what_was_written_since() {
        let state = state();
        settle(state.path(), 1).unwrap();
        set(state.path(), "since");
        assert_eq!(settle(state.path(), 1).unwrap(), Done::Nothing);
        assert_eq!(content(state.path()), "since");
    }

    #[test]
    fn newer_state_without_a_snapshot_is_left_to_a_person() {
        let state = state();
        settle(state.path(), 3).unwrap();
        assert_eq!(settle(state.path(), 2).unwrap(), Done::Foreign(3));
        assert_eq!(content(state.path()), "old");
    }

    #[test]
    fn cut_while_it_is_brought_back_begins_anew() {
        let state = state();
        let state = state.path();
        settle(state, 1).unwrap();
        settle(state, 2).unwrap();
        set(state, "new");
        // As after a cut between the two renames.
        fs::rename(state.join("cluster"), state.join("cluster.failed")).unwrap();
        assert_eq!(settle(state, 1).unwrap(), Done::BroughtBack(1));
        assert_eq!(content(state), "old");
    }

    #[test]
    fn cut_while_it_is_copied_leaves_the_snapshot_before() {
        let state = state();
        let state = state.path();
        settle(state, 1).unwrap();
        fs::create_dir_all(state.join("update/snapshot.new/cluster")).unwrap();
        assert_eq!(settle(state, 2).unwrap(), Done::Copied(1));
        assert!(!state.join("update/snapshot.new").exists());
        assert_eq!(
            fs::read_to_string(state.join("update/snapshot/cluster/wal/db")).unwrap(),
            "old"
        );
    }
}
