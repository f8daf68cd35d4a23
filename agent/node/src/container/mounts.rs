//! The mounts of a container: the defaults, and those of the configuration over them.
//!
//! Pure but for a look at what a source is. Must never let an option pass that libcontainer would lose in silence.

use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{Mount as OciMount, MountBuilder};

use super::rootfs::MountPoint;
use super::spec::{SpecError, absolute};
use super::{ContainerConfig, Mount};

/// libcontainer 0.7 ignores these, and a container that needs them would fail in odd ways.
const UNSUPPORTED: &[&str] = &["shared", "rshared", "unbindable", "runbindable", "idmap", "ridmap"];

/// destination, type, options.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("/proc", "proc", "nosuid,noexec,nodev"),
    ("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "nosuid,noexec,nodev"),
    ("/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev,relatime"),
];

/// # Errors
/// A destination that is no place for a mount, or an option that would be lost.
pub fn check(mounts: &[Mount]) -> Result<(), SpecError> {
    for mount in mounts {
        absolute("mount destination", &mount.destination)?;
        if mount.destination == Path::new("/") {
            let path = mount.destination.clone();
            return Err(SpecError::Path { what: "mount destination", path });
        }
        if mount.fs_type.is_none() {
            absolute("mount source", &mount.source)?;
        }
        if let Some(option) = mount.options.iter().find(|o| UNSUPPORTED.contains(&o.as_str())) {
            let destination = mount.destination.clone();
            return Err(SpecError::MountOption { option: option.clone(), destination });
        }
    }
    Ok(())
}

/// All mounts, in the order in which they are made: a mount below another one comes after it.
///
/// # Errors
/// Never with paths that [`check`] passed; the type belongs to the builders.
pub fn all(config: &ContainerConfig) -> Result<Vec<OciMount>, OciSpecError> {
    let mut mounts = Vec::new();
    for (destination, fs_type, options) in DEFAULTS {
        if config.mounts.iter().any(|mount| mount.destination == Path::new(destination)) {
            continue;
        }
        mounts.push(default_mount(config, destination, fs_type, options)?);
    }
    let mut own: Vec<&Mount> = config.mounts.iter().collect();
    own.sort_by_key(|mount| mount.destination.components().count());
    for mount in own {
        mounts.push(configured_mount(mount, config.privileged)?);
    }
    // Stable: equally deep ones keep the defaults in front.
    mounts.sort_by_key(|mount| mount.destination().components().count());
    Ok(mounts)
}

/// The places that the container's root must have, without those below another mount.
pub fn points(config: &ContainerConfig) -> Vec<MountPoint> {
    let defaults = DEFAULTS.iter().map(|(destination, ..)| (Path::new(*destination), true));
    let own = config.mounts.iter().map(|mount| {
        let folder = mount.fs_type.is_some() || mount.source.is_dir();
        (mount.destination.as_path(), folder)
    });
    let all: Vec<_> = own.chain(defaults).collect();
    let covered =
        |path: &Path| all.iter().any(|(other, _)| path != *other && path.starts_with(other));
    let mut points: Vec<MountPoint> = Vec::new();
    for (path, folder) in all.iter().filter(|(path, _)| !covered(path)) {
        let path = path.to_path_buf();
        let point = if *folder { MountPoint::Folder(path) } else { MountPoint::File(path) };
        if !points.contains(&point) {
            points.push(point);
        }
    }
    points
}

fn default_mount(
    config: &ContainerConfig,
    destination: &str,
    fs_type: &str,
    options: &str,
) -> Result<OciMount, OciSpecError> {
    let builder = MountBuilder::default().destination(destination);
    if config.namespaces.host_ipc && matches!(destination, "/dev/shm" | "/dev/mqueue") {
        let options = ["rbind", "nosuid", "noexec", "nodev"].map(str::to_owned).to_vec();
        return builder.typ("bind").source(destination).options(options).build();
    }
    let mut options: Vec<String> = options.split(',').map(str::to_owned).collect();
    if destination.starts_with("/sys") && !config.privileged {
        options.push("ro".to_owned());
    }
    builder.typ(fs_type).source(fs_type).options(options).build()
}

fn configured_mount(mount: &Mount, privileged: bool) -> Result<OciMount, OciSpecError> {
    let mut options = Vec::new();
    if mount.fs_type.is_none() {
        options.push("rbind".to_owned());
        // With CAP_MKNOD withheld this is what keeps devices away: see DEFAULT_CAPABILITIES.
        if !privileged {
            options.push("rnodev".to_owned());
        }
    }
    options.push(if mount.readonly { "ro" } else { "rw" }.to_owned());
    options.extend(mount.options.iter().cloned());
    MountBuilder::default()
        .destination(mount.destination.clone())
        .source(mount.source.clone())
        .typ(mount.fs_type.as_deref().unwrap_or("bind"))
        .options(options)
        .build()
}
