//! Stage two: PID 1 of the node. One loop waits for whatever happens, hands it
//! to the pure machines (boot, services, shutdown, health), and performs what
//! they answer.
//! Never blocks, panics, exits, or starts a thread: work that may block is done
//! by children (see `tasks`).

mod answers;
mod node;
mod perform;
mod phases;
mod unit;

use crate::clock::now;

/// Runs the node. Does not come back.
pub(crate) fn main() -> ! {
    let mut node = node::Node::new(now());
    loop {
        node.turn();
    }
}
