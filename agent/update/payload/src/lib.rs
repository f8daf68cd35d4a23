//! What a repository of updates says and holds; used by who publishes and by who downloads.
//!
//! | file | duty |
//! |---|---|
//! | `release` | the signed facts of one version for one board |
//! | `waves` | when a node's turn comes |
//! | `choose` | which release a node goes for, and why not |
//! | `chunk` | content-defined chunks of a part, and their digests |
//! | `index` | the file that lists them: where in the data each one is |
//! | `pack` | parts become data and an index |
//! | `plan` | from what is missing to ranges |
//!
//! Must never do I/O of its own, read a clock, or draw a random number.

#![forbid(unsafe_code)]

pub mod choose;
pub mod chunk;
pub mod index;
pub mod pack;
pub mod plan;
pub mod release;
pub mod waves;

pub use choose::{Choice, Refusal, choose, named};
pub use chunk::{Digest, Sizes};
pub use index::{Chunk, Index, IndexError};
pub use pack::{Packed, Packer};
pub use plan::Run;
pub use release::{Part, PartKind, Release, ReleaseError, Rollout, releases};
pub use waves::Schedule;
