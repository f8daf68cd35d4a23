//! The capabilities of Linux, and the set that a container gets. Pure.

use super::spec::Security;
use crate::container::DEFAULT_CAPABILITIES;

/// Every capability, as in `linux/capability.h` of Linux 6.12.
pub const ALL: &[&str] = &[
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_WRITE",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_RAW",
    "CAP_PERFMON",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];

/// The whole set of a container: the default, what is added, less what is dropped. `ALL` on one
/// side comes first, so that single names on the other side are exceptions to it.
pub fn effective(security: &Security) -> Vec<String> {
    if security.privileged {
        return ALL.iter().map(|name| (*name).to_owned()).collect();
    }
    let (add, drop) = (&security.capabilities_add, &security.capabilities_drop);
    let (add_all, drop_all) = (add.iter().any(|n| n == "ALL"), drop.iter().any(|n| n == "ALL"));
    let keeps = |name: &str| {
        let named = |list: &[String]| list.iter().any(|other| other == name);
        if named(drop) && !(drop_all && named(add)) {
            return false;
        }
        let base =
            if add_all { !drop_all } else { !drop_all && DEFAULT_CAPABILITIES.contains(&name) };
        base || named(add)
    };
    ALL.iter().filter(|name| keeps(name)).map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(add: &[&str], drop: &[&str]) -> Vec<String> {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        effective(&Security {
            capabilities_add: names(add),
            capabilities_drop: names(drop),
            ..Security::default()
        })
    }

    #[test]
    fn default_set_is_changed_by_name() {
        assert_eq!(set(&[], &[]).len(), DEFAULT_CAPABILITIES.len());
        assert!(set(&["CAP_NET_ADMIN"], &[]).contains(&"CAP_NET_ADMIN".to_owned()));
        assert!(!set(&[], &["CAP_CHOWN"]).contains(&"CAP_CHOWN".to_owned()));
    }

    #[test]
    fn all_is_the_rule_and_single_names_are_its_exceptions() {
        assert_eq!(set(&["CAP_NET_BIND_SERVICE"], &["ALL"]), ["CAP_NET_BIND_SERVICE"]);
        assert_eq!(set(&[], &["ALL"]), [""; 0]);
        assert_eq!(set(&["ALL"], &[]).len(), ALL.len());
        assert_eq!(set(&["ALL"], &["CAP_SYS_BOOT"]).len(), ALL.len() - 1);
        let privileged = Security { privileged: true, ..Security::default() };
        assert_eq!(effective(&privileged).len(), ALL.len());
    }

    #[test]
    fn default_capabilities_exist() {
        assert!(DEFAULT_CAPABILITIES.iter().all(|name| ALL.contains(name)));
    }
}
