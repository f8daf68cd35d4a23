//! Kernel modules: which of them a board ships, and the index files that describe just those.

mod index;
mod selection;

pub use index::{Index, Texts};
pub use selection::{Error, Selection, matches, select};
