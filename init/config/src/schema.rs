//! Every section of the document and the keys it takes: the one list that the parser, the
//! nearest-key suggestion and the documentation's test share.

/// A table of the document and its keys.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    /// Where it stands, as documented: `network`, `network.links[]`, `network.links[].vlan`,
    /// `registries.<host>`; empty for the document itself.
    pub path: &'static str,
    /// The keys it takes. Empty where the document chooses the keys itself.
    pub keys: &'static [&'static str],
}

pub(crate) static ROOT: Section = Section {
    path: "",
    keys: &[
        "node",
        "network",
        "time",
        "watchdog",
        "kernel",
        "log",
        "install",
        "pods",
        "images",
        "registries",
        "update",
        "console",
        "provisioning",
        "reset",
        "hardware",
        "wifi",
    ],
};
pub(crate) static NODE: Section = Section { path: "node", keys: &["hostname", "labels"] };
pub(crate) static NODE_LABELS: Section = Section { path: "node.labels", keys: &[] };
pub(crate) static NETWORK: Section =
    Section { path: "network", keys: &["dns", "search", "hostname-from-dhcp", "links"] };
pub(crate) static LINK: Section = Section {
    path: "network.links[]",
    keys: &[
        "name",
        "match",
        "dhcp4",
        "accept-ra",
        "addresses",
        "gateways",
        "routes",
        "metric",
        "mtu",
        "mac",
        "vlan",
        "bridge",
        "bond",
    ],
};
pub(crate) static LINK_MATCH: Section =
    Section { path: "network.links[].match", keys: &["mac", "name", "driver", "path"] };
pub(crate) static ROUTE: Section =
    Section { path: "network.links[].routes[]", keys: &["to", "via", "metric"] };
pub(crate) static VLAN: Section = Section { path: "network.links[].vlan", keys: &["link", "id"] };
pub(crate) static BRIDGE: Section =
    Section { path: "network.links[].bridge", keys: &["ports", "stp"] };
pub(crate) static BOND: Section = Section {
    path: "network.links[].bond",
    keys: &["ports", "mode", "miimon", "primary", "lacp-rate", "transmit-hash"],
};
pub(crate) static TIME: Section = Section { path: "time", keys: &["servers"] };
pub(crate) static WATCHDOG: Section = Section { path: "watchdog", keys: &["timeout"] };
pub(crate) static KERNEL: Section = Section { path: "kernel", keys: &["modules", "sysctls"] };
pub(crate) static KERNEL_SYSCTLS: Section = Section { path: "kernel.sysctls", keys: &[] };
pub(crate) static LOG: Section = Section { path: "log", keys: &["max-size", "files"] };
pub(crate) static INSTALL: Section = Section { path: "install", keys: &["disk", "erase", "after"] };
pub(crate) static CONSOLE: Section =
    Section { path: "console", keys: &["screen", "serial", "terminals", "colour"] };
pub(crate) static PROVISIONING: Section = Section {
    path: "provisioning",
    keys: &["stick", "seed", "page", "url", "dhcp", "sha256", "key", "confirm", "confirm-within"],
};
pub(crate) static RESET: Section =
    Section { path: "reset", keys: &["request", "keep-identity", "power-cycles", "early", "gpio"] };
pub(crate) static RESET_GPIO: Section =
    Section { path: "reset.gpio", keys: &["chip", "line", "active-low", "hold"] };
pub(crate) static HARDWARE: Section =
    Section { path: "hardware", keys: &["cpu-governor", "buses"] };
pub(crate) static WIFI: Section = Section {
    path: "wifi[]",
    keys: &["ssid", "passphrase", "security", "hidden", "priority", "country"],
};
pub(crate) static PODS: Section =
    Section { path: "pods", keys: &["manifests", "cidr", "cidr6", "log-max-size", "log-files"] };
pub(crate) static IMAGES: Section = Section {
    path: "images",
    keys: &["preload", "gc-high-percent", "gc-low-percent", "gc-min-age", "pull-timeout"],
};
pub(crate) static REGISTRIES: Section = Section { path: "registries", keys: &[] };
pub(crate) static REGISTRY: Section = Section {
    path: "registries.<host>",
    keys: &["mirrors", "ca", "username", "password", "insecure"],
};
pub(crate) static UPDATE: Section = Section {
    path: "update",
    keys: &[
        "places",
        "channel",
        "automatic",
        "poll",
        "windows",
        "settle",
        "limit",
        "checks",
        "rate-limit",
        "proxy",
    ],
};

static SECTIONS: &[&Section] = &[
    &ROOT,
    &NODE,
    &NODE_LABELS,
    &NETWORK,
    &LINK,
    &LINK_MATCH,
    &ROUTE,
    &VLAN,
    &BRIDGE,
    &BOND,
    &TIME,
    &WATCHDOG,
    &KERNEL,
    &KERNEL_SYSCTLS,
    &LOG,
    &INSTALL,
    &CONSOLE,
    &PROVISIONING,
    &RESET,
    &RESET_GPIO,
    &HARDWARE,
    &WIFI,
    &PODS,
    &IMAGES,
    &REGISTRIES,
    &REGISTRY,
    &UPDATE,
];

/// All sections that a document can have.
pub fn schema() -> &'static [&'static Section] {
    SECTIONS
}

impl Section {
    /// Whether the document chooses this section's keys.
    pub(crate) fn is_free(&self) -> bool {
        self.keys.is_empty()
    }

    /// What to write instead of the unknown `key`.
    pub(crate) fn advice(&self, key: &str) -> String {
        // Known elsewhere, and its nearest key here is no help.
        if (self.path, key) == (LINK.path, "dhcp6") {
            return "there is no DHCPv6: routers give addresses and name servers (accept-ra = \
                    true), or addresses = [...] does"
                .into();
        }
        let key_in_lower_case = key.to_lowercase();
        let is_begun = |known: &str| key.len() >= 3 && known.starts_with(&key_in_lower_case);
        let near = self
            .keys
            .iter()
            .map(|known| (strsim::osa_distance(&key_in_lower_case, known), known))
            .filter(|(distance, known)| *distance <= 2.max(known.len() / 3) || is_begun(known))
            .min();
        if let Some((_, known)) = near {
            return format!("did you mean \"{known}\"?");
        }
        let elsewhere = SECTIONS.iter().find(|section| section.keys.contains(&key));
        match elsewhere {
            Some(section) => format!("\"{key}\" belongs to {}", section.heading()),
            None => format!("the keys here are {}", self.keys.join(", ")),
        }
    }

    /// The section as a person calls it.
    pub(crate) fn heading(&self) -> String {
        match self.path {
            "" => "the top level of the document".into(),
            "network.links[]" => "[[network.links]]".into(),
            "wifi[]" => "[[wifi]]".into(),
            path => format!("[{path}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_names_the_nearest() {
        assert_eq!(NODE.advice("hostnme"), "did you mean \"hostname\"?");
        assert_eq!(NODE.advice("Hostname"), "did you mean \"hostname\"?");
        assert_eq!(LINK.advice("adresses"), "did you mean \"addresses\"?");
        assert_eq!(NODE.advice("host"), "did you mean \"hostname\"?");
    }

    #[test]
    fn a_key_of_another_section_names_that_section() {
        assert_eq!(NODE.advice("servers"), "\"servers\" belongs to [time]");
        assert_eq!(NETWORK.advice("addresses"), "\"addresses\" belongs to [[network.links]]");
    }

    #[test]
    fn a_foreign_key_lists_what_is_known() {
        assert_eq!(NODE.advice("favourite-colour"), "the keys here are hostname, labels");
    }

    #[test]
    fn sections_are_listed_once_and_hold_no_key_twice() {
        for (n, section) in SECTIONS.iter().enumerate() {
            assert!(SECTIONS.iter().skip(n + 1).all(|other| other.path != section.path));
            for (k, key) in section.keys.iter().enumerate() {
                assert!(!section.keys[k + 1..].contains(key), "{} {key}", section.path);
            }
        }
    }
}
