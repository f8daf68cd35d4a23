//! The disk image: which partition is where, what is in each, and how they come together.

mod boot;
mod ext4;
mod layout;
mod mbr;
mod write;

pub use boot::{Entry, Error as BootError, Source, write_fat};
pub use ext4::{Error as Ext4Error, FileSystem, make};
pub use layout::{Error as LayoutError, Kind, Layout, Partition, Role, plan};
pub use mbr::SIGNATURE as MBR_SIGNATURE;
pub use write::{Error as WriteError, Part, copy_sparse, write};
