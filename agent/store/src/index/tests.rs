use std::sync::Arc;

use super::*;

fn key(name: &str) -> Key {
    Arc::from(name.as_bytes())
}

fn put(index: &mut Index, name: &str, revision: Revision) {
    let body = Body::Stored(10);
    let version =
        Version { row: row_of(revision, 0), create_revision: 1, version: 1, lease: None, body };
    index.apply(key(name), version);
}

fn delete(index: &mut Index, name: &str, revision: Revision) {
    let body = Body::Deleted { stored: true };
    let version =
        Version { row: row_of(revision, 0), create_revision: 1, version: 1, lease: None, body };
    index.apply(key(name), version);
}

fn names(index: &Index, revision: Revision) -> Vec<(String, Revision)> {
    index
        .range(&KeyRange::all(), revision)
        .map(|(key, version)| (String::from_utf8_lossy(key).into_owned(), revision_of(version.row)))
        .collect()
}

#[test]
fn a_range_shows_what_was_there_at_its_revision() {
    let mut index = Index::new(0);
    put(&mut index, "a", 1);
    put(&mut index, "b", 2);
    put(&mut index, "a", 3);
    delete(&mut index, "b", 4);
    assert_eq!(names(&index, 0), []);
    assert_eq!(names(&index, 2), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(names(&index, 3), [("a".to_owned(), 3), ("b".to_owned(), 2)]);
    assert_eq!(names(&index, 4), [("a".to_owned(), 3)]);
    assert_eq!(index.live_keys(), 1);
}

#[test]
fn compaction_keeps_what_its_revision_shows() {
    let mut index = Index::new(0);
    put(&mut index, "a", 1);
    put(&mut index, "b", 2);
    put(&mut index, "a", 3);
    put(&mut index, "a", 4);
    delete(&mut index, "b", 5);
    assert_eq!(index.compact(3), [row_of(1, 0)]);
    assert_eq!(names(&index, 3), [("a".to_owned(), 3), ("b".to_owned(), 2)]);
    assert_eq!(
        index.check(2),
        Err(StoreError::Compacted { requested: 2, compacted: 3 }),
        "history before it is gone"
    );
    let mut rows = index.compact(5);
    rows.sort_unstable();
    assert_eq!(rows, [row_of(2, 0), row_of(3, 0), row_of(5, 0)]);
    assert_eq!(names(&index, 5), [("a".to_owned(), 4)]);
    assert_eq!(index.keys.len(), 1, "the deletion itself is forgotten");
    assert_eq!(index.superseded_bytes, 0);
}

#[test]
fn changes_come_in_order_with_what_was_before() {
    let mut index = Index::new(0);
    put(&mut index, "a", 1);
    put(&mut index, "b", 2);
    put(&mut index, "a", 3);
    delete(&mut index, "a", 4);
    put(&mut index, "a", 5);
    let (changes, upto) =
        index.changes(&KeyRange::key(b"a"), last_row_of(1), last_row_of(5), 10).unwrap();
    let seen: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                revision_of(change.version.row),
                change.version.is_live(),
                change.previous.as_ref().map(|previous| revision_of(previous.row)),
            )
        })
        .collect();
    assert_eq!(seen, [(3, true, Some(1)), (4, false, Some(3)), (5, true, None)]);
    assert_eq!(upto, last_row_of(5));
}

#[test]
fn a_limit_cuts_changes_where_the_next_call_goes_on() {
    let mut index = Index::new(0);
    for revision in 1..=5 {
        put(&mut index, "a", revision);
    }
    let range = KeyRange::all();
    let (first, upto) = index.changes(&range, last_row_of(0), last_row_of(5), 2).unwrap();
    let (second, _) = index.changes(&range, upto, last_row_of(5), 10).unwrap();
    assert_eq!((first.len(), second.len()), (2, 3));
    assert_eq!(revision_of(second[0].version.row), 3);
}

#[test]
fn changes_after_a_compacted_revision_are_refused() {
    let mut index = Index::new(0);
    put(&mut index, "a", 1);
    put(&mut index, "a", 2);
    index.compact(2);
    let refused = index.changes(&KeyRange::all(), last_row_of(1), last_row_of(2), 10);
    assert_eq!(refused.err(), Some(StoreError::Compacted { requested: 1, compacted: 2 }));
    assert!(index.changes(&KeyRange::all(), last_row_of(2), last_row_of(2), 10).is_ok());
}

#[test]
fn history_past_its_bound_is_due_for_compaction() {
    let options = Options { max_history: 8, ..Options::default() };
    let mut index = Index::new(0);
    for revision in 1..=8 {
        put(&mut index, "a", revision);
        assert_eq!(index.compaction_due(&options), None);
    }
    put(&mut index, "a", 9);
    let due = index.compaction_due(&options).unwrap();
    index.compact(due);
    assert_eq!(index.log.len(), 5);
    assert_eq!(index.compaction_due(&options), None);

    let bytes = Options { max_history_bytes: 20, ..Options::default() };
    assert!(index.compaction_due(&bytes).is_some(), "four superseded values of 10 bytes are kept");
    while let Some(due) = index.compaction_due(&bytes) {
        index.compact(due);
    }
    assert!(index.superseded_bytes <= 20);
}

#[test]
fn rows_that_are_loaded_without_history_supersede_at_once() {
    let mut index = Index::new(5);
    let version = |revision| Version {
        row: row_of(revision, 0),
        create_revision: 1,
        version: 1,
        lease: None,
        body: Body::Stored(1),
    };
    assert_eq!(index.apply(key("a"), version(1)), None);
    assert_eq!(index.apply(key("a"), version(3)), Some(row_of(1, 0)));
    assert_eq!(index.apply(key("a"), version(7)), None, "revision 5 still shows the one of 3");
    assert_eq!(names(&index, 5), [("a".to_owned(), 3)]);
    assert_eq!(index.revision(), 7);

    let gone = Version { body: Body::Deleted { stored: true }, ..version(4) };
    index.apply(key("b"), gone);
    assert_eq!(index.drop_old_deletions(), [row_of(4, 0)]);
    assert_eq!(index.keys.len(), 1);
}

#[test]
fn an_empty_range_lists_nothing() {
    let mut index = Index::new(0);
    put(&mut index, "a", 1);
    let empty = KeyRange::key(b"a").after(b"b");
    assert_eq!(index.range(&empty, 1).count(), 0);
}
