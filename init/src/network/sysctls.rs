//! The kernel settings of single links that the node document asks for, applied when their link
//! comes: a VLAN is made, an adapter is plugged in. PID 1 has written those of the links that were
//! there at boot. Pure but for `write`; must never touch a setting that the document does not name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::observed::{Observed, Setting};
use super::wanted::Wanted;
use crate::configuration::sysctls::link_of;

/// Which settings the links that are there have got. A link that went and came back is another
/// one: the kernel gave it a new number and its defaults.
#[derive(Debug, Default)]
pub(crate) struct Sysctls {
    done: BTreeSet<(u32, String, String)>,
}

impl Sysctls {
    /// What is to be written now: paths below `/proc/sys`, and values. It counts as done. What this
    /// service sets itself on the links of `plan` is left to the plan.
    pub(crate) fn due<'a>(
        &mut self,
        wanted: &'a BTreeMap<String, String>,
        observed: &Observed,
        plan: &Wanted,
    ) -> Vec<(&'a str, &'a str)> {
        self.done.retain(|(index, ..)| observed.link_at(*index).is_some());
        let mut due = Vec::new();
        for (path, value) in wanted {
            let link = link_of(path).and_then(|name| observed.link(name));
            let Some(link) = link.filter(|link| !link.is_of_a_pod()) else { continue };
            let is_planned =
                own(path).is_some() && plan.links.iter().any(|planned| planned.name == link.name);
            if !is_planned && self.done.insert((link.index, path.clone(), value.clone())) {
                due.push((path.as_str(), value.as_str()));
            }
        }
        due
    }
}

/// Puts the document's values in place of this service's own.
pub(crate) fn honour(sysctls: &BTreeMap<String, String>, wanted: &mut Wanted) {
    for (path, value) in sysctls {
        let link = link_of(path);
        let link = wanted.links.iter_mut().find(|wanted| Some(wanted.name.as_str()) == link);
        if let (Some(link), Some(setting)) = (link, own(path)) {
            // As the kernel will tell it, or it would be written again at every look.
            let number = value.trim().parse::<i64>().map(|number| number.to_string());
            link.settings.insert(setting, number.unwrap_or_else(|_| value.clone()));
        }
    }
}

/// The setting that this service keeps itself, if `path` is one.
fn own(path: &str) -> Option<Setting> {
    let parts: Vec<_> = path.split('/').collect();
    let &["net", family, "conf", _, name] = parts.as_slice() else { return None };
    Setting::ALL.into_iter().find(|setting| setting.place() == (family, name))
}

/// Writes one.
pub(crate) fn write(path: &str, value: &str) -> io::Result<()> {
    // Opened, not made: a folder that is no part of the kernel's tree would take it.
    let mut file = File::options().write(true).open(Path::new("/proc/sys").join(path))?;
    file.write_all(format!("{value}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::observed::{Kind, Link};
    use super::super::wanted::{WantedKind, WantedLink};
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.into(),
            kind: Kind::Ethernet,
            device: None,
            up: true,
            carrier: true,
            carrier_losses: 0,
            mtu: 1500,
            mac: None,
            permanent_mac: None,
            master: None,
            alias: None,
        }
    }

    fn there(links: &[(u32, &str)]) -> Observed {
        let links = links.iter().map(|(index, name)| link(*index, name)).collect();
        Observed { links, ..Observed::default() }
    }

    fn document(lines: &[(&str, &str)]) -> BTreeMap<String, String> {
        lines.iter().map(|(path, value)| (path.to_string(), value.to_string())).collect()
    }

    const FILTER: &str = "net/ipv4/conf/vlan7/rp_filter";

    #[test]
    fn link_that_comes_later_gets_its_settings_once() {
        let wanted = document(&[(FILTER, "1"), ("net/ipv4/conf/all/rp_filter", "0")]);
        let mut sysctls = Sysctls::default();
        assert!(sysctls.due(&wanted, &there(&[(2, "eth0")]), &Wanted::default()).is_empty());
        let with_vlan = there(&[(2, "eth0"), (3, "vlan7")]);
        assert_eq!(sysctls.due(&wanted, &with_vlan, &Wanted::default()), [(FILTER, "1")]);
        assert!(sysctls.due(&wanted, &with_vlan, &Wanted::default()).is_empty());
    }

    #[test]
    fn link_that_went_and_came_back_gets_them_again() {
        let wanted = document(&[(FILTER, "1")]);
        let mut sysctls = Sysctls::default();
        sysctls.due(&wanted, &there(&[(3, "vlan7")]), &Wanted::default());
        assert_eq!(
            sysctls.due(&wanted, &there(&[(4, "vlan7")]), &Wanted::default()),
            [(FILTER, "1")]
        );
        // Under the same number too, when it was seen to be away.
        sysctls.due(&wanted, &there(&[]), &Wanted::default());
        assert_eq!(
            sysctls.due(&wanted, &there(&[(4, "vlan7")]), &Wanted::default()),
            [(FILTER, "1")]
        );
    }

    #[test]
    fn changed_document_is_applied_and_renamed_link_has_its_own_settings() {
        let mut sysctls = Sysctls::default();
        sysctls.due(&document(&[(FILTER, "1")]), &there(&[(3, "vlan7")]), &Wanted::default());
        let changed = document(&[(FILTER, "2"), ("net/ipv4/neigh/lan0/app_solicit", "3")]);
        assert_eq!(
            sysctls.due(&changed, &there(&[(3, "vlan7")]), &Wanted::default()),
            [(FILTER, "2")]
        );
        let renamed = sysctls.due(&changed, &there(&[(3, "lan0")]), &Wanted::default());
        assert_eq!(renamed, [("net/ipv4/neigh/lan0/app_solicit", "3")]);
    }

    #[test]
    fn links_of_pods_are_left_to_the_agent() {
        let wanted = document(&[("net/ipv4/conf/pod1/rp_filter", "1")]);
        assert!(
            Sysctls::default().due(&wanted, &there(&[(5, "pod1")]), &Wanted::default()).is_empty()
        );
    }

    #[test]
    fn documents_value_replaces_the_services_own() {
        let wanted_sysctls = document(&[
            ("net/ipv6/conf/eth0/accept_ra", " 01 "),
            ("net/ipv6/conf/eth1/accept_ra", "1"),
        ]);
        let eth0 = WantedLink {
            name: "eth0".into(),
            kind: WantedKind::Existing,
            mtu: None,
            mac: None,
            master: None,
            addresses: Vec::new(),
            routes: Vec::new(),
            settings: BTreeMap::from([(Setting::AcceptRa, "2".into())]),
        };
        let mut wanted = Wanted { links: vec![eth0] };
        honour(&wanted_sysctls, &mut wanted);
        assert_eq!(wanted.links[0].settings[&Setting::AcceptRa], "1");
        // By the plan, and not beside it.
        assert!(
            Sysctls::default().due(&wanted_sysctls, &there(&[(2, "eth0")]), &wanted).is_empty()
        );
        // Nobody else sets it on a link that the document does not plan.
        let due = Sysctls::default().due(&wanted_sysctls, &there(&[(3, "eth1")]), &wanted);
        assert_eq!(due, [("net/ipv6/conf/eth1/accept_ra", "1")]);
    }
}
