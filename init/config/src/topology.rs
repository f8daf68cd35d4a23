//! Checks across links and sections: what each part says may be right, and the whole impossible.

use ipnet::IpNet;

use crate::links::Placed;
use crate::reader::Table;
use crate::{Link, LinkKind, NodeConfig};

type Placing<'a> = (&'a Link, &'a Placed);

pub(crate) fn check(config: &NodeConfig, placed: &[Placed], root: &Table<'_>) {
    let links: Vec<Placing<'_>> = config.network.links.iter().zip(placed).collect();
    check_names(&links, root);
    check_addresses(&links, root);
    check_ports(&links, root);
    check_vlans(&links, root);
    check_cycles(&links, root);
    check_pod_ranges(config, &links, root);
}

fn check_names(links: &[Placing<'_>], root: &Table<'_>) {
    for (n, (link, placed)) in links.iter().enumerate() {
        let Some(name) = &link.name else { continue };
        if links.iter().take(n).any(|(other, _)| other.name.as_ref() == Some(name)) {
            let what = format!("link {name:?} has two entries");
            root.problem(placed.at, what, "put all of it into one entry");
        }
    }
}

fn check_addresses(links: &[Placing<'_>], root: &Table<'_>) {
    for (n, (link, placed)) in links.iter().enumerate() {
        for (net, at) in link.addresses.iter().zip(&placed.addresses) {
            let earlier = links
                .iter()
                .take(n)
                .find(|(other, _)| other.addresses.iter().any(|other| other.addr() == net.addr()));
            if let Some((other, _)) = earlier {
                let what = format!("address {} is also on {}", net.addr(), title(other));
                root.problem(*at, what, "give each address to one link");
            }
        }
    }
}

fn check_ports(links: &[Placing<'_>], root: &Table<'_>) {
    for (n, (link, placed)) in links.iter().enumerate() {
        for port in ports(link) {
            let earlier = links.iter().take(n).find(|(other, _)| ports(other).contains(port));
            if let Some((other, _)) = earlier {
                let what = format!("{port:?} is a port of {} already", title(other));
                root.problem(placed.kind, what, "a link is a port of one bridge or bond");
            }
            let own = links.iter().filter(|(other, _)| other.name.as_ref() == Some(port));
            for key in own.flat_map(|(_, placed)| &placed.layer3) {
                root.problem(
                    key.at,
                    format!("{port:?} is a port of {}, and has \"{}\"", title(link), key.value),
                    "a port carries no addresses: put this on the bridge or bond",
                );
            }
        }
    }
}

fn check_vlans(links: &[Placing<'_>], root: &Table<'_>) {
    for (n, (link, placed)) in links.iter().enumerate() {
        let LinkKind::Vlan(vlan) = &link.kind else { continue };
        let earlier = links.iter().take(n).find(|(other, _)| other.kind == link.kind);
        if let Some((other, _)) = earlier {
            let what = format!("VLAN {} of {:?} is {} already", vlan.id, vlan.link, title(other));
            root.problem(placed.kind, what, "give each VLAN one entry");
        }
        let carrier = links.iter().find(|(other, _)| other.name.as_ref() == Some(&vlan.link));
        let carrier_mtu = carrier.and_then(|(carrier, _)| carrier.mtu);
        let Some((mtu, most)) = link.mtu.zip(carrier_mtu).filter(|(mtu, most)| mtu > most) else {
            continue;
        };
        root.problem(
            placed.mtu.unwrap_or(placed.at),
            format!("mtu {mtu} does not fit {:?} with {most}", vlan.link),
            format!("write {most} or less, or raise that of the carrier"),
        );
    }
}

/// A link must not stand on itself, directly or by way of others. One problem for each cycle:
/// at the first of its links in the document.
fn check_cycles(links: &[Placing<'_>], root: &Table<'_>) {
    let lower = |n: usize| -> Vec<usize> {
        let names = links.get(n).map_or(&[][..], |(link, _)| link.lower_links());
        let find = |name| links.iter().position(|(link, _)| link.name.as_ref() == Some(name));
        names.iter().filter_map(find).collect()
    };
    let mut known = vec![false; links.len()];
    for start in 0..links.len() {
        // Breadth first from `start`, remembering from where each link was reached.
        let mut reached: Vec<Option<usize>> = vec![None; links.len()];
        let mut queue = vec![start];
        while let Some(from) = queue.pop() {
            for to in lower(from) {
                if reached.get(to).is_some_and(Option::is_none) {
                    reached[to] = Some(from);
                    queue.push(to);
                }
            }
        }
        let mut cycle = vec![start];
        let mut at = reached[start];
        while let Some(n) = at.filter(|n| *n != start) {
            cycle.push(n);
            at = reached[n];
        }
        let closed = reached[start].is_some();
        if closed && !cycle.iter().any(|n| known[*n]) {
            cycle[1..].reverse();
            let names: Vec<String> = cycle.iter().map(|n| title(links[*n].0)).collect();
            let what = match &names[..] {
                [one] => format!("{one} stands on itself"),
                _ => format!("{} stand on each other in a circle", names.join(" and ")),
            };
            root.problem(links[start].1.kind, what, "let one of them stand on another link");
        }
        if closed {
            cycle.iter().for_each(|n| known[*n] = true);
        }
    }
}

fn check_pod_ranges(config: &NodeConfig, links: &[Placing<'_>], root: &Table<'_>) {
    let ranges = [Some(IpNet::V4(config.pods.cidr)), config.pods.cidr6.map(IpNet::V6)];
    for range in ranges.into_iter().flatten() {
        let key = if range.addr().is_ipv4() { "cidr" } else { "cidr6" };
        let right = format!("give pods.{key} a range that nothing else uses");
        for (link, placed) in links {
            for (net, at) in link.addresses.iter().zip(&placed.addresses) {
                if overlap(&range, net) {
                    let what = format!("the network of {net} overlaps the pods' range {range}");
                    root.problem(*at, what, right.as_str());
                }
            }
            for (route, at) in link.routes.iter().zip(&placed.routes) {
                if range.contains(&route.to) {
                    let what =
                        format!("the route to {} takes from the pods' range {range}", route.to);
                    root.problem(*at, what, right.as_str());
                }
            }
        }
    }
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn ports(link: &Link) -> &[String] {
    match link.kind {
        LinkKind::Bridge(_) | LinkKind::Bond(_) => link.lower_links(),
        LinkKind::Physical | LinkKind::Vlan(_) => &[],
    }
}

fn title(link: &Link) -> String {
    link.name.as_ref().map_or("another link".into(), |name| format!("{name:?}"))
}
