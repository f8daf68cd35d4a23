//! Properties: any text is answered without a panic, and a valid document means what it says.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use holm_config::{
    IpNet, Ipv4Net, Link, LinkKind, Mac, NodeConfig, Registry, Route, Secret, Vlan, parse,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn quoted<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("{:?}", item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// The document that says `config`, every key written out.
fn write(config: &NodeConfig) -> String {
    let mut out = String::new();
    write_into(config, &mut out).expect("a String takes all text");
    out
}

fn write_into(config: &NodeConfig, out: &mut String) -> std::fmt::Result {
    if let Some(name) = &config.node.hostname {
        writeln!(out, "node.hostname = {name:?}")?;
    }
    for (key, value) in &config.node.labels {
        writeln!(out, "node.labels.{key:?} = {value:?}")?;
    }
    writeln!(out, "time.servers = {}", quoted(&config.time.servers))?;
    writeln!(out, "watchdog.timeout = \"{}ms\"", config.watchdog.timeout.as_millis())?;
    writeln!(out, "log.max-size = \"{}KiB\"", config.log.max_size >> 10)?;
    writeln!(out, "log.files = {}", config.log.files)?;
    writeln!(out, "kernel.modules = {}", quoted(&config.kernel.modules))?;
    for (key, value) in &config.kernel.sysctls {
        writeln!(out, "kernel.sysctls.{key:?} = {value:?}")?;
    }
    writeln!(out, "pods.cidr = \"{}\"", config.pods.cidr)?;
    writeln!(out, "pods.manifests = {}", quoted(&config.pods.manifests))?;
    writeln!(out, "images.gc-high-percent = {}", config.images.gc_high_percent)?;
    writeln!(out, "images.gc-low-percent = {}", config.images.gc_low_percent)?;
    writeln!(out, "images.gc-min-age = \"{}s\"", config.images.gc_min_age.as_secs())?;
    writeln!(out, "network.dns = {}", quoted(&config.network.dns))?;
    writeln!(out, "network.hostname-from-dhcp = {}", config.network.hostname_from_dhcp)?;
    for (host, registry) in &config.registries {
        writeln!(out, "[registries.{host:?}]\nmirrors = {}", quoted(&registry.mirrors))?;
        writeln!(out, "insecure = {}", registry.insecure)?;
        if let (Some(name), Some(password)) = (&registry.username, &registry.password) {
            writeln!(out, "username = {name:?}\npassword = {:?}", password.reveal())?;
        }
    }
    config.network.links.iter().try_for_each(|link| write_link(link, out))
}

fn write_link(link: &Link, out: &mut String) -> std::fmt::Result {
    let name = link.name.as_deref().unwrap_or_default();
    writeln!(out, "[[network.links]]\nname = {name:?}\ndhcp4 = {}", link.dhcp4)?;
    writeln!(out, "accept-ra = {}", link.accept_ra)?;
    writeln!(out, "addresses = {}", quoted(&link.addresses))?;
    writeln!(out, "gateways = {}", quoted(&link.gateways))?;
    let routes = link.routes.iter().map(|route| {
        let via = route.via.map(|via| format!(", via = \"{via}\"")).unwrap_or_default();
        let metric = route.metric.map(|metric| format!(", metric = {metric}")).unwrap_or_default();
        format!("{{ to = \"{}\"{via}{metric} }}", route.to)
    });
    writeln!(out, "routes = [{}]", routes.collect::<Vec<_>>().join(", "))?;
    for (key, value) in [("metric", link.metric), ("mtu", link.mtu)] {
        if let Some(value) = value {
            writeln!(out, "{key} = {value}")?;
        }
    }
    if let Some(mac) = link.mac {
        writeln!(out, "mac = \"{mac}\"")?;
    }
    if let LinkKind::Vlan(vlan) = &link.kind {
        writeln!(out, "vlan = {{ link = {:?}, id = {} }}", vlan.link, vlan.id)?;
    }
    Ok(())
}

prop_compose! {
    /// The `n`th link: its own networks, a router within, all that stands alone.
    fn any_link(n: u8)(
        dhcp4: bool, accept_ra: bool, fixed: bool, host in 2u8..254,
        routed in option::of((0u8..200, option::of(any::<u32>()))),
        metric in option::of(any::<u32>()), mtu in option::of(1280u32..=65535),
        mac in option::of(any::<[u8; 5]>()), vlan in option::of(1u16..=4094),
    ) -> Link {
        let own4 = Ipv4Addr::new(172, 16, n, host);
        let own6 = Ipv6Addr::new(0x2001, 0xdb8, n.into(), 0, 0, 0, 0, host.into());
        let router4 = IpAddr::V4(Ipv4Addr::new(172, 16, n, 1));
        let mut addresses = Vec::new();
        let mut gateways = Vec::new();
        if fixed {
            addresses.push(IpNet::new_assert(own4.into(), 24));
            addresses.push(IpNet::new_assert(own6.into(), 64));
            gateways.push(router4);
        }
        let routes = routed.map(|(net, metric)| Route {
            to: IpNet::new_assert(Ipv4Addr::new(192, 168, net, 0).into(), 24),
            via: fixed.then_some(router4),
            metric,
        });
        Link {
            name: Some(format!("l{n}")),
            matches: None,
            kind: vlan.map_or(LinkKind::Physical, |id| {
                LinkKind::Vlan(Vlan { link: format!("carrier{n}"), id })
            }),
            dhcp4, accept_ra, addresses, gateways,
            routes: routes.into_iter().collect(),
            metric, mtu,
            mac: mac.map(|[a, b, c, d, e]| Mac([2, a, b, c, d, e])),
        }
    }
}

fn any_registry() -> impl Strategy<Value = Registry> {
    let login = option::of(("\\PC{0,12}", "\\PC{0,12}"));
    (vec("[a-z]{1,9}", 0..3), any::<bool>(), login).prop_map(|(mirrors, insecure, login)| {
        Registry {
            mirrors: mirrors.iter().map(|host| format!("https://{host}.example/v2")).collect(),
            insecure,
            username: login.as_ref().map(|(name, _)| plain(name)),
            password: login.as_ref().map(|(_, password)| Secret::new(plain(password))),
            ..Registry::default()
        }
    })
}

/// Without what Rust's `{:?}` and TOML escape differently.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || ('à'..'ÿ').contains(c)).collect()
}

prop_compose! {
    fn any_config()(
        hostname in option::of("[a-z0-9]{1,20}[a-z](\\.[a-z]{1,9})?"),
        labels in btree_map("[a-z]{1,9}(/[a-z]{1,9})?", "[A-Za-z0-9]{0,9}", 0..4),
        servers in vec("[a-z]{1,9}\\.example", 0..4),
        (watchdog, log_kib, log_files) in (5_000u64..=600_000, 64u64..=1 << 20, 1u32..=100),
        modules in vec("[a-z_]{1,12}", 0..3),
        sysctls in btree_map("(vm|net/ipv4)/[a-z_]{1,9}", "[0-9a-z ]{0,9}", 0..4),
        pods in 0u8..=255, manifests in vec("[a-z]{1,9}(/[a-z]{1,9})?", 0..3),
        (low, high, age) in (1u8..60, 60u8..=100, 0u64..100_000),
        dns in vec(any::<IpAddr>(), 0..=3), hostname_from_dhcp: bool,
        registries in btree_map("[a-z]{1,9}\\.example(:[1-9][0-9]{0,3})?", any_registry(), 0..3),
        links in (0u8..4).prop_flat_map(|count| (0..count).map(any_link).collect::<Vec<_>>()),
    ) -> NodeConfig {
        let mut config = NodeConfig::default();
        config.node.hostname = hostname;
        config.node.labels = labels;
        config.time.servers = servers;
        config.watchdog.timeout = Duration::from_millis(watchdog);
        config.log.max_size = log_kib << 10;
        config.log.files = log_files;
        config.kernel.modules = modules;
        config.kernel.sysctls = sysctls;
        config.pods.cidr = Ipv4Net::new_assert(Ipv4Addr::new(10, pods, 0, 0), 24);
        config.pods.manifests = manifests;
        config.images.gc_low_percent = low;
        config.images.gc_high_percent = high;
        config.images.gc_min_age = Duration::from_secs(age);
        config.network.dns = dns;
        config.network.hostname_from_dhcp = hostname_from_dhcp;
        config.network.links = links;
        config.registries = registries;
        config
    }
}

/// Texts that are nearly documents: pieces of the language in any order.
fn any_pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[\\[\\]{}=\",.#'\\n ]{1,4}",
        "(node|network|links|name|bond|ports|vlan|id|link|routes|to|via|mtu|registries)",
        "(true|-?[0-9]{1,20}|1e9|0x[0-9a-f]{1,20}|\"[0-9./:a-z]{0,12}\"|1979-05-27)",
        "\\[\\[network\\.links\\]\\]\\nname = \"[a-c]\"\\nbridge = \\{ ports = \\[\"[a-c]\"\\] \\}\\n",
        "(addresses|gateways|dns) = \\[\"[0-9]{1,3}\\.0\\.0\\.[0-9]{1,3}/[0-9]{1,2}\"\\]\\n",
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn answers_for(text: &str) -> Result<(), TestCaseError> {
    let Err(problems) = parse(text, "f") else { return Ok(()) };
    prop_assert!(!problems.is_empty());
    let lines = text.split('\n').count();
    for problem in problems {
        prop_assert!((1..=lines).contains(&problem.line), "{problem}");
        prop_assert!(problem.column >= 1);
        prop_assert!(!problem.what.is_empty() && !problem.right.is_empty(), "{problem}");
        prop_assert!(!problem.to_string().contains('\n'), "{problem:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_text_is_answered(text in "\\PC*|(?s).{0,200}") {
        answers_for(&text)?;
    }

    #[test]
    fn any_near_document_is_answered(text in any_pieces()) {
        answers_for(&text)?;
    }

    #[test]
    fn a_document_means_what_it_says(config in any_config()) {
        let text = write(&config);
        prop_assert_eq!(parse(&text, "f"), Ok(config), "{}", text);
    }

    #[test]
    fn a_document_cut_anywhere_is_answered(config in any_config(), cut in 0.0f64..1.0) {
        let text = write(&config);
        let mut end = (text.len() as f64 * cut) as usize;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        answers_for(&text[..end])?;
    }
}
