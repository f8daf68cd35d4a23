//! The GUID partition table: reading it, and growing the last partition to the
//! end of its disk so that any power cut leaves a table the kernel accepts.
//! Format: UEFI specification, chapter 5.

pub(crate) mod disk;
pub(crate) mod growth;
pub(crate) mod table;
