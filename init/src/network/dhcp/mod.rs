//! A DHCPv4 client (RFC 2131, 2132, 3396, 3397, 3442): a pure state machine (`machine`, `exchange`),
//! the lease it holds (`lease`), what it says (`questions`), the codec (`message`, `options`), the
//! framing (`packet`), and the only places that touch the system: `socket` and `store`.

pub(crate) mod exchange;
pub(crate) mod lease;
pub(crate) mod machine;
pub(crate) mod message;
pub(crate) mod options;
pub(crate) mod packet;
pub(crate) mod questions;
pub(crate) mod socket;
pub(crate) mod store;

pub(crate) use lease::Lease;
pub(crate) use machine::{Action, Event, Loss, Machine};
pub(crate) use questions::Params;
