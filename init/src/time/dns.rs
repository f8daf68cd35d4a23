//! What is asked of a name server and what its answer says, and who the name servers are.
//! Pure; the wire format is simple-dns'.

use std::net::IpAddr;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// The smallest question and record on the wire; a count that cannot fit is a lie, which would
/// cost memory to believe.
const SMALLEST_RECORD: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A question for the addresses of `name`; `None` when it is no name.
pub(crate) fn question(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    let record = match family {
        Family::V4 => TYPE::A,
        Family::V6 => TYPE::AAAA,
    };
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    packet.questions.push(Question::new(
        name,
        QTYPE::TYPE(record),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec().ok()
}

/// The addresses that an answer to the question `id` for `name` gives, in its order; empty when
/// there are none. `None` for anything that is no answer to it.
pub(crate) fn answer(bytes: &[u8], id: u16, name: &str) -> Option<Vec<IpAddr>> {
    let counts = bytes.get(4..12)?.chunks_exact(2);
    let records: usize = counts.map(|pair| usize::from(pair[0]) << 8 | usize::from(pair[1])).sum();
    if records * SMALLEST_RECORD > bytes.len() {
        return None;
    }
    let packet = Packet::parse(bytes).ok()?;
    let asked = packet.questions.first()?.qname.to_string();
    if packet.id() != id
        || !packet.has_flags(PacketFlag::RESPONSE)
        || !asked.eq_ignore_ascii_case(name)
    {
        return None;
    }
    if packet.rcode() != RCODE::NoError {
        return Some(Vec::new());
    }
    // A recursive server follows aliases itself and puts the whole chain here.
    let addresses = packet.answers.iter().filter_map(|record| match &record.rdata {
        RData::A(a) => Some(IpAddr::V4(a.address.into())),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.address.into())),
        _ => None,
    });
    Some(addresses.collect())
}

/// The `nameserver` lines of `resolv.conf`.
pub(crate) fn name_servers(resolv_conf: &str) -> Vec<IpAddr> {
    let words = resolv_conf.lines().map(str::split_whitespace);
    let servers = words.filter_map(|mut words| {
        if words.next()? != "nameserver" {
            return None;
        }
        words.next()?.parse().ok()
    });
    servers.collect()
}

/// At most `most` of the addresses of several names: the first of each, then the second of each.
pub(crate) fn take_turns(of_each: &[Vec<IpAddr>], most: usize) -> Vec<IpAddr> {
    let longest = of_each.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|n| of_each.iter().filter_map(move |list| list.get(n)));
    let mut taken: Vec<IpAddr> = Vec::new();
    for address in turns {
        if taken.len() < most && !taken.contains(address) {
            taken.push(*address);
        }
    }
    taken
}

/// A name server's datagram, for tests on both sides of the wire.
#[cfg(test)]
pub(crate) fn server_answer(question: &[u8], addresses: &[IpAddr]) -> Vec<u8> {
    use simple_dns::ResourceRecord;
    let mut packet = Packet::parse(question).unwrap().into_reply();
    packet.set_flags(PacketFlag::RESPONSE);
    let asked = packet.questions[0].clone();
    for address in addresses {
        let data = match address {
            IpAddr::V4(v4) if asked.qtype == QTYPE::TYPE(TYPE::A) => RData::A((*v4).into()),
            IpAddr::V6(v6) if asked.qtype == QTYPE::TYPE(TYPE::AAAA) => RData::AAAA((*v6).into()),
            _ => continue,
        };
        packet.answers.push(ResourceRecord::new(asked.qname.clone(), CLASS::IN, 60, data));
    }
    packet.build_bytes_vec_compressed().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_answer_gives_the_addresses_of_the_family_asked() {
        let all = [ip("192.0.2.1"), ip("2001:db8::1"), ip("192.0.2.2")];
        let asked = question(7, "ntp.example", Family::V4).unwrap();
        let found = answer(&server_answer(&asked, &all), 7, "ntp.example");
        assert_eq!(found, Some(vec![ip("192.0.2.1"), ip("192.0.2.2")]));
        let asked = question(8, "ntp.example", Family::V6).unwrap();
        let found = answer(&server_answer(&asked, &all), 8, "NTP.example");
        assert_eq!(found, Some(vec![ip("2001:db8::1")]));
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let asked = question(7, "ntp.example", Family::V4).unwrap();
        let bytes = server_answer(&asked, &[ip("192.0.2.1")]);
        assert_eq!(answer(&bytes, 8, "ntp.example"), None);
        assert_eq!(answer(&bytes, 7, "other.example"), None);
        assert_eq!(answer(&asked, 7, "ntp.example"), None, "a question is no answer");
        assert_eq!(answer(&bytes[..20], 7, "ntp.example"), None);
    }

    #[test]
    fn a_name_that_does_not_exist_has_no_addresses() {
        let mut bytes = server_answer(&question(7, "a.example", Family::V4).unwrap(), &[]);
        bytes[3] |= 3;
        assert_eq!(answer(&bytes, 7, "a.example"), Some(vec![]));
    }

    #[test]
    fn counts_that_cannot_be_true_are_not_believed() {
        let mut bytes = server_answer(&question(7, "a.example", Family::V4).unwrap(), &[]);
        bytes[6..8].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(answer(&bytes, 7, "a.example"), None);
    }

    #[test]
    fn no_question_is_made_of_what_is_no_name() {
        assert_eq!(question(7, &"a".repeat(64), Family::V4), None);
        assert_eq!(question(7, &"abc.".repeat(80), Family::V4), None);
    }

    #[test]
    fn resolv_conf_gives_its_name_servers() {
        let text =
            "# c\nnameserver 192.0.2.1\nsearch a\n  nameserver\t2001:db8::1 \nnameserver x\n";
        assert_eq!(name_servers(text), [ip("192.0.2.1"), ip("2001:db8::1")]);
        assert!(name_servers("").is_empty());
    }

    #[test]
    fn every_name_has_its_turn() {
        let list = |texts: &[&str]| texts.iter().map(|text| ip(text)).collect::<Vec<_>>();
        let of_each = [list(&["1.1.1.1", "1.1.1.2", "1.1.1.3"]), vec![], list(&["2.2.2.2"])];
        assert_eq!(take_turns(&of_each, 3), list(&["1.1.1.1", "2.2.2.2", "1.1.1.2"]));
        assert_eq!(take_turns(&[list(&["1.1.1.1"]), list(&["1.1.1.1"])], 4), list(&["1.1.1.1"]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            answer(&bytes, 7, "a.example");
        }

        #[test]
        fn a_damaged_answer_is_answered(at in 0usize..60, byte: u8, cut in 0usize..60) {
            let asked = question(7, "ntp.example", Family::V4).unwrap();
            let mut bytes = server_answer(&asked, &[ip("192.0.2.1"), ip("192.0.2.2")]);
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            answer(&bytes, 7, "ntp.example");
        }
    }
}
