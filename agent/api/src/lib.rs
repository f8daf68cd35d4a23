//! The Kubernetes object model, v1.36, driven by one schema table. Pure: must never do I/O, and must
//! never have code for one type where a row of the table would do.
//!
//! - [`value`]: JSON values, compactly
//! - [`schema`]: the table, and [`schema::Node`]: a place in a schema, built-in or of a CRD
//! - [`resource`]: one row for each resource; which names a client may use for it
//! - [`decode`], [`protobuf`]: documents to the form in which they are kept, and back
//! - [`defaults`], [`validate`], [`convert`]: what kinds mean, as far as their objects alone tell
//! - [`patch`], [`apply`]: changes, and who owns which field
//! - [`crd`]: resources that are added while the server runs
//! - [`tables`]: objects as people read them
//! - [`status`], [`field`]: errors as clients expect them
//! - [`selector`], [`quantity`], [`names`], [`time`]: small languages inside of fields
//! - [`options`]: what a request may ask for beside its body
//! - [`client`]: the trait through which everything but the server reaches objects
//!
//! A write passes `decode` → `patch` or `apply` → `defaults` → (admission) → `validate`, and is then
//! kept as JSON.

#![forbid(unsafe_code)]

pub mod apply;
pub mod client;
pub mod convert;
pub mod crd;
pub mod decode;
pub mod defaults;
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
pub mod tables;
pub mod time;
pub mod validate;
pub mod value;

pub use resource::{Gvk, Gvr, Resource};
pub use status::Status;
pub use value::{Map, Value};
