//! The Kubernetes object model, v1.36, driven by one schema table. Pure: must never do I/O, and must
//! never have code for one type where a row of the table would do.
//!
//! - [`value`]: JSON values, compactly
//! - [`schema`]: the table, and [`schema::Node`]: a place in a schema, built-in or of a CRD
//! - [`resource`]: one row for each resource; which names a client may use for it
//! - [`status`], [`field`]: errors as clients expect them
//! - [`selector`], [`quantity`], [`names`], [`time`]: small languages inside of fields
//! - [`options`]: what a request may ask for beside its body
//! - [`client`]: the trait through which everything but the server reaches objects

#![forbid(unsafe_code)]

pub mod apply;
pub mod client;
pub mod crd;
pub mod decode;
pub mod field;
pub mod names;
pub mod options;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod resource;
#[cfg(test)]
mod sample;
pub mod schema;
pub mod selector;
pub mod status;
pub mod time;
pub mod value;

pub use resource::{Gvk, Gvr, Resource};
pub use status::Status;
pub use value::{Map, Value};
