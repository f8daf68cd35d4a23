//! DHCP messages in UDP in IPv4, and ARP probes, to and from bytes. Before it has an address the
//! client must make these headers itself. Hostile input: every length is checked.

use std::net::Ipv4Addr;

/// UDP port of a client.
pub(crate) const CLIENT_PORT: u16 = 68;
/// UDP port of a server.
pub(crate) const SERVER_PORT: u16 = 67;

const UDP: u8 = 17;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const FRAGMENT: u16 = 0x3fff;
/// The operation of questions, probes and announcements.
pub(crate) const ARP_REQUEST: u16 = 1;

/// An IPv4 packet to everyone that carries a payload from one UDP port to another.
pub(crate) fn broadcast(from: Ipv4Addr, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    datagram((from, Ipv4Addr::BROADCAST), ports, payload)
}

/// An IPv4 packet with a UDP datagram.
pub(crate) fn datagram(
    (from, to): (Ipv4Addr, Ipv4Addr),
    (source, destination): (u16, u16),
    payload: &[u8],
) -> Vec<u8> {
    // Messages are made here and fit one Ethernet frame.
    let length = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes();
    let mut udp = Vec::with_capacity(UDP_HEADER + payload.len());
    udp.extend(source.to_be_bytes());
    udp.extend(destination.to_be_bytes());
    udp.extend(length(UDP_HEADER + payload.len()));
    udp.extend([0, 0]);
    udp.extend(payload);
    let sum = !fold(pseudo_header(from, to, udp.len()) + sum(&udp));
    // RFC 768: a sum of zero is sent as all ones, zero means none.
    udp[6..8].copy_from_slice(&(if sum == 0 { 0xffff } else { sum }).to_be_bytes());

    let mut packet = vec![0x45, 0];
    packet.extend(length(IP_HEADER + udp.len()));
    packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    let header = (!fold(self::sum(&packet))).to_be_bytes();
    packet[10..12].copy_from_slice(&header);
    packet.extend(udp);
    packet
}

/// The payload of an IPv4 packet that is a whole UDP datagram to `port` with right checksums.
pub(crate) fn payload(packet: &[u8], port: u16) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let short = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let total = usize::from(short(2)?);
    let is_whole = packet[0] >> 4 == 4
        && header >= IP_HEADER
        && total >= header + UDP_HEADER
        && *packet.get(9)? == UDP
        && short(6)? & FRAGMENT == 0;
    // Ethernet pads short frames: what is past the total length does not count.
    let packet = packet.get(..total).filter(|_| is_whole)?;
    if fold(sum(&packet[..header])) != 0xffff {
        return None;
    }
    let from = Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]);
    let to = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
    let udp = &packet[header..];
    let length = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
    let udp = udp.get(..length).filter(|udp| udp.len() >= UDP_HEADER)?;
    let check = u16::from_be_bytes([udp[6], udp[7]]);
    let pseudo = pseudo_header(from, to, udp.len());
    // A packet from a host beside us (a virtual machine's, a container's) has not met a network
    // card that completes the checksum: its field then holds the pseudo header's sum alone.
    let is_intact = check == 0 || fold(pseudo + sum(udp)) == 0xffff || check == fold(pseudo);
    let is_to_port = u16::from_be_bytes([udp[2], udp[3]]) == port;
    (is_intact && is_to_port).then_some(&udp[UDP_HEADER..])
}

/// An ARP probe (RFC 5227): who has the address? The sender names no address of its own.
pub(crate) fn arp_probe(hardware: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    arp(ARP_REQUEST, (hardware, Ipv4Addr::UNSPECIFIED), ([0; 6], address))
}

/// An ARP packet of an operation, from a sender, about a target.
pub(crate) fn arp(
    operation: u16,
    sender: ([u8; 6], Ipv4Addr),
    target: ([u8; 6], Ipv4Addr),
) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    for (hardware, address) in [sender, target] {
        packet.extend(hardware);
        packet.extend(address.octets());
    }
    packet
}

/// Who says in an ARP packet which address is its own; nobody in a probe.
pub(crate) fn arp_owner(packet: &[u8]) -> Option<([u8; 6], Ipv4Addr)> {
    let fixed: &[u8; 28] = packet.first_chunk()?;
    let hardware = *fixed[8..].first_chunk()?;
    let address = Ipv4Addr::new(fixed[14], fixed[15], fixed[16], fixed[17]);
    let is_right = fixed[..6] == [0, 1, 8, 0, 6, 4] && !address.is_unspecified();
    is_right.then_some((hardware, address))
}

/// The address that another host claims or probes for in an ARP packet.
pub(crate) fn arp_claim(packet: &[u8], own: [u8; 6]) -> Option<Ipv4Addr> {
    let fixed: &[u8; 28] = packet.first_chunk()?;
    if fixed[..6] != [0, 1, 8, 0, 6, 4] || fixed[8..14] == own {
        return None;
    }
    let sender = Ipv4Addr::new(fixed[14], fixed[15], fixed[16], fixed[17]);
    let target = Ipv4Addr::new(fixed[24], fixed[25], fixed[26], fixed[27]);
    let is_probe = sender.is_unspecified() && fixed[6..8] == ARP_REQUEST.to_be_bytes();
    Some(if is_probe { target } else { sender }).filter(|address| !address.is_unspecified())
}

fn pseudo_header(from: Ipv4Addr, to: Ipv4Addr, udp: usize) -> u64 {
    sum(&from.octets()) + sum(&to.octets()) + u64::from(UDP) + udp as u64
}

fn sum(bytes: &[u8]) -> u64 {
    let pairs = bytes.chunks(2);
    pairs.map(|p| u64::from(p[0]) << 8 | u64::from(p.get(1).copied().unwrap_or(0))).sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PORTS: (u16, u16) = (SERVER_PORT, CLIENT_PORT);

    #[test]
    fn payload_survives_the_wire_and_its_padding() {
        let mut packet = broadcast(Ipv4Addr::new(192, 0, 2, 1), PORTS, b"hello");
        packet.extend([0; 9]);
        assert_eq!(payload(&packet, CLIENT_PORT), Some(&b"hello"[..]));
        assert_eq!(payload(&packet, 69), None);
    }

    #[test]
    fn damaged_packet_is_refused() {
        let packet = broadcast(Ipv4Addr::new(192, 0, 2, 1), PORTS, b"hello");
        for at in 0..packet.len() {
            let mut damaged = packet.clone();
            damaged[at] ^= 0x10;
            assert_eq!(payload(&damaged, CLIENT_PORT), None, "byte {at}");
        }
    }

    #[test]
    fn checksum_left_to_the_network_card_is_accepted() {
        let from = Ipv4Addr::new(192, 0, 2, 1);
        let mut packet = broadcast(from, PORTS, b"hello");
        let partial = fold(pseudo_header(from, Ipv4Addr::BROADCAST, 13));
        packet[26..28].copy_from_slice(&partial.to_be_bytes());
        assert_eq!(payload(&packet, CLIENT_PORT), Some(&b"hello"[..]));
    }

    #[test]
    fn fragment_is_refused() {
        let mut packet = broadcast(Ipv4Addr::new(192, 0, 2, 1), PORTS, b"hello");
        packet[6] = 0x20;
        packet[10..12].copy_from_slice(&[0, 0]);
        let sum = !fold(sum(&packet[..20]));
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(payload(&packet, CLIENT_PORT), None);
    }

    #[test]
    fn owner_is_who_names_an_address_and_a_probe_names_none() {
        let (other, address) = ([2, 0, 0, 0, 0, 9], Ipv4Addr::new(192, 0, 2, 5));
        let announced = arp(ARP_REQUEST, (other, address), ([0; 6], address));
        assert_eq!(arp_owner(&announced), Some((other, address)));
        assert_eq!(arp_owner(&arp_probe(other, address)), None);
        assert_eq!(arp_owner(&announced[..27]), None);
    }

    #[test]
    fn arp_of_others_is_a_claim_and_own_is_not() {
        let (own, other) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let address = Ipv4Addr::new(192, 0, 2, 10);
        let reply = arp(2, (other, address), (own, Ipv4Addr::UNSPECIFIED));
        assert_eq!(arp_claim(&reply, own), Some(address));
        assert_eq!(arp_claim(&arp_probe(other, address), own), Some(address));
        assert_eq!(arp_claim(&arp_probe(own, address), own), None);
        let asks = arp(1, (other, Ipv4Addr::new(192, 0, 2, 7)), ([0; 6], address));
        assert_eq!(arp_claim(&asks, own), Some(Ipv4Addr::new(192, 0, 2, 7)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = payload(&bytes, CLIENT_PORT);
            let _ = arp_claim(&bytes, [2; 6]);
        }

        #[test]
        fn no_lengths_make_the_reader_panic(total: u16, udp: u16, header in 0u8..16) {
            let mut packet = broadcast(Ipv4Addr::new(192, 0, 2, 1), PORTS, &[0; 40]);
            packet[0] = 0x40 | header;
            packet[2..4].copy_from_slice(&total.to_be_bytes());
            packet[24..26].copy_from_slice(&udp.to_be_bytes());
            packet[10..12].copy_from_slice(&[0, 0]);
            let end = (usize::from(header) * 4).clamp(2, packet.len());
            let sum = !fold(sum(&packet[..end]));
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            let _ = payload(&packet, CLIENT_PORT);
        }
    }
}
