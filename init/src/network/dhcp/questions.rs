//! What a client says in each state (RFC 2131, tables 4 and 5), as messages. Pure.

use std::net::Ipv4Addr;

use super::message::Message;
use super::options::{self, Kind};

/// What one client says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Params {
    /// The link's Ethernet address.
    pub(crate) hardware: [u8; 6],
    /// The name that the node tells the server.
    pub(crate) hostname: Option<String>,
}

/// A thing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Who gives addresses? Perhaps this one.
    Discover(Option<Ipv4Addr>),
    /// I take what this server offered.
    Take {
        /// The offered address.
        address: Ipv4Addr,
        /// Who offered it.
        server: Ipv4Addr,
    },
    /// Is this address still mine (INIT-REBOOT)?
    Confirm(Ipv4Addr),
    /// May I keep the address that I use (renewing, rebinding)?
    Prolong(Ipv4Addr),
    /// Another host has what you gave me.
    Decline {
        /// The address in conflict.
        address: Ipv4Addr,
        /// Who gave it.
        server: Ipv4Addr,
    },
    /// I give it back.
    Release {
        /// The address.
        address: Ipv4Addr,
        /// Who gave it.
        server: Ipv4Addr,
    },
}

/// The options that the node can use. Classless routes come before routers, as RFC 3442 wants.
const WANTED: &[u8] = &[
    options::MASK,
    options::ROUTES,
    options::ROUTER,
    options::DNS,
    options::HOST_NAME,
    options::DOMAIN,
    options::SEARCH,
    options::MTU,
    options::NTP,
    options::PROVISIONING,
    options::T1,
    options::T2,
];
/// The longest message that fits an Ethernet frame behind its IP and UDP headers.
const LONGEST: u16 = 1472;

impl Question {
    /// The message that says it.
    pub(crate) fn message(self, params: &Params, xid: u32, secs: u16) -> Message {
        let kind = match self {
            Self::Discover(_) => Kind::Discover,
            Self::Take { .. } | Self::Confirm(_) | Self::Prolong(_) => Kind::Request,
            Self::Decline { .. } => Kind::Decline,
            Self::Release { .. } => Kind::Release,
        };
        let mut message = Message::request(kind, xid, params.hardware);
        message.secs = secs;
        let mut set = |code, address: Ipv4Addr| message.options.set(code, address.octets().into());
        match self {
            Self::Discover(Some(address)) | Self::Confirm(address) => {
                set(options::REQUESTED, address);
            }
            Self::Discover(None) => {}
            Self::Take { address, server } | Self::Decline { address, server } => {
                set(options::REQUESTED, address);
                set(options::SERVER, server);
            }
            Self::Prolong(address) => message.ciaddr = address,
            Self::Release { address, server } => {
                set(options::SERVER, server);
                message.ciaddr = address;
            }
        }
        let mut client = vec![1];
        client.extend(params.hardware);
        message.options.set(options::CLIENT, client);
        if matches!(kind, Kind::Discover | Kind::Request) {
            message.options.set(options::PARAMETERS, WANTED.to_vec());
            message.options.set(options::LONGEST, LONGEST.to_be_bytes().to_vec());
            if let Some(name) = &params.hostname {
                message.options.set(options::HOST_NAME, name.as_bytes().to_vec());
            }
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    /// RFC 2131, tables 4 and 5: (ciaddr, requested address, server identifier).
    #[test]
    fn each_question_carries_what_the_rfc_asks_for() {
        let both = (ADDRESS, SERVER);
        let (address, server) = both;
        let none = Ipv4Addr::UNSPECIFIED;
        let table = [
            (Question::Discover(None), none, None, None),
            (Question::Discover(Some(address)), none, Some(address), None),
            (Question::Take { address, server }, none, Some(address), Some(server)),
            (Question::Confirm(address), none, Some(address), None),
            (Question::Prolong(address), address, None, None),
            (Question::Decline { address, server }, none, Some(address), Some(server)),
            (Question::Release { address, server }, address, None, Some(server)),
        ];
        let params = Params { hardware: [2, 0, 0, 0, 0, 1], hostname: Some("node-1".into()) };
        for (question, ciaddr, requested, identifier) in table {
            let message = question.message(&params, 7, 3);
            let options = &message.options;
            assert_eq!((message.ciaddr, message.xid, message.secs), (ciaddr, 7, 3), "{question:?}");
            assert_eq!(options.address(options::REQUESTED), requested, "{question:?}");
            assert_eq!(options.address(options::SERVER), identifier, "{question:?}");
            let asks = !matches!(question, Question::Decline { .. } | Question::Release { .. });
            assert_eq!(options.has(options::PARAMETERS), asks, "{question:?}");
            assert_eq!(options.has(options::HOST_NAME), asks, "{question:?}");
        }
    }
}
