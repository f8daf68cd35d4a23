//! What happens to a node's links later than at boot: links come, other hosts take addresses.

use std::net::Ipv4Addr;

use rustix::net::{RecvFlags, SendFlags, bind, recv, sendto};

use super::lab::{Lab, lab};
use crate::clock::now;
use crate::network::dhcp::packet;
use crate::network::dhcp::socket::{ARP, EVERYONE, packet_socket};
use crate::network::netlink::{Socket, observe};
use crate::network::syscalls::LinkAddress;

#[test]
#[ignore = "needs root in a VM"]
fn link_that_comes_later_is_configured_then() {
    lab(|lab| {
        lab.document("[[network.links]]\nname = \"eth9\"\naddresses = [\"192.0.2.9/24\"]\n");
        lab.start();
        lab.until("people are told", |lab| lab.has_told("eth9 is not there"));
        lab.cable("eth9", "wall9");
        lab.until("the address is there", |lab| lab.addresses("eth9") == ["192.0.2.9/24"]);
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn link_that_comes_later_gets_its_kernel_settings() {
    lab(|lab| {
        lab.document(
            "[[network.links]]\nname = \"eth0.7\"\nvlan = { link = \"eth0\", id = 7 }\n\
             [kernel.sysctls]\n\"net.ipv4.conf.eth0/7.rp_filter\" = 1\n\
             \"net/ipv4/conf/eth9/log_martians\" = 1\n\"net.ipv6.conf.eth9.accept_ra\" = 0\n",
        );
        lab.start();
        let set = |lab: &mut Lab, path: &'static str, value: &str| {
            let file = format!("/proc/sys/net/{path}");
            let there = lab.in_node(move || std::fs::read_to_string(file).unwrap_or_default());
            there.trim() == value
        };
        lab.until("the VLAN has it", |lab| set(lab, "ipv4/conf/eth0.7/rp_filter", "1"));
        lab.cable("eth9", "wall9");
        lab.until("the adapter has it", |lab| set(lab, "ipv4/conf/eth9/log_martians", "1"));
        lab.until("before the default", |lab| set(lab, "ipv6/conf/eth9/accept_ra", "0"));
    });
}

#[test]
#[ignore = "needs root in a VM"]
fn address_that_another_host_uses_too_is_defended_and_kept() {
    lab(|lab| {
        let own = Ipv4Addr::new(192, 0, 2, 5);
        lab.document("[[network.links]]\nname = \"eth0\"\naddresses = [\"192.0.2.5/24\"]\n");
        lab.start();
        lab.until("the address is there", |lab| lab.addresses("eth0") == ["192.0.2.5/24"]);
        let index =
            observe(&mut Socket::open().unwrap(), now()).unwrap().link("wall0").unwrap().index;
        let socket = packet_socket().unwrap();
        bind(&socket, &LinkAddress::new(index, ARP, [0; 6])).unwrap();
        let node = lab.link("eth0").unwrap().mac.unwrap();
        let claim = packet::arp(packet::ARP_REQUEST, ([2, 0, 0, 0, 0, 9], own), ([0; 6], own));
        lab.until("the claim is answered", |_| {
            let to = LinkAddress::new(index, ARP, EVERYONE);
            sendto(&socket, &claim, SendFlags::empty(), &to).unwrap();
            let mut buffer = [0; 64];
            let mut is_answered = false;
            while let Ok((length, _)) = recv(&socket, &mut buffer[..], RecvFlags::empty()) {
                is_answered |= packet::arp_owner(&buffer[..length]) == Some((node.0, own));
            }
            is_answered
        });
        assert_eq!(lab.addresses("eth0"), ["192.0.2.5/24"]);
    });
}
