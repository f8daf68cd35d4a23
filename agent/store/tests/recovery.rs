//! What is there after a crash, a clean end, damage, a restore, and a change of policy.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holm_store::sqlite::{OpenError, restore};
use holm_store::{
    Key, KeyRange, Options, RangeRequest, Sqlite, Store, StoreError, Txn, TxnOutcome,
    VolatilePolicy, Write,
};

fn key(name: &str) -> Key {
    Arc::from(name.as_bytes())
}

fn options() -> Options {
    let volatile =
        VolatilePolicy { prefixes: vec![b"/v/".to_vec()], checkpoint_every: Duration::ZERO };
    Options { volatile, ..Options::default() }
}

fn open(folder: &Path) -> Sqlite {
    Sqlite::open(folder, options()).unwrap().0
}

async fn put(store: &Sqlite, name: &str, text: &str) -> u64 {
    let txn = Txn::put(key(name), Bytes::copy_from_slice(text.as_bytes()));
    match store.txn(txn).await.unwrap() {
        TxnOutcome::Committed { revision } => revision,
        conflict @ TxnOutcome::Conflict { .. } => panic!("{conflict:?}"),
    }
}

async fn all(store: &Sqlite) -> Vec<(String, String, u64)> {
    let range = store.range(RangeRequest::latest(KeyRange::all())).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    range.entries.iter().map(|it| (text(&it.key), text(&it.value), it.mod_revision)).collect()
}

/// A copy of the files as they are, as a power cut would leave them.
fn cut(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn a_clean_end_keeps_history_and_loses_no_revision() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = put(&store, "a", "1").await;
    put(&store, "/v/x", "2").await;
    let last = put(&store, "a", "3").await;
    store.close().await.unwrap();
    let (store, opened) = Sqlite::open(folder.path(), options()).unwrap();
    assert!(!opened.was_open && opened.recovery.is_none());
    assert_eq!((opened.revision, opened.keys), (last, 2));
    let expected = [("/v/x", "2", first + 1), ("a", "3", last)];
    assert_eq!(all(&store).await, expected.map(|(k, v, r)| (k.to_owned(), v.to_owned(), r)));
    let mut watch = store.watch(KeyRange::key(b"a"), first).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, last);
    assert_eq!(
        store.watch(KeyRange::prefix(b"/v/"), first).await.err(),
        Some(StoreError::Compacted { requested: first, compacted: last }),
        "volatile keys have no history from before"
    );
    assert_eq!(put(&store, "b", "4").await, last + 1);
}

#[tokio::test]
async fn after_a_crash_no_revision_is_used_twice_and_lost_ones_are_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "a", "1").await;
    put(&store, "/v/x", "on the disk").await;
    store.checkpoint().await.unwrap();
    let mut lost = 0;
    for n in 0..50 {
        lost = put(&store, "/v/x", &n.to_string()).await;
    }
    let copy = cut(folder.path());
    let (after, opened) = Sqlite::open(copy.path(), options()).unwrap();
    assert!(opened.was_open);
    assert!(opened.revision > lost, "{} after {lost}", opened.revision);
    assert_eq!(all(&after).await[0].1, "on the disk");
    let error = after.watch(KeyRange::key(b"a"), lost).await.err();
    assert_eq!(error, Some(StoreError::Compacted { requested: lost, compacted: opened.revision }));
    assert!(after.watch(KeyRange::key(b"a"), opened.revision).await.is_ok());
    assert!(put(&after, "b", "1").await > lost);
    // And again, without anything in between.
    let again = cut(copy.path());
    let (third, reopened) = Sqlite::open(again.path(), options()).unwrap();
    assert!(reopened.revision > after.revision());
    assert_eq!(all(&third).await.len(), 3);
}

#[tokio::test]
async fn only_one_process_uses_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let second = Sqlite::open(folder.path(), options()).err().unwrap();
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    store.close().await.unwrap();
    assert!(Sqlite::open(folder.path(), options()).is_ok());
}

#[tokio::test]
async fn leases_and_their_keys_survive_and_end_later() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let lease = store.grant_lease(Duration::from_millis(200)).await.unwrap();
    let txn = Txn::put(key("a"), Bytes::from_static(b"1")).with_lease(lease);
    store.txn(txn).await.unwrap();
    let copy = cut(folder.path());
    let after = open(copy.path());
    let mut watch = after.watch(KeyRange::all(), after.revision()).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(10), watch.next()).await.unwrap().unwrap();
    assert!(event.entry.is_none());
    let new = after.grant_lease(Duration::from_secs(100)).await.unwrap();
    assert!(new > lease, "and its number is not given again");
}

#[tokio::test]
async fn a_backup_is_the_store_of_that_time_and_restoring_skips_what_came_after() {
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup.db");
    let home = folder.path().join("store");
    let store = open(&home);
    put(&store, "a", "1").await;
    put(&store, "/v/x", "2").await;
    store.backup(&backup).await.unwrap();
    let last = put(&store, "a", "later").await;
    put(&store, "b", "later").await;
    assert!(matches!(restore(&backup, &home), Err(OpenError::InUse(_))));
    store.close().await.unwrap();

    restore(&backup, &home).unwrap();
    let (restored, opened) = Sqlite::open(&home, options()).unwrap();
    let values: Vec<_> = all(&restored).await.into_iter().map(|it| (it.0, it.1)).collect();
    let expected = [("/v/x", "2"), ("a", "1")];
    assert_eq!(values, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert!(opened.revision > last + 1);
    assert!(matches!(
        restored.watch(KeyRange::all(), last).await.err(),
        Some(StoreError::Compacted { .. })
    ));

    let elsewhere = folder.path().join("elsewhere");
    restore(&backup, &elsewhere).unwrap();
    let (copy, opened) = Sqlite::open(&elsewhere, options()).unwrap();
    assert_eq!(all(&copy).await.len(), 2);
    assert!(opened.revision > 1_000_000, "without the old store a wide gap is left");
}

#[tokio::test]
async fn what_is_no_backup_leaves_the_store_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("store");
    let store = open(&home);
    put(&store, "a", "1").await;
    store.close().await.unwrap();
    let bad = folder.path().join("bad");
    std::fs::write(&bad, "not a database at all, but long enough to be looked at".repeat(200))
        .unwrap();
    assert!(restore(&bad, &home).is_err());
    std::fs::write(&bad, "").unwrap();
    assert!(matches!(restore(&bad, &home), Err(OpenError::Foreign(_))));
    assert_eq!(all(&open(&home)).await.len(), 1);
}

#[tokio::test]
async fn a_damaged_database_gives_back_what_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let filler = "x".repeat(1500);
    for n in 0..300 {
        put(&store, &format!("k{n:03}"), &format!("{n} {filler}")).await;
    }
    let last = put(&store, "/v/x", "volatile").await;
    store.checkpoint().await.unwrap();
    drop(store);
    let database = folder.path().join("store.db");
    let file = std::fs::OpenOptions::new().write(true).open(&database).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    file.write_all_at(&[0xa5; 3 * 4096], pages / 2 * 4096).unwrap();
    drop(file);

    let (saved, opened) = Sqlite::open(folder.path(), options()).unwrap();
    let recovery = opened.recovery.unwrap();
    assert!(recovery.lost_some && recovery.damaged.exists(), "{recovery:?}");
    let entries = all(&saved).await;
    assert!(entries.len() > 270 && entries.len() < 301, "{} of 301 saved", entries.len());
    for (name, text, _) in entries.iter().filter(|(name, ..)| name.starts_with('k')) {
        assert_eq!(text, &format!("{} {filler}", name[1..].parse::<u32>().unwrap()));
    }
    assert!(entries.iter().any(|(name, ..)| name == "/v/x"));
    assert!(opened.revision > last);
    put(&saved, "again", "1").await;
    saved.close().await.unwrap();
    let (_, reopened) = Sqlite::open(folder.path(), options()).unwrap();
    assert!(reopened.recovery.is_none());
}

#[tokio::test]
async fn a_file_without_any_sense_gives_an_empty_store_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.db"), "nonsense".repeat(1000)).unwrap();
    let (store, opened) = Sqlite::open(folder.path(), options()).unwrap();
    let recovery = opened.recovery.unwrap();
    assert!(recovery.lost_some && recovery.saved == 0);
    assert_eq!(std::fs::read(recovery.damaged).unwrap(), "nonsense".repeat(1000).as_bytes());
    put(&store, "a", "1").await;
}

#[tokio::test]
async fn a_value_that_rotted_is_an_error_and_not_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "a", &"valuable ".repeat(100)).await;
    put(&store, "b", "fine").await;
    store.close().await.unwrap();
    let database = folder.path().join("store.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let place = bytes.windows(9).position(|it| it == b"valuable ").unwrap();
    bytes[place + 40] ^= 0x20;
    std::fs::write(&database, bytes).unwrap();
    let store = open(folder.path());
    assert!(matches!(store.get(b"a").await, Err(StoreError::Damaged { key, .. }) if key == "a"));
    assert!(store.get(b"b").await.unwrap().is_some());
    put(&store, "a", "new").await;
    assert!(store.get(b"a").await.unwrap().is_some());
}

#[tokio::test]
async fn databases_of_others_and_of_newer_programs_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE theirs (a); PRAGMA user_version = 1").unwrap();
    drop(connection);
    let refused = Sqlite::open(folder.path(), options()).err().unwrap();
    assert!(matches!(refused, OpenError::Foreign(_)), "{refused}");

    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    let refused = Sqlite::open(folder.path(), options()).err().unwrap();
    assert!(matches!(refused, OpenError::TooNew { found: 99, .. }), "{refused}");
}

#[tokio::test]
async fn keys_move_when_the_policy_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "/v/x", "volatile").await;
    put(&store, "/w/y", "1").await;
    put(&store, "/w/y", "2").await;
    put(&store, "/w/z", "3").await;
    let gone = Txn { writes: vec![Write::Delete { key: key("/w/z") }], ..Txn::default() };
    store.txn(gone).await.unwrap();
    let before = all(&store).await;
    store.close().await.unwrap();

    let mut other = options();
    other.volatile.prefixes = vec![b"/w/".to_vec()];
    let (store, _) = Sqlite::open(folder.path(), other.clone()).unwrap();
    assert_eq!(all(&store).await, before);
    put(&store, "/v/x", "durable").await;
    put(&store, "/w/y", "lost").await;
    let copy = cut(folder.path());
    let (after, _) = Sqlite::open(copy.path(), other).unwrap();
    let values: Vec<_> = all(&after).await.into_iter().map(|it| it.1).collect();
    assert_eq!(values, ["durable", "2"]);
}

#[tokio::test]
async fn compacted_rows_leave_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for n in 0..400 {
        put(&store, "a", &n.to_string()).await;
    }
    store.compact(store.revision()).await.unwrap();
    store.close().await.unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    let rows = || -> i64 {
        connection.query_row("SELECT count(*) FROM change", [], |row| row.get(0)).unwrap()
    };
    assert!(rows() <= 257, "{} rows", rows());
    let store = open(folder.path());
    // What was left goes while the store is idle.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while rows() > 1 && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(rows(), 1);
    assert_eq!(all(&store).await[0].1, "399");
}
