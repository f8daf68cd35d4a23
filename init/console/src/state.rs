//! What the dashboard shows of a node. Data only.

use std::time::Duration;

/// A node at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Its host name.
    pub hostname: String,
    /// `Holm 1.2.3`
    pub version: String,
    /// Its board.
    pub board: String,
    /// The slot that runs, and how far it is trusted; empty when nobody knows.
    pub slot: String,
    /// What the updater is doing; empty when nobody says.
    pub update: String,
    /// Since the kernel started.
    pub uptime: Duration,
    /// When it became ready, counted from the kernel's start.
    pub ready: Option<Duration>,
    /// Whether a hardware watchdog is armed.
    pub watchdog: bool,
    /// Whether it is on its way down.
    pub going_down: bool,
    /// Why the answers above are missing, if they are.
    pub unknown: Option<String>,
    /// Phases of the boot that failed: name and reason.
    pub failed_phases: Vec<(String, String)>,
    /// The services that PID 1 runs.
    pub services: Vec<Service>,
    /// The links.
    pub links: Vec<Link>,
    /// Default gateways.
    pub gateways: Vec<String>,
    /// Name servers.
    pub dns: Vec<String>,
    /// The pods; none while nobody has said.
    pub pods: Option<Vec<Pod>>,
    /// Load of the last one, five and fifteen minutes, as the kernel writes it.
    pub load: String,
    /// Memory in bytes.
    pub memory: Option<Filling>,
    /// The data partition in bytes.
    pub data: Option<Filling>,
    /// The hottest zone, in thousandths of a degree Celsius.
    pub temperature: Option<i64>,
    /// The last complaints, the newest last.
    pub errors: Vec<String>,
}

/// How full something is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filling {
    /// What is taken.
    pub used: u64,
    /// The whole.
    pub size: u64,
}

/// A service of PID 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its state in one word: `ready`, `waiting`, …
    pub state: String,
    /// What it says about itself.
    pub status: String,
    /// How it last ended.
    pub last_exit: Option<String>,
}

/// A link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Whether it is connected.
    pub carrier: bool,
    /// Its addresses with their prefix length, link-local ones left out.
    pub addresses: Vec<String>,
}

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub name: String,
    /// Its phase, or what holds it up.
    pub status: String,
    /// Containers that are ready, and all.
    pub ready: (usize, usize),
    /// How often its containers were started again.
    pub restarts: u64,
    /// Its address.
    pub ip: String,
}

impl Pod {
    /// Whether it does what it is there for.
    pub fn is_well(&self) -> bool {
        self.status == "Succeeded" || (self.status == "Running" && self.ready.0 == self.ready.1)
    }
}

impl Service {
    /// Whether it does its duty.
    pub fn is_well(&self) -> bool {
        self.state == "ready"
    }
}
