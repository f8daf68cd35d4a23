//! Revisions: values under keys, each change of which has a number that is used once. Compare and
//! set, ranges at a revision, watch, compaction, leases. Knows nothing of what the values mean.
//!
//! | module    | its duty                                                        |
//! |-----------|-----------------------------------------------------------------|
//! | `store`   | the trait that every engine offers, with etcd's semantics       |
//! | `event`   | one change, shared by everyone who watches it                   |
//! | `index`   | which versions of which keys there are (pure)                   |
//! | `batch`   | what a batch of transactions changes (pure)                     |
//! | `leases`  | keys that end by themselves (pure)                              |
//! | `hub`     | who watches what                                                |
//! | `sqlite`  | the engine of a single server                                   |

#![forbid(unsafe_code)]

mod batch;
mod cache;
mod event;
mod hub;
mod index;
mod key_range;
mod leases;
mod options;
pub mod sqlite;
mod store;

pub use event::Event;
pub use key_range::KeyRange;
pub use options::{Options, VolatilePolicy};
pub use sqlite::Sqlite;
pub use store::{
    Answer, Condition, Entry, Key, LeaseId, Range, RangeRequest, Revision, Stats, Store,
    StoreError, Txn, TxnOutcome, Watch, WatchStream, Write,
};
