//! The Update Framework (specification 1.0): who may say what a node installs.
//!
//! | file | duty |
//! |---|---|
//! | `canonical` | the one byte form of a JSON value, which signatures cover |
//! | `key` | keys, their identifiers, and single signatures |
//! | `metadata` | the four roles: root, timestamp, snapshot, targets |
//! | `envelope` | what is signed with its signatures: parse, count towards a threshold, sign |
//! | `workflow` | the client's section 5 as a state machine: it names a file, it gets an answer |
//! | `search` | the way from the top-level targets through delegations to a target |
//! | `file_name` | names of metadata and targets in a repository |
//!
//! Must never do I/O or read a clock: files, answers and the time come in as arguments, what is to
//! be kept goes out as values. Keys are ed25519 only; keys of other types are no error, as they are
//! not in upstream's clients, but never count.

#![forbid(unsafe_code)]

pub mod canonical;
pub mod envelope;
pub mod file_name;
pub mod hex;
pub mod key;
pub mod metadata;
pub mod search;
pub mod workflow;

#[cfg(test)]
mod simulator;

pub use envelope::{Envelope, EnvelopeError};
pub use key::{Key, KeyPair, Signer};
pub use metadata::{Expires, Meta, Role, Root, Snapshot, Target, Targets, Timestamp};
pub use search::Search;
pub use workflow::{Answer, Change, Limits, Request, Stored, Workflow, WorkflowError};
