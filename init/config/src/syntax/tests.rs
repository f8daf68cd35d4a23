//! Tables of what each check takes and refuses.

use super::*;

fn takes<T: std::fmt::Debug>(check: fn(&str) -> Result<T, Refusal>, texts: &[&str]) {
    for text in texts {
        assert!(check(text).is_ok(), "{text:?}: {:?}", check(text));
    }
}

fn refuses<T: std::fmt::Debug>(check: fn(&str) -> Result<T, Refusal>, texts: &[&str]) {
    for text in texts {
        let refusal = check(text).expect_err(text);
        assert!(!refusal.what.is_empty() && !refusal.right.is_empty(), "{text:?}");
    }
}

fn right<T: std::fmt::Debug>(check: fn(&str) -> Result<T, Refusal>, text: &str) -> String {
    check(text).expect_err(text).right
}

#[test]
fn host_names_are_lower_case_dns_names() {
    takes(hostname, &["a", "edge-1", "edge-1.example.org", "0x", &"a".repeat(63)]);
    refuses(hostname, &["", "-a", "a-", "a..b", ".", "a b", "ä", "10.0.0.1"]);
    refuses(hostname, &[&"a".repeat(64), &format!("{}.a", "a".repeat(63))]);
    assert_eq!(right(hostname, "Edge_1"), "write \"edge-1\"");
}

#[test]
fn servers_are_names_or_addresses_without_port() {
    takes(server, &["ntp.example.org", "192.0.2.1", "2001:db8::1", "0.pool.ntp.org"]);
    refuses(server, &["", "a:123", "http://a", "300.1.1.1", "[::1]", "1.2.3"]);
}

#[test]
fn link_addresses_are_hosts_of_their_prefix() {
    takes(link_address, &["10.0.0.1/8", "10.0.0.0/31", "10.0.0.1/31", "10.0.0.0/32"]);
    takes(link_address, &["2001:db8::1/64", "fe80::1/64", "2001:db8::/64"]);
    refuses(link_address, &["10.0.0.1", "10.0.0.1/33", "10.0.0.256/24", "10.0.0.1/", "::/0"]);
    refuses(
        link_address,
        &["127.0.0.1/8", "224.0.0.1/24", "0.0.0.0/0", "10.0.0.1/0", "ff02::1/64"],
    );
    assert_eq!(
        right(link_address, "10.0.0.0/24"),
        "write a host's address, such as \"10.0.0.1/24\""
    );
    assert_eq!(
        right(link_address, "10.0.0.255/24"),
        "write a host's address, such as \"10.0.0.1/24\""
    );
    assert_eq!(right(link_address, "10.0.0.1"), "add the prefix length, such as \"10.0.0.1/24\"");
    assert_eq!(right(link_address, "fd::1"), "add the prefix length, such as \"fd::1/64\"");
}

#[test]
fn destinations_have_no_host_bits() {
    takes(destination, &["0.0.0.0/0", "::/0", "10.0.0.0/8", "10.0.0.1/32"]);
    refuses(destination, &["default", "10.0.0.0"]);
    assert_eq!(right(destination, "10.0.0.1/8"), "write \"10.0.0.0/8\"");
}

#[test]
fn pod_ranges_leave_room_for_pods() {
    takes(pod_cidr, &["10.42.0.0/24", "10.0.0.0/8", "192.168.0.0/28"]);
    refuses(pod_cidr, &["10.42.0.0/29", "10.42.0.1/24", "fd42::/64", "127.0.0.0/8", "0.0.0.0/8"]);
    takes(pod_cidr6, &["fd42::/64", "2001:db8::/120"]);
    refuses(pod_cidr6, &["10.42.0.0/24", "fd42::/121", "fe80::/64", "ff00::/16", "fd42::1/64"]);
}

#[test]
fn hardware_addresses_are_six_pairs() {
    assert_eq!(mac("52:54:00:12:34:56"), Ok(Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56])));
    assert_eq!(Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]).to_string(), "52:54:00:12:34:56");
    refuses(
        mac,
        &["", "52:54:00:12:34", "52:54:00:12:34:56:78", "52-54-00-12-34-56", "+2:54:00:12:34:56"],
    );
    takes(mac, &["01:00:5e:00:00:01"]);
    refuses(unicast_mac, &["01:00:5e:00:00:01", "00:00:00:00:00:00"]);
}

#[test]
fn link_names_are_what_the_kernel_takes() {
    takes(link_name, &["eth0", "eth0.100", "wlp2s0", "br-lan", "a"]);
    refuses(
        link_name,
        &["", "lo", ".", "..", "eth/0", "eth 0", "eth0:1", "abcdefghijklmnop", "all", "b%d"],
    );
}

#[test]
fn sysctls_are_paths_below_proc_sys() {
    assert_eq!(sysctl("net.ipv4.ip_forward").unwrap(), "net/ipv4/ip_forward");
    assert_eq!(
        sysctl("net/ipv4/conf/eth0.100/forwarding").unwrap(),
        "net/ipv4/conf/eth0.100/forwarding"
    );
    assert_eq!(
        sysctl("net.ipv4.conf.eth0/100.forwarding").unwrap(),
        "net/ipv4/conf/eth0.100/forwarding"
    );
    refuses(
        sysctl,
        &["", "vm", "/proc/sys/vm/swappiness", "vm/../../etc", "vm.", "vm..x", "a b.c", "vm.x\n"],
    );
}

#[test]
fn modules_are_bare_names() {
    takes(module, &["br_netfilter", "dm-verity"]);
    refuses(module, &["", "a/b", "a.ko", "a opt=1", "../a"]);
}

#[test]
fn labels_follow_kubernetes() {
    takes(label_key, &["site", "example.org/site", "a.b_c-d"]);
    refuses(label_key, &["", "/a", "a/", "a/b/c", "-a", "a-", "Example.org/a", &"a".repeat(64)]);
    takes(label_value, &["", "a", "a.b_c-D"]);
    refuses(label_value, &["-a", "a b", &"a".repeat(64)]);
}

#[test]
fn registries_are_named_as_in_image_references() {
    takes(registry_host, &["docker.io", "localhost:5000", "10.0.0.1:5000", "[::1]:5000", "[::1]"]);
    refuses(registry_host, &["", ":5000", "a:", "a:0", "a:65536", "::1", "a/b", "a:+1"]);
    assert_eq!(
        right(registry_host, "https://docker.io/v2"),
        "write [registries.\"docker.io\"], without scheme and path"
    );
    assert_eq!(mirror("https://m.example/").unwrap(), "https://m.example");
    takes(mirror, &["http://10.0.0.1:5000/proxy"]);
    refuses(mirror, &["ftp://a", "https://", "https://a b", "https://a/?x"]);
    assert_eq!(right(mirror, "m.example"), "write \"https://m.example\"");
}

#[test]
fn paths_stay_in_their_folder() {
    takes(path, &["manifests", "/data/preload", "a/b.yaml", "a..b"]);
    refuses(path, &["", "../x", "a/../../x", "a\0"]);
}

#[test]
fn quantities_need_a_unit_and_do_not_overflow() {
    assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
    refuses(
        duration,
        &[
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "30 s",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
        ],
    );
    assert_eq!(size("10MiB"), Ok(10 << 20));
    refuses(size, &["", "10", "10MB", "10Mi", "18446744073709551615GiB"]);
}

#[test]
fn globs_and_domains_refuse_the_empty_text() {
    takes(glob, &["enp*", "virtio_net"]);
    refuses(glob, &["", "a\n"]);
    takes(domain, &["example.org", "local"]);
    refuses(domain, &["", "example.org.", "Example.org"]);
}
