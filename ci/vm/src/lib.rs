//! Starts virtual machines from a Holm image, acts on them and watches what they do.
//!
//! Scenarios (`tests/boot`), the demo and the benchmarks are written on this crate. It must never
//! touch a process, port or file that it did not make itself, and never change the image it is
//! given: every machine works on a copy.

pub mod archive;
pub mod bare;
pub mod bench;
pub mod board;
pub mod console;
pub mod deadline;
pub mod dhcp;
pub mod disk;
pub mod http;
pub mod machine;
pub mod payload;
pub mod phases;
pub mod power_cut;
pub mod qmp;
pub mod scenario;
pub mod shell;
pub mod vm;
