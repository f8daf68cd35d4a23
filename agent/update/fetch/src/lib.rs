//! Gets updates: metadata by The Update Framework, then of a release only the chunks that the node
//! has not, by ranges, from the first of several places that gives them.
//!
//! | file | duty |
//! |---|---|
//! | `settings` | what a person may set |
//! | `place` | one place of a repository: a web server, or a folder such as a USB stick |
//! | `http` | requests: ranges, redirects, proxy, TLS, time limits |
//! | `pace` | no faster than allowed, no slower than bearable. Pure |
//! | `store` | the trusted metadata on the disk, each file durable before the next |
//! | `refresh` | runs the workflow over a place |
//! | `seeds` | which chunks the node has already |
//! | `part` | a part as a stream: from seeds, else from a place, each chunk verified |
//! | `client` | all of it, as the installer's source of payloads |
//!
//! Must never trust a byte for where it came from, hold a whole part in memory, or write to a slot.

#![forbid(unsafe_code)]

pub mod client;
mod http;
pub mod pace;
mod part;
pub mod place;
pub mod refresh;
pub mod seeds;
pub mod settings;
pub mod store;

pub use client::{Client, ClientError, Download};
pub use pace::Pace;
pub use place::{FetchError, Place};
pub use refresh::{RefreshError, Trusted};
pub use seeds::{Seed, Seeds};
pub use settings::{Settings, SettingsError, Traffic};
pub use store::{Store, StoreError};
