//! Checks of single values: names, addresses, quantities. Each knows what would be right.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::Mac;
use crate::problem::{Refusal, refuse};

/// Longest name that the kernel takes for a link (IFNAMSIZ less the end mark).
const LINK_NAME_MAX: usize = 15;

/// A label of a DNS name (RFC 1123), lower case as Kubernetes wants node names.
fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_dns_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

/// Host name: a DNS name of at most 64 characters (the kernel's limit).
pub(crate) fn hostname(text: &str) -> Result<String, Refusal> {
    if text.len() <= 64 && is_dns_name(text) && text.parse::<IpAddr>().is_err() {
        return Ok(text.into());
    }
    let lower = text.to_ascii_lowercase().replace('_', "-");
    let right = if lower != text && lower.len() <= 64 && is_dns_name(&lower) {
        format!("write \"{lower}\"")
    } else {
        "use lower-case letters, digits and \"-\", parts of at most 63 joined by \".\", \
         at most 64 characters in all"
            .into()
    };
    refuse(format!("{text:?} is no valid host name"), right)
}

/// A search domain.
pub(crate) fn domain(text: &str) -> Result<String, Refusal> {
    if is_dns_name(text) {
        return Ok(text.into());
    }
    refuse(
        format!("{text:?} is no valid domain"),
        "write a domain in lower case without a final dot, such as \"example.org\"",
    )
}

/// A server by name or address.
pub(crate) fn server(text: &str) -> Result<String, Refusal> {
    let all_numeric = text.split('.').all(|label| label.bytes().all(|b| b.is_ascii_digit()));
    if text.parse::<IpAddr>().is_ok() || (is_dns_name(text) && !all_numeric) {
        return Ok(text.into());
    }
    refuse(
        format!("{text:?} is neither a host name nor an address"),
        "write a name such as \"ntp.example.org\" or an address such as \"192.0.2.1\", no port",
    )
}

pub(crate) fn address(text: &str) -> Result<IpAddr, Refusal> {
    text.parse().or_else(|_| {
        refuse(
            format!("{text:?} is no IP address"),
            "write an address such as \"192.0.2.1\" or \"2001:db8::1\", without a prefix length",
        )
    })
}

/// An address of a link, with its prefix length.
pub(crate) fn link_address(text: &str) -> Result<IpNet, Refusal> {
    let net = prefixed::<IpNet>(text, "an address with its prefix length", "192.0.2.10/24")?;
    let addr = net.addr();
    if addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() {
        return refuse(
            format!("{text:?} cannot be the address of a link"),
            "write a unicast address that is not loopback",
        );
    }
    if let IpNet::V4(v4) = net {
        if v4.prefix_len() == 0 {
            return refuse(
                format!("{text:?} puts the whole internet on this link"),
                "write the length of the link's own network, such as \"/24\"",
            );
        }
        if v4.prefix_len() < 31 && (v4.addr() == v4.network() || v4.addr() == v4.broadcast()) {
            let end = if v4.addr() == v4.network() { "network" } else { "broadcast" };
            let first = v4.hosts().next().unwrap_or(v4.addr());
            return refuse(
                format!("{text:?} is the {end} address of its prefix, and no host's"),
                format!("write a host's address, such as \"{first}/{}\"", v4.prefix_len()),
            );
        }
    }
    Ok(net)
}

/// A destination: host bits must be zero.
pub(crate) fn destination(text: &str) -> Result<IpNet, Refusal> {
    let net = prefixed::<IpNet>(text, "a destination with its prefix length", "192.0.2.0/24")?;
    if net.addr() == net.network() {
        return Ok(net);
    }
    refuse(format!("{text:?} has host bits set"), format!("write \"{}\"", net.trunc()))
}

/// The IPv4 range of pods.
pub(crate) fn pod_cidr(text: &str) -> Result<Ipv4Net, Refusal> {
    let net = prefixed::<Ipv4Net>(text, "an IPv4 range", "10.42.0.0/24")?;
    if net.addr() != net.network() {
        return refuse(format!("{text:?} has host bits set"), format!("write \"{}\"", net.trunc()));
    }
    if !(8..=28).contains(&net.prefix_len())
        || net.addr().is_loopback()
        || net.addr().is_multicast()
        || net.addr().is_unspecified()
    {
        return refuse(
            format!("{text:?} is no range that pods can use"),
            "write a private range with a prefix length from 8 to 28, such as \"10.42.0.0/24\"",
        );
    }
    Ok(net)
}

/// The IPv6 range of pods.
pub(crate) fn pod_cidr6(text: &str) -> Result<Ipv6Net, Refusal> {
    let net = prefixed::<Ipv6Net>(text, "an IPv6 range", "fd42::/64")?;
    if net.addr() != net.network() {
        return refuse(format!("{text:?} has host bits set"), format!("write \"{}\"", net.trunc()));
    }
    let addr = net.addr();
    let local = addr.is_unicast_link_local() || addr.is_loopback() || addr.is_unspecified();
    if !(16..=120).contains(&net.prefix_len()) || addr.is_multicast() || local {
        return refuse(
            format!("{text:?} is no range that pods can use"),
            "write a routable range with a prefix length from 16 to 120, such as \"fd42::/64\"",
        );
    }
    Ok(net)
}

fn prefixed<T: FromStr>(text: &str, what: &str, example: &str) -> Result<T, Refusal> {
    text.parse().or_else(|_| {
        let right = if text.parse::<IpAddr>().is_ok() {
            let length = if text.contains(':') { 64 } else { 24 };
            format!("add the prefix length, such as \"{text}/{length}\"")
        } else {
            format!("write it as \"{example}\"")
        };
        refuse(format!("{text:?} is not {what}"), right)
    })
}

pub(crate) fn mac(text: &str) -> Result<Mac, Refusal> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    let well_formed = bytes.iter_mut().all(|byte| {
        let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+'));
        part.and_then(|part| u8::from_str_radix(part, 16).ok()).map(|b| *byte = b).is_some()
    });
    if !well_formed || parts.next().is_some() {
        return refuse(
            format!("{text:?} is no hardware address"),
            "write six pairs of hexadecimal digits, such as \"52:54:00:12:34:56\"",
        );
    }
    Ok(Mac(bytes))
}

/// A hardware address to give to a link.
pub(crate) fn unicast_mac(text: &str) -> Result<Mac, Refusal> {
    let mac = mac(text)?;
    if mac.0[0] & 1 == 1 || mac.0 == [0; 6] {
        return refuse(
            format!("{text:?} cannot be the address of a link"),
            "write a unicast address: the second digit is even, and not all are zero",
        );
    }
    Ok(mac)
}

/// The kernel's name of a link.
pub(crate) fn link_name(text: &str) -> Result<String, Refusal> {
    let allowed = |c: char| c.is_ascii_graphic() && !"/:%".contains(c);
    if text == "lo" {
        return refuse(
            "\"lo\" is the loopback link, which is always up with its own addresses",
            "leave it out",
        );
    }
    if (1..=LINK_NAME_MAX).contains(&text.len())
        && text.chars().all(allowed)
        && ![".", "..", "all", "default"].contains(&text)
    {
        return Ok(text.into());
    }
    refuse(
        format!("{text:?} cannot be the name of a link"),
        "write 1 to 15 letters, digits, \"-\", \"_\" or \".\", such as \"eth0\"",
    )
}

/// A glob that a link's property must fit.
pub(crate) fn glob(text: &str) -> Result<String, Refusal> {
    if !text.is_empty() && !text.contains(char::is_control) {
        return Ok(text.into());
    }
    refuse(format!("{text:?} fits nothing"), "write a name, or a pattern with * and ?")
}

/// One of a few words.
pub(crate) fn choose<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Refusal> {
    match choices.iter().find(|(name, _)| *name == text) {
        Some((_, choice)) => Ok(*choice),
        None => {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            refuse(format!("{text:?} is no choice here"), format!("write {}", names.join(", ")))
        }
    }
}

/// The name of a terminal below `/dev`.
pub(crate) fn terminal(text: &str) -> Result<String, Refusal> {
    let is_name = |c: char| c.is_ascii_alphanumeric();
    if text.len() <= 32 && text.starts_with(is_name) && text.chars().all(is_name) {
        return Ok(text.to_owned());
    }
    refuse(
        format!("{text:?} is no name of a terminal"),
        "write it as it is called below /dev, such as \"ttyS0\" or \"tty1\"",
    )
}

/// A kernel module's name.
pub(crate) fn module(text: &str) -> Result<String, Refusal> {
    if (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        return Ok(text.into());
    }
    refuse(
        format!("{text:?} is no name of a kernel module"),
        "write the name alone, without path, ending or options, such as \"br_netfilter\"",
    )
}

/// A sysctl's name in either spelling, as the path below `/proc/sys`. As with sysctl(8): when
/// the first separator is a slash, dots belong to the names; otherwise dots separate, and a
/// slash stands for a dot inside a name (`net.ipv4.conf.eth0/100.forwarding`).
pub(crate) fn sysctl(text: &str) -> Result<String, Refusal> {
    let path: String = match text.find(['.', '/']).and_then(|n| text.as_bytes().get(n)) {
        Some(b'/') => text.into(),
        _ => text
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
    };
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:@".contains(&b))
    };
    if path.contains('/') && path.split('/').all(is_part) {
        return Ok(path);
    }
    refuse(
        format!("{text:?} is no name of a kernel setting"),
        "write it as below /proc/sys, such as \"net.ipv4.ip_forward\"",
    )
}

/// A Kubernetes label's key: `[prefix/]name`.
pub(crate) fn label_key(text: &str) -> Result<String, Refusal> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if prefix.is_none_or(is_dns_name) && !name.is_empty() && is_label_text(name) {
        return Ok(text.into());
    }
    refuse(
        format!("{text:?} is no key of a label"),
        "write 1 to 63 letters, digits, \"-\", \"_\" or \".\", begun and ended by a letter or \
         digit; a domain and \"/\" may stand before",
    )
}

/// A Kubernetes label's value.
pub(crate) fn label_value(text: &str) -> Result<String, Refusal> {
    if is_label_text(text) {
        return Ok(text.into());
    }
    refuse(
        format!("{text:?} is no value of a label"),
        "write at most 63 letters, digits, \"-\", \"_\" or \".\", begun and ended by a letter or \
         digit",
    )
}

fn is_label_text(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && ends(text.chars().next())
        && ends(text.chars().next_back())
}

/// The host of a registry as an image reference names it: `host` or `host:port`.
pub(crate) fn registry_host(text: &str) -> Result<String, Refusal> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !host.is_empty() => (host, Some(port)),
        _ => (text, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_right = match bracketed {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_dns_name(host),
    };
    let port_is_right = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
    });
    if host_is_right && port_is_right {
        return Ok(text.into());
    }
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split('/').next().unwrap_or_default();
    let right = if bare != text && registry_host(bare).is_ok() {
        format!("write [registries.\"{bare}\"], without scheme and path")
    } else {
        "write the host of the image reference, such as \"docker.io\" or \"10.0.0.1:5000\"".into()
    };
    refuse(format!("{text:?} is no host of a registry"), right)
}

/// The base URL of a mirror.
pub(crate) fn mirror(text: &str) -> Result<String, Refusal> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if let Some(rest) = rest {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if registry_host(host).is_ok()
            && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"\\".contains(&b))
        {
            return Ok(text.trim_end_matches('/').into());
        }
    }
    let right = if registry_host(text).is_ok() {
        format!("write \"https://{text}\"")
    } else {
        "write a base URL such as \"https://mirror.example.org\"".into()
    };
    refuse(format!("{text:?} is no URL of a mirror"), right)
}

/// A path of a file or folder.
pub(crate) fn path(text: &str) -> Result<String, Refusal> {
    if text.is_empty() || text.contains('\0') {
        return refuse(format!("{text:?} is no path"), "write the path of a file or folder");
    }
    if text.split('/').any(|part| part == "..") {
        return refuse(
            format!("{text:?} leaves its folder"),
            "write a path without \"..\", or an absolute one",
        );
    }
    Ok(text.into())
}

/// A time such as `90s`, `5m`, `1h` or `250ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, Refusal> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    match quantity(text, &units) {
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        None => refuse(
            format!("{text:?} is no time"),
            "write a whole number and ms, s, m or h, such as \"30s\"",
        ),
    }
}

/// A size in bytes such as `64KiB`, `1MiB` or `2GiB`.
pub(crate) fn size(text: &str) -> Result<u64, Refusal> {
    match quantity(text, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]) {
        Some(bytes) => Ok(bytes),
        None => refuse(
            format!("{text:?} is no size"),
            "write a whole number and KiB, MiB or GiB, such as \"10MiB\"",
        ),
    }
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests;
