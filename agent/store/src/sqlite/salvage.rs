//! Puts another database in the place of the store's: what can be read of a damaged one, or a
//! backup. Each step can be cut off by a power failure and is finished on the next opening.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::open::{DAMAGED, DATABASE, OpenError, REPLACEMENT, UNFINISHED};
use super::readers::open_for_reading;
use super::row::{CHANGE_COLUMNS, change, insert, upsert_volatile};
use super::schema::{self, Fact, MIGRATIONS};
use crate::index::revision_of;

/// Revisions that are skipped after a loss: more than can have been used since the last one that
/// could be read.
pub(super) const SKIPPED_AFTER_LOSS: u64 = 1_000_000_000;

/// What was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Saved {
    pub rows: u64,
    pub lost_some: bool,
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a database with its journal, if it is there.
pub(super) fn remove(database: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal", ""] {
        match std::fs::remove_file(with_suffix(database, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Flushes a file or folder to the disk.
pub(super) fn flush(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Lets a whole database in `store.db.tmp` be the replacement; it takes its place when
/// [`finish_replacement`] is next called, whatever happens meanwhile.
pub(super) fn commit_replacement(folder: &Path) -> io::Result<()> {
    flush(&folder.join(UNFINISHED))?;
    std::fs::rename(folder.join(UNFINISHED), folder.join(REPLACEMENT))?;
    flush(folder)
}

/// Puts a replacement in its place, if there is one. The database before it is kept as damaged.
pub(super) fn finish_replacement(folder: &Path) -> io::Result<()> {
    remove(&folder.join(UNFINISHED))?;
    let (database, replacement) = (folder.join(DATABASE), folder.join(REPLACEMENT));
    if !replacement.exists() {
        return Ok(());
    }
    if database.exists() {
        let damaged = folder.join(DAMAGED);
        remove(&damaged)?;
        // A journal that stayed behind would be replayed into the replacement.
        for suffix in ["-wal", ""] {
            match std::fs::rename(with_suffix(&database, suffix), with_suffix(&damaged, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    remove(&database)?;
    flush(folder)?;
    std::fs::rename(&replacement, &database)?;
    flush(folder)
}

/// Saves what can be read of the database in `folder` into a new one, and puts that in its place.
pub(super) fn replace_damaged(folder: &Path) -> Result<Saved, OpenError> {
    let unfinished = folder.join(UNFINISHED);
    let file = |source| OpenError::File { path: unfinished.clone(), source };
    let database = |source| OpenError::Database { path: unfinished.clone(), source };
    remove(&unfinished).map_err(file)?;
    let to = Connection::open(&unfinished).map_err(database)?;
    schema::migrate(&to, MIGRATIONS, MIGRATIONS.len()).map_err(database)?;
    let saved = match open_for_reading(&folder.join(DATABASE)) {
        Ok(from) => copy(&from, &to).map_err(database)?,
        Err(_) => {
            Fact::Reserved.write(&to, SKIPPED_AFTER_LOSS).map_err(database)?;
            Saved { rows: 0, lost_some: true }
        }
    };
    to.close().map_err(|(_, source)| database(source))?;
    commit_replacement(folder).and_then(|()| finish_replacement(folder)).map_err(file)?;
    Ok(saved)
}

fn copy(from: &Connection, to: &Connection) -> rusqlite::Result<Saved> {
    to.execute_batch("BEGIN IMMEDIATE")?;
    let mut copier = Copier { from, to, saved: Saved { rows: 0, lost_some: false }, highest: 0 };
    copier.changes(0, i64::MAX, 16)?;
    copier.whole_tables()?;
    let reserved = Fact::Reserved.read(from).unwrap_or(0);
    let next = reserved.max(revision_of(copier.highest.cast_unsigned())) + SKIPPED_AFTER_LOSS;
    Fact::Reserved.write(to, next)?;
    to.execute_batch("COMMIT")?;
    Ok(copier.saved)
}

struct Copier<'a> {
    from: &'a Connection,
    to: &'a Connection,
    saved: Saved,
    highest: i64,
}

impl Copier<'_> {
    /// Copies the rows between two. From below up to the first page that cannot be read, then from
    /// above down to one; what may be readable between them is searched by halves, so many times.
    fn changes(&mut self, low: i64, high: i64, halves: u32) -> rusqlite::Result<()> {
        let (low, finished) = self.walk(low, high, "ASC")?;
        if finished {
            return Ok(());
        }
        self.saved.lost_some = true;
        let (high, finished) = self.walk(low, high, "DESC")?;
        let last = self.highest.max(low);
        let middle = low.midpoint(high.min(last));
        if finished || halves == 0 || middle <= low || middle >= high {
            return Ok(());
        }
        self.changes(middle, high, halves - 1)?;
        self.changes(low, middle, halves - 1)
    }

    /// Copies rows until one cannot be read. Returns the last row that could, and whether it was
    /// the last that there is.
    fn walk(&mut self, low: i64, high: i64, order: &str) -> rusqlite::Result<(i64, bool)> {
        let mut reached = if order == "ASC" { low } else { high };
        let Ok(mut statement) = self.from.prepare(&format!(
            "SELECT {CHANGE_COLUMNS} FROM change WHERE row > ?1 AND row < ?2 ORDER BY row {order}"
        )) else {
            return Ok((reached, false));
        };
        let Ok(mut rows) = statement.query([low, high]) else { return Ok((reached, false)) };
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok((reached, true)),
                Err(_) => return Ok((reached, false)),
            };
            reached = row.get(0).unwrap_or(reached);
            match change(row, false) {
                Ok(Ok(change)) => {
                    // A page may be reachable twice in a damaged tree.
                    let known = insert(self.to, &change).is_err();
                    self.saved.rows += u64::from(!known);
                    self.highest = self.highest.max(reached);
                }
                _ => self.saved.lost_some = true,
            }
        }
    }

    /// Copies the small tables, as far as they can be read.
    fn whole_tables(&mut self) -> rusqlite::Result<()> {
        if let Ok(mut statement) =
            self.from.prepare(&format!("SELECT {CHANGE_COLUMNS} FROM volatile"))
        {
            let mut rows = statement.query([])?;
            while let Ok(Some(row)) = rows.next() {
                match change(row, true) {
                    Ok(Ok(change)) => upsert_volatile(self.to, &change)?,
                    _ => self.saved.lost_some = true,
                }
            }
        }
        if let Ok(mut statement) = self.from.prepare("SELECT id, ttl_milliseconds FROM lease") {
            let mut rows = statement.query([])?;
            while let Ok(Some(row)) = rows.next() {
                if let (Ok(id), Ok(ttl)) = (row.get::<_, i64>(0), row.get::<_, i64>(1)) {
                    self.to.execute("INSERT OR IGNORE INTO lease VALUES (?1, ?2)", [id, ttl])?;
                }
            }
        }
        Ok(())
    }
}
