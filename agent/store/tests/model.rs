//! The engine against a model that is simple enough to be right, with power cuts between any two
//! writes to the disk: acknowledged changes are there, no revision comes twice, and a list or a
//! watch either shows exactly what the model says or is told that history is gone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

mod model {
    pub mod disk;
    pub mod reference;
}

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holm_store::{
    Condition, Key, KeyRange, Options, RangeRequest, Revision, Sqlite, Store, StoreError, Txn,
    TxnOutcome, VolatilePolicy, Write,
};
use model::disk::{Torn, folder, power_cut, snapshot};
use model::reference::Reference;
use proptest::prelude::*;

/// Few keys, so that they meet; the last two are volatile.
const KEYS: [&str; 6] = ["/a", "/a/1", "/a/2", "/b", "/v/1", "/v/2"];

#[derive(Debug, Clone)]
enum Step {
    /// Writes keys together; with `guess`, only if the first has this revision of the latest few.
    Txn {
        writes: Vec<(usize, Option<u16>)>,
        guess: Option<u8>,
    },
    /// Reads a range a few revisions ago, with a limit.
    Range {
        prefix: usize,
        ago: u8,
        limit: Option<u8>,
    },
    /// Watches a range from a few revisions ago up to now.
    Watch {
        prefix: usize,
        ago: u8,
    },
    Compact {
        ago: u8,
    },
    Checkpoint,
    /// Closes and opens again.
    Restart,
    /// The power goes while the step before this one writes: so much of it is on the disk.
    PowerCut(Torn),
}

fn step() -> impl Strategy<Value = Step> {
    let write = (0..KEYS.len(), proptest::option::weighted(0.75, 0..3000_u16));
    prop_oneof![
        12 => (proptest::collection::vec(write, 1..4), proptest::option::weighted(0.5, 0..4_u8))
            .prop_map(|(writes, guess)| Step::Txn { writes, guess }),
        4 => (0..KEYS.len(), 0..12_u8, proptest::option::of(1..4_u8))
            .prop_map(|(prefix, ago, limit)| Step::Range { prefix, ago, limit }),
        4 => (0..KEYS.len(), 0..12_u8).prop_map(|(prefix, ago)| Step::Watch { prefix, ago }),
        2 => (0..8_u8).prop_map(|ago| Step::Compact { ago }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Restart),
        3 => any::<(u16, u64)>().prop_map(|(cut, pages)| Step::PowerCut(Torn { cut, pages })),
    ]
}

fn options() -> Options {
    let volatile =
        VolatilePolicy { prefixes: vec![b"/v/".to_vec()], checkpoint_every: Duration::ZERO };
    // A short history and small blocks, so that both come into play.
    Options {
        volatile,
        max_history: 16,
        revision_block: 5,
        cache_bytes: 8192,
        ..Options::default()
    }
}

struct Run {
    folder: tempfile::TempDir,
    /// The disk before the latest step, and what the model was then.
    before: (tempfile::TempDir, Reference),
    store: Sqlite,
    model: Reference,
    /// No change at or before it may be asked for.
    written: u16,
}

impl Run {
    fn new() -> Self {
        let folder = folder();
        let (store, opened) = Sqlite::open(folder.path(), options()).unwrap();
        let model = Reference::new(opened.revision);
        Self { before: (snapshot(folder.path()), model.clone()), folder, store, model, written: 0 }
    }

    async fn step(&mut self, step: Step) {
        if let Step::PowerCut(torn) = step {
            self.power_cut(torn).await;
            return;
        }
        self.before = (snapshot(self.folder.path()), self.model.clone());
        match step {
            Step::Txn { writes, guess } => self.txn(writes, guess).await,
            Step::Range { prefix, ago, limit } => self.range(prefix, ago, limit).await,
            Step::Watch { prefix, ago } => self.watch(prefix, ago).await,
            Step::Compact { ago } => {
                let revision = self.store.revision().saturating_sub(u64::from(ago));
                let compacted = self.store.stats().compacted;
                let result = self.store.compact(revision).await;
                assert_eq!(result.is_ok(), revision >= compacted, "{result:?}");
            }
            Step::Checkpoint => {
                self.store.checkpoint().await.unwrap();
                self.model.checkpoint();
            }
            Step::Restart => {
                self.store.close().await.unwrap();
                self.model.checkpoint();
                let (store, opened) = Sqlite::open(self.folder.path(), options()).unwrap();
                assert!(!opened.was_open && opened.recovery.is_none());
                assert_eq!(opened.revision, self.model.revision());
                self.model.opened_cleanly();
                self.store = store;
            }
            Step::PowerCut(_) => unreachable!(),
        }
        self.compare().await;
    }

    async fn txn(&mut self, writes: Vec<(usize, Option<u16>)>, guess: Option<u8>) {
        let mut txn = Txn::default();
        for (place, size) in writes {
            let key: Key = Arc::from(KEYS[place].as_bytes());
            if txn.writes.iter().any(|it| it.key() == &key) {
                continue;
            }
            self.written += 1;
            txn.writes.push(match size {
                // Each value is another, and long ones need pages of their own.
                Some(size) => {
                    let text = format!("{} {}", self.written, "x".repeat(usize::from(size)));
                    Write::Put { key, value: Bytes::from(text), lease: None }
                }
                None => Write::Delete { key },
            });
        }
        if let Some(guess) = guess {
            let key = txn.writes[0].key().clone();
            let mod_revision = match guess {
                0 => 0,
                ago => self.model.mod_revision(&key).saturating_sub(u64::from(ago) / 3),
            };
            txn.conditions.push(Condition { key, mod_revision });
        }
        let expected = self.model.txn(&txn);
        let got = self.store.txn(txn).await.unwrap();
        match (&expected, &got) {
            (Some(revision), TxnOutcome::Committed { revision: got }) => {
                assert_eq!(revision, got);
            }
            (None, TxnOutcome::Conflict { condition: 0, current, .. }) => {
                let key = KEYS.iter().find(|it| {
                    current.as_ref().is_some_and(|entry| entry.key[..] == *it.as_bytes())
                });
                if let (Some(key), Some(current)) = (key, current) {
                    assert_eq!(self.model.mod_revision(key.as_bytes()), current.mod_revision);
                }
            }
            _ => panic!("model: {expected:?}, store: {got:?}"),
        }
    }

    async fn range(&mut self, prefix: usize, ago: u8, limit: Option<u8>) {
        let range = KeyRange::prefix(KEYS[prefix].as_bytes());
        let revision = self.store.revision().saturating_sub(u64::from(ago));
        let limit = limit.map(usize::from);
        let request = RangeRequest { range: range.clone(), revision: Some(revision), limit };
        match self.store.range(request).await {
            Ok(got) => {
                let mut expected = self.model.range(&range, revision);
                let all = expected.len();
                expected.truncate(limit.unwrap_or(usize::MAX));
                assert_eq!(got.remaining, all - expected.len());
                assert_eq!(got.entries, expected);
            }
            Err(error) => self.may_be_gone(&range, revision, &error),
        }
    }

    async fn watch(&mut self, prefix: usize, ago: u8) {
        let range = KeyRange::prefix(KEYS[prefix].as_bytes());
        let revision = self.store.revision().saturating_sub(u64::from(ago));
        match self.store.watch(range.clone(), revision).await {
            Ok(mut watch) => {
                for (at, key, now, before) in self.model.changes(&range, revision) {
                    let event = watch.next().await.unwrap();
                    assert_eq!((event.revision, &event.key), (at, &key));
                    assert_eq!((&event.entry, &event.previous), (&now, &before));
                }
                assert_eq!(watch.progress(), Some(self.store.revision()), "and nothing more");
            }
            Err(error) => self.may_be_gone(&range, revision, &error),
        }
    }

    /// Only history that was compacted, or of volatile keys before the opening, may be refused.
    fn may_be_gone(&self, range: &KeyRange, revision: Revision, error: &StoreError) {
        let StoreError::Compacted { requested, compacted } = error else { panic!("{error}") };
        assert_eq!(*requested, revision);
        assert!(revision < *compacted);
        let volatile = range.meets_prefix(b"/v/") && revision < self.model.opened_at();
        assert!(volatile || *compacted == self.store.stats().compacted);
    }

    /// Cuts the power while the latest step was written, and opens what is left.
    async fn power_cut(&mut self, torn: Torn) {
        let (disk, model) = &self.before;
        let folder = power_cut(disk.path(), self.folder.path(), torn);
        let (store, opened) = Sqlite::open(folder.path(), options()).unwrap();
        assert_eq!(opened.recovery, None, "a power cut damages nothing");
        // Nobody was told of the latest step yet: it happened, or it did not.
        let latest = store.range(RangeRequest::latest(KeyRange::all())).await.unwrap();
        let found = latest.entries;
        let after = self.model.after_crash(opened.revision);
        let earlier = model.after_crash(opened.revision);
        self.model = if found == after.latest() { after } else { earlier };
        assert_eq!(found, self.model.latest());
        assert!(opened.revision > model.highest_seen(), "revisions are not used twice");
        self.model.opened_at_revision(opened.revision);
        self.store = store;
        self.folder = folder;
        self.before = (snapshot(self.folder.path()), self.model.clone());
    }

    async fn compare(&self) {
        assert_eq!(self.store.revision(), self.model.revision());
        let entries = self.store.range(RangeRequest::latest(KeyRange::all())).await.unwrap();
        assert_eq!(entries.entries, self.model.latest());
        for key in KEYS {
            let got = self.store.get(key.as_bytes()).await.unwrap();
            let expected = self.model.latest().into_iter().find(|it| it.key[..] == *key.as_bytes());
            assert_eq!(got, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new();
            for step in steps {
                run.step(step).await;
            }
        });
    }
}
