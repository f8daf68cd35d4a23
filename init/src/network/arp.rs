//! Hears whether other hosts claim addresses of ours, and says whose they are. The kernel passes on
//! nothing but such claims, so that the service sleeps through the rest of the wire's ARP. Must not
//! decide anything: `conflicts` does.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use holm_config::Mac;
use rustix::net::{self, RecvFlags, SendFlags};

use super::conflicts::{Claim, Own};
use super::dhcp::packet::{ARP_REQUEST, arp, arp_owner};
use super::dhcp::socket::{ARP, EVERYONE, packet_socket};
use super::syscalls::{Instruction, LinkAddress, attach_filter};

/// Where a packet's sender writes its IPv4 address.
const SENDER: u32 = 14;
/// More packets wait for the next turn of the loop.
const BATCH: usize = 32;
/// One jump of the filter spans no more.
const MOST_ADDRESSES: usize = 64;

/// One socket for each link with addresses of ours.
#[derive(Debug, Default)]
pub(crate) struct Ears(BTreeMap<u32, (Own, OwnedFd)>);

impl Ears {
    /// Listens for these, and for no others any more. Gives what failed.
    pub(crate) fn listen(&mut self, own: BTreeMap<u32, Own>) -> Vec<io::Error> {
        self.0.retain(|index, (heard, _)| own.get(index) == Some(heard));
        let mut failures = Vec::new();
        for (index, own) in own {
            if let Entry::Vacant(place) = self.0.entry(index) {
                match open(index, &own) {
                    Ok(socket) => _ = place.insert((own, socket)),
                    Err(error) => failures.push(error),
                }
            }
        }
        failures
    }

    /// The descriptors to wait on.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.values().map(|(_, socket)| socket.as_fd())
    }

    /// The claims that came in.
    pub(crate) fn take(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        let mut buffer = [0; 64];
        for (&index, (own, socket)) in &self.0 {
            for _ in 0..BATCH {
                let received = net::recv(socket, &mut buffer[..], RecvFlags::empty());
                let Ok((length, _)) = received else { break };
                let owner = buffer.get(..length).and_then(arp_owner);
                let Some((by, address)) = owner else { continue };
                if Mac(by) != own.mac && own.addresses.contains(&address) {
                    claims.push(Claim { index, address, by: Mac(by) });
                }
            }
        }
        claims
    }

    /// Tells everybody on a link that an address is its own (RFC 5227, ARP announcement).
    pub(crate) fn announce(&self, index: u32, address: Ipv4Addr) -> io::Result<()> {
        let Some((own, socket)) = self.0.get(&index) else { return Ok(()) };
        let packet = arp(ARP_REQUEST, (own.mac.0, address), ([0; 6], address));
        let to = LinkAddress::new(index, ARP, EVERYONE);
        net::sendto(socket, &packet, SendFlags::empty(), &to)?;
        Ok(())
    }
}

fn open(index: u32, own: &Own) -> io::Result<OwnedFd> {
    let socket = packet_socket()?;
    attach_filter(socket.as_fd(), &filter(&own.addresses))?;
    net::bind(&socket, &LinkAddress::new(index, ARP, [0; 6]))?;
    Ok(socket)
}

/// Accepts packets whose sender says that it has one of `addresses`.
fn filter(addresses: &[Ipv4Addr]) -> Vec<Instruction> {
    let addresses = &addresses[..addresses.len().min(MOST_ADDRESSES)];
    let mut program: Vec<Instruction> = vec![(0x20, 0, 0, SENDER)];
    for (at, address) in addresses.iter().enumerate() {
        // Over the comparisons that are left, and the drop.
        let to_accept = (addresses.len() - at) as u8;
        program.push((0x15, to_accept, 0, address.to_bits()));
    }
    program.extend([(0x06, 0, 0, 0), (0x06, 0, 0, u32::MAX)]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the two kinds of instruction that the filter is made of.
    fn accepts(program: &[Instruction], packet: &[u8]) -> bool {
        let (mut at, mut register) = (0, 0);
        loop {
            let (code, if_true, if_false, constant) = program[at];
            at += 1;
            match code {
                0x20 => {
                    let word = packet[constant as usize..][..4].try_into().unwrap();
                    register = u32::from_be_bytes(word);
                }
                0x15 => at += usize::from(if register == constant { if_true } else { if_false }),
                0x06 => return constant > 0,
                _ => panic!("{code:#x}"),
            }
        }
    }

    #[test]
    fn kernel_passes_on_claims_of_our_addresses_alone() {
        let addresses: Vec<Ipv4Addr> = (1..=100).map(|n| Ipv4Addr::new(192, 0, 2, n)).collect();
        let from = |n| arp(2, ([2; 6], Ipv4Addr::new(192, 0, 2, n)), ([4; 6], addresses[0]));
        for count in [1, 2, 64] {
            let program = filter(&addresses[..count]);
            assert!(accepts(&program, &from(1)));
            assert!(accepts(&program, &from(count as u8)));
            assert!(!accepts(&program, &from(count as u8 + 1)));
        }
        assert!(!accepts(&filter(&[]), &from(1)));
        // No more than a jump spans.
        assert_eq!(filter(&addresses).len(), MOST_ADDRESSES + 3);
    }
}
