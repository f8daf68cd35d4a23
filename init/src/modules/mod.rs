//! Loadable kernel modules: which are wanted, in which order, and their loading.
//! Never decides by a device's name: the kernel's own aliases do.

pub(crate) mod alias;
pub(crate) mod coldplug;
pub(crate) mod drivers;
pub(crate) mod index;
pub(crate) mod load;
pub(crate) mod modprobe;
mod schedule;
