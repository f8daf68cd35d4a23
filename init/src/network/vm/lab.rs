//! The place where the service is tried: its own process in a network namespace, a cable to another
//! namespace, and eyes and hands in both.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use holm_config::{IpNet, Mac};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::super::action::Action;
use super::super::netlink::{Socket, Watch, observe, perform};
use super::super::observed::{Link, Observed};
use super::super::orders::Orders;
use super::super::service::{Places, Service};
use super::server::{SERVER, Server};
use crate::clock::now;
use crate::syscalls::signals::{OF_RELOAD, Signals};

/// Names the folder to the process that `Lab::start` starts.
const FOLDER: &str = "HOLM_TEST_FOLDER";
/// Longer than anything may take under emulation; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Lab {
    folder: tempfile::TempDir,
    node: OwnedFd,
    eyes: Socket,
    watch: Watch,
    pub(crate) heard: Vec<Vec<u8>>,
    notify: UnixDatagram,
    service: Option<Child>,
    told: String,
}

/// Runs a test in a thread whose namespace is the other end of the cable.
pub(crate) fn lab(test: fn(&mut Lab)) {
    let run = move || {
        new_namespace();
        let node = own_namespace();
        let (eyes, watch) = (Socket::open().unwrap(), Watch::open().unwrap());
        new_namespace();
        let folder = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notify.set_nonblocking(true).unwrap();
        let heard = Vec::new();
        let (service, told) = (None, String::new());
        let mut lab = Lab { folder, node, eyes, watch, heard, notify, service, told };
        lab.cable("eth0", "wall0");
        test(&mut lab);
    };
    std::thread::Builder::new().name("lab".into()).spawn(run).unwrap().join().unwrap();
}

/// The process that `Lab::start` starts; does nothing when a person or CI starts it.
pub(crate) fn service_process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let orders = Orders::hear().unwrap();
    let places = Places {
        document: folder.join("holm.toml"),
        run: folder.join("run"),
        state: folder.join("state"),
    };
    Service::new(places, orders).unwrap().run().unwrap();
}

impl Lab {
    /// Lays a cable from the node to the wall.
    pub(crate) fn cable(&mut self, node: &str, wall: &str) {
        let mut peer = LinkMessage::default();
        peer.attributes.push(LinkAttribute::IfName(node.into()));
        peer.attributes.push(LinkAttribute::NetNsFd(self.node.as_raw_fd()));
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(wall.into()));
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        Socket::open().unwrap().change(RouteNetlinkMessage::NewLink(link), flags).unwrap();
        // No duplicate address detection at the wall: tests need its addresses at once.
        let file = format!("/proc/sys/net/ipv6/conf/{wall}/accept_dad");
        std::fs::write(file, "0").unwrap();
        self.wall(&Action::Up(wall.into()));
    }

    /// A DHCP server at the wall.
    pub(crate) fn server(&mut self, seconds: u32) -> Server {
        let net = IpNet::new(IpAddr::V4(SERVER), 24).unwrap();
        self.wall(&Action::PutAddress("wall0".into(), net, None));
        let mut socket = Socket::open().unwrap();
        let index = observe(&mut socket, now()).unwrap().link("wall0").unwrap().index;
        Server::start(index, Ipv4Addr::new(192, 0, 2, 10), seconds)
    }

    /// Does something at the wall.
    pub(crate) fn wall(&self, action: &Action) {
        perform(&mut Socket::open().unwrap(), action, now()).unwrap();
    }

    /// Does something in the node's namespace, as somebody else.
    pub(crate) fn in_node<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.node.as_fd(), kind).unwrap();
            act()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }

    /// Writes the node document.
    pub(crate) fn document(&self, text: &str) {
        std::fs::write(self.folder.path().join("holm.toml"), text).unwrap();
    }

    /// Starts the service and waits until it is ready.
    pub(crate) fn start(&mut self) {
        self.told.clear();
        let folder = self.folder.path().to_owned();
        let spawn = move || {
            let mut command = Command::new("/proc/self/exe");
            command.args(["--exact", "network::vm::service_process", "--ignored", "--nocapture"]);
            command.arg("--quiet").env("WATCHDOG_USEC", "4000000");
            command.env("NOTIFY_SOCKET", folder.join("notify")).env(FOLDER, folder);
            // Signals are for the whole process, and the harness has a thread of its own.
            // SAFETY: only makes system calls.
            #[allow(unsafe_code)]
            unsafe {
                command.pre_exec(|| Signals::open(OF_RELOAD).map(drop));
            }
            command.spawn().unwrap()
        };
        self.service = Some(self.in_node(spawn));
        self.until("the service is ready", |lab| lab.has_told("READY=1"));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.service.as_ref().expect("the service runs").id();
        kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
    }

    /// Waits for the end of the service.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.service.take().expect("the service runs").wait().unwrap()
    }

    /// Resident memory of the service that no file backs, and in all, in KiB.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let pid = self.service.as_ref().expect("the service runs").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (field("RssAnon:"), field("VmRSS:"))
    }

    /// What the node has.
    pub(crate) fn node(&mut self) -> Observed {
        observe(&mut self.eyes, now()).unwrap()
    }

    pub(crate) fn link(&mut self, name: &str) -> Option<Link> {
        self.node().link(name).cloned()
    }

    /// The addresses of a node's link, IPv6 link-local ones left out.
    pub(crate) fn addresses(&mut self, link: &str) -> Vec<String> {
        let node = self.node();
        let Some(index) = node.link(link).map(|link| link.index) else { return Vec::new() };
        let own = node.addresses.iter().filter(|address| address.index == index);
        own.map(|a| a.net.to_string()).filter(|text| !text.starts_with("fe80:")).collect()
    }

    /// The node's default gateways with their metrics.
    pub(crate) fn gateways(&mut self) -> Vec<(IpAddr, u32)> {
        let routes = self.node().routes;
        let default = routes.iter().filter(|route| route.to.prefix_len() == 0);
        default.filter_map(|route| Some((route.via?, route.metric))).collect()
    }

    /// `network.json`.
    pub(crate) fn report(&self) -> serde_json::Value {
        let bytes = std::fs::read(self.folder.path().join("run/network.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Whether the service has told the supervisor something.
    pub(crate) fn has_told(&mut self, what: &str) -> bool {
        let mut buffer = [0; 1024];
        while let Ok(length) = self.notify.recv(&mut buffer) {
            self.told.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        self.told.contains(what)
    }

    pub(crate) fn forget_told(&mut self) {
        self.has_told("");
        self.told.clear();
    }

    /// Waits until something is so. Woken by changes in the node; looks again now and then for what
    /// does not wake.
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            let told = &self.told;
            assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}; told: {told}");
            let pause = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            let descriptor = self.watch.descriptor();
            let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&pause));
            self.heard.extend(self.watch.take_raw());
        }
    }

    /// Whether the kernel told of anything of a message type since `heard` was cleared.
    pub(crate) fn has_heard(&mut self, kind: u16) -> bool {
        self.heard.extend(self.watch.take_raw());
        self.heard.iter().any(|message| message[4..6] == kind.to_ne_bytes())
    }

    /// Sends a packet to all nodes from a raw ICMPv6 socket at the wall.
    pub(crate) fn advertise(&self, bytes: &[u8]) {
        let mut socket = Socket::open().unwrap();
        let index = observe(&mut socket, now()).unwrap().link("wall0").unwrap().index;
        let kind = rustix::net::SocketType::RAW;
        let icmp = Some(rustix::net::ipproto::ICMPV6);
        let raw = rustix::net::socket(rustix::net::AddressFamily::INET6, kind, icmp).unwrap();
        let socket = UdpSocket::from(raw);
        rustix::net::sockopt::set_ipv6_multicast_hops(&socket, 255).unwrap();
        let all = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        socket.send_to(bytes, std::net::SocketAddrV6::new(all, 0, 0, index)).unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.take() {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

pub(crate) fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 9, last])
}

fn new_namespace() {
    // SAFETY: only the network namespace changes, which no Rust object of this thread depends on.
    #[allow(unsafe_code)]
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNET).unwrap();
    }
}

fn own_namespace() -> OwnedFd {
    File::open("/proc/thread-self/ns/net").unwrap().into()
}
