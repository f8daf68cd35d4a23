//! How a node comes to its document, and how a change that it cannot live with is
//! undone: which of several documents wins, what a foreign one must prove, the
//! page for entering one by hand, and the trial of a new one.
//! Pure: bytes, answers and moments come in, decisions and bytes go out. Must
//! never open a file, a socket or a clock: `holm-init` does.
#![forbid(unsafe_code)]

mod code;
mod page;
mod pin;
mod places;
mod seed;
mod trial;
mod visit;
mod volume;

pub use code::Code;
pub use page::{Answer, Page};
pub use pin::{Pin, PinError};
pub use places::{Place, Ranked, rank};
pub use seed::{SeedError, user_data};
pub use trial::{AtBoot, Deed, Record, Verdict, Watch, at_boot};
pub use visit::{Visit, VisitError};
pub use volume::{Volume, label};
