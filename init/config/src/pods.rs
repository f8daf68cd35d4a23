//! `[pods]`, `[images]` and `[registries]`: what the agent runs, and where it comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};

use crate::document::{or_default, values};
use crate::reader::{At, Table};
use crate::system::{read_log_files, read_log_size};
use crate::{schema, syntax};

/// `[pods]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pods {
    /// Files or folders of Pod manifests; a relative path starts at the document's folder.
    pub manifests: Vec<String>,
    /// The node's range of pod addresses; no host bits are set.
    pub cidr: Ipv4Net,
    /// The node's range of IPv6 pod addresses. Unset: pods have IPv4 only.
    pub cidr6: Option<Ipv6Net>,
    /// Size in bytes at which a container's log is rotated.
    pub log_max_size: u64,
    /// Number of log files that are kept for each container, the current one included.
    pub log_files: u32,
}

impl Default for Pods {
    fn default() -> Self {
        Self {
            manifests: vec!["manifests".into()],
            cidr: Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 42, 0, 0), 24),
            cidr6: None,
            log_max_size: 10 << 20,
            log_files: 5,
        }
    }
}

/// `[images]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Files or folders of image archives that are imported at start; absolute, or relative to
    /// the document's folder.
    pub preload: Vec<String>,
    /// Percent of the data file system in use above which unused images are collected.
    pub gc_high_percent: u8,
    /// Percent of the data file system in use at which collection stops.
    pub gc_low_percent: u8,
    /// An image that was in use within this time is never collected.
    pub gc_min_age: Duration,
    /// A pull that makes no progress for this long has failed.
    pub pull_timeout: Duration,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            preload: vec!["/data/preload".into()],
            gc_high_percent: 85,
            gc_low_percent: 80,
            gc_min_age: Duration::from_secs(120),
            pull_timeout: Duration::from_secs(60),
        }
    }
}

/// `[registries."<host[:port]>"]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// Base URLs (`https://mirror.example` or `http://…`) that are tried in order before the
    /// registry itself.
    pub mirrors: Vec<String>,
    /// File of PEM certificates that are trusted for this registry and its mirrors beside the
    /// built-in ones; a relative path starts at the document's folder.
    pub ca: Option<String>,
    /// User name; set exactly when `password` is.
    pub username: Option<String>,
    /// Password or token.
    pub password: Option<Secret>,
    /// Accept plain HTTP and certificates that nobody vouches for.
    pub insecure: bool,
}

/// A text that must not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

pub(crate) fn read_pods(root: &Table<'_>) -> Pods {
    let default = Pods::default();
    let Some(table) = root.table("pods", &schema::PODS) else { return default };
    let manifests = table.list("manifests", syntax::path);
    Pods {
        manifests: manifests.map_or(default.manifests, |list| values(Some(list))),
        cidr: or_default(table.parsed("cidr", syntax::pod_cidr), default.cidr),
        cidr6: table.parsed("cidr6", syntax::pod_cidr6).map(|cidr| cidr.value),
        log_max_size: read_log_size(&table, "log-max-size").unwrap_or(default.log_max_size),
        log_files: read_log_files(&table, "log-files").unwrap_or(default.log_files),
    }
}

impl Images {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let default = Self::default();
        let Some(table) = root.table("images", &schema::IMAGES) else { return default };
        let percent = |key, default| {
            let percent = table.integer(key, 1..=100);
            percent.and_then(|percent| percent.value.try_into().ok()).unwrap_or(default)
        };
        let preload = table.list("preload", syntax::path);
        let pull_timeout = table.parsed("pull-timeout", syntax::duration);
        if let Some(timeout) = pull_timeout.filter(|timeout| timeout.value.as_millis() < 1000) {
            table.problem(timeout.at, "no pull can make progress so fast", "write 1s or more");
        }
        let images = Self {
            preload: preload.map_or(default.preload, |list| values(Some(list))),
            gc_high_percent: percent("gc-high-percent", default.gc_high_percent),
            gc_low_percent: percent("gc-low-percent", default.gc_low_percent),
            gc_min_age: or_default(
                table.parsed("gc-min-age", syntax::duration),
                default.gc_min_age,
            ),
            pull_timeout: or_default(pull_timeout, default.pull_timeout),
        };
        if images.gc_low_percent >= images.gc_high_percent {
            let (low, high) = (images.gc_low_percent, images.gc_high_percent);
            let place = table.place("gc-low-percent").or(table.place("gc-high-percent"));
            table.problem(
                place.unwrap_or(table.at),
                format!("collection would begin at {high} % and stop at {low} %"),
                "make gc-low-percent less than gc-high-percent",
            );
        }
        images
    }
}

pub(crate) fn read_registries(root: &Table<'_>) -> BTreeMap<String, Registry> {
    let mut registries = BTreeMap::new();
    let Some(table) = root.table("registries", &schema::REGISTRIES) else { return registries };
    for At { value: key, at } in table.free_keys() {
        let registry = table.table(key, &schema::REGISTRY).map(|table| read_registry(&table));
        match (syntax::registry_host(key), registry) {
            (Err(refusal), _) => table.refuse(at, refusal),
            (Ok(host), Some(registry)) => _ = registries.insert(host, registry),
            (Ok(_), None) => {}
        }
    }
    registries
}

fn read_registry(table: &Table<'_>) -> Registry {
    for (one, other) in [("username", "password"), ("password", "username")] {
        if let (Some(at), None) = (table.place(one), table.place(other)) {
            table.problem(at, format!("\"{one}\" stands alone"), format!("add \"{other}\""));
        }
    }
    let mirrors = table.list("mirrors", syntax::mirror).unwrap_or_default();
    let insecure = or_default(table.bool("insecure"), false);
    for mirror in mirrors.iter().filter(|mirror| mirror.value.starts_with("http://")) {
        if !insecure {
            let what = format!("{:?} is plain HTTP", mirror.value);
            table.problem(mirror.at, what, "write https://, or set insecure = true");
        }
    }
    if let (Some(at), true) = (table.place("ca"), insecure) {
        let what = "\"ca\" has no effect where certificates are not checked";
        table.problem(at, what, "remove \"ca\" or \"insecure\"");
    }
    Registry {
        mirrors: values(Some(mirrors)),
        ca: table.parsed("ca", syntax::path).map(|ca| ca.value),
        username: table.text("username").map(|name| name.value.into()),
        password: table.text("password").map(|password| Secret::new(password.value)),
        insecure,
    }
}
