//! `[time]`, `[watchdog]`, `[kernel]` and `[log]`: the node below its pods.

use std::collections::BTreeMap;
use std::time::Duration;

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
