//! Whether a default gateway answers: it is asked for its hardware address, which
//! every gateway gives, also one that answers nothing else.

use serde::Deserialize;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

/// Nobody serves it; sending there makes the kernel look for its neighbour.
const DISCARD: u16 = 9;

/// What the service `network` reports.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Network {
    #[serde(default)]
    gateways: Vec<Gateway>,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    /// The URL of a document, from DHCP.
    #[serde(default)]
    pub(crate) provisioning: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Gateway {
    address: IpAddr,
}

impl Network {
    /// As it is now.
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// The address that people use: an IPv4 one, if there is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let first = self.addresses.iter().find(|address| address.is_ipv4());
        first.or(self.addresses.first()).copied()
    }

    /// Whether a gateway answers; asks all of them again.
    pub(crate) fn is_connected(&self) -> bool {
        let neighbours = fs::read_to_string("/proc/net/arp").unwrap_or_default();
        let answers = self.gateways.iter().any(|gateway| match gateway.address {
            IpAddr::V4(_) => has_answered(&neighbours, gateway.address),
            // A router that is gone announces itself no more, and its route goes.
            IpAddr::V6(_) => true,
        });
        self.gateways.iter().for_each(|gateway| ask(gateway.address));
        answers
    }
}

/// Whether the kernel's table has the hardware address of `address`.
fn has_answered(table: &str, address: IpAddr) -> bool {
    let address = address.to_string();
    table.lines().any(|line| {
        let mut words = line.split_whitespace();
        let is_it = words.next() == Some(&address);
        // ATF_COM: the entry is complete.
        let flags = words.nth(1).and_then(|word| word.strip_prefix("0x"));
        is_it && flags.is_some_and(|word| u8::from_str_radix(word, 16).is_ok_and(|f| f & 2 != 0))
    })
}

fn ask(gateway: IpAddr) {
    let local = if gateway.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    if let Ok(socket) = UdpSocket::bind(local) {
        // What comes of it shows in the table.
        let _ = socket.send_to(&[], (gateway, DISCARD));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_answers_when_its_entry_is_complete() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     192.168.1.1      0x1         0x2         52:54:00:12:34:56     *        eth0\n\
                     192.168.1.2      0x1         0x0         00:00:00:00:00:00     *        eth0\n";
        assert!(has_answered(table, "192.168.1.1".parse().unwrap()));
        assert!(!has_answered(table, "192.168.1.2".parse().unwrap()));
        assert!(!has_answered(table, "192.168.1.10".parse().unwrap()));
    }

    #[test]
    fn report_of_the_network_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.json");
        std::fs::write(
            &path,
            r#"{"links":[],"addresses":["2001:db8::1","192.0.2.10"],"gateways":[{"address":"192.0.2.1",
                "link":"eth0","metric":1}],"dns":[],"provisioning":"http://a/b"}"#,
        )
        .unwrap();
        let network = Network::read(&path);
        assert_eq!(network.address(), Some("192.0.2.10".parse().unwrap()));
        assert_eq!(network.provisioning.as_deref(), Some("http://a/b"));
        assert!(!Network::read(Path::new("/nonexistent")).is_connected());
    }
}
