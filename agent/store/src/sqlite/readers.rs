//! Connections that read values by their rows, beside the writer. Rows never change, so that no
//! snapshot is needed: one is there, or compaction has taken it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags};

use super::refused;
use super::row::{CHANGE_COLUMNS, change};
use crate::store::StoreError;

/// Connections that are kept for the next who reads; each has its own page cache.
const MAX_IDLE: usize = 3;

#[derive(Debug)]
pub(super) struct Readers {
    database: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(database: &Path) -> Self {
        Self { database: database.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    /// The values of `rows`, in their order; `None` for one that is not there.
    pub(super) fn values(
        &self,
        rows: impl Iterator<Item = u64>,
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        let connection = self.take()?;
        let values = read(&connection, rows);
        if values.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MAX_IDLE {
                idle.push(connection);
            }
        }
        values
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => open_for_reading(&self.database).map_err(refused("open a reader")),
        }
    }
}

/// Opens a database that others may write at the same time.
pub(super) fn open_for_reading(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.execute_batch("PRAGMA cache_size = -256; PRAGMA query_only = 1")?;
    Ok(connection)
}

fn read(
    connection: &Connection,
    rows: impl Iterator<Item = u64>,
) -> Result<Vec<Option<Bytes>>, StoreError> {
    let failed = |error| refused("read a value")(error);
    // One read transaction for all: taking and leaving the lock costs as much as a look-up.
    connection.execute_batch("BEGIN").map_err(failed)?;
    let result = (|| {
        let mut statement = connection
            .prepare_cached(&format!("SELECT {CHANGE_COLUMNS} FROM change WHERE row = ?1"))
            .map_err(failed)?;
        let mut values = Vec::with_capacity(rows.size_hint().0);
        for row in rows {
            let mut found = statement.query([row.cast_signed()]).map_err(failed)?;
            values.push(match found.next().map_err(failed)? {
                Some(row) => change(row, false).map_err(failed)??.value,
                None => None,
            });
        }
        Ok(values)
    })();
    connection.execute_batch("COMMIT").map_err(failed)?;
    result
}
