//! Moves keys between the durable and the volatile table when the policy is another than the one
//! the database was written with. Afterwards each key is in the table that the policy says.

use rusqlite::Connection;

use super::row::{CHANGE_COLUMNS, change, insert, upsert_volatile};
use super::schema::Fact;
use crate::options::VolatilePolicy;

/// Moves what has to move. Returns whether something may have: history is then not complete.
pub(super) fn apply(connection: &Connection, policy: &VolatilePolicy) -> rusqlite::Result<bool> {
    let wanted = finger_print(policy);
    if Fact::Policy.read(connection)? == wanted {
        return Ok(false);
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let result = to_volatile(connection, policy)
        .and_then(|()| to_durable(connection, policy))
        .and_then(|()| Fact::Policy.write(connection, wanted))
        .and_then(|()| connection.execute_batch("COMMIT"));
    if result.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    result.map(|()| true)
}

fn to_volatile(connection: &Connection, policy: &VolatilePolicy) -> rusqlite::Result<()> {
    let mut moved = Vec::new();
    let mut statement = connection.prepare("SELECT row, key FROM change ORDER BY row")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if policy.covers(row.get_ref(1)?.as_blob()?) {
            moved.push(row.get::<_, i64>(0)?);
        }
    }
    for row in moved {
        let columns = format!("SELECT {CHANGE_COLUMNS} FROM change WHERE row = ?1");
        let found = connection.prepare_cached(&columns)?.query_row([row], |it| change(it, true))?;
        match found {
            // In the order of rows, so that the latest stays.
            Ok(change) => upsert_volatile(connection, &change)?,
            Err(damaged) => tracing::error!("a key is dropped: {damaged}"),
        }
        connection.prepare_cached("DELETE FROM change WHERE row = ?1")?.execute([row])?;
    }
    Ok(())
}

fn to_durable(connection: &Connection, policy: &VolatilePolicy) -> rusqlite::Result<()> {
    let columns = format!("SELECT {CHANGE_COLUMNS} FROM volatile");
    let mut statement = connection.prepare(&columns)?;
    let mut rows = statement.query([])?;
    let mut moved = Vec::new();
    while let Some(row) = rows.next()? {
        match change(row, false)? {
            Ok(change) if policy.covers(&change.key) => {}
            Ok(change) => moved.push(change),
            Err(damaged) => tracing::error!("a volatile key is dropped: {damaged}"),
        }
    }
    for change in moved {
        insert(connection, &change)?;
        connection.execute("DELETE FROM volatile WHERE key = ?1", [&change.key[..]])?;
    }
    Ok(())
}

fn finger_print(policy: &VolatilePolicy) -> u64 {
    let mut hash = crc32fast::Hasher::new();
    for prefix in &policy.prefixes {
        hash.update(&(prefix.len() as u64).to_le_bytes());
        hash.update(prefix);
    }
    // Never 0, which is what a database without the fact has.
    u64::from(hash.finalize()) | 1 << 32
}
