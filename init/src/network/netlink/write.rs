//! Performs the steps of a plan, one netlink message or one written setting each.

use std::io;
use std::net::IpAddr;

use holm_config::{Bond, BondMode, IpNet};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::link::{
    BondLacpRate, BondXmitHashPolicy, BridgeStpState, InfoBond, InfoBridge, InfoData, InfoKind,
    InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{NetlinkError, Socket, read};
use crate::clock::Moment;
use crate::network::action::Action;
use crate::network::observed::{ALIAS, PROTOCOL};
use crate::network::plan::{has_hash, has_lacp};
use crate::network::wanted::{WantedKind, WantedRoute};

/// Performs one step; an error says which.
pub(crate) fn perform(
    socket: &mut Socket,
    action: &Action,
    now: Moment,
) -> Result<(), NetlinkError> {
    let is_gone = |error: &NetlinkError| match error {
        NetlinkError::Gone(_) => true,
        NetlinkError::Refused { why, .. } => {
            let gone = [libc::ESRCH, libc::EADDRNOTAVAIL, libc::ENODEV];
            why.raw_os_error().is_some_and(|code| gone.contains(&code))
        }
        _ => false,
    };
    match ask(socket, action, now) {
        // The kernel removes routes together with their link or address.
        Err(error) if is_removal(action) && is_gone(&error) => Ok(()),
        result => result,
    }
}

fn ask(socket: &mut Socket, action: &Action, now: Moment) -> Result<(), NetlinkError> {
    let message = match action {
        Action::Set(link, setting, value) => {
            return read::set(link, *setting, value).map_err(|why| refused(action, why));
        }
        Action::Create(name, kind) => {
            let flags = NLM_F_CREATE | NLM_F_EXCL;
            socket.change(create(name, kind)?, flags).map_err(|why| refused(action, why))?;
            // The kernel takes no alias while it makes a link.
            change(name, LinkAttribute::IfAlias(ALIAS.to_owned()))?
        }
        Action::Delete(name) => (RouteNetlinkMessage::DelLink(at(name)?), 0),
        Action::SetMtu(name, mtu) => change(name, LinkAttribute::Mtu(*mtu))?,
        Action::SetMac(name, mac) => change(name, LinkAttribute::Address(mac.0.to_vec()))?,
        Action::SetStp(name, stp) => {
            let data = InfoData::Bridge(vec![InfoBridge::StpState(stp_state(*stp))]);
            change(name, info(InfoKind::Bridge, data))?
        }
        Action::SetMaster(name, master) => {
            let master = master.as_deref().map_or(Ok(0), index)?;
            change(name, LinkAttribute::Controller(master))?
        }
        Action::SetPrimary(name, port) => {
            let port = port.as_deref().map_or(Ok(0), index)?;
            change(name, info(InfoKind::Bond, InfoData::Bond(vec![InfoBond::Primary(port)])))?
        }
        Action::Up(name) => (up(name, LinkFlags::Up)?, 0),
        Action::Down(name) => (up(name, LinkFlags::empty())?, 0),
        Action::PutAddress(name, net, until) => {
            let message = address(index(name)?, *net, lifetime(*until, now));
            (RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
        }
        Action::RemoveAddress(name, net) => {
            let message = address(index(name)?, *net, None);
            (RouteNetlinkMessage::DelAddress(message), 0)
        }
        Action::AddRoute(name, wanted) => {
            let message = route(index(name)?, wanted);
            (RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL)
        }
        Action::RemoveRoute(name, wanted) => {
            (RouteNetlinkMessage::DelRoute(route(index(name)?, wanted)), 0)
        }
    };
    socket.change(message.0, message.1).map_err(|why| refused(action, why))
}

fn refused(action: &Action, why: io::Error) -> NetlinkError {
    NetlinkError::Refused { what: action.to_string(), why }
}

fn is_removal(action: &Action) -> bool {
    matches!(action, Action::RemoveAddress(..) | Action::RemoveRoute(..) | Action::Delete(_))
}

fn index(name: &str) -> Result<u32, NetlinkError> {
    let socket = super::socket::open(0, rustix::net::SocketFlags::CLOEXEC)?;
    rustix::net::netdevice::name_to_index(socket, name)
        .map_err(|_| NetlinkError::Gone(name.to_owned()))
}

/// A message about a link that is there.
fn at(name: &str) -> Result<LinkMessage, NetlinkError> {
    let mut message = LinkMessage::default();
    message.header.index = index(name)?;
    Ok(message)
}

fn change(
    name: &str,
    attribute: LinkAttribute,
) -> Result<(RouteNetlinkMessage, u16), NetlinkError> {
    let mut message = at(name)?;
    message.attributes.push(attribute);
    Ok((RouteNetlinkMessage::NewLink(message), 0))
}

fn up(name: &str, flags: LinkFlags) -> Result<RouteNetlinkMessage, NetlinkError> {
    let mut message = at(name)?;
    message.header.flags = flags;
    message.header.change_mask = LinkFlags::Up;
    Ok(RouteNetlinkMessage::NewLink(message))
}

fn info(kind: InfoKind, data: InfoData) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)])
}

fn create(name: &str, kind: &WantedKind) -> Result<RouteNetlinkMessage, NetlinkError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let (kind, data) = match kind {
        // The plan never asks for this.
        WantedKind::Existing => return Err(NetlinkError::Gone(name.to_owned())),
        WantedKind::Vlan(below, id) => {
            message.attributes.push(LinkAttribute::Link(index(below)?));
            (InfoKind::Vlan, InfoData::Vlan(vec![InfoVlan::Id(*id)]))
        }
        WantedKind::Bridge(stp) => {
            (InfoKind::Bridge, InfoData::Bridge(vec![InfoBridge::StpState(stp_state(*stp))]))
        }
        WantedKind::Bond(bond) => (InfoKind::Bond, InfoData::Bond(bond_data(bond))),
    };
    message.attributes.push(info(kind, data));
    Ok(RouteNetlinkMessage::NewLink(message))
}

fn stp_state(stp: bool) -> BridgeStpState {
    if stp { BridgeStpState::KernelStp } else { BridgeStpState::Disabled }
}

/// The mode comes first: the kernel refuses some parameters of other modes.
fn bond_data(bond: &Bond) -> Vec<InfoBond> {
    let miimon = u32::try_from(bond.miimon.as_millis()).unwrap_or(u32::MAX);
    let mut data = vec![InfoBond::Mode(mode(bond.mode)), InfoBond::MiiMon(miimon)];
    if has_hash(bond.mode) {
        data.push(InfoBond::XmitHashPolicy(BondXmitHashPolicy::from(bond.transmit_hash as u8)));
    }
    if has_lacp(bond.mode) {
        data.push(InfoBond::AdLacpRate(BondLacpRate::from(bond.lacp_rate as u8)));
    }
    data
}

fn mode(mode: BondMode) -> netlink_packet_route::link::BondMode {
    (mode as u8).into()
}

/// Seconds that an address has left; none for ever.
fn lifetime(until: Option<Moment>, now: Moment) -> Option<u32> {
    until.map(|until| u32::try_from(now.until(until).as_secs()).unwrap_or(u32::MAX - 1).max(1))
}

fn address(index: u32, net: IpNet, seconds: Option<u32>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = net.prefix_len();
    message.header.family = family(net.addr());
    let attributes = &mut message.attributes;
    attributes.push(AddressAttribute::Local(net.addr()));
    attributes.push(AddressAttribute::Address(net.addr()));
    attributes.push(AddressAttribute::Protocol(AddressProtocol::from(PROTOCOL)));
    if let IpNet::V4(net) = net
        && net.prefix_len() < 31
    {
        attributes.push(AddressAttribute::Broadcast(net.broadcast()));
    }
    attributes.push(AddressAttribute::Flags(match seconds {
        Some(_) => AddressFlags::empty(),
        None => AddressFlags::Permanent,
    }));
    let mut lifetimes = CacheInfo::default();
    lifetimes.ifa_valid = seconds.unwrap_or(u32::MAX);
    lifetimes.ifa_preferred = seconds.unwrap_or(u32::MAX);
    attributes.push(AddressAttribute::CacheInfo(lifetimes));
    message
}

fn route(index: u32, wanted: &WantedRoute) -> RouteMessage {
    let to_address = |address| match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    };
    let mut message = RouteMessage::default();
    message.header.address_family = family(wanted.to.addr());
    message.header.destination_prefix_length = wanted.to.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::from(PROTOCOL);
    message.header.kind = RouteType::Unicast;
    message.header.scope = match (wanted.to, wanted.via) {
        (IpNet::V4(_), None) => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    if wanted.onlink {
        message.header.flags = RouteFlags::Onlink;
    }
    let attributes = &mut message.attributes;
    if wanted.to.prefix_len() > 0 {
        attributes.push(RouteAttribute::Destination(to_address(wanted.to.addr())));
    }
    attributes.push(RouteAttribute::Oif(index));
    attributes.push(RouteAttribute::Priority(wanted.metric));
    attributes.extend(wanted.via.map(|via| RouteAttribute::Gateway(to_address(via))));
    attributes.extend(wanted.source.map(|from| RouteAttribute::PrefSource(to_address(from))));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
