//! Copies of the store: written while it works, and put back in its place.

use std::path::Path;

use rusqlite::Connection;

use super::open::{self, DATABASE, OpenError, UNFINISHED};
use super::readers::open_for_reading;
use super::refused;
use super::salvage::{SKIPPED_AFTER_LOSS, commit_replacement, finish_replacement, flush, remove};
use super::schema::{self, Fact, MIGRATIONS};
use crate::store::StoreError;

/// Writes a copy of `database`, as of its last commit, to `path`. Either the whole copy is there
/// afterwards, or what was there before.
pub(super) fn write(database: &Path, path: &Path) -> Result<(), StoreError> {
    let unfinished = path.with_extension("unfinished");
    let file = |error: std::io::Error| StoreError::Disk {
        operation: "write a backup",
        reason: error.to_string(),
    };
    remove(&unfinished).map_err(file)?;
    let from = open_for_reading(database).map_err(refused("open the database to back it up"))?;
    from.execute_batch("PRAGMA query_only = 0").map_err(refused("write a backup"))?;
    // One read transaction, and what is free in the database is not copied.
    from.execute("VACUUM INTO ?1", [unfinished.to_string_lossy()])
        .map_err(refused("write a backup"))?;
    flush(&unfinished).map_err(file)?;
    std::fs::rename(&unfinished, path).map_err(file)?;
    path.parent().map_or(Ok(()), flush).map_err(file)
}

/// Puts a backup in the place of the store in `folder`, which must not be open. Revisions go on
/// above all that either may have used, and history before it counts as compacted: whoever watched
/// is told to begin anew.
///
/// # Errors
/// When the backup is damaged or of a newer program, or the disk fails. The store is then as it
/// was.
pub fn restore(backup: &Path, folder: &Path) -> Result<(), OpenError> {
    let file = |source| OpenError::File { path: backup.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(file)?;
    let _lock = open::lock(folder)?;
    finish_replacement(folder).map_err(file)?;
    let unfinished = folder.join(UNFINISHED);
    std::fs::copy(backup, &unfinished).map_err(file)?;
    let copy = Connection::open(&unfinished).map_err(|it| open::classify(backup, it))?;
    let known = MIGRATIONS.len();
    match schema::version(&copy, known).map_err(|it| open::classify(backup, it))? {
        schema::Version::Newer(found) => {
            return Err(OpenError::TooNew { path: backup.to_owned(), found, known });
        }
        schema::Version::Older(count) if count == known => {
            return Err(OpenError::Foreign(backup.to_owned()));
        }
        _ => open::check(backup, &copy)?,
    }
    let used = highest_used(&folder.join(DATABASE));
    let set = || {
        let reserved = Fact::Reserved.read(&copy)?;
        // Without the store that used them, nobody knows which revisions came after the backup.
        let next = used.map_or(reserved + SKIPPED_AFTER_LOSS, |used| used.max(reserved));
        Fact::Reserved.write(&copy, next)?;
        Fact::ClosedAt.write(&copy, 0)
    };
    set().map_err(|source| OpenError::Database { path: unfinished.clone(), source })?;
    copy.close().map_err(|(_, source)| OpenError::Database { path: unfinished.clone(), source })?;
    commit_replacement(folder).and_then(|()| finish_replacement(folder)).map_err(file)
}

/// The highest revision that the store there may have used; `None` if it cannot be read.
fn highest_used(database: &Path) -> Option<u64> {
    let connection = open_for_reading(database).ok()?;
    let reserved = Fact::Reserved.read(&connection).ok()?;
    let latest: Option<i64> =
        connection.query_row("SELECT max(row) FROM change", [], |row| row.get(0)).ok()?;
    let latest = crate::index::revision_of(latest.unwrap_or(0).cast_unsigned());
    (reserved > 0).then(|| reserved.max(latest))
}
