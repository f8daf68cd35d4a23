//! Opens the database: finishes a replacement that was begun, checks, migrates, saves what can be
//! read of a damaged one, and fills the index. Says what it found; never hides a loss.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use thiserror::Error;

use super::repartition;
use super::row::{CHANGE_COLUMNS, VERSION_COLUMNS, change, version};
use super::salvage::{self, Saved};
use super::schema::{self, Fact, MIGRATIONS};
use crate::index::{Index, revision_of};
use crate::leases::Leases;
use crate::options::Options;
use crate::store::Revision;

/// The database in the store's folder.
pub(super) const DATABASE: &str = "store.db";
/// A whole database that is to take the other's place.
pub(super) const REPLACEMENT: &str = "store.db.new";
/// A database that is being written, of no use yet.
pub(super) const UNFINISHED: &str = "store.db.tmp";
/// The latest damaged database, kept for whoever wants to look.
pub(super) const DAMAGED: &str = "store.db.damaged";
const LOCK: &str = "store.lock";

/// What was found on opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Latest revision.
    pub revision: Revision,
    /// Keys that exist.
    pub keys: u64,
    /// Whether it had not been closed before: after a crash or a power cut.
    pub was_open: bool,
    /// Set when the database was damaged.
    pub recovery: Option<Recovery>,
}

/// What was done about a damaged database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// What was wrong with it.
    pub reason: String,
    /// Changes that could be read.
    pub saved: u64,
    /// Whether some could not.
    pub lost_some: bool,
    /// Where the damaged file is now.
    pub damaged: PathBuf,
}

/// Why a store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A newer program wrote it.
    #[error("{} has schema version {found}, and this program knows {known}", .path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The latest that is known.
        known: usize,
    },
    /// The database is another program's.
    #[error("{} is not a database of Holm's", .0.display())]
    Foreign(PathBuf),
    /// Something with a file.
    #[error("cannot use {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something with the database.
    #[error("cannot open the database {}", .path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// It is damaged, and so is what was saved of it.
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// In SQLite's words.
        reason: String,
    },
}

/// An open database, and all that the engine is made of.
pub(super) struct Ready {
    pub database: PathBuf,
    pub connection: Connection,
    pub lock: File,
    pub index: Index,
    pub leases: Leases,
    pub reserved: Revision,
    /// Rows that nothing needs.
    pub garbage: Vec<u64>,
    pub report: Opened,
}

pub(super) fn open(folder: &Path, options: &Options) -> Result<Ready, OpenError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        |source| OpenError::File { path, source }
    };
    std::fs::create_dir_all(folder).map_err(file(folder))?;
    let lock = lock(folder)?;
    salvage::finish_replacement(folder).map_err(file(folder))?;
    let path = folder.join(DATABASE);
    let mut recovery = None;
    let loaded = match load(&path, options) {
        Err(OpenError::Damaged { reason, .. }) => {
            tracing::error!("{} is damaged: {reason}", path.display());
            let Saved { rows, lost_some } = salvage::replace_damaged(folder)?;
            let damaged = folder.join(DAMAGED);
            recovery = Some(Recovery { reason, saved: rows, lost_some, damaged });
            load(&path, options)?
        }
        loaded => loaded?,
    };
    let Loaded { connection, index, leases, reserved, garbage, was_open } = loaded;
    let (revision, keys) = (index.revision(), index.live_keys());
    let report = Opened { revision, keys, was_open: was_open || recovery.is_some(), recovery };
    Ok(Ready { database: path, connection, lock, index, leases, reserved, garbage, report })
}

pub(super) fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(LOCK);
    let file = |source| OpenError::File { path: path.clone(), source };
    let lock =
        OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(file)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path, source }),
    }
}

struct Loaded {
    connection: Connection,
    index: Index,
    leases: Leases,
    reserved: Revision,
    garbage: Vec<u64>,
    was_open: bool,
}

fn load(path: &Path, options: &Options) -> Result<Loaded, OpenError> {
    let failed = |source| classify(path, source);
    let connection = connect(path, options).map_err(failed)?;
    let application: i32 =
        connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
    let is_new = match schema::version(&connection, MIGRATIONS.len()).map_err(failed)? {
        schema::Version::Newer(found) => {
            let known = MIGRATIONS.len();
            return Err(OpenError::TooNew { path: path.to_owned(), found, known });
        }
        schema::Version::Older(count) if count == MIGRATIONS.len() => {
            if has_tables(&connection).map_err(failed)? {
                return Err(OpenError::Foreign(path.to_owned()));
            }
            schema::migrate(&connection, MIGRATIONS, count).map_err(failed)?;
            true
        }
        _ if application != schema::APPLICATION_ID => {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        schema::Version::Older(count) => {
            schema::migrate(&connection, MIGRATIONS, count).map_err(failed)?;
            false
        }
        schema::Version::Current => false,
    };
    let closed_at = Fact::ClosedAt.read(&connection).map_err(failed)?;
    let was_open = !is_new && closed_at == 0;
    if was_open {
        check(path, &connection)?;
    }
    fill(connection, options, closed_at, was_open).map_err(failed)
}

fn connect(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // The journal is cut back after each checkpoint, should a burst or a backup have let it grow.
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA journal_size_limit = 4194304;
         PRAGMA cache_size = -1024;
         PRAGMA temp_store = MEMORY;
         PRAGMA max_page_count = {};",
        (options.max_bytes / PAGE_BYTES).max(16)
    ))?;
    Ok(connection)
}

/// Bytes of a page of the database.
pub(super) const PAGE_BYTES: u64 = 4096;

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) > 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// Looks through every page.
pub(super) fn check(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| classify(path, source))?;
    if found == "ok" {
        return Ok(());
    }
    Err(OpenError::Damaged { path: path.to_owned(), reason: found })
}

/// Whether SQLite says that the file is damaged, or that something else went wrong.
pub(super) fn classify(path: &Path, source: rusqlite::Error) -> OpenError {
    use rusqlite::Error as E;
    let path = path.to_owned();
    let damaged = match &source {
        E::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        // No table, or a column with something else than was ever written there.
        E::SqlInputError { .. } | E::FromSqlConversionFailure(..) | E::InvalidColumnType(..) => {
            true
        }
        E::IntegralValueOutOfRange(..) => true,
        _ => false,
    };
    if damaged {
        return OpenError::Damaged { path, reason: source.to_string() };
    }
    OpenError::Database { path, source }
}

fn fill(
    connection: Connection,
    options: &Options,
    closed_at: Revision,
    was_open: bool,
) -> rusqlite::Result<Loaded> {
    let moved = repartition::apply(&connection, &options.volatile)?;
    let mut reserved = Fact::Reserved.read(&connection)?;
    let latest: Option<i64> =
        connection.query_row("SELECT max(row) FROM change", [], |row| row.get(0))?;
    let latest = revision_of(latest.unwrap_or(0).cast_unsigned());
    let (mut index, revision) = if closed_at > 0 && !moved {
        (Index::new(Fact::Compacted.read(&connection)?), closed_at)
    } else {
        // Any revision up to the reserved one may have been seen by someone, and is lost.
        let next = reserved.max(latest) + 1;
        (Index::new(next), next)
    };
    let mut garbage = Vec::new();
    {
        let columns = format!("SELECT {VERSION_COLUMNS} FROM change ORDER BY row");
        let mut statement = connection.prepare(&columns)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (key, version) = version(row)?;
            garbage.extend(index.apply(key, version));
        }
    }
    garbage.extend(index.drop_old_deletions());
    load_volatile(&connection, &mut index)?;
    index.advance(revision);
    let leases = load_leases(&connection, &index)?;
    reserved = reserved.max(revision + options.revision_block);
    connection.execute_batch("BEGIN IMMEDIATE")?;
    Fact::Reserved.write(&connection, reserved)?;
    Fact::ClosedAt.write(&connection, 0)?;
    connection.execute_batch("COMMIT")?;
    Ok(Loaded { connection, index, leases, reserved, garbage, was_open })
}

fn load_volatile(connection: &Connection, index: &mut Index) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("SELECT {CHANGE_COLUMNS} FROM volatile"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match change(row, true)? {
            Ok(change) => index.load_latest(change.key.clone(), change.as_version()),
            Err(damaged) => tracing::error!("a volatile key is dropped: {damaged}"),
        }
    }
    Ok(())
}

fn load_leases(connection: &Connection, index: &Index) -> rusqlite::Result<Leases> {
    let mut leases = Leases::new(index.revision());
    let mut statement = connection.prepare("SELECT id, ttl_milliseconds FROM lease")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, ttl): (i64, i64) = (row.get(0)?, row.get(1)?);
        let ttl = Duration::from_millis(u64::try_from(ttl).unwrap_or(0));
        leases.add(id.cast_unsigned(), ttl, Duration::ZERO);
    }
    for (key, version) in index.live_where(|_| true) {
        if version.lease.is_some() {
            leases.attach(key, version.lease);
        }
    }
    Ok(leases)
}
