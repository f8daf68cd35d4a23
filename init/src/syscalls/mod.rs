//! The raw system calls that no crate covers. Each file is one device's or one
//! call's binary interface: nothing here decides anything.

pub(crate) mod device_mapper;
pub(crate) mod processes;
pub(crate) mod signals;
