//! The Kubernetes API over HTTP. A request is a path, then what it asks for (pure), then who asks,
//! whether they may, what admission makes of it, the verb, and the encoding. One row of the table
//! says all about a resource: there is no handler for one kind.
//!
//! | module      | its duty                                                          |
//! |-------------|-------------------------------------------------------------------|
//! | `request`   | what a method and path ask for (pure)                             |
//! | `negotiate` | which encoding an answer has (pure)                               |
//! | `at_rest`   | objects as the store keeps them, and their keys (pure)            |
//! | `metadata`  | what the server itself writes into objects (pure)                 |
//! | `verbs`     | the verbs, over the store                                         |
//! | `watch`     | events of one watch, with selectors and bookmarks                 |
//! | `discovery` | which resources there are, and their shapes                       |
//! | `auth`      | who asks, and what they may                                       |
//! | `admission` | what may be created and changed, in order                         |
//! | `client`    | the same verbs for the controllers of this process                |
//! | `serve`     | connections, TLS, limits                                          |

#![forbid(unsafe_code)]

pub mod admission;
pub mod at_rest;
pub mod auth;
mod body;
pub mod client;
mod discovery;
mod health;
pub mod kubeconfig;
mod metadata;
mod negotiate;
mod openapi;
mod parameters;
mod pipeline;
mod request;
mod respond;
pub mod serve;
mod server;
mod table;
mod verbs;
mod watch;

pub use server::{Server, Settings};
