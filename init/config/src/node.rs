//! The whole document, and `[node]`: who this node is.

use std::collections::BTreeMap;

use crate::reader::{At, Table};
use crate::{
    Console, Hardware, Images, Install, Kernel, Log, Network, Pods, Provisioning, Registry, Reset,
    Time, Update, Watchdog, Wifi,
};
use crate::{schema, syntax};

/// A node document that was accepted. Every field holds its default where the text is silent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeConfig {
    /// `[node]`
    pub node: Node,
    /// `[network]`
    pub network: Network,
    /// `[time]`
    pub time: Time,
    /// `[watchdog]`
    pub watchdog: Watchdog,
    /// `[kernel]`
    pub kernel: Kernel,
    /// `[log]`
    pub log: Log,
    /// `[install]`
    pub install: Install,
    /// `[console]`
    pub console: Console,
    /// `[provisioning]`
    pub provisioning: Provisioning,
    /// `[reset]`
    pub reset: Reset,
    /// `[hardware]`
    pub hardware: Hardware,
    /// `[[wifi]]`
    pub wifi: Vec<Wifi>,
    /// `[pods]`
    pub pods: Pods,
    /// `[images]`
    pub images: Images,
    /// `[registries."<host[:port]>"]`, by the host as an image reference names it.
    pub registries: BTreeMap<String, Registry>,
    /// `[update]`
    pub update: Update,
}

/// `[node]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Host name and node name. Unset: from DHCP where `network.hostname-from-dhcp` says so,
    /// else `holm-` and the first eight digits of the machine id.
    pub hostname: Option<String>,
    /// Labels of the node object.
    pub labels: BTreeMap<String, String>,
}

pub(crate) fn read(root: &Table<'_>) -> Node {
    let Some(table) = root.table("node", &schema::NODE) else { return Node::default() };
    let mut labels = BTreeMap::new();
    if let Some(table) = table.table("labels", &schema::NODE_LABELS) {
        for At { value: key, at } in table.free_keys() {
            let value = table.parsed(key, syntax::label_value);
            match (syntax::label_key(key), value) {
                (Err(refusal), _) => table.refuse(at, refusal),
                (Ok(key), Some(value)) => _ = labels.insert(key, value.value),
                (Ok(_), None) => {}
            }
        }
    }
    Node { hostname: table.parsed("hostname", syntax::hostname).map(|name| name.value), labels }
}
