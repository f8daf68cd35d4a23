//! The pods that are attached: lease and claim first, save, then act. Everything that is needed
//! after a crash of the agent is in one small file on `/run`, which ends with the boot as the
//! network namespaces do.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::addresses::{Exhausted, Leases, Ranges};
use crate::links::{self, Links};
use crate::namespace;
use crate::nftables::PacketFilter;
use crate::plan::{self, Action, Wiring};
use crate::ports::{HostPorts, PortError, PortMapping, Protocol, elements};
use crate::ruleset::Ruleset;

/// The pod network of this node.
pub struct PodNetwork {
    paths: Paths,
    inner: Mutex<Inner>,
}

/// Where the pod network keeps what it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Folder of bind-mounted network namespaces, one for each pod UID: `/run/holm/netns`.
    pub netns: PathBuf,
    /// Addresses and ports in use: `/run/holm/pod-network.json`.
    pub state: PathBuf,
}

struct Inner {
    ranges: Ranges,
    state: State,
    links: Links,
    filter: PacketFilter,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    leases: Leases,
    ports: HostPorts,
}

/// Why a pod could not be attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum PodNetworkError {
    /// No address is left.
    #[error(transparent)]
    Addresses(#[from] Exhausted),
    /// A host port cannot be given.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// The file of what is in use.
    #[error("{operation} {}", path.display())]
    State {
        /// `read` or `write`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The kernel could not be asked what is there.
    #[error("look at links")]
    Observe(#[source] io::Error),
    /// An action failed.
    #[error("carry out {action:?}")]
    Link {
        /// The action.
        action: Action,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The packet filter refused the table or its change.
    #[error("change packet filter table {}", crate::ruleset::TABLE)]
    PacketFilter(#[source] io::Error),
    /// The kernel kept UDP conversations with an old destination.
    #[error("forget UDP conversations with port {host_port}")]
    Conntrack {
        /// Port of the node.
        host_port: u16,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// The MTU where nothing better is known.
const ETHERNET_MTU: u32 = 1500;

impl PodNetwork {
    /// Takes up the pod network of the calling thread's namespace: prepares the node, finds the
    /// pods of an earlier agent again and puts the packet filter right without a gap.
    pub fn open(paths: Paths, ranges: Ranges) -> Result<Self, PodNetworkError> {
        let state = load(&paths)?;
        let mut inner = Inner {
            ranges,
            state,
            links: Links::here().map_err(PodNetworkError::Observe)?,
            filter: PacketFilter::here().map_err(PodNetworkError::PacketFilter)?,
        };
        for action in plan::prepare_node(&ranges) {
            let done = inner.links.perform(&action);
            done.map_err(|source| PodNetworkError::Link { action, source })?;
        }
        inner.apply_ports()?;
        Ok(Self { paths, inner: Mutex::new(inner) })
    }

    /// Attaches a pod, or completes what is there of it. Returns its namespace and addresses,
    /// IPv4 first.
    pub fn attach(
        &self,
        pod_uid: &str,
        ports: &[PortMapping],
    ) -> Result<(PathBuf, Vec<IpAddr>), PodNetworkError> {
        let mut inner = self.lock();
        let mut state = inner.state.clone();
        let addresses = state.leases.lease(&inner.ranges, pod_uid)?;
        state.ports.claim(pod_uid, ports)?;
        // On the record before the first packet can carry the address.
        inner.save(&self.paths, state)?;
        let mtu = uplink_mtu().unwrap_or(ETHERNET_MTU);
        let wiring = Wiring::new(pod_uid, &self.paths.netns, &inner.ranges, addresses, mtu);
        let present = links::observe(&inner.links, &wiring).map_err(PodNetworkError::Observe)?;
        links::perform(&inner.links, &wiring, &plan::attach(&wiring, present))
            .map_err(|(action, source)| PodNetworkError::Link { action, source })?;
        inner.apply_ports()?;
        inner.forget_udp(ports)?;
        Ok((wiring.netns, addresses.all()))
    }

    /// Detaches a pod. Goes on after an error and returns all of them. Twice is harmless.
    pub fn detach(&self, pod_uid: &str) -> Vec<PodNetworkError> {
        let mut inner = self.lock();
        let mut errors = Vec::new();
        let ports = inner.state.ports.of(pod_uid).to_vec();
        let mut state = inner.state.clone();
        state.ports.release(pod_uid);
        // New connections stop first, then old ones, then the link goes.
        errors.extend(inner.save(&self.paths, state).err());
        errors.extend(inner.apply_ports().err());
        errors.extend(inner.forget_udp(&ports).err());
        for action in plan::detach(&self.paths.netns, pod_uid) {
            if let Err(source) = inner.links.perform(&action) {
                errors.push(PodNetworkError::Link { action, source });
            }
        }
        // An address is free only when nothing carries it any more.
        if errors.iter().all(|error| !matches!(error, PodNetworkError::Link { .. })) {
            let mut state = inner.state.clone();
            if state.leases.release(pod_uid) {
                errors.extend(inner.save(&self.paths, state).err());
            }
        }
        errors
    }

    /// UIDs of pods of which anything is left on the node.
    pub fn attached(&self) -> Result<Vec<String>, PodNetworkError> {
        let inner = self.lock();
        let mut uids: Vec<String> = inner.state.leases.pod_uids().map(str::to_owned).collect();
        uids.extend(namespaces(&self.paths)?);
        uids.sort();
        uids.dedup();
        Ok(uids)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the state as it was saved: nothing here is half-done in memory.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn save(&mut self, paths: &Paths, state: State) -> Result<(), PodNetworkError> {
        if state == self.state {
            return Ok(());
        }
        let save = || {
            let new = paths.state.with_extension("new");
            fs::write(&new, serde_json::to_vec(&state)?)?;
            fs::rename(&new, &paths.state)
        };
        save().map_err(|source| PodNetworkError::State {
            operation: "write",
            path: paths.state.clone(),
            source,
        })?;
        self.state = state;
        Ok(())
    }

    fn apply_ports(&mut self) -> Result<(), PodNetworkError> {
        let (v4, v6) = elements(&self.state.ports, |uid| self.state.leases.of(uid));
        let wanted = Ruleset { ranges: self.ranges, v4, v6 };
        self.filter.apply(&wanted).map_err(PodNetworkError::PacketFilter)
    }

    fn forget_udp(&self, ports: &[PortMapping]) -> Result<(), PodNetworkError> {
        for port in ports.iter().filter(|port| port.protocol == Protocol::Udp) {
            let host_port = port.host_port;
            let families = if self.ranges.v6.is_some() { &[false, true][..] } else { &[false] };
            for v6 in families {
                self.filter
                    .forget_udp(host_port, *v6)
                    .map_err(|source| PodNetworkError::Conntrack { host_port, source })?;
            }
        }
        Ok(())
    }
}

/// What was saved, less the pods that have no namespace any more.
fn load(paths: &Paths) -> Result<State, PodNetworkError> {
    let failed =
        |source| PodNetworkError::State { operation: "read", path: paths.state.clone(), source };
    let text = match fs::read(&paths.state) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(failed(error)),
    };
    let mut state: State =
        serde_json::from_slice(&text).map_err(|error| failed(io::Error::from(error)))?;
    let known: Vec<String> = state.leases.pod_uids().map(str::to_owned).collect();
    for uid in known {
        let path = plan::netns_path(&paths.netns, &uid);
        if !namespace::exists(&path).map_err(PodNetworkError::Observe)? {
            state.leases.release(&uid);
            state.ports.release(&uid);
        }
    }
    Ok(state)
}

fn namespaces(paths: &Paths) -> Result<Vec<String>, PodNetworkError> {
    let failed =
        |source| PodNetworkError::State { operation: "read", path: paths.netns.clone(), source };
    let entries = match fs::read_dir(&paths.netns) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// MTU of the link that the IPv4 default route leads to, if there is one.
fn uplink_mtu() -> Option<u32> {
    let routes = fs::read_to_string("/proc/net/route").ok()?;
    let link = default_link(&routes)?;
    let mtu = fs::read_to_string(Path::new("/sys/class/net").join(link).join("mtu")).ok()?;
    mtu.trim().parse().ok()
}

/// The link of the default route with the lowest metric, in the text of `/proc/net/route`.
fn default_link(routes: &str) -> Option<&str> {
    routes
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [link, destination, _, _, _, _, metric, mask, ..] = fields[..] else { return None };
            (destination == "00000000" && mask == "00000000")
                .then(|| (metric.parse::<u32>().unwrap_or(u32::MAX), link))
        })
        .min()
        .map(|(_, link)| link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uplink_is_the_default_route_with_the_lowest_metric() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
                      eth1\t00000000\t0102A8C0\t0003\t0\t0\t200\t00000000\t0\n\
                      eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\n\
                      eth2\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n";
        assert_eq!(default_link(routes), Some("eth0"));
        assert_eq!(default_link("Iface\nbroken line\n"), None);
        assert_eq!(default_link(""), None);
    }

    #[test]
    fn pods_without_a_namespace_are_forgotten_and_their_addresses_free() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths { netns: dir.path().join("netns"), state: dir.path().join("state.json") };
        assert_eq!(load(&paths).unwrap(), State::default());
        let ranges = Ranges { v4: "10.42.0.0/30".parse().unwrap(), v6: None };
        let mut state = State::default();
        state.leases.lease(&ranges, "lost").unwrap();
        fs::write(&paths.state, serde_json::to_vec(&state).unwrap()).unwrap();
        let mut loaded = load(&paths).unwrap();
        assert_eq!(loaded.leases.of("lost"), None);
        loaded.leases.lease(&ranges, "new").unwrap();
        fs::create_dir(&paths.netns).unwrap();
        fs::write(paths.netns.join("leftover"), "").unwrap();
        assert_eq!(namespaces(&paths).unwrap(), ["leftover"]);
    }

    #[test]
    fn broken_state_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths { netns: dir.path().join("netns"), state: dir.path().join("state.json") };
        fs::write(&paths.state, "{").unwrap();
        let error = load(&paths).unwrap_err();
        assert_eq!(error.to_string(), format!("read {}", paths.state.display()));
    }
}
