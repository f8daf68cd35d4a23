//! `[[network.links]]`: what a link is and what it carries.

mod read;

pub(crate) use read::{Placed, read};

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

/// One entry of `[[network.links]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which link: the name of an existing or a new one. Exactly one of `name` and `matches`
    /// is set; a VLAN, bridge or bond always has a name.
    pub name: Option<String>,
    /// Which link: the first physical link that no earlier entry took and that fits.
    pub matches: Option<LinkMatch>,
    /// What kind of link it is; physical links exist already, the others are made.
    pub kind: LinkKind,
    /// Ask for an IPv4 address by DHCP. Default: true unless the entry has an IPv4 address or
    /// the link is a port of a bridge or bond.
    pub dhcp4: bool,
    /// Take IPv6 prefixes and routes from router advertisements. Default: true unless the link
    /// is a port of a bridge or bond.
    pub accept_ra: bool,
    /// Static addresses with their prefix lengths; host bits are kept.
    pub addresses: Vec<IpNet>,
    /// Default gateways, at most one for each address family.
    pub gateways: Vec<IpAddr>,
    /// Further static routes.
    pub routes: Vec<Route>,
    /// Metric of this link's default routes (static, DHCP, router advertisement). Unset: the
    /// network service gives each link its own.
    pub metric: Option<u32>,
    /// Largest packet in bytes. Unset: the driver's, or what DHCP says.
    pub mtu: Option<u32>,
    /// Hardware address to set. Unset: the device's own.
    pub mac: Option<Mac>,
}

/// How a physical link is recognised. Every part that is set must fit. `name`, `driver` and
/// `path` are globs: `*` stands for any text, `?` for one character.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkMatch {
    /// The permanent hardware address.
    pub mac: Option<Mac>,
    /// The kernel's name of the link.
    pub name: Option<String>,
    /// The kernel driver, such as `virtio_net`.
    pub driver: Option<String>,
    /// The device's folder below `/sys/devices`, such as `pci0000:00/*/virtio0`.
    pub path: Option<String>,
}

/// What kind of link an entry of `[[network.links]]` describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// A device that the kernel found.
    Physical,
    /// A tagged VLAN above another link.
    Vlan(Vlan),
    /// A bridge over its ports.
    Bridge(Bridge),
    /// A bond of its ports.
    Bond(Bond),
}

/// `vlan = { link, id }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlan {
    /// Name of the link that carries the tagged frames.
    pub link: String,
    /// VLAN id, 1 to 4094.
    pub id: u16,
}

/// `bridge = { ports, stp }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Names of the links that are its ports.
    pub ports: Vec<String>,
    /// Speak the spanning tree protocol.
    pub stp: bool,
}

/// `bond = { ports, mode, … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    /// Names of the links that are its ports, at least one.
    pub ports: Vec<String>,
    /// How traffic is spread over the ports.
    pub mode: BondMode,
    /// How often the carrier of each port is looked at; whole milliseconds.
    pub miimon: Duration,
    /// The preferred port; only for `active-backup`, `balance-tlb` and `balance-alb`.
    pub primary: Option<String>,
    /// How often the partner is asked to speak; only for `802.3ad`.
    pub lacp_rate: LacpRate,
    /// What the choice of a port is computed from; only for `balance-xor`, `802.3ad` and
    /// `balance-tlb`.
    pub transmit_hash: TransmitHash,
}

/// The bonding modes of the Linux driver; the discriminant is the kernel's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BondMode {
    /// `balance-rr`
    BalanceRr = 0,
    /// `active-backup`, the default
    ActiveBackup = 1,
    /// `balance-xor`
    BalanceXor = 2,
    /// `broadcast`
    Broadcast = 3,
    /// `802.3ad`, LACP
    Lacp = 4,
    /// `balance-tlb`
    BalanceTlb = 5,
    /// `balance-alb`
    BalanceAlb = 6,
}

/// `lacp-rate`; the discriminant is the kernel's number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum LacpRate {
    /// Every 30 seconds, the default.
    #[default]
    Slow = 0,
    /// Every second.
    Fast = 1,
}

/// `transmit-hash`; the discriminant is the kernel's number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum TransmitHash {
    /// `layer2`: hardware addresses, the default
    #[default]
    Layer2 = 0,
    /// `layer3+4`: addresses and ports
    Layer34 = 1,
    /// `layer2+3`: hardware addresses and addresses
    Layer23 = 2,
}

/// An entry of `routes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination; no host bits are set.
    pub to: IpNet,
    /// Next hop, reachable on this link. Unset: the destination is on the link itself.
    pub via: Option<IpAddr>,
    /// Metric. Unset: the kernel's default.
    pub metric: Option<u32>,
}

/// An Ethernet hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl LinkMatch {
    /// Whether a physical link with these properties is meant.
    pub fn fits(&self, mac: Mac, name: &str, driver: &str, path: &str) -> bool {
        let glob = |pattern: &Option<String>, text| {
            pattern.as_deref().is_none_or(|pattern| fits_glob(pattern, text))
        };
        self.mac.is_none_or(|wanted| wanted == mac)
            && glob(&self.name, name)
            && glob(&self.driver, driver)
            && glob(&self.path, path)
    }
}

impl Link {
    /// The links that this one stands on: a VLAN's carrier, the ports of a bridge or bond.
    pub fn lower_links(&self) -> &[String] {
        match &self.kind {
            LinkKind::Physical => &[],
            LinkKind::Vlan(vlan) => std::slice::from_ref(&vlan.link),
            LinkKind::Bridge(bridge) => &bridge.ports,
            LinkKind::Bond(bond) => &bond.ports,
        }
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any text and `?` for one character.
/// Only the last star is ever tried again, so no pattern takes exponential time.
fn fits_glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit_as_in_a_shell() {
        let fits = [
            ("*", ""),
            ("enp*", "enp3s0"),
            ("*/virtio?", "pci0000:00/0000:00:03.0/virtio0"),
            ("a*b*c", "a-b-b-c"),
            ("eth0", "eth0"),
        ];
        assert!(fits.iter().all(|(pattern, text)| fits_glob(pattern, text)));
        let not = [("", "a"), ("?", ""), ("enp*", "eth0"), ("a*b*c", "a-c"), ("eth0", "eth01")];
        assert!(not.iter().all(|(pattern, text)| !fits_glob(pattern, text)));
        assert!(!fits_glob(&"*a".repeat(2_000), &"a".repeat(1_999)));
    }

    #[test]
    fn a_match_wants_all_its_parts() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let wanted =
            LinkMatch { mac: Some(mac), driver: Some("virtio_*".into()), ..LinkMatch::default() };
        assert!(wanted.fits(mac, "eth0", "virtio_net", "pci0000:00"));
        assert!(!wanted.fits(mac, "eth0", "e1000", "pci0000:00"));
        assert!(!wanted.fits(Mac([2, 0, 0, 0, 0, 2]), "eth0", "virtio_net", "pci0000:00"));
    }
}
