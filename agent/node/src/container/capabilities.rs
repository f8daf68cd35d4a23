//! Capabilities: from names to the sets that a process starts with. Pure.

use std::collections::HashSet;
use std::str::FromStr;

use oci_spec::OciSpecError;
use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};

use super::ContainerConfig;
use super::spec::SpecError;

/// Those of a configuration, named with or without `CAP_`; all of them when privileged.
///
/// # Errors
/// A name that is none.
pub fn of(config: &ContainerConfig) -> Result<Vec<Capability>, SpecError> {
    if config.privileged {
        return Ok(ALL_CAPABILITIES.to_vec());
    }
    let parse = |name: &String| {
        let upper = name.to_ascii_uppercase();
        Capability::from_str(upper.strip_prefix("CAP_").unwrap_or(&upper))
            .map_err(|_| SpecError::Capability(name.clone()))
    };
    config.process.capabilities.iter().map(parse).collect()
}

/// The sets of the first process.
/// Neither inheritable nor ambient: those would survive an exec by another user than root.
///
/// # Errors
/// Never; the type belongs to the builders.
pub fn sets(capabilities: &[Capability]) -> Result<LinuxCapabilities, OciSpecError> {
    let set: HashSet<Capability> = capabilities.iter().copied().collect();
    LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set)
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()
}

/// What a privileged container gets, in the kernel's order.
const ALL_CAPABILITIES: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];
