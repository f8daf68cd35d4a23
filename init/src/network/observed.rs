//! What the kernel has: links, addresses, routes and settings, as plain values. Filled by
//! `netlink`, read by `wanted` and `plan`. No I/O.

use std::collections::BTreeMap;
use std::net::IpAddr;

use holm_config::{BondMode, IpNet, LacpRate, Mac, TransmitHash};

use crate::clock::Moment;

/// The mark on routes (`RTPROT`) and addresses (`IFA_PROTO`) that this service made. Nobody else
/// may use it, and what does not bear it is never removed.
pub(crate) const PROTOCOL: u8 = 72;
/// The alias on links that this service made.
pub(crate) const ALIAS: &str = "holm";
/// Links of pods belong to the agent.
pub(crate) const POD_PREFIX: &str = "pod";

/// Everything that was seen at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// All links.
    pub(crate) links: Vec<Link>,
    /// All addresses.
    pub(crate) addresses: Vec<Address>,
    /// The main table's unicast routes.
    pub(crate) routes: Vec<Route>,
    /// Settings by link index. One that this kernel lacks is not there.
    pub(crate) settings: BTreeMap<(u32, Setting), String>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// The kernel's number.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// The device behind it; none for one without hardware.
    pub(crate) device: Option<Device>,
    /// Administratively up.
    pub(crate) up: bool,
    /// Able to carry frames: up and connected.
    pub(crate) carrier: bool,
    /// How often the carrier was lost; a flap between two looks shows here alone.
    pub(crate) carrier_losses: u32,
    /// Largest packet.
    pub(crate) mtu: u32,
    /// Hardware address.
    pub(crate) mac: Option<Mac>,
    /// The hardware address that the device came with.
    pub(crate) permanent_mac: Option<Mac>,
    /// The bridge or bond that it is a port of.
    pub(crate) master: Option<u32>,
    /// `ALIAS` when this service made it.
    pub(crate) alias: Option<String>,
}

/// What a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `lo`
    Loopback,
    /// Ethernet without a kind of its own: hardware, or made by a driver.
    Ethernet,
    /// A VLAN: the link below, its id.
    Vlan(u32, u16),
    /// A bridge; whether it speaks the spanning tree protocol.
    Bridge(bool),
    /// A bond.
    Bond(BondState),
    /// A veth, tunnel, or anything else.
    Other,
}

/// A bond's parameters as the kernel tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BondState {
    /// Mode.
    pub(crate) mode: BondMode,
    /// Carrier check, in milliseconds.
    pub(crate) miimon: u32,
    /// LACP rate.
    pub(crate) lacp_rate: LacpRate,
    /// Hash policy; none for one that the node document cannot name.
    pub(crate) transmit_hash: Option<TransmitHash>,
    /// The preferred port.
    pub(crate) primary: Option<u32>,
}

/// A device, as sysfs names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Device {
    /// Driver.
    pub(crate) driver: Option<String>,
    /// Folder below `/sys/devices`.
    pub(crate) path: Option<String>,
    /// A radio: needs more than this service can do.
    pub(crate) is_wireless: bool,
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    /// The link.
    pub(crate) index: u32,
    /// The address with its prefix length.
    pub(crate) net: IpNet,
    /// When it ends; none for ever.
    pub(crate) valid_until: Option<Moment>,
    /// `IFA_PROTO`.
    pub(crate) protocol: u8,
    /// Not usable yet, or found to be a duplicate.
    pub(crate) is_tentative: bool,
}

/// A route of the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The link that it leaves by.
    pub(crate) index: u32,
    /// Destination.
    pub(crate) to: IpNet,
    /// Next hop.
    pub(crate) via: Option<IpAddr>,
    /// Metric; lower is preferred.
    pub(crate) metric: u32,
    /// Preferred source address.
    pub(crate) source: Option<IpAddr>,
    /// The next hop is taken to be on the link, whatever the addresses say.
    pub(crate) onlink: bool,
    /// `RTPROT`.
    pub(crate) protocol: u8,
}

/// A per-link knob below `/proc/sys/net`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setting {
    /// No IPv6 at all (1), as on a port.
    DisableIpv6,
    /// Take router advertisements, even when forwarding (2), or not (0).
    AcceptRa,
    /// Metric of default routes from router advertisements.
    RaMetric,
    /// Do not use IPv4 routes of a link without carrier.
    IgnoreLinkdown4,
    /// The same for IPv6.
    IgnoreLinkdown6,
    /// Removing the first address of a prefix keeps the others.
    PromoteSecondaries,
}

impl Setting {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::DisableIpv6,
        Self::AcceptRa,
        Self::RaMetric,
        Self::IgnoreLinkdown4,
        Self::IgnoreLinkdown6,
        Self::PromoteSecondaries,
    ];

    /// The family's folder and the file's name.
    pub(crate) fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::DisableIpv6 => ("ipv6", "disable_ipv6"),
            Self::AcceptRa => ("ipv6", "accept_ra"),
            Self::RaMetric => ("ipv6", "ra_defrtr_metric"),
            Self::IgnoreLinkdown4 => ("ipv4", "ignore_routes_with_linkdown"),
            Self::IgnoreLinkdown6 => ("ipv6", "ignore_routes_with_linkdown"),
            Self::PromoteSecondaries => ("ipv4", "promote_secondaries"),
        }
    }
}

impl Link {
    /// Whether this service made it.
    pub(crate) fn is_ours(&self) -> bool {
        self.alias.as_deref() == Some(ALIAS)
    }

    /// Whether it is the agent's.
    pub(crate) fn is_of_a_pod(&self) -> bool {
        self.name.starts_with(POD_PREFIX)
    }

    /// Wired hardware: what is configured when nothing is said.
    pub(crate) fn is_physical(&self) -> bool {
        self.kind == Kind::Ethernet && self.device.as_ref().is_some_and(|d| !d.is_wireless)
    }
}

impl Observed {
    /// A link by its name.
    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// A link by its number.
    pub(crate) fn link_at(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }
}
