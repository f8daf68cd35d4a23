//! Builds, signs and runs Holm's disk images. Every part is a pure plan and a thin executor;
//! nothing here needs root or a loop device. The QEMU command line serves the VM tests too.
#![forbid(unsafe_code)]

pub mod apt;
pub mod board;
pub mod budget;
pub mod build;
pub mod compile;
pub mod digest;
pub mod disk;
pub mod flash;
pub mod keys;
pub mod modules;
pub mod process;
pub mod progress;
pub mod publish;
pub mod qemu;
pub mod root;
pub mod rpi;
pub mod steps;
pub mod toolbox;
pub mod tree;
pub mod uboot;
pub mod uki;
