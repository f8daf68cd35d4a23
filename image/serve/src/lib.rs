//! A small server for a bench or a site: the files of an update repository with ranges, reports of
//! what the nodes run, a page that shows the fleet, and metrics.
//!
//! | file | duty |
//! |---|---|
//! | `request` | a request's head and body, bounded. Pure but for the reader |
//! | `range` | which bytes a range asks for. Pure |
//! | `reports` | what nodes said last, in SQLite |
//! | `page` | the fleet as plain HTML. Pure |
//! | `metrics` | counters, in Prometheus' text form |
//! | `site` | from a request to an answer |
//! | `server` | connections, threads, TLS |
//!
//! Nothing here is trusted by a node: a server that is taken over can hide updates, not forge them.
//! Must never serve a file outside of the repository, or write to it.

#![forbid(unsafe_code)]

pub mod metrics;
pub mod page;
pub mod range;
pub mod reports;
pub mod request;
pub mod server;
pub mod site;

pub use reports::Reports;
pub use server::Server;
pub use site::Site;
