//! Master boot records: the partition table of boards whose ROM reads no other.
//! Its partitions have no names. On a disk with Holm's signature, numbers stand for them.

pub(crate) mod disk;
pub(crate) mod growth;
pub(crate) mod table;
