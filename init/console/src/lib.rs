//! The dashboard that a node shows on its screen and its serial lines: what is
//! known of the node, the pages made of it, and when a terminal shows them.
//! Pure: texts and keys come in, bytes for a terminal go out. Must never read a
//! file, open a terminal or ask the clock: `holm-init console` does.
#![forbid(unsafe_code)]

mod dashboard;
mod keys;
mod messages;
mod pages;
mod plain;
mod presence;
mod screen;
mod sections;
mod state;
mod status;

pub use dashboard::{Asked, Dashboard, LOGS, Page};
pub use keys::{Key, Keys};
pub use messages::{Message, Messages};
pub use presence::{Appears, Event, Presence, Step};
pub use screen::{HIDE, SHOW, SIZE_QUESTION, Screen};
pub use state::{Filling, Link, Pod, Service, State};
pub use status::{Known, read};

pub use ratatui::layout::Size;
