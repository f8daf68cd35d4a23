//! Constructors for the expressions that rules are made of; those that the codec has no types for
//! are spelled out here. Numbers are from `linux/netfilter/nf_tables.h`.

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, Operator, Payload,
    Register, Verdict, VerdictAttribute,
};

/// A 32-bit register, by number from 0; addresses of 16 bytes take four in a row.
pub fn register(number: u32) -> Register {
    const NFT_REG32_00: u32 = 8;
    Register::from(NFT_REG32_00 + number)
}

/// Where a payload is counted from.
#[derive(Clone, Copy)]
pub enum Base {
    /// `NFT_PAYLOAD_NETWORK_HEADER`
    Network = 1,
    /// `NFT_PAYLOAD_TRANSPORT_HEADER`
    Transport = 2,
}

pub fn load(base: Base, offset: u32, len: u32, to: u32) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register(to)),
        Payload::Base(base as u32),
        Payload::Offset(offset),
        Payload::Len(len),
    ])
}

pub fn load_meta(key: MetaKey, to: u32) -> Expressions {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(register(to))])
}

/// The destination port is at the same place in TCP, UDP and SCTP.
pub fn load_destination_port(to: u32) -> Expressions {
    load(Base::Transport, 2, 2, to)
}

pub fn compare(register_number: u32, operator: Operator, value: &[u8]) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(register(register_number)),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value.to_vec())),
    ])
}

pub fn mask(register_number: u32, mask: &[u8]) -> Expressions {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(register(register_number)),
        Bitwise::DestinationRegister(register(register_number)),
        Bitwise::Length(mask.len() as u32),
        Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
        Bitwise::Xor(DataAttribute::Value(vec![0; mask.len()])),
    ])
}

/// The rule goes on when the set has the key in registers from 0.
pub fn is_in(set: &str) -> Expressions {
    Expressions::Lookup(vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(register(0))])
}

/// Replaces the key in registers from 0 by what the map has for it.
pub fn map(set: &str) -> Expressions {
    Expressions::Lookup(vec![
        Lookup::Set(set.to_owned()),
        Lookup::SourceRegister(register(0)),
        Lookup::DestinationRegister(register(0)),
    ])
}

fn verdict(attributes: Vec<VerdictAttribute>) -> Expressions {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(attributes)),
    ])
}

pub fn jump(chain: &str) -> Expressions {
    verdict(vec![VerdictAttribute::Code(Verdict::Jump), VerdictAttribute::Chain(chain.to_owned())])
}

pub fn drop_packet() -> Expressions {
    const NF_DROP: u32 = 0;
    verdict(vec![VerdictAttribute::Code(Verdict::Other(NF_DROP))])
}

fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

fn raw(name: &str, attributes: Vec<DefaultNla>) -> Expressions {
    Expressions::Other { expression_type: name.to_owned(), attributes }
}

const NFTA_FIB_DREG: u16 = 1;
const NFTA_FIB_RESULT: u16 = 2;
const NFTA_FIB_FLAGS: u16 = 3;

/// `fib daddr type` into register 0, and go on when it is `local`.
pub fn to_this_node() -> [Expressions; 2] {
    const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
    const NFTA_FIB_F_DADDR: u32 = 2;
    const RTN_LOCAL: u32 = 2;
    let fib = raw(
        "fib",
        vec![
            number(NFTA_FIB_DREG, register(0).into()),
            number(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE),
            number(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR),
        ],
    );
    [fib, compare(0, Operator::Equal, &RTN_LOCAL.to_ne_bytes())]
}

/// `fib saddr . iif oif missing`: the link is not the way back to the sender.
pub fn sender_is_not_behind_the_link() -> [Expressions; 2] {
    const NFT_FIB_RESULT_OIF: u32 = 1;
    const NFTA_FIB_F_SADDR: u32 = 1;
    const NFTA_FIB_F_IIF: u32 = 8;
    const NFTA_FIB_F_PRESENT: u32 = 32;
    let fib = raw(
        "fib",
        vec![
            number(NFTA_FIB_DREG, register(0).into()),
            number(NFTA_FIB_RESULT, NFT_FIB_RESULT_OIF),
            number(NFTA_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT),
        ],
    );
    [fib, compare(0, Operator::Equal, &[0])]
}

/// Destination NAT to the address in registers from 0 and the port in register `port`.
pub fn dnat(family: NetfilterProtoFamily, port: u32) -> Expressions {
    const NFTA_NAT_TYPE: u16 = 1;
    const NFTA_NAT_FAMILY: u16 = 2;
    const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
    const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
    const NFT_NAT_DNAT: u32 = 1;
    raw(
        "nat",
        vec![
            number(NFTA_NAT_TYPE, NFT_NAT_DNAT),
            number(NFTA_NAT_FAMILY, u8::from(family).into()),
            number(NFTA_NAT_REG_ADDR_MIN, register(0).into()),
            number(NFTA_NAT_REG_PROTO_MIN, register(port).into()),
        ],
    )
}

pub fn masquerade() -> Expressions {
    raw("masq", vec![])
}
