//! The database's tables, version by version. A version that was released never changes.

use rusqlite::Connection;

/// "Holm" in the file's header: another program's database is not taken for ours.
pub(super) const APPLICATION_ID: i32 = 0x486f_6c6d;

/// What brings a database from each version to the next; the first makes it from nothing.
///
/// `change` has each change of a durable key under its row (see `index`); `value` is null where the
/// key was deleted, and last, so that the index is read without it. `volatile` has the latest
/// version of each volatile key as of the last checkpoint. `check_sum` covers the whole row: flash
/// that wears out returns wrong bytes without an error.
pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE change (
        row INTEGER PRIMARY KEY,
        key BLOB NOT NULL,
        create_revision INTEGER NOT NULL,
        version INTEGER NOT NULL,
        lease INTEGER,
        check_sum INTEGER NOT NULL,
        length INTEGER,
        value BLOB
    ) STRICT;
    CREATE TABLE volatile (
        key BLOB PRIMARY KEY,
        row INTEGER NOT NULL,
        create_revision INTEGER NOT NULL,
        version INTEGER NOT NULL,
        lease INTEGER,
        check_sum INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_milliseconds INTEGER NOT NULL) STRICT;
    CREATE TABLE fact (name TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT;
"];

/// A number that the database remembers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fact {
    /// No revision above it has been used.
    Reserved,
    /// History up to it is gone.
    Compacted,
    /// The revision at which the store was closed; 0 while it is open.
    ClosedAt,
    /// Finger print of the policy that says which keys are volatile.
    Policy,
}

impl Fact {
    fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Compacted => "compacted",
            Self::ClosedAt => "closed_at",
            Self::Policy => "policy",
        }
    }

    pub(super) fn read(self, connection: &Connection) -> rusqlite::Result<u64> {
        let mut statement = connection.prepare("SELECT number FROM fact WHERE name = ?1")?;
        let mut rows = statement.query([self.name()])?;
        let number: i64 = rows.next()?.map_or(Ok(0), |row| row.get(0))?;
        Ok(u64::try_from(number).unwrap_or(0))
    }

    pub(super) fn write(self, connection: &Connection, number: u64) -> rusqlite::Result<()> {
        let mut statement = connection
            .prepare_cached("INSERT OR REPLACE INTO fact (name, number) VALUES (?1, ?2)")?;
        statement.execute((self.name(), number.cast_signed()))?;
        Ok(())
    }
}

/// How a database's version compares with what this program knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// So many migrations are to be run.
    Older(usize),
    Current,
    /// Written by a newer program: this version.
    Newer(usize),
}

pub(super) fn version(connection: &Connection, known: usize) -> rusqlite::Result<Version> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    Ok(match found.cmp(&known) {
        std::cmp::Ordering::Less => Version::Older(known - found),
        std::cmp::Ordering::Equal => Version::Current,
        std::cmp::Ordering::Greater => Version::Newer(found),
    })
}

/// Runs the last `count` of `migrations`, all or none of them.
pub(super) fn migrate(
    connection: &Connection,
    migrations: &[&str],
    count: usize,
) -> rusqlite::Result<()> {
    let begin = migrations.len().saturating_sub(count);
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let result = migrations.iter().skip(begin).try_for_each(|sql| connection.execute_batch(sql));
    let result = result.and_then(|()| {
        connection.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}; COMMIT",
            migrations.len()
        ))
    });
    if result.is_err() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[test]
    fn an_empty_file_gets_every_migration() {
        let connection = memory();
        assert_eq!(version(&connection, 1).unwrap(), Version::Older(1));
        migrate(&connection, MIGRATIONS, 1).unwrap();
        assert_eq!(version(&connection, 1).unwrap(), Version::Current);
        assert_eq!(Fact::Reserved.read(&connection).unwrap(), 0);
        Fact::Reserved.write(&connection, 70).unwrap();
        Fact::Reserved.write(&connection, 80).unwrap();
        assert_eq!(Fact::Reserved.read(&connection).unwrap(), 80);
    }

    #[test]
    fn an_older_database_keeps_its_rows_and_gets_what_is_new() {
        let connection = memory();
        migrate(&connection, MIGRATIONS, MIGRATIONS.len()).unwrap();
        Fact::Compacted.write(&connection, 5).unwrap();
        let later: Vec<&str> =
            MIGRATIONS.iter().copied().chain(["ALTER TABLE lease ADD COLUMN note TEXT"]).collect();
        assert_eq!(version(&connection, later.len()).unwrap(), Version::Older(1));
        migrate(&connection, &later, 1).unwrap();
        connection.execute("INSERT INTO lease VALUES (1, 2, 'three')", []).unwrap();
        assert_eq!(Fact::Compacted.read(&connection).unwrap(), 5);
        assert_eq!(
            version(&connection, MIGRATIONS.len()).unwrap(),
            Version::Newer(later.len()),
            "and an older program sees that it must not touch it"
        );
    }

    #[test]
    fn a_migration_that_fails_leaves_the_database_as_it_was() {
        let connection = memory();
        migrate(&connection, MIGRATIONS, MIGRATIONS.len()).unwrap();
        let later = [MIGRATIONS[0], "CREATE TABLE extra (a)", "no SQL at all"];
        assert!(migrate(&connection, &later, 2).is_err());
        assert_eq!(version(&connection, 1).unwrap(), Version::Current);
        assert!(connection.prepare("SELECT a FROM extra").is_err());
    }
}
