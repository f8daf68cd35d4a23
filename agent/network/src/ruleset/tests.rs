//! Golden bytes of single messages, and properties of whole batches.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ports::{Protocol, Target};

fn ruleset(ports: &[(u16, u8)]) -> Ruleset {
    let mut v4 = Elements::default();
    for (port, pod) in ports {
        let address = Ipv4Addr::new(10, 42, 0, *pod);
        v4.any.insert((Protocol::Tcp, *port), Target { address, port: 80 });
        v4.hairpin.insert(address);
    }
    let ranges = Ranges { v4: "10.42.0.0/24".parse().unwrap(), v6: None };
    Ruleset { ranges, v4, v6: Elements::default() }
}

/// The messages of a batch: type, flags, sequence number and what follows the header.
fn messages(bytes: &[u8]) -> Vec<(u16, u16, u32, &[u8])> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
        let kind = u16::from_ne_bytes(rest[4..6].try_into().unwrap());
        let flags = u16::from_ne_bytes(rest[6..8].try_into().unwrap());
        let sequence = u32::from_ne_bytes(rest[8..12].try_into().unwrap());
        found.push((kind, flags, sequence, &rest[16..length]));
        rest = &rest[length.next_multiple_of(4)..];
    }
    found
}

const NEW_ELEMENT: u16 = 0x0a0c;
const DELETE_ELEMENT: u16 = 0x0a0e;

#[test]
fn batch_replaces_the_table_in_one_transaction() {
    let bytes = replace(&ruleset(&[]));
    let kinds: Vec<u16> = messages(&bytes).iter().map(|message| message.0).collect();
    let mut expected = vec![0x10, 0x0a00, 0x0a02, 0x0a00, 0x0a09, 0x0a09, 0x0a09];
    expected.extend([0x0a03; 5]);
    expected.extend([0x0a06; 8]);
    expected.push(0x11);
    assert_eq!(kinds, expected);
    let asks: Vec<bool> = messages(&bytes).iter().map(|message| message.1 & 4 != 0).collect();
    assert_eq!(asks.iter().filter(|asks| **asks).count(), 1, "one answer is asked for");
    assert!(asks[asks.len() - 2], "by the last change");
}

#[test]
fn port_is_one_element_of_the_map() {
    let bytes = change(&ruleset(&[]), &ruleset(&[(8080, 5)])).unwrap();
    let all = messages(&bytes);
    assert_eq!(all.len(), 4, "begin, port, hairpin, end");
    let (kind, _, _, payload) = all[1];
    assert_eq!(kind, NEW_ELEMENT);
    #[rustfmt::skip]
    let expected: &[u8] = &[
        // Family IPv4, version 0, resource 0.
        2, 0, 0, 0,
        // Table "holm", set "ports".
        9, 0, 1, 0, b'h', b'o', b'l', b'm', 0, 0, 0, 0,
        10, 0, 2, 0, b'p', b'o', b'r', b't', b's', 0, 0, 0,
        // List of elements > element > key > value: TCP . 8080.
        40, 0, 3, 0x80, 36, 0, 1, 0x80,
        16, 0, 1, 0x80, 12, 0, 1, 0, 6, 0, 0, 0, 0x1f, 0x90, 0, 0,
        // Data > value: 10.42.0.5 . 80.
        16, 0, 2, 0x80, 12, 0, 1, 0, 10, 42, 0, 5, 0, 80, 0, 0,
    ];
    assert_eq!(payload, expected);
}

#[test]
fn rule_for_ports_of_every_address_has_these_bytes() {
    let bytes = replace(&ruleset(&[]));
    let rules: Vec<&[u8]> =
        messages(&bytes).iter().filter(|message| message.0 == 0x0a06).map(|m| m.3).collect();
    #[rustfmt::skip]
    let expected: &[u8] = &[
        2, 0, 0, 0,
        9, 0, 1, 0, b'h', b'o', b'l', b'm', 0, 0, 0, 0,
        15, 0, 2, 0, b'h', b'o', b's', b't', b'-', b'p', b'o', b'r', b't', b's', 0, 0,
        188, 0, 4, 0x80,
        // meta l4proto => register 8
        36, 0, 1, 0x80, 9, 0, 1, 0, b'm', b'e', b't', b'a', 0, 0, 0, 0,
        20, 0, 2, 0x80, 8, 0, 2, 0, 0, 0, 0, 16, 8, 0, 1, 0, 0, 0, 0, 8,
        // payload 2 bytes @ transport header + 2 => register 9
        52, 0, 1, 0x80, 12, 0, 1, 0, b'p', b'a', b'y', b'l', b'o', b'a', b'd', 0,
        36, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 9, 8, 0, 2, 0, 0, 0, 0, 2,
        8, 0, 3, 0, 0, 0, 0, 2, 8, 0, 4, 0, 0, 0, 0, 2,
        // lookup register 8 set ports => register 8
        48, 0, 1, 0x80, 11, 0, 1, 0, b'l', b'o', b'o', b'k', b'u', b'p', 0, 0,
        32, 0, 2, 0x80, 10, 0, 1, 0, b'p', b'o', b'r', b't', b's', 0, 0, 0,
        8, 0, 2, 0, 0, 0, 0, 8, 8, 0, 3, 0, 0, 0, 0, 8,
        // nat dnat ip address 8 port 9
        48, 0, 1, 0x80, 8, 0, 1, 0, b'n', b'a', b't', 0,
        36, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 2,
        8, 0, 3, 0, 0, 0, 0, 8, 8, 0, 5, 0, 0, 0, 0, 9,
    ];
    let host_ports = rules.iter().find(|rule| {
        rule.windows(8).any(|w| w == b"payload\0")
            && rule.windows(6).any(|w| w == b"ports\0")
            && !rule.windows(9).any(|w| w == b"addressed")
    });
    assert_eq!(host_ports.unwrap(), &expected);
}

#[test]
fn second_family_has_its_own_table() {
    let mut with_v6 = ruleset(&[]);
    with_v6.ranges.v6 = Some("fd42::/64".parse().unwrap());
    let families = |bytes: &[u8]| {
        let mut count = BTreeMap::new();
        for message in messages(bytes) {
            *count.entry(message.3[0]).or_insert(0) += 1;
        }
        count
    };
    let v6 = families(&replace(&with_v6));
    assert_eq!(v6.get(&10), Some(&18), "one rule fewer than IPv4: no loopback");
    assert_eq!(v6.get(&2), Some(&19));
    assert_eq!(families(&replace(&ruleset(&[]))).get(&10), None);
}

#[test]
fn port_that_passes_to_another_pod_is_removed_first() {
    let bytes = change(&ruleset(&[(80, 5)]), &ruleset(&[(80, 6)])).unwrap();
    let kinds: Vec<u16> = messages(&bytes).iter().map(|message| message.0).collect();
    assert_eq!(kinds, [0x10, DELETE_ELEMENT, DELETE_ELEMENT, NEW_ELEMENT, NEW_ELEMENT, 0x11]);
}

#[test]
fn many_ports_are_split_into_messages_that_fit() {
    let mut many = ruleset(&[]);
    let address = Ipv4Addr::new(10, 42, 0, 2);
    for port in 1..=1100 {
        many.v4.any.insert((Protocol::Udp, port), Target { address, port });
    }
    let bytes = change(&ruleset(&[]), &many).unwrap();
    let elements: Vec<_> = messages(&bytes).into_iter().filter(|m| m.0 == NEW_ELEMENT).collect();
    assert_eq!(elements.len(), 3);
    assert!(elements.iter().all(|message| message.3.len() < 0xffff));
}

fn ports() -> impl Strategy<Value = Vec<(u16, u8)>> {
    prop::collection::vec((1u16..6, 2u8..5), 0..6)
}

proptest! {
    #[test]
    fn nothing_is_sent_when_nothing_changes(ports in ports()) {
        prop_assert_eq!(change(&ruleset(&ports), &ruleset(&ports)), None);
    }

    #[test]
    fn every_batch_is_numbered_and_bounded(before in ports(), after in ports()) {
        let (before, after) = (ruleset(&before), ruleset(&after));
        for bytes in change(&before, &after).into_iter().chain([replace(&after)]) {
            let all = messages(&bytes);
            prop_assert_eq!(all[0].0, 0x10);
            prop_assert_eq!(all[all.len() - 1].0, 0x11);
            for (index, message) in all.iter().enumerate() {
                prop_assert_eq!(message.2 as usize, index + 1);
            }
        }
    }
}
