//! The disks of this machine: what the kernel says of them, and whether one may be written.
//! Pure, but for taking the snapshot.

mod contents;
mod disk;
mod snapshot;
mod verdict;

pub use contents::{Contents, describe};
pub use disk::{Connection, Disk, Use, parse};
pub use snapshot::{Block, Snapshot};
pub use verdict::{NoChoice, Refusal, check, choose, line};

/// Bytes as people read them on a package: 31.9 GB.
pub fn size_text(bytes: u64) -> String {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let bytes = bytes as f64;
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}
