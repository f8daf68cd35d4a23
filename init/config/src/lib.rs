//! The node document `holm.toml`: its types, its defaults, and how a text becomes them.
//! Pure: nothing here reads a file, asks the clock or looks at the machine.
//! See `README.md` beside this crate for every key.
#![forbid(unsafe_code)]

mod console;
mod document;
mod hardware;
mod install;
mod links;
mod network;
mod node;
mod pods;
mod problem;
mod provisioning;
mod reader;
mod reset;
mod schema;
mod syntax;
mod system;
mod topology;
mod update;
mod wifi;

pub use console::{Appearance, Console};
pub use document::parse;
pub use hardware::Hardware;
pub use install::{AfterInstall, Install, Target};
pub use links::{
    Bond, BondMode, Bridge, LacpRate, Link, LinkKind, LinkMatch, Mac, Route, TransmitHash, Vlan,
};
pub use network::Network;
pub use node::{Node, NodeConfig};
pub use pods::{Images, Pods, Registry, Secret};
pub use problem::Problem;
pub use provisioning::{Confirm, Provisioning};
pub use reset::{Gpio, Reset};
pub use schema::{Section, schema};
pub use system::{Kernel, Log, Time, Watchdog};
pub use update::{Update, Window};
pub use wifi::{Wifi, WifiSecurity};

pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
