//! The steps that a plan is made of, and how they are told to people. Pure values.

use std::fmt;

use holm_config::{IpNet, Mac};

use super::observed::Setting;
use super::wanted::{WantedKind, WantedRoute};
use crate::clock::Moment;

/// One step. Links are named: some do not exist yet when the plan is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make a VLAN, bridge or bond.
    Create(String, WantedKind),
    /// Remove a link that this service made.
    Delete(String),
    /// Write a per-link setting.
    Set(String, Setting, String),
    /// Set the largest packet.
    SetMtu(String, u32),
    /// Set the hardware address.
    SetMac(String, Mac),
    /// Let a bridge speak the spanning tree protocol, or not.
    SetStp(String, bool),
    /// Make a link a port of another, or of none.
    SetMaster(String, Option<String>),
    /// Name a bond's preferred port, or none.
    SetPrimary(String, Option<String>),
    /// Bring a link up.
    Up(String),
    /// Take a link down, to change what cannot be changed while it is up.
    Down(String),
    /// Add an address, or change the lifetime of one that is there.
    PutAddress(String, IpNet, Option<Moment>),
    /// Remove an address.
    RemoveAddress(String, IpNet),
    /// Add a route.
    AddRoute(String, WantedRoute),
    /// Remove a route.
    RemoveRoute(String, WantedRoute),
}

/// Why something that is wanted is not in the plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum Problem {
    /// The link is not there.
    #[error("{0} is not there")]
    Missing(String),
    /// A link that this service did not make has the name.
    #[error("{0} is there already, but as another kind of link")]
    Taken(String),
    /// The link that it is built upon is not there.
    #[error("{0} waits for {1}, which is not there")]
    MissingBelow(String, String),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(link, kind) => {
                let kind = match kind {
                    WantedKind::Existing => "link",
                    WantedKind::Vlan(..) => "VLAN",
                    WantedKind::Bridge(_) => "bridge",
                    WantedKind::Bond(_) => "bond",
                };
                write!(f, "make {kind} {link}")
            }
            Self::Delete(link) => write!(f, "remove {link}"),
            Self::Set(link, setting, value) => {
                let (family, name) = setting.place();
                write!(f, "set {family} {name} of {link} to {value}")
            }
            Self::SetMtu(link, mtu) => write!(f, "set the MTU of {link} to {mtu}"),
            Self::SetMac(link, mac) => write!(f, "set the hardware address of {link} to {mac}"),
            Self::SetStp(link, stp) => write!(f, "set STP of {link} to {stp}"),
            Self::SetMaster(link, Some(master)) => write!(f, "make {link} a port of {master}"),
            Self::SetMaster(link, None) => write!(f, "make {link} a port no more"),
            Self::SetPrimary(link, Some(port)) => write!(f, "make {port} the primary of {link}"),
            Self::SetPrimary(link, None) => write!(f, "give {link} no primary"),
            Self::Up(link) => write!(f, "bring {link} up"),
            Self::Down(link) => write!(f, "take {link} down"),
            Self::PutAddress(link, net, _) => write!(f, "give {link} the address {net}"),
            Self::RemoveAddress(link, net) => write!(f, "take the address {net} from {link}"),
            Self::AddRoute(link, route) => write!(f, "add the route {route} on {link}"),
            Self::RemoveRoute(link, route) => write!(f, "remove the route {route} on {link}"),
        }
    }
}

impl fmt::Display for WantedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to {}", self.to)?;
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        write!(f, " metric {}", self.metric)
    }
}
