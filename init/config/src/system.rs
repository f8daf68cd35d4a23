//! `[time]`, `[watchdog]`, `[kernel]` and `[log]`: the node below its pods.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::document::{or_default, values};
use crate::reader::{At, Table};
use crate::{schema, syntax};

/// `[time]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Time {
    /// NTP servers, names or addresses. When empty, those that DHCP offers, else `pool.ntp.org`.
    pub servers: Vec<String>,
}

/// `[watchdog]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    /// The hardware resets the node when it was not petted for this long.
    pub timeout: Duration,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30) }
    }
}

/// `[kernel]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Modules to load beside those that the hardware asks for.
    pub modules: Vec<String>,
    /// Kernel settings: the path below `/proc/sys` (`net/ipv4/ip_forward`) and the text to
    /// write there. The document may write the name with dots; here it is always a path.
    pub sysctls: BTreeMap<String, String>,
}

/// `[log]`: the files of the system's own services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Size in bytes at which a file is rotated.
    pub max_size: u64,
    /// Number of files that are kept for each service, the current one included.
    pub files: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { max_size: 1 << 20, files: 4 }
    }
}

impl Time {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let Some(table) = root.table("time", &schema::TIME) else { return Self::default() };
        Self { servers: values(table.list("servers", syntax::server)) }
    }
}

impl Watchdog {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let default = Self::default();
        let Some(table) = root.table("watchdog", &schema::WATCHDOG) else { return default };
        let (least, most) = (Duration::from_secs(5), Duration::from_secs(600));
        let timeout = table.parsed("timeout", syntax::duration);
        if let Some(timeout) = timeout.filter(|t| !(least..=most).contains(&t.value)) {
            table.problem(timeout.at, "the timeout is out of range", "write a time from 5s to 10m");
        }
        Self { timeout: or_default(timeout, default.timeout) }
    }
}

impl Kernel {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let Some(table) = root.table("kernel", &schema::KERNEL) else { return Self::default() };
        let mut sysctls = BTreeMap::new();
        if let Some(table) = table.table("sysctls", &schema::KERNEL_SYSCTLS) {
            for At { value: key, at } in table.free_keys() {
                let value = table.text_or_number(key);
                match (syntax::sysctl(key), value) {
                    (Err(refusal), _) => table.refuse(at, refusal),
                    (Ok(path), Some(value)) => {
                        if value.value.contains(['\n', '\0']) {
                            let what = format!("the value of {key:?} has more than one line");
                            table.problem(value.at, what, "write one line");
                        }
                        if sysctls.insert(path, value.value).is_some() {
                            let what = format!("{key:?} is set twice, in two spellings");
                            table.problem(at, what, "keep one of the two");
                        }
                    }
                    (Ok(_), None) => {}
                }
            }
        }
        Self { modules: values(table.list("modules", syntax::module)), sysctls }
    }
}

impl Log {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let default = Self::default();
        let Some(table) = root.table("log", &schema::LOG) else { return default };
        Self {
            max_size: read_log_size(&table, "max-size").unwrap_or(default.max_size),
            files: read_log_files(&table, "files").unwrap_or(default.files),
        }
    }
}

/// The size at which a log file is rotated, for services and containers alike.
pub(crate) fn read_log_size(table: &Table<'_>, key: &str) -> Option<u64> {
    let size = table.parsed(key, syntax::size)?;
    if !(64 << 10..=1 << 30).contains(&size.value) {
        table.problem(size.at, format!("\"{key}\" is out of range"), "write 64KiB to 1GiB");
    }
    Some(size.value)
}

/// The number of log files that are kept, for services and containers alike.
pub(crate) fn read_log_files(table: &Table<'_>, key: &str) -> Option<u32> {
    table.integer(key, 1..=100).and_then(|files| files.value.try_into().ok())
}
