//! Real packets through real links and the real packet filter. Each test is a node of its own: a
//! network namespace with an uplink to a second one, which is "outside".

#[cfg(test)]
mod vm {
    use std::io::{self, Read, Write};
    use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
    use std::path::{Path, PathBuf};
    use std::thread;
    use std::time::Duration;

    use holm_network::links::{self, Links};
    use holm_network::plan::{Action, Side, Wiring};
    use holm_network::pods::Paths;
    use holm_network::{PodNetwork, PodNetworkError, PortMapping, Protocol, Ranges, namespace};

    const NODE: &str = "192.0.2.1";
    const OUTSIDE: &str = "192.0.2.2";
    const NODE6: &str = "2001:db8::1";
    const OUTSIDE6: &str = "2001:db8::2";
    const DEADLINE: Duration = Duration::from_secs(10);

    struct Node {
        dir: tempfile::TempDir,
        ranges: Ranges,
    }

    impl Node {
        fn paths(&self) -> Paths {
            Paths {
                netns: self.dir.path().join("netns"),
                state: self.dir.path().join("pod-network.json"),
            }
        }

        fn open(&self) -> PodNetwork {
            PodNetwork::open(self.paths(), self.ranges).unwrap()
        }

        fn outside(&self) -> PathBuf {
            self.dir.path().join("outside")
        }

        fn links(&self) -> Vec<String> {
            // sysfs shows the namespace in which it was mounted; this file follows the thread.
            let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
            let names = text.lines().skip(2).filter_map(|line| line.split(':').next());
            let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
            names.sort();
            names
        }
    }

    /// Runs `test` on a node of its own, in a thread that ends with its network namespace.
    fn on_a_node(test: impl FnOnce(&Node) + Send) {
        let dir = tempfile::tempdir().unwrap();
        let namespace_path = dir.path().join("node");
        let ranges =
            Ranges { v4: "10.42.0.0/24".parse().unwrap(), v6: Some("fd42::/64".parse().unwrap()) };
        let node = Node { dir, ranges };
        namespace::make(&namespace_path).unwrap();
        let outcome = thread::scope(|scope| {
            scope
                .spawn(|| {
                    namespace::within(&namespace_path, || {
                        uplink(&node);
                        test(&node);
                        Ok(())
                    })
                    .unwrap();
                })
                .join()
        });
        for uid in ["a", "b"] {
            namespace::remove(&node.paths().netns.join(uid)).unwrap();
        }
        namespace::remove(&node.outside()).unwrap();
        namespace::remove(&namespace_path).unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    /// Joins the node to "outside" as a router would: addresses of full length and host routes.
    fn uplink(node: &Node) {
        let address = |text: &str| -> IpAddr { text.parse().unwrap() };
        let wiring = Wiring {
            netns: node.outside(),
            host_link: "up0".to_owned(),
            host_mac: [0x52, 0, 0, 0, 0, 1],
            pod_mac: [0x52, 0, 0, 0, 0, 2],
            mtu: 1500,
            addresses: Vec::new(),
        };
        let eth0 = || "eth0".to_owned();
        let up0 = || "up0".to_owned();
        let links = Links::here().unwrap();
        let mut actions = vec![
            Action::MakeNamespace(node.outside()),
            Action::MakeVeth,
            Action::LinkUp(Side::Node, "lo".to_owned()),
            Action::LinkUp(Side::Pod, "lo".to_owned()),
            Action::LinkUp(Side::Node, up0()),
            Action::LinkUp(Side::Pod, eth0()),
        ];
        for (here, there) in [(NODE, OUTSIDE), (NODE6, OUTSIDE6)] {
            actions.extend([
                Action::AddAddress(Side::Node, up0(), address(here)),
                Action::AddAddress(Side::Pod, eth0(), address(there)),
                Action::AddHostRoute { link: up0(), to: address(there), source: address(here) },
                Action::AddNeighbour(Side::Node, up0(), address(there), wiring.pod_mac),
                Action::AddNeighbour(Side::Pod, eth0(), address(here), wiring.host_mac),
                // Outside knows the node alone: what is not masqueraded gets no answer... unless
                // it goes back the same way, which the default route allows for.
                Action::AddDefaultRoute {
                    link: eth0(),
                    gateway: address(here),
                    source: address(there),
                },
            ]);
        }
        links::perform(&links, &wiring, &actions).unwrap();
    }

    fn mapping(host_port: u16, protocol: Protocol) -> PortMapping {
        PortMapping { host_ip: None, host_port, pod_port: 80, protocol }
    }

    /// A server in `namespace` that answers every connection with the address it sees.
    fn serve(namespace_path: &Path, address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        let listener = namespace::within(namespace_path, || TcpListener::bind(address)).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let peer = stream.peer_addr().unwrap().ip();
                stream.write_all(peer.to_string().as_bytes()).unwrap();
            }
        });
    }

    fn ask(address: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn ask_from(namespace_path: &Path, address: &str) -> io::Result<String> {
        namespace::within(namespace_path, || ask(address))
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn pods_and_node_reach_each_other_under_their_own_addresses() {
        on_a_node(|node| {
            let network = node.open();
            let (a, addresses) = network.attach("a", &[]).unwrap();
            assert_eq!(
                addresses,
                ["10.42.0.2".parse::<IpAddr>().unwrap(), "fd42::2".parse().unwrap()]
            );
            let (b, _) = network.attach("b", &[]).unwrap();
            serve(&a, "0.0.0.0:80");
            assert_eq!(ask("10.42.0.2:80").unwrap(), "10.42.0.1");
            assert_eq!(ask_from(&b, "10.42.0.2:80").unwrap(), "10.42.0.3");
            serve(&node.dir.path().join("node"), "10.42.0.1:81");
            assert_eq!(ask_from(&a, "10.42.0.1:81").unwrap(), "10.42.0.2");
            serve(&a, "[fd42::2]:82");
            assert_eq!(ask_from(&b, "[fd42::2]:82").unwrap(), "fd42::3");
            assert_eq!(ask("[fd42::2]:82").unwrap(), "fd42::1");
        });
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn host_port_works_from_outside_from_the_node_and_from_pods() {
        on_a_node(|node| {
            let network = node.open();
            let (a, _) = network.attach("a", &[mapping(8080, Protocol::Tcp)]).unwrap();
            let (b, _) = network.attach("b", &[]).unwrap();
            serve(&a, "[::]:80");
            let outside = node.outside();
            assert_eq!(ask_from(&outside, "192.0.2.1:8080").unwrap(), "::ffff:192.0.2.2");
            assert_eq!(ask("192.0.2.1:8080").unwrap(), "::ffff:192.0.2.1");
            assert_eq!(ask("127.0.0.1:8080").unwrap(), "::ffff:10.42.0.1");
            assert_eq!(ask_from(&b, "192.0.2.1:8080").unwrap(), "::ffff:10.42.0.3");
            // Through the node to itself: without masquerade the answer would bypass the node.
            assert_eq!(ask_from(&a, "192.0.2.1:8080").unwrap(), "::ffff:10.42.0.1");
            assert_eq!(ask_from(&outside, "[2001:db8::1]:8080").unwrap(), "2001:db8::2");
            assert_eq!(ask_from(&a, "[2001:db8::1]:8080").unwrap(), "fd42::1");
            // Only the node's own addresses are translated.
            serve(&outside, "192.0.2.2:8080");
            assert_eq!(ask("192.0.2.2:8080").unwrap(), "192.0.2.1");
        });
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn host_port_of_one_address_is_closed_on_the_others() {
        on_a_node(|node| {
            let network = node.open();
            let host_ip = Some(NODE.parse().unwrap());
            let one = PortMapping { host_ip, ..mapping(8080, Protocol::Tcp) };
            let (a, _) = network.attach("a", &[one]).unwrap();
            serve(&a, "0.0.0.0:80");
            assert_eq!(ask("192.0.2.1:8080").unwrap(), "192.0.2.1");
            let refused = ask("127.0.0.1:8080").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let error = network.attach("b", &[mapping(8080, Protocol::Tcp)]).unwrap_err();
            assert_eq!(error.to_string(), "host port 8080/TCP is in use by pod a");
        });
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn what_leaves_the_node_has_the_address_of_the_node() {
        on_a_node(|node| {
            let network = node.open();
            let (a, _) = network.attach("a", &[]).unwrap();
            serve(&node.outside(), "[::]:80");
            assert_eq!(ask_from(&a, "192.0.2.2:80").unwrap(), "::ffff:192.0.2.1");
            assert_eq!(ask_from(&a, "[2001:db8::2]:80").unwrap(), "2001:db8::1");
        });
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn udp_port_follows_to_the_next_pod_though_the_client_never_pauses() {
        on_a_node(|node| {
            let network = node.open();
            let port = [mapping(5353, Protocol::Udp)];
            let client = namespace::within(&node.outside(), || UdpSocket::bind("192.0.2.2:9999"));
            let client = client.unwrap();
            client.set_read_timeout(Some(DEADLINE)).unwrap();
            client.connect("192.0.2.1:5353").unwrap();
            let mut heard = Vec::new();
            for uid in ["a", "b"] {
                let (netns, _) = network.attach(uid, &port).unwrap();
                let server = namespace::within(&netns, || UdpSocket::bind("0.0.0.0:80")).unwrap();
                server.set_read_timeout(Some(DEADLINE)).unwrap();
                client.send(uid.as_bytes()).unwrap();
                let mut buffer = [0; 8];
                let (length, from) = server.recv_from(&mut buffer).unwrap();
                heard.push((buffer[..length].to_vec(), from.to_string()));
                server.send_to(b"answer", from).unwrap();
                assert_eq!(client.recv(&mut buffer).unwrap(), 6);
                assert!(network.detach(uid).is_empty());
                // Nobody listens now; the kernel remembers this packet's way all the same.
                client.send(b"lost").unwrap();
                let refused = client.recv(&mut buffer).unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            }
            let from = || "192.0.2.2:9999".to_owned();
            assert_eq!(heard, [(b"a".to_vec(), from()), (b"b".to_vec(), from())]);
        });
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn connections_outlive_a_restart_of_the_agent() {
        on_a_node(|node| {
            let network = node.open();
            let port = [mapping(8080, Protocol::Tcp)];
            let (a, before) = network.attach("a", &port).unwrap();
            let listener = namespace::within(&a, || TcpListener::bind("0.0.0.0:80")).unwrap();
            let mut client =
                namespace::within(&node.outside(), || TcpStream::connect("192.0.2.1:8080"))
                    .unwrap();
            let (mut server, _) = listener.accept().unwrap();
            drop(network);

            let network = node.open();
            assert_eq!(network.attached().unwrap(), ["a"]);
            let (_, after) = network.attach("a", &port).unwrap();
            assert_eq!(after, before);
            client.write_all(b"still here").unwrap();
            let mut heard = [0; 10];
            server.set_read_timeout(Some(DEADLINE)).unwrap();
            server.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"still here");
            let (_, other) = network.attach("b", &[]).unwrap();
            assert_ne!(other, after);
        });
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn detaching_leaves_nothing_and_twice_is_harmless() {
        on_a_node(|node| {
            let network = node.open();
            let before = node.links();
            let (netns, _) = network.attach("a", &[mapping(8080, Protocol::Tcp)]).unwrap();
            assert_eq!(node.links().len(), before.len() + 1);
            for _ in 0..2 {
                let errors = network.detach("a");
                assert!(errors.is_empty(), "{errors:?}");
                assert_eq!(node.links(), before);
                assert!(!netns.exists());
                assert_eq!(network.attached().unwrap(), Vec::<String>::new());
            }
            let refused = ask("192.0.2.1:8080").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        });
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn half_a_pod_is_made_whole_and_leftovers_are_found() {
        on_a_node(|node| {
            let network = node.open();
            let (a, _) = network.attach("a", &[]).unwrap();
            // The namespace is lost, the node's end of the link may be there or gone with it.
            namespace::remove(&a).unwrap();
            let (a, _) = network.attach("a", &[]).unwrap();
            serve(&a, "0.0.0.0:80");
            assert_eq!(ask("10.42.0.2:80").unwrap(), "10.42.0.1");
            namespace::make(&node.paths().netns.join("b")).unwrap();
            assert_eq!(network.attached().unwrap(), ["a", "b"]);
            assert!(network.detach("b").is_empty());
            assert_eq!(network.attached().unwrap(), ["a"]);
        });
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn table_that_was_emptied_is_put_right_by_the_next_change() {
        on_a_node(|node| {
            let network = node.open();
            let (a, _) = network.attach("a", &[mapping(8080, Protocol::Tcp)]).unwrap();
            serve(&a, "0.0.0.0:80");
            // A second agent's open replaces the table by its own (empty) view of it.
            let other = Paths {
                netns: node.dir.path().join("other"),
                state: node.dir.path().join("other.json"),
            };
            PodNetwork::open(other, node.ranges).unwrap();
            assert!(ask("192.0.2.1:8080").is_err());
            let replaced = [mapping(8081, Protocol::Tcp)];
            network.attach("a", &replaced).unwrap();
            assert_eq!(ask("192.0.2.1:8081").unwrap(), "192.0.2.1");
        });
    }

    #[test]
    #[ignore = "needs root in a VM"]
    fn full_range_is_a_clear_error() {
        on_a_node(|node| {
            let ranges = Ranges { v4: "10.43.0.0/30".parse().unwrap(), v6: None };
            let network = PodNetwork::open(node.paths(), ranges).unwrap();
            network.attach("a", &[]).unwrap();
            let error = network.attach("b", &[]).unwrap_err();
            assert!(matches!(error, PodNetworkError::Addresses(_)), "{error:?}");
            assert_eq!(error.to_string(), "all 1 addresses of 10.43.0.0/30 are in use");
        });
    }
}
