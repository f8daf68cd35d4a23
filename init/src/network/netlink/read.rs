//! Looks at links, addresses, routes and settings. An attribute of an unexpected form counts as not
//! there; a message without what it must have is left out.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use holm_config::{BondMode, IpNet, LacpRate, Mac, TransmitHash};
use netlink_packet_core::{NLA_TYPE_MASK, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::RouteMessage;

use super::{NetlinkError, Socket};
use crate::clock::Moment;
use crate::network::observed::{Address, BondState, Device, Kind, Link, Observed, Route, Setting};

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;

const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;
const IFF_UP: u32 = 0x1;
const IFF_RUNNING: u32 = 0x40;
const IFF_LOWER_UP: u32 = 0x1_0000;
const TENTATIVE_OR_DUPLICATE: u32 = 0x48;
const FOREVER: u32 = u32::MAX;
const MAIN_TABLE: u32 = 254;
const UNICAST: u8 = 1;
const ONLINK: u32 = 0x4;
const CLONED: u32 = 0x200;

/// Looks at everything.
pub(crate) fn observe(socket: &mut Socket, now: Moment) -> Result<Observed, NetlinkError> {
    let mut question = LinkMessage::default();
    question.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let mut links = socket.list(&RouteNetlinkMessage::GetLink(question), NEW_LINK, link)?;
    let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let addresses = socket.list(&addresses, NEW_ADDRESS, |bytes| address(bytes, now))?;
    let routes = RouteNetlinkMessage::GetRoute(RouteMessage::default());
    let routes = socket.list(&routes, NEW_ROUTE, route)?;
    let mut observed = Observed { addresses, routes, ..Observed::default() };
    for link in links.iter_mut().filter(|link| !link.is_of_a_pod()) {
        if link.kind == Kind::Ethernet {
            link.device = device(&link.name);
        }
        for setting in Setting::ALL {
            if let Ok(value) = fs::read_to_string(setting_file(&link.name, setting)) {
                observed.settings.insert((link.index, setting), value.trim_end().to_owned());
            }
        }
    }
    observed.links = links;
    Ok(observed)
}

/// Writes a setting. One that this kernel lacks is no error: there is nothing to set.
pub(super) fn set(link: &str, setting: Setting, value: &str) -> io::Result<()> {
    match fs::write(setting_file(link, setting), value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn setting_file(link: &str, setting: Setting) -> std::path::PathBuf {
    let (family, name) = setting.place();
    Path::new("/proc/sys/net").join(family).join("conf").join(link).join(name)
}

fn device(link: &str) -> Option<Device> {
    let folder = Path::new("/sys/class/net").join(link);
    let device = fs::canonicalize(folder.join("device")).ok()?;
    let driver = fs::read_link(device.join("driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let path = device.strip_prefix("/sys/devices").ok();
    Some(Device {
        driver,
        path: path.and_then(Path::to_str).map(str::to_owned),
        is_wireless: folder.join("phy80211").exists() || folder.join("wireless").exists(),
    })
}

/// An attribute: its number and its value.
type Attribute<'a> = (u16, &'a [u8]);

fn attributes(bytes: &[u8]) -> Vec<Attribute<'_>> {
    let mut rest = bytes;
    let mut found = Vec::new();
    // The iterator checks the lengths; the values are cut from the bytes, which live longer.
    for attribute in NlasIterator::new(bytes) {
        let Ok(attribute) = attribute else { break };
        let length = usize::from(attribute.length());
        let Some(value) = rest.get(4..length) else { break };
        found.push((attribute.kind() & NLA_TYPE_MASK, value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn word(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

fn text(value: &[u8]) -> Option<String> {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8(value[..end].to_vec()).ok()
}

fn mac(value: &[u8]) -> Option<Mac> {
    value.try_into().ok().map(Mac)
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn link(bytes: &[u8]) -> Option<Link> {
    let (header, rest) = bytes.split_first_chunk::<16>()?;
    let hardware = u16::from_ne_bytes([header[2], header[3]]);
    let flags = word(&header[8..12])?;
    let mut link = Link {
        index: word(&header[4..8])?,
        name: String::new(),
        kind: match hardware {
            LOOPBACK => Kind::Loopback,
            ETHERNET => Kind::Ethernet,
            _ => Kind::Other,
        },
        device: None,
        up: flags & IFF_UP != 0,
        carrier: [IFF_UP, IFF_RUNNING, IFF_LOWER_UP].iter().all(|flag| flags & flag != 0),
        carrier_losses: 0,
        mtu: 0,
        mac: None,
        permanent_mac: None,
        master: None,
        alias: None,
    };
    let mut below = 0;
    let mut info: &[u8] = &[];
    for (kind, value) in attributes(rest) {
        match kind {
            1 => link.mac = mac(value),
            3 => link.name = text(value)?,
            4 => link.mtu = word(value)?,
            5 => below = word(value)?,
            10 => link.master = word(value),
            18 => info = value,
            20 => link.alias = text(value),
            48 => link.carrier_losses = word(value)?,
            54 => link.permanent_mac = mac(value),
            _ => {}
        }
    }
    let info = attributes(info);
    let find = |number| info.iter().find(|(kind, _)| *kind == number).map(|(_, value)| *value);
    if let Some(kind) = find(1).and_then(text) {
        let data = attributes(find(2).unwrap_or_default());
        link.kind = kind_of(&kind, below, &data).unwrap_or(Kind::Other);
    }
    Some(link).filter(|link| !link.name.is_empty())
}

fn kind_of(kind: &str, below: u32, data: &[Attribute<'_>]) -> Option<Kind> {
    let find = |number| data.iter().find(|(kind, _)| *kind == number).map(|(_, value)| *value);
    let byte = |number| find(number).and_then(|value| value.first().copied());
    Some(match kind {
        "vlan" => Kind::Vlan(below, u16::from_ne_bytes(find(1)?.try_into().ok()?)),
        "bridge" => Kind::Bridge(find(5).and_then(word)? != 0),
        "bond" => Kind::Bond(BondState {
            mode: match byte(1)? {
                0 => BondMode::BalanceRr,
                1 => BondMode::ActiveBackup,
                2 => BondMode::BalanceXor,
                3 => BondMode::Broadcast,
                4 => BondMode::Lacp,
                5 => BondMode::BalanceTlb,
                6 => BondMode::BalanceAlb,
                _ => return None,
            },
            miimon: find(3).and_then(word)?,
            lacp_rate: if byte(21) == Some(1) { LacpRate::Fast } else { LacpRate::Slow },
            transmit_hash: match byte(14) {
                Some(0) => Some(TransmitHash::Layer2),
                Some(1) => Some(TransmitHash::Layer34),
                Some(2) => Some(TransmitHash::Layer23),
                _ => None,
            },
            primary: find(11).and_then(word).filter(|index| *index != 0),
        }),
        _ => return None,
    })
}

fn address(bytes: &[u8], now: Moment) -> Option<Address> {
    let (header, rest) = bytes.split_first_chunk::<8>()?;
    let mut flags = u32::from(header[2]);
    let (mut peer, mut local, mut valid, mut protocol) = (None, None, FOREVER, 0);
    for (kind, value) in attributes(rest) {
        match kind {
            1 => peer = ip(value),
            2 => local = ip(value),
            6 => valid = word(value.get(4..8)?)?,
            8 => flags = word(value)?,
            11 => protocol = *value.first()?,
            _ => {}
        }
    }
    Some(Address {
        index: word(&header[4..8])?,
        net: IpNet::new(local.or(peer)?, header[1]).ok()?,
        valid_until: (valid != FOREVER).then(|| now + Duration::from_secs(valid.into())),
        protocol,
        is_tentative: flags & TENTATIVE_OR_DUPLICATE != 0,
    })
}

fn route(bytes: &[u8]) -> Option<Route> {
    let (header, rest) = bytes.split_first_chunk::<12>()?;
    let flags = word(&header[8..12])?;
    let mut table = u32::from(header[4]);
    let (mut to, mut via, mut source, mut index, mut metric) = (None, None, None, None, 0);
    for (kind, value) in attributes(rest) {
        match kind {
            1 => to = ip(value),
            4 => index = word(value),
            5 => via = ip(value),
            6 => metric = word(value)?,
            7 => source = ip(value),
            15 => table = word(value)?,
            _ => {}
        }
    }
    if header[7] != UNICAST || table != MAIN_TABLE || flags & CLONED != 0 {
        return None;
    }
    let anywhere = match i32::from(header[0]) {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    Some(Route {
        index: index?,
        to: IpNet::new(to.unwrap_or(anywhere), header[1]).ok()?,
        via,
        metric,
        source,
        onlink: flags & ONLINK != 0,
        protocol: header[5],
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link_bytes(flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0, 0];
        bytes.extend(ETHERNET.to_ne_bytes());
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(attributes.concat());
        bytes
    }

    #[test]
    fn vlan_is_read_with_what_it_is_built_upon() {
        let data = attribute(2, &attribute(1, &5u16.to_ne_bytes()));
        let info = [attribute(1, b"vlan\0"), data].concat();
        let bytes = link_bytes(
            IFF_UP,
            &[
                attribute(3, b"eth0.5\0"),
                attribute(5, &2u32.to_ne_bytes()),
                attribute(0x8012, &info),
            ],
        );
        let link = link(&bytes).unwrap();
        assert_eq!((link.index, link.name.as_str(), link.up), (7, "eth0.5", true));
        assert_eq!(link.kind, Kind::Vlan(2, 5));
        assert!(!link.carrier);
    }

    #[test]
    fn link_with_an_unknown_attribute_is_still_seen() {
        let bytes = link_bytes(0, &[attribute(999, &[1, 2, 3]), attribute(3, b"eth0\0")]);
        assert_eq!(link(&bytes).unwrap().kind, Kind::Ethernet);
    }

    #[test]
    fn route_of_another_table_or_kind_is_left_out() {
        let bytes = |table: u8, kind: u8| {
            let mut bytes = vec![2, 24, 0, 0, table, 72, 0, kind, 0, 0, 0, 0];
            bytes.extend(attribute(1, &[192, 0, 2, 0]));
            bytes.extend(attribute(4, &3u32.to_ne_bytes()));
            bytes
        };
        let found = route(&bytes(254, UNICAST)).unwrap();
        assert_eq!((found.to.to_string().as_str(), found.protocol), ("192.0.2.0/24", 72));
        assert_eq!(route(&bytes(255, UNICAST)), None);
        assert_eq!(route(&bytes(254, 2)), None);
    }

    #[test]
    fn lifetime_becomes_a_moment() {
        let mut bytes = vec![2, 24, 0, 0];
        bytes.extend(3u32.to_ne_bytes());
        bytes.extend(attribute(2, &[192, 0, 2, 9]));
        let lifetimes = [10u32, 20, 0, 0].map(u32::to_ne_bytes).concat();
        bytes.extend(attribute(6, &lifetimes));
        let address = address(&bytes, Moment(1000)).unwrap();
        assert_eq!(address.valid_until, Some(Moment(21_000)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (link(&bytes), address(&bytes, Moment(0)), route(&bytes));
        }
    }
}
