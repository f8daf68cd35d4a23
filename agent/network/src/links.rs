//! Carries out the actions of [`crate::plan`] on links, addresses, routes, neighbours and kernel
//! parameters. Never decides. What is there already counts as done.

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use crate::namespace;
use crate::netlink::Socket;
use crate::plan::{Action, Mac, POD_LINK, Present, Side, Wiring};

/// What of the pod's link is there.
pub fn observe(node: &Links, wiring: &Wiring) -> io::Result<Present> {
    let netns = namespace::exists(&wiring.netns)?;
    let host_link = node.exists(&wiring.host_link)?;
    let pod_link = netns && Links::inside(&wiring.netns)?.exists(POD_LINK)?;
    Ok(Present { netns, host_link, pod_link })
}

/// Carries out `actions` in order and stops at the first that fails.
pub fn perform(
    node: &Links,
    wiring: &Wiring,
    actions: &[Action],
) -> Result<(), (Action, io::Error)> {
    let mut pod = None;
    for action in actions {
        perform_one(node, &mut pod, wiring, action).map_err(|error| (action.clone(), error))?;
    }
    Ok(())
}

fn perform_one(
    node: &Links,
    pod: &mut Option<Links>,
    wiring: &Wiring,
    action: &Action,
) -> io::Result<()> {
    if *action == Action::MakeVeth {
        return node.make_veth(wiring);
    }
    let in_pod = match action {
        Action::LinkUp(side, _) | Action::AddAddress(side, ..) | Action::AddNeighbour(side, ..) => {
            *side == Side::Pod
        }
        Action::AddDefaultRoute { .. } => true,
        _ => false,
    };
    if !in_pod {
        return node.perform(action);
    }
    let pod = match pod {
        Some(pod) => pod,
        None => pod.insert(Links::inside(&wiring.netns)?),
    };
    pod.perform(action)
}

/// The links of one network namespace.
pub struct Links(Socket);

impl Links {
    /// Those of the calling thread's namespace.
    pub fn here() -> io::Result<Self> {
        Ok(Self(Socket::route()?))
    }

    /// Those of the namespace that is mounted at `path`.
    pub fn inside(path: &Path) -> io::Result<Self> {
        Ok(Self(namespace::within(path, Socket::route)?))
    }

    /// Carries out one action that needs no other namespace.
    pub fn perform(&self, action: &Action) -> io::Result<()> {
        match action {
            Action::MakeNamespace(path) => namespace::make(path),
            Action::RemoveNamespace(path) => namespace::remove(path),
            Action::RemoveLink(name) => self.remove(name),
            Action::SetParameter(path, value) => set_parameter(path, value),
            Action::LinkUp(_, name) => self.up(name),
            Action::AddAddress(_, link, address) => self.add_address(link, *address),
            Action::AddNeighbour(_, link, address, mac) => self.add_neighbour(link, *address, *mac),
            Action::AddHostRoute { link, to, source } => {
                let prefix = if to.is_ipv4() { 32 } else { 128 };
                let attributes = vec![
                    RouteAttribute::Destination((*to).into()),
                    RouteAttribute::PrefSource((*source).into()),
                ];
                self.add_route(link, *to, prefix, RouteScope::Link, attributes)
            }
            Action::AddDefaultRoute { link, gateway, source } => {
                let attributes = vec![
                    RouteAttribute::Gateway((*gateway).into()),
                    RouteAttribute::PrefSource((*source).into()),
                ];
                self.add_route(link, *gateway, 0, RouteScope::Universe, attributes)
            }
            // Reaches into two namespaces: see `perform_one`.
            Action::MakeVeth => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn index(&self, name: &str) -> Result<u32, Errno> {
        rustix::net::netdevice::name_to_index(self.0.as_fd(), name)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        match self.index(name) {
            Ok(_) => Ok(true),
            Err(Errno::NODEV) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn make_veth(&self, wiring: &Wiring) -> io::Result<()> {
        let namespace = File::open(&wiring.netns)?;
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(POD_LINK.to_owned()),
            LinkAttribute::Address(wiring.pod_mac.to_vec()),
            LinkAttribute::Mtu(wiring.mtu),
            LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        ];
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName(wiring.host_link.clone()),
            LinkAttribute::Address(wiring.host_mac.to_vec()),
            LinkAttribute::Mtu(wiring.mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        self.0.request(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        let removed = self.0.request(RouteNetlinkMessage::DelLink(link), 0);
        unless(removed, Errno::NODEV)
    }

    fn up(&self, name: &str) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = self.index(name)?;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.0.request(RouteNetlinkMessage::SetLink(link), 0)
    }

    fn add_address(&self, link: &str, address: IpAddr) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.index = self.index(link)?;
        message.header.family = family(address);
        message.header.prefix_len = if address.is_ipv4() { 32 } else { 128 };
        message.attributes = vec![AddressAttribute::Local(address)];
        if address.is_ipv6() {
            // The address is the node's to give: looking for a duplicate only costs a second.
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes = vec![AddressAttribute::Address(address)];
        }
        let added =
            self.0.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL);
        unless(added, Errno::EXIST)
    }

    fn add_neighbour(&self, link: &str, address: IpAddr, mac: Mac) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = self.index(link)?;
        message.header.state = NeighbourState::Permanent;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            NeighbourAttribute::Destination(address.into()),
            NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
        ];
        self.0.request(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    fn add_route(
        &self,
        link: &str,
        of_family: IpAddr,
        prefix: u8,
        scope: RouteScope,
        attributes: Vec<RouteAttribute>,
    ) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(of_family);
        message.header.destination_prefix_length = prefix;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = scope;
        message.header.kind = RouteType::Unicast;
        if prefix == 0 {
            message.header.flags = RouteFlags::Onlink;
        }
        message.attributes = attributes;
        message.attributes.push(RouteAttribute::Oif(self.index(link)?));
        self.0.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn unless(result: io::Result<()>, harmless: Errno) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(harmless.raw_os_error()) => Ok(()),
        other => other,
    }
}

/// Writes a kernel parameter unless it has the value already: writing some of them, such as
/// `ip_forward`, has effects of its own.
fn set_parameter(path: &str, value: &str) -> io::Result<()> {
    let path = Path::new("/proc/sys").join(path);
    match fs::read_to_string(&path) {
        Ok(current) if current.trim_end() == value => Ok(()),
        // A kernel without IPv6 has none of its parameters, and nothing to be protected from.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && path.starts_with("/proc/sys/net/ipv6") =>
        {
            Ok(())
        }
        Err(error) => Err(error),
        Ok(_) => fs::write(&path, value),
    }
}
