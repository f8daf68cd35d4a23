//! Services: the programs that PID 1 keeps running.
//! Decisions are in `machine`; `launch` and `notify` only carry messages.

pub(crate) mod launch;
pub(crate) mod machine;
pub(crate) mod notify;
pub(crate) mod spec;
