//! The client against servers on loopback: good ones, poor ones and hostile ones.

mod delta;
mod hostile_data;
mod hostile_metadata;
mod repository;
mod server;
mod transport;
