//! Rows of the tables `change` and `volatile`: how they are written, read, and checked.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, Row};

use crate::batch::Change;
use crate::index::{Body, Version, revision_of};
use crate::store::{Key, StoreError};

/// The check sum of a row: over every column but itself.
pub(super) fn check_sum(
    row: u64,
    key: &[u8],
    create_revision: u64,
    version: u64,
    lease: Option<u64>,
    value: Option<&[u8]>,
) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    for number in [row, create_revision, version, lease.map_or(0, |lease| lease + 1)] {
        hash.update(&number.to_le_bytes());
    }
    hash.update(&(key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(&[u8::from(value.is_some())]);
    hash.update(value.unwrap_or_default());
    hash.finalize()
}

fn check_sum_of(change: &Change) -> u32 {
    let Change { row, key, value, create_revision, version, lease, .. } = change;
    check_sum(*row, key, *create_revision, *version, *lease, value.as_deref())
}

/// Adds a change of a durable key.
pub(super) fn insert(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO change (row, key, create_revision, version, lease, check_sum, length, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute((
        change.row.cast_signed(),
        &change.key[..],
        change.create_revision.cast_signed(),
        change.version.cast_signed(),
        change.lease.map(u64::cast_signed),
        check_sum_of(change),
        change.value.as_ref().map(|value| value.len() as i64),
        change.value.as_deref(),
    ))?;
    Ok(())
}

/// Writes what a volatile key has now; without a value, that it is gone.
pub(super) fn upsert_volatile(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    let Some(value) = change.value.as_deref() else {
        let mut statement = connection.prepare_cached("DELETE FROM volatile WHERE key = ?1")?;
        statement.execute([&change.key[..]])?;
        return Ok(());
    };
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO volatile
         (key, row, create_revision, version, lease, check_sum, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute((
        &change.key[..],
        change.row.cast_signed(),
        change.create_revision.cast_signed(),
        change.version.cast_signed(),
        change.lease.map(u64::cast_signed),
        check_sum_of(change),
        value,
    ))?;
    Ok(())
}

/// Removes rows of `change`.
pub(super) fn delete(connection: &Connection, rows: &[u64]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM change WHERE row = ?1")?;
    for row in rows {
        statement.execute([row.cast_signed()])?;
    }
    Ok(())
}

/// The columns of `change` that [`version`] reads.
pub(super) const VERSION_COLUMNS: &str = "row, key, create_revision, version, lease, length";

/// The index' part of a row.
pub(super) fn version(row: &Row<'_>) -> rusqlite::Result<(Key, Version)> {
    let number = |place: usize| row.get::<_, i64>(place).map(i64::cast_unsigned);
    let key: Key = Arc::from(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
    let body = match row.get::<_, Option<u32>>(5)? {
        Some(length) => Body::Stored(length),
        None => Body::Deleted { stored: true },
    };
    let version = Version {
        row: number(0)?,
        create_revision: number(2)?,
        version: number(3)?,
        lease: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
        body,
    };
    Ok((key, version))
}

/// The columns that [`change`] reads, of either table.
pub(super) const CHANGE_COLUMNS: &str =
    "row, key, create_revision, version, lease, check_sum, value";

/// A whole row, or an error when its check sum is another.
pub(super) fn change(
    row: &Row<'_>,
    volatile: bool,
) -> rusqlite::Result<Result<Change, StoreError>> {
    let number = |place: usize| row.get::<_, i64>(place).map(i64::cast_unsigned);
    let value = row.get_ref(6)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    let change = Change {
        row: number(0)?,
        key: Arc::from(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?),
        value: value.map(Bytes::copy_from_slice),
        create_revision: number(2)?,
        version: number(3)?,
        lease: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
        volatile,
    };
    if row.get::<_, i64>(5)? == i64::from(check_sum_of(&change)) {
        return Ok(Ok(change));
    }
    Ok(Err(StoreError::Damaged {
        key: String::from_utf8_lossy(&change.key).into_owned(),
        revision: revision_of(change.row),
    }))
}
