//! The SQLite engine, as its users see it: transactions, ranges, watches, leases, bounds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holm_store::{
    Condition, Key, KeyRange, Options, RangeRequest, Sqlite, Store, StoreError, Txn, TxnOutcome,
    VolatilePolicy, Watch,
};

fn key(name: &str) -> Key {
    Arc::from(name.as_bytes())
}

fn value(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn volatile() -> Options {
    let volatile = VolatilePolicy {
        prefixes: vec![b"/volatile/".to_vec()],
        checkpoint_every: Duration::from_secs(3600),
    };
    Options { volatile, ..Options::default() }
}

struct Fixture {
    store: Arc<Sqlite>,
    folder: tempfile::TempDir,
}

fn open(options: Options) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Sqlite::open(folder.path(), options).unwrap();
    Fixture { store: Arc::new(store), folder }
}

async fn put(store: &Sqlite, name: &str, text: &str) -> u64 {
    match store.txn(Txn::put(key(name), value(text))).await.unwrap() {
        TxnOutcome::Committed { revision } => revision,
        conflict @ TxnOutcome::Conflict { .. } => panic!("{conflict:?}"),
    }
}

async fn text(store: &Sqlite, name: &str) -> Option<String> {
    let entry = store.get(name.as_bytes()).await.unwrap()?;
    Some(String::from_utf8(entry.value.to_vec()).unwrap())
}

async fn next(watch: &mut Watch) -> (u64, String, Option<String>, Option<String>) {
    let event = tokio::time::timeout(Duration::from_secs(10), watch.next()).await.unwrap().unwrap();
    let show = |entry: &Option<holm_store::Entry>| {
        entry.as_ref().map(|it| String::from_utf8(it.value.to_vec()).unwrap())
    };
    let name = String::from_utf8(event.key.to_vec()).unwrap();
    (event.revision, name, show(&event.entry), show(&event.previous))
}

#[tokio::test]
async fn of_many_writers_with_the_same_expectation_one_wins() {
    let Fixture { store, folder: _folder } = open(Options::default());
    let first = put(&store, "a", "0").await;
    let writers: Vec<_> = (0..32)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store.txn(Txn::update(key("a"), value(&n.to_string()), first)).await.unwrap()
            })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            TxnOutcome::Committed { .. } => won += 1,
            TxnOutcome::Conflict { current, .. } => {
                assert_eq!(current.unwrap().mod_revision, first + 1);
            }
        }
    }
    assert_eq!(won, 1);
    assert_eq!(store.revision(), first + 1);
}

#[tokio::test]
async fn concurrent_writers_share_commits() {
    let Fixture { store, folder: _folder } = open(Options::default());
    let before = store.stats().commits;
    let writers: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { put(&store, &format!("k{n}"), "x").await })
        })
        .collect();
    let mut revisions = Vec::new();
    for writer in writers {
        revisions.push(writer.await.unwrap());
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 200, "each has a revision of its own");
    let stats = store.stats();
    assert_eq!(stats.transactions, 200);
    assert!(stats.commits - before < 50, "{} commits", stats.commits - before);
}

#[tokio::test]
async fn a_list_goes_on_at_its_revision_whatever_changed() {
    let Fixture { store, folder: _folder } = open(Options::default());
    for n in 0..200 {
        put(&store, &format!("/pods/{n:03}"), &n.to_string()).await;
    }
    let range = KeyRange::prefix(b"/pods/");
    let first = RangeRequest { range: range.clone(), revision: None, limit: Some(80) };
    let first = store.range(first).await.unwrap();
    assert_eq!((first.entries.len(), first.remaining), (80, 120));
    put(&store, "/pods/100", "changed").await;
    store
        .txn(Txn {
            writes: vec![holm_store::Write::Delete { key: key("/pods/101") }],
            ..Txn::default()
        })
        .await
        .unwrap();
    put(&store, "/pods/1005", "new").await;
    let rest = RangeRequest {
        range: range.after(&first.entries[79].key),
        revision: Some(first.revision),
        limit: None,
    };
    let rest = store.range(rest.clone()).await.unwrap();
    assert_eq!((rest.entries.len(), rest.remaining), (120, 0));
    assert_eq!(&rest.entries[20].value[..], b"100");
    assert_eq!(store.count(&range).await.unwrap(), 200);
    let latest = store.range(RangeRequest::latest(range)).await.unwrap();
    assert_eq!(latest.revision, store.revision());
    assert_eq!(latest.entries[100].value, value("changed"));
}

#[tokio::test]
async fn revisions_that_cannot_be_shown_are_refused() {
    let Fixture { store, folder: _folder } = open(Options::default());
    let first = put(&store, "a", "1").await;
    let second = put(&store, "a", "2").await;
    store.compact(second).await.unwrap();
    let at =
        |revision| RangeRequest { range: KeyRange::all(), revision: Some(revision), limit: None };
    let compacted = StoreError::Compacted { requested: first, compacted: second };
    assert_eq!(store.range(at(first)).await.unwrap_err(), compacted);
    assert_eq!(store.watch(KeyRange::all(), first).await.err(), Some(compacted.clone()));
    assert_eq!(store.compact(first).await.unwrap_err(), compacted);
    let future = StoreError::Future { requested: second + 1, current: second };
    assert_eq!(store.range(at(second + 1)).await.unwrap_err(), future);
    assert_eq!(store.watch(KeyRange::all(), second + 1).await.err(), Some(future.clone()));
    assert_eq!(store.compact(second + 1).await.unwrap_err(), future);
    assert!(store.range(at(second)).await.is_ok());
}

#[tokio::test]
async fn a_watch_has_history_then_what_happens_without_a_gap() {
    let Fixture { store, folder: _folder } = open(volatile());
    let first = put(&store, "/a", "1").await;
    put(&store, "/a", "2").await;
    put(&store, "/volatile/x", "3").await;
    let mut watch = store.watch(KeyRange::prefix(b"/"), first).await.unwrap();
    assert_eq!(watch.progress(), None, "two changes wait");
    put(&store, "/a", "4").await;
    store.txn(Txn::delete(key("/a"), first + 3)).await.unwrap();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(next(&mut watch).await, (first + 1, "/a".into(), some("2"), some("1")));
    assert_eq!(next(&mut watch).await, (first + 2, "/volatile/x".into(), some("3"), None));
    assert_eq!(next(&mut watch).await, (first + 3, "/a".into(), some("4"), some("2")));
    assert_eq!(next(&mut watch).await, (first + 4, "/a".into(), None, some("4")));
    assert_eq!(watch.progress(), Some(first + 4));
    put(&store, "elsewhere", "5").await;
    assert_eq!(watch.progress(), Some(first + 5), "and it sees how far others came");
}

#[tokio::test]
async fn a_slow_watch_catches_up_and_one_that_is_too_slow_is_told() {
    let options = Options { max_history: 1000, ..volatile() };
    let Fixture { store, folder: _folder } = open(options);
    let begin = store.revision();
    let mut slow = store.watch(KeyRange::all(), begin).await.unwrap();
    let mut too_slow = store.watch(KeyRange::all(), begin).await.unwrap();
    for n in 0..700 {
        put(&store, &format!("/volatile/k{n}"), "x").await;
    }
    for n in 0..700 {
        assert_eq!(next(&mut slow).await.1, format!("/volatile/k{n}"));
    }
    for n in 700..2000 {
        put(&store, &format!("/volatile/k{n}"), "x").await;
    }
    let mut seen = 0;
    let error = loop {
        match tokio::time::timeout(Duration::from_secs(10), too_slow.next()).await.unwrap() {
            Ok(event) => {
                seen += 1;
                assert_eq!(event.revision, begin + seen, "no gap before the error");
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Compacted { .. }), "{error}");
}

#[tokio::test]
async fn a_transaction_is_seen_whole() {
    let Fixture { store, folder: _folder } = open(volatile());
    let mut watch = store.watch(KeyRange::all(), store.revision()).await.unwrap();
    let mut txn = Txn::put(key("a"), value("1"));
    txn.writes.extend(Txn::put(key("/volatile/b"), value("2")).writes);
    txn.conditions.push(Condition { key: key("c"), mod_revision: 0 });
    let committed = store.txn(txn).await.unwrap();
    let (first, second) = (next(&mut watch).await, next(&mut watch).await);
    assert_eq!(committed, TxnOutcome::Committed { revision: first.0 });
    assert_eq!(first.0, second.0);
    assert_eq!((first.1.as_str(), second.1.as_str()), ("a", "/volatile/b"));
}

#[tokio::test]
async fn keys_of_a_lease_end_when_nobody_keeps_it_alive() {
    let Fixture { store, folder: _folder } = open(Options::default());
    let (begin, ttl) = (Instant::now(), Duration::from_secs(2));
    let lease = store.grant_lease(ttl).await.unwrap();
    store.txn(Txn::put(key("a"), value("1")).with_lease(lease)).await.unwrap();
    store.txn(Txn::put(key("b"), value("1")).with_lease(lease)).await.unwrap();
    put(&store, "b", "without a lease").await;
    let mut watch = store.watch(KeyRange::all(), store.revision()).await.unwrap();
    let (_, name, now, _) = next(&mut watch).await;
    assert_eq!((name.as_str(), now), ("a", None));
    assert!(begin.elapsed() >= ttl);
    assert_eq!(text(&store, "b").await.as_deref(), Some("without a lease"));
    let gone = StoreError::LeaseNotFound(lease);
    assert_eq!(store.keep_lease_alive(lease).await.unwrap_err(), gone);
    let late = Txn::put(key("c"), value("1")).with_lease(lease);
    assert_eq!(store.txn(late).await.unwrap_err(), gone);
}

#[tokio::test]
async fn revoking_a_lease_deletes_all_of_its_keys() {
    let Fixture { store, folder: _folder } = open(Options::default());
    let lease = store.grant_lease(Duration::from_secs(1000)).await.unwrap();
    for n in 0..300 {
        store.txn(Txn::put(key(&format!("k{n}")), value("1")).with_lease(lease)).await.unwrap();
    }
    assert_eq!(store.count(&KeyRange::all()).await.unwrap(), 300);
    store.revoke_lease(lease).await.unwrap();
    assert_eq!(store.count(&KeyRange::all()).await.unwrap(), 0);
}

#[tokio::test]
async fn the_database_stays_within_its_bound_while_one_key_changes() {
    let options = Options { max_bytes: 4 << 20, ..Options::default() };
    let Fixture { store, folder } = open(options);
    let blob = "x".repeat(50_000);
    for _ in 0..400 {
        put(&store, "a", &blob).await;
    }
    let size = std::fs::metadata(folder.path().join("store.db")).unwrap().len();
    assert!(size <= 4 << 20, "{size} bytes");
}

#[tokio::test]
async fn a_full_database_takes_deletions_and_then_values_again() {
    let options = Options { max_bytes: 2 << 20, ..Options::default() };
    let Fixture { store, folder: _folder } = open(options);
    let blob = "x".repeat(50_000);
    let mut kept = 0;
    let error = loop {
        match store.txn(Txn::create(key(&format!("k{kept}")), value(&blob))).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, StoreError::NoSpace { max_bytes: 2 << 20 });
    assert!(kept > 25, "{kept} values of 50 kB in 2 MiB");
    assert_eq!(text(&store, "k0").await.as_deref(), Some(blob.as_str()));
    for n in 0..kept {
        let delete = holm_store::Write::Delete { key: key(&format!("k{n}")) };
        store.txn(Txn { writes: vec![delete], ..Txn::default() }).await.unwrap();
    }
    put(&store, "again", &blob).await;
}

#[tokio::test]
async fn one_value_that_does_not_fit_fails_alone() {
    let options = Options { max_bytes: 2 << 20, ..Options::default() };
    let Fixture { store, folder: _folder } = open(options);
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            let size = if n == 3 { 3 << 20 } else { 10 };
            tokio::spawn(async move {
                store.txn(Txn::create(key(&n.to_string()), Bytes::from(vec![b'x'; size]))).await
            })
        })
        .collect();
    for (n, writer) in writers.into_iter().enumerate() {
        assert_eq!(writer.await.unwrap().is_ok(), n != 3);
    }
}

#[tokio::test]
async fn volatile_changes_write_nothing() {
    let Fixture { store, folder } = open(volatile());
    let before = store.stats().commits;
    for n in 0..500 {
        put(&store, "/volatile/lease", &n.to_string()).await;
    }
    assert_eq!(store.stats().commits, before);
    let wal = std::fs::metadata(folder.path().join("store.db-wal")).unwrap().len();
    store.checkpoint().await.unwrap();
    assert_eq!(store.stats().commits, before + 1);
    assert!(std::fs::metadata(folder.path().join("store.db-wal")).unwrap().len() > wal);
    assert_eq!(text(&store, "/volatile/lease").await.as_deref(), Some("499"));
}

#[tokio::test]
async fn a_closed_store_ends_its_watches_and_refuses_writes() {
    let Fixture { store, folder: _folder } = open(Options::default());
    let mut watch = store.watch(KeyRange::all(), store.revision()).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(watch.next().await.err(), Some(StoreError::Closed));
    assert_eq!(store.txn(Txn::put(key("a"), value("1"))).await.err(), Some(StoreError::Closed));
    assert_eq!(
        store.watch(KeyRange::all(), store.revision()).await.err(),
        Some(StoreError::Closed)
    );
}
