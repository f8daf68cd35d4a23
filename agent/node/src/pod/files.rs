//! Contents of the files that every container finds in `/etc`, and where a pod's own files are.
//! Pure.

use std::net::IpAddr;
use std::path::PathBuf;

use super::spec::{Dns, Pod};

/// Folders and files of the node that pods need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// One folder for each pod UID: `/data/pods`.
    pub pods: PathBuf,
    /// Container logs as Kubernetes lays them out: `/data/var/log/pods`.
    pub logs: PathBuf,
    /// Folders of containers, `<containers>/<id>`: `/data/containers`.
    pub containers: PathBuf,
    /// The list of pods for whoever asks: `/run/holm/pods.json`.
    pub list: PathBuf,
    /// The node's resolver configuration: `/run/holm/resolv.conf`.
    pub resolv_conf: PathBuf,
}

impl Paths {
    /// All that the node keeps of a pod.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods.join(uid)
    }

    /// The manifest that the pod was made from.
    pub fn manifest(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("pod.json")
    }

    /// What is remembered of its containers.
    pub fn memory(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("status.json")
    }

    /// One of the files in the containers' `/etc`.
    pub fn etc(&self, uid: &str, file: &str) -> PathBuf {
        self.pod(uid).join("etc").join(file)
    }

    /// The folder of an `emptyDir`.
    pub fn empty_dir(&self, uid: &str, volume: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(volume)
    }

    /// Where the n-th mount of a container is bound when it is a part of a volume.
    pub fn sub_path(&self, uid: &str, container: &str, mount: usize) -> PathBuf {
        self.pod(uid).join("subpaths").join(container).join(mount.to_string())
    }

    /// The file that a container writes its last words to.
    pub fn termination_message(&self, uid: &str, container: &str) -> PathBuf {
        self.pod(uid).join("messages").join(container)
    }

    /// The folder of a pod's logs.
    pub fn pod_logs(&self, pod: &Pod) -> PathBuf {
        self.logs.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
    }

    /// The log of one instance of a container.
    pub fn log(&self, pod: &Pod, container: &str, attempt: u32) -> PathBuf {
        self.pod_logs(pod).join(container).join(format!("{attempt}.log"))
    }
}

/// Every file of the containers' `/etc` by name.
pub fn etc(pod: &Pod, addresses: &[IpAddr], node_resolv_conf: &str) -> [(&'static str, String); 3] {
    [
        ("hosts", hosts(pod, addresses)),
        ("hostname", format!("{}\n", pod.hostname)),
        ("resolv.conf", resolv_conf(&pod.dns, node_resolv_conf)),
    ]
}

/// `/etc/hosts`: this host, the pod under its own addresses, and its aliases.
fn hosts(pod: &Pod, addresses: &[IpAddr]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    for address in addresses {
        text += &format!("{address}\t{}\n", pod.hostname);
    }
    for alias in &pod.host_aliases {
        text += &format!("{}\t{}\n", alias.ip, alias.hostnames.join(" "));
    }
    text
}

/// The resolver of glibc reads no more servers and no longer search list.
const MAX_SERVERS: usize = 3;

/// `/etc/resolv.conf`: what the node has, unless the pod wants none of it, and what the pod adds.
pub fn resolv_conf(dns: &Dns, node: &str) -> String {
    let (mut servers, mut searches, mut options) = (Vec::new(), Vec::new(), Vec::new());
    for line in node.lines().filter(|_| dns.from_node) {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().map(str::to_owned)),
            // The last list counts.
            Some("search" | "domain") => searches = words.map(str::to_owned).collect(),
            Some("options") => options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    for (list, more) in [
        (&mut servers, &dns.nameservers),
        (&mut searches, &dns.searches),
        (&mut options, &dns.options),
    ] {
        for word in more {
            if !list.contains(word) {
                list.push(word.clone());
            }
        }
    }
    // Options with a value replace an earlier one of the same name.
    let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    let mut kept: Vec<String> = Vec::new();
    for option in options {
        kept.retain(|other| name(other) != name(&option));
        kept.push(option);
    }
    let mut text = String::new();
    for server in servers.iter().take(MAX_SERVERS) {
        text += &format!("nameserver {server}\n");
    }
    if !searches.is_empty() {
        text += &format!("search {}\n", searches.join(" "));
    }
    if !kept.is_empty() {
        text += &format!("options {}\n", kept.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::spec::{HostAlias, tests::pod};
    use super::*;

    #[test]
    fn hosts_name_the_pod_and_its_aliases() {
        let mut pod = pod(&[], &["web"]);
        let ip = "192.0.2.7".parse().unwrap();
        pod.host_aliases =
            vec![HostAlias { ip, hostnames: vec!["db".into(), "db.example".into()] }];
        let addresses = ["10.42.0.2".parse().unwrap()];
        assert_eq!(
            hosts(&pod, &addresses),
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             10.42.0.2\tweb-node\n192.0.2.7\tdb db.example\n"
        );
    }

    #[test]
    fn resolver_starts_from_the_node_and_adds_the_pods_wishes() {
        let node = "# a comment\nnameserver 192.0.2.53\nsearch lan\noptions ndots:1 edns0\n";
        let from_node = Dns { from_node: true, ..Dns::default() };
        assert_eq!(
            resolv_conf(&from_node, node),
            "nameserver 192.0.2.53\nsearch lan\noptions ndots:1 edns0\n"
        );
        let more = Dns {
            nameservers: vec!["192.0.2.53".into(), "192.0.2.54".into()],
            searches: vec!["example".into()],
            options: vec!["ndots:5".into()],
            ..from_node
        };
        assert_eq!(
            resolv_conf(&more, node),
            "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch lan example\noptions edns0 ndots:5\n"
        );
        let own = Dns { from_node: false, ..more };
        assert_eq!(
            resolv_conf(&own, node),
            "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example\noptions ndots:5\n"
        );
        assert_eq!(resolv_conf(&Dns { from_node: true, ..Dns::default() }, ""), "");
    }

    #[test]
    fn logs_lie_where_kubernetes_puts_them() {
        let paths = Paths {
            pods: "/data/pods".into(),
            logs: "/data/var/log/pods".into(),
            containers: "/data/containers".into(),
            list: "/run/holm/pods.json".into(),
            resolv_conf: "/run/holm/resolv.conf".into(),
        };
        let pod = Pod { uid: "1".into(), ..pod(&[], &["web"]) };
        assert_eq!(
            paths.log(&pod, "web", 2),
            Path::new("/data/var/log/pods/default_web-node_1/web/2.log")
        );
    }
}
