//! The raw system calls that no crate covers. Each file is one device's or one
//! call's binary interface: nothing here decides anything.

pub(crate) mod device_mapper;
pub(crate) mod entropy;
pub(crate) mod ext4;
pub(crate) mod gpio;
pub(crate) mod loopback;
pub(crate) mod memory;
pub(crate) mod partition;
pub(crate) mod processes;
pub(crate) mod signals;
