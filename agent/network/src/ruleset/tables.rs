//! Sets, chains, rules and elements of the table, for either address family.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, Expressions, Hook, InetHookNumber, ListAttribute,
    MetaKey, NfTablesMessage, Operator, RuleAttribute, RuleMessage, SetAttribute,
    SetElementAttribute, SetElementList, SetElementMessage, SetFlags, SetMessage,
};

use super::expressions::{
    Base, compare, dnat, drop_packet, is_in, jump, load, load_destination_port, load_meta, map,
    mask, masquerade, sender_is_not_behind_the_link, to_this_node,
};
use super::{Batch, TABLE};
use crate::plan::HOST_LINK_PREFIX;
use crate::ports::{Elements, Protocol, Target};

/// What differs between IPv4 and IPv6.
pub struct Family<A> {
    pub number: NetfilterProtoFamily,
    /// Where source and destination address are in the header.
    source: u32,
    destination: u32,
    /// Type of an address in `nft`'s numbering; the kernel keeps it for whoever lists the table.
    address_type: u32,
    network: Vec<u8>,
    netmask: Vec<u8>,
    bytes: fn(&A) -> Vec<u8>,
}

impl Family<Ipv4Addr> {
    pub fn v4(range: Ipv4Net) -> Self {
        Self {
            number: NetfilterProtoFamily::IPv4,
            source: 12,
            destination: 16,
            address_type: 7,
            network: range.network().octets().to_vec(),
            netmask: range.netmask().octets().to_vec(),
            bytes: |address| address.octets().to_vec(),
        }
    }
}

impl Family<Ipv6Addr> {
    pub fn v6(range: Ipv6Net) -> Self {
        Self {
            number: NetfilterProtoFamily::IPv6,
            source: 8,
            destination: 24,
            address_type: 8,
            network: range.network().octets().to_vec(),
            netmask: range.netmask().octets().to_vec(),
            bytes: |address| address.octets().to_vec(),
        }
    }
}

const PORTS: &str = "ports";
const ADDRESSED_PORTS: &str = "addressed-ports";
const HAIRPIN: &str = "hairpin";
const HOST_PORTS: &str = "host-ports";

const TYPE_PROTOCOL: u32 = 12;
const TYPE_PORT: u32 = 13;

/// Every part of a concatenation takes whole registers of four bytes.
const PORT_LEN: u32 = 4;
const PROTOCOL_LEN: u32 = 4;

impl<A> Family<A> {
    fn address_len(&self) -> u32 {
        self.network.len() as u32
    }

    /// Registers that an address takes.
    fn width(&self) -> u32 {
        self.address_len() / 4
    }

    fn is_v4(&self) -> bool {
        self.address_len() == 4
    }

    fn load_address(&self, offset: u32, to: u32) -> Expressions {
        load(Base::Network, offset, self.address_len(), to)
    }

    fn in_range(&self, offset: u32, operator: Operator) -> [Expressions; 3] {
        [self.load_address(offset, 0), mask(0, &self.netmask), compare(0, operator, &self.network)]
    }
}

/// `nft` packs the types of a concatenation into one number, six bits each.
fn concatenated(types: &[u32]) -> u32 {
    types.iter().fold(0, |packed, one| packed << 6 | one)
}

/// Everything inside a table that was just made.
pub fn fill_table<A: Ord + Copy>(batch: &mut Batch, family: &Family<A>, elements: &Elements<A>) {
    let (address, len) = (family.address_type, family.address_len());
    let target = Some((concatenated(&[address, TYPE_PORT]), len + PORT_LEN));
    let key = (concatenated(&[TYPE_PROTOCOL, TYPE_PORT]), PROTOCOL_LEN + PORT_LEN);
    new_set(batch, family, 1, PORTS, key, target);
    let key = (concatenated(&[address, TYPE_PROTOCOL, TYPE_PORT]), len + PROTOCOL_LEN + PORT_LEN);
    new_set(batch, family, 2, ADDRESSED_PORTS, key, target);
    new_set(batch, family, 3, HAIRPIN, (concatenated(&[address, address]), 2 * len), None);

    new_chain(batch, family, HOST_PORTS, None);
    let raw = BaseChain::new("filter", InetHookNumber::PreRouting, -300);
    new_chain(batch, family, "guard", Some(raw));
    let dstnat = BaseChain::new("nat", InetHookNumber::PreRouting, -100);
    new_chain(batch, family, "prerouting", Some(dstnat));
    let output = BaseChain::new("nat", InetHookNumber::LocalOut, -100);
    new_chain(batch, family, "output", Some(output));
    let srcnat = BaseChain::new("nat", InetHookNumber::PostRouting, 100);
    new_chain(batch, family, "postrouting", Some(srcnat));

    guard_rules(batch, family);
    host_port_rules(batch, family);
    masquerade_rules(batch, family);
    change_elements(batch, family, &Elements::default(), elements, Change::Add);
}

fn guard_rules<A>(batch: &mut Batch, family: &Family<A>) {
    let from_pod =
        [load_meta(MetaKey::Iifname, 0), compare(0, Operator::Equal, HOST_LINK_PREFIX.as_bytes())];
    let wrong = if family.is_v4() {
        [load(Base::Network, family.destination, 1, 0), compare(0, Operator::Equal, &[127])]
    } else {
        sender_is_not_behind_the_link()
    };
    new_rule(batch, family, "guard", from_pod.into_iter().chain(wrong).chain([drop_packet()]));
}

fn host_port_rules<A>(batch: &mut Batch, family: &Family<A>) {
    for chain in ["prerouting", "output"] {
        new_rule(batch, family, chain, to_this_node().into_iter().chain([jump(HOST_PORTS)]));
    }
    let width = family.width();
    let addressed = [
        family.load_address(family.destination, 0),
        load_meta(MetaKey::L4Proto, width),
        load_destination_port(width + 1),
        map(ADDRESSED_PORTS),
        dnat(family.number, width),
    ];
    new_rule(batch, family, HOST_PORTS, addressed);
    let any = [
        load_meta(MetaKey::L4Proto, 0),
        load_destination_port(1),
        map(PORTS),
        dnat(family.number, width),
    ];
    new_rule(batch, family, HOST_PORTS, any);
}

fn masquerade_rules<A>(batch: &mut Batch, family: &Family<A>) {
    let chain = "postrouting";
    let to_itself = [
        family.load_address(family.source, 0),
        family.load_address(family.destination, family.width()),
        is_in(HAIRPIN),
        masquerade(),
    ];
    new_rule(batch, family, chain, to_itself);
    if family.is_v4() {
        let from_loopback = [
            load(Base::Network, family.source, 1, 0),
            compare(0, Operator::Equal, &[127]),
            load_meta(MetaKey::Oifname, 0),
            compare(0, Operator::Equal, HOST_LINK_PREFIX.as_bytes()),
            masquerade(),
        ];
        new_rule(batch, family, chain, from_loopback);
    }
    let from_pods = family.in_range(family.source, Operator::Equal);
    let off_node = family.in_range(family.destination, Operator::NotEqual);
    new_rule(batch, family, chain, from_pods.into_iter().chain(off_node).chain([masquerade()]));
}

fn new_set<A>(
    batch: &mut Batch,
    family: &Family<A>,
    id: u32,
    name: &str,
    (key_type, key_len): (u32, u32),
    data: Option<(u32, u32)>,
) {
    let flags = if data.is_some() { SetFlags::Map } else { SetFlags::empty() };
    let mut attributes = vec![
        SetAttribute::Table(TABLE.to_owned()),
        SetAttribute::Name(name.to_owned()),
        SetAttribute::Flags(flags),
        SetAttribute::KeyType(key_type),
        SetAttribute::KeyLen(key_len),
        SetAttribute::Id(id),
    ];
    if let Some((data_type, data_len)) = data {
        attributes.push(SetAttribute::DataType(data_type));
        attributes.push(SetAttribute::DataLen(data_len));
    }
    let message = NfTablesMessage::NewSet(SetMessage { attributes });
    batch.push(family.number, message, NLM_F_CREATE);
}

/// Where a chain hooks into the kernel.
struct BaseChain {
    kind: &'static str,
    hook: InetHookNumber,
    priority: i32,
}

impl BaseChain {
    fn new(kind: &'static str, hook: InetHookNumber, priority: i32) -> Self {
        Self { kind, hook, priority }
    }
}

fn new_chain<A>(batch: &mut Batch, family: &Family<A>, name: &str, base: Option<BaseChain>) {
    const NF_ACCEPT: u32 = 1;
    let mut attributes =
        vec![ChainAttribute::Table(TABLE.to_owned()), ChainAttribute::Name(name.to_owned())];
    if let Some(base) = base {
        attributes.push(ChainAttribute::Hook(vec![
            Hook::Number(base.hook.into()),
            Hook::Priority(base.priority as u32),
        ]));
        attributes.push(ChainAttribute::Type(base.kind.to_owned()));
        attributes.push(ChainAttribute::Policy(NF_ACCEPT));
    }
    let message = NfTablesMessage::NewChain(ChainMessage { attributes });
    batch.push(family.number, message, NLM_F_CREATE);
}

fn new_rule<A>(
    batch: &mut Batch,
    family: &Family<A>,
    chain: &str,
    expressions: impl IntoIterator<Item = Expressions>,
) {
    let attributes = vec![
        RuleAttribute::Table(TABLE.to_owned()),
        RuleAttribute::Chain(chain.to_owned()),
        RuleAttribute::Expressions(expressions.into_iter().map(Into::into).collect()),
    ];
    let message = NfTablesMessage::NewRule(RuleMessage { attributes });
    batch.push(family.number, message, NLM_F_CREATE | NLM_F_APPEND);
}

/// Which half of a difference is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Add,
    Remove,
}

/// One element: its key, and its value in a map.
type Element = (Vec<u8>, Option<Vec<u8>>);

/// The elements that `after` has and `before` has not, or the other way round. One whose value
/// changed is in both.
pub fn change_elements<A: Ord + Copy>(
    batch: &mut Batch,
    family: &Family<A>,
    before: &Elements<A>,
    after: &Elements<A>,
    change: Change,
) {
    let (has, lacks) = match change {
        Change::Add => (after, before),
        Change::Remove => (before, after),
    };
    let value = |target: &Target<A>| {
        let mut bytes = (family.bytes)(&target.address);
        bytes.extend(port(target.port));
        Some(bytes)
    };
    let any = has.any.iter().filter(|(key, target)| lacks.any.get(key) != Some(target)).map(
        |((protocol, host_port), target)| {
            ([protocol_bytes(*protocol), port(*host_port)].concat(), value(target))
        },
    );
    push_elements(batch, family, PORTS, any.collect(), change);
    let addressed =
        has.addressed.iter().filter(|(key, target)| lacks.addressed.get(key) != Some(target)).map(
            |((address, protocol, host_port), target)| {
                let mut key = (family.bytes)(address);
                key.extend(protocol_bytes(*protocol));
                key.extend(port(*host_port));
                (key, value(target))
            },
        );
    push_elements(batch, family, ADDRESSED_PORTS, addressed.collect(), change);
    let hairpin = has
        .hairpin
        .difference(&lacks.hairpin)
        .map(|address| ((family.bytes)(address).repeat(2), None));
    push_elements(batch, family, HAIRPIN, hairpin.collect(), change);
}

fn protocol_bytes(protocol: Protocol) -> [u8; 4] {
    [protocol.number(), 0, 0, 0]
}

fn port(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// An attribute can be 64 KiB long; an element takes at most about 80 bytes.
const ELEMENTS_IN_MESSAGE: usize = 512;

fn push_elements<A>(
    batch: &mut Batch,
    family: &Family<A>,
    set: &str,
    elements: Vec<Element>,
    change: Change,
) {
    for chunk in elements.chunks(ELEMENTS_IN_MESSAGE) {
        let list = chunk
            .iter()
            .map(|(key, value)| {
                let mut attributes =
                    vec![SetElementAttribute::Key(DataAttribute::Value(key.clone()))];
                if let Some(value) = value {
                    let value = DataAttribute::Value(value.clone());
                    attributes.push(SetElementAttribute::Data(value));
                }
                ListAttribute::Element(attributes)
            })
            .collect();
        let message = SetElementMessage {
            attributes: vec![
                SetElementList::Table(TABLE.to_owned()),
                SetElementList::Set(set.to_owned()),
                SetElementList::Elements(list),
            ],
        };
        match change {
            Change::Add => {
                let message = NfTablesMessage::NewSetElement(message);
                batch.push(family.number, message, NLM_F_CREATE);
            }
            Change::Remove => {
                batch.push(family.number, NfTablesMessage::DeleteSetElement(message), 0);
            }
        }
    }
}
