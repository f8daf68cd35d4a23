use super::*;
use crate::container::rootfs::MountPoint;
use crate::container::{DEFAULT_CAPABILITIES, Mount, Namespaces, Process, Rlimit};
use oci_spec::runtime::{Capability, Mount as OciMount};
use std::collections::BTreeMap;

fn config() -> ContainerConfig {
    ContainerConfig {
        id: "web-1".into(),
        labels: BTreeMap::new(),
        layers: vec!["/images/a".into()],
        dir: "/data/containers/web-1".into(),
        process: Process {
            args: vec!["serve".into()],
            capabilities: DEFAULT_CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
            ..Process::default()
        },
        mounts: vec![],
        devices: vec![],
        namespaces: Namespaces::default(),
        resources: Resources::default(),
        cgroup: "/pods/1/web".into(),
        log_path: "/log/0.log".into(),
        log_max_bytes: 1,
        log_max_files: 1,
        hostname: Some("web".into()),
        readonly_rootfs: false,
        privileged: false,
        seccomp: true,
        sysctls: BTreeMap::new(),
    }
}

fn identity() -> Identity {
    Identity { uid: 5, gid: 6, additional_gids: vec![7], home: "/home/web".into() }
}

fn spec_of(config: &ContainerConfig) -> Spec {
    runtime_spec(config, &identity(), Path::new("/root-fs"), vec![]).unwrap()
}

fn changed(change: impl FnOnce(&mut ContainerConfig)) -> ContainerConfig {
    let mut config = config();
    change(&mut config);
    config
}

fn refusal(change: impl FnOnce(&mut ContainerConfig)) -> String {
    check(&changed(change)).unwrap_err().to_string()
}

fn namespace_types(spec: &Spec) -> Vec<(LinuxNamespaceType, Option<PathBuf>)> {
    let namespaces = spec.linux().as_ref().unwrap().namespaces().as_ref().unwrap();
    namespaces.iter().map(|n| (n.typ(), n.path().clone())).collect()
}

fn mount_at<'a>(spec: &'a Spec, destination: &str) -> &'a OciMount {
    let mounts = spec.mounts().as_ref().unwrap();
    mounts.iter().find(|mount| mount.destination() == Path::new(destination)).unwrap()
}

fn has_option(mount: &OciMount, option: &str) -> bool {
    mount.options().as_ref().unwrap().iter().any(|known| known == option)
}

#[test]
fn an_ordinary_container_is_confined() {
    let spec = spec_of(&config());
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.seccomp().is_some());
    assert!(linux.masked_paths().as_ref().unwrap().contains(&"/proc/kcore".to_owned()));
    assert!(linux.readonly_paths().as_ref().unwrap().contains(&"/proc/sys".to_owned()));
    assert_eq!(linux.cgroups_path().as_deref(), Some(Path::new("/pods/1/web")));
    let process = spec.process().as_ref().unwrap();
    let capabilities = process.capabilities().as_ref().unwrap();
    let bounding = capabilities.bounding().as_ref().unwrap();
    assert_eq!(bounding.len(), DEFAULT_CAPABILITIES.len());
    assert!(!bounding.contains(&Capability::Mknod));
    assert!(capabilities.inheritable().as_ref().unwrap().is_empty());
    assert!(capabilities.ambient().as_ref().unwrap().is_empty());
    assert!(has_option(mount_at(&spec, "/sys"), "ro"));
    assert!(has_option(mount_at(&spec, "/sys/fs/cgroup"), "ro"));
    assert_eq!(spec.hostname().as_deref(), Some("web"));
}

#[test]
fn a_privileged_container_is_not() {
    let spec = spec_of(&changed(|config| config.privileged = true));
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.seccomp().is_none());
    assert_eq!(linux.masked_paths().as_deref(), Some(&[][..]));
    assert_eq!(linux.readonly_paths().as_deref(), Some(&[][..]));
    assert!(!has_option(mount_at(&spec, "/sys"), "ro"));
    let capabilities = spec.process().as_ref().unwrap().capabilities().clone().unwrap();
    assert_eq!(capabilities.effective().as_ref().unwrap().len(), 41);
    let types = namespace_types(&spec);
    assert!(types.iter().all(|(typ, _)| *typ != LinuxNamespaceType::Cgroup));
}

#[test]
fn no_new_privileges_is_true_or_absent_never_false() {
    let process = |config: &ContainerConfig| spec_of(config).process().clone().unwrap();
    assert_eq!(process(&config()).no_new_privileges(), None);
    let config = changed(|config| config.process.no_new_privileges = true);
    assert_eq!(process(&config).no_new_privileges(), Some(true));
}

#[test]
fn the_process_is_as_asked() {
    let config = changed(|config| {
        config.process.oom_score_adj = -5;
        config.process.cwd = "/srv".into();
    });
    let process = spec_of(&config).process().clone().unwrap();
    assert_eq!((process.user().uid(), process.user().gid()), (5, 6));
    assert_eq!(process.user().additional_gids().as_deref(), Some(&[7][..]));
    assert_eq!(process.oom_score_adj(), Some(-5));
    assert_eq!(process.cwd(), Path::new("/srv"));
    assert_eq!(spec_of(&self::config()).process().as_ref().unwrap().cwd(), Path::new("/"));
}

#[test]
fn a_later_variable_takes_the_place_of_an_earlier_one() {
    let config = changed(|config| {
        config.process.env =
            ["A=1", "B=", "PATH=/opt", "A=x=y", "nonsense", "=z"].map(str::to_owned).to_vec();
    });
    assert_eq!(
        environment(&config, &identity()),
        ["PATH=/opt", "HOME=/home/web", "HOSTNAME=web", "A=x=y", "B="]
    );
    let config = changed(|config| config.process.terminal = true);
    assert!(environment(&config, &identity()).contains(&"TERM=xterm".to_owned()));
}

#[test]
fn limits_are_written_under_the_kernels_names() {
    let files = |limits: Resources| resources(&limits).unwrap().unified().clone().unwrap();
    assert_eq!(files(Resources::default()).len(), 1, "only memory.oom.group");
    let all = files(Resources {
        memory_max: Some(1 << 40),
        cpu_limit_millis: Some(1500),
        cpu_request_millis: Some(250),
        pids_max: Some(9),
    });
    assert_eq!(all["memory.max"], "1099511627776");
    assert_eq!(all["memory.oom.group"], "1");
    assert_eq!(all["cpu.max"], "150000 100000");
    assert_eq!(all["cpu.weight"], "25");
    assert_eq!(all["pids.max"], "9");
    let least = files(Resources { cpu_limit_millis: Some(1), ..Resources::default() });
    assert_eq!(least["cpu.max"], "1000 100000");
}

#[test]
fn cpu_weight_stays_within_the_kernels_range() {
    assert_eq!([0, 1, 1000, u64::MAX].map(cpu_weight), [1, 1, 100, 10_000]);
}

#[test]
fn namespaces_are_new_joined_or_the_nodes() {
    let types = namespace_types(&spec_of(&config()));
    assert_eq!(types.len(), 6);
    assert!(types.iter().all(|(_, path)| path.is_none()));
    let config = changed(|config| {
        config.namespaces.network = Some("/run/netns/x".into());
        config.namespaces.host_ipc = true;
        config.namespaces.host_pid = true;
    });
    let types = namespace_types(&spec_of(&config));
    assert!(types.contains(&(LinuxNamespaceType::Network, Some("/run/netns/x".into()))));
    assert!(!types.iter().any(|(typ, _)| *typ == LinuxNamespaceType::Ipc));
    assert!(!types.iter().any(|(typ, _)| *typ == LinuxNamespaceType::Pid));
}

#[test]
fn the_nodes_network_comes_with_its_name() {
    let spec = spec_of(&changed(|config| config.namespaces.host_network = true));
    assert_eq!(*spec.hostname(), None);
    let types = namespace_types(&spec);
    assert!(!types.iter().any(|(typ, _)| *typ == LinuxNamespaceType::Uts));
    assert!(!types.iter().any(|(typ, _)| *typ == LinuxNamespaceType::Network));
}

#[test]
fn a_joined_name_is_not_set_again() {
    let spec = spec_of(&changed(|config| config.namespaces.uts = Some("/run/uts".into())));
    assert_eq!(*spec.hostname(), None);
}

#[test]
fn rlimits_have_a_default_that_can_be_replaced() {
    let own = |name: &str| Rlimit { name: name.into(), soft: 1, hard: 2 };
    let limits = rlimits(&config()).unwrap();
    assert_eq!((limits[0].soft(), limits[0].hard()), DEFAULT_NOFILE);
    let config = changed(|config| config.process.rlimits = vec![own("rlimit_nofile")]);
    let limits = rlimits(&config).unwrap();
    assert_eq!((limits.len(), limits[0].soft(), limits[0].hard()), (1, 1, 2));
    assert!(refusal(|c| c.process.rlimits = vec![own("RLIMIT_X")]).contains("RLIMIT_X"));
}

#[test]
fn deeper_mounts_come_later_and_own_ones_replace_defaults() {
    let own = |destination: &str, fs_type: Option<&str>| Mount {
        source: "/volume".into(),
        destination: destination.into(),
        readonly: true,
        fs_type: fs_type.map(str::to_owned),
        options: vec!["noexec".into()],
    };
    let config = changed(|config| {
        config.mounts = vec![own("/a/b/c", None), own("/a", Some("tmpfs")), own("/dev/shm", None)];
    });
    let spec = spec_of(&config);
    let order: Vec<&Path> =
        spec.mounts().as_ref().unwrap().iter().map(|mount| mount.destination().as_path()).collect();
    let at = |path: &str| order.iter().position(|known| *known == Path::new(path)).unwrap();
    assert!(at("/a") < at("/a/b/c") && at("/dev") < at("/dev/shm") && at("/sys") < at("/a/b/c"));
    assert_eq!(order.iter().filter(|path| **path == Path::new("/dev/shm")).count(), 1);
    let bind = mount_at(&spec, "/a/b/c");
    assert_eq!(bind.typ().as_deref(), Some("bind"));
    assert!(["rbind", "rnodev", "ro", "noexec"].iter().all(|option| has_option(bind, option)));
    let tmpfs = mount_at(&spec, "/a");
    assert!(!has_option(tmpfs, "rbind") && has_option(tmpfs, "ro"));
}

#[test]
fn the_nodes_shared_memory_is_bound() {
    let spec = spec_of(&changed(|config| config.namespaces.host_ipc = true));
    assert_eq!(mount_at(&spec, "/dev/shm").typ().as_deref(), Some("bind"));
    assert_eq!(mount_at(&spec, "/dev/mqueue").source().as_deref(), Some(Path::new("/dev/mqueue")));
}

#[test]
fn what_could_not_work_is_refused_with_a_reason() {
    assert!(refusal(|c| c.id = "Up".into()).contains("\"Up\" must be 1 to 64 characters"));
    assert!(refusal(|c| c.id = "x".repeat(65)).contains("must be 1 to 64"));
    assert!(refusal(|c| c.layers.clear()).contains("no layers"));
    assert!(refusal(|c| c.process.args.clear()).contains("no program"));
    assert!(refusal(|c| c.process.args = vec![String::new()]).contains("no program"));
    assert!(refusal(|c| c.process.args.push("a\0b".into())).contains("NUL"));
    assert!(refusal(|c| c.process.env.push("a=\0".into())).contains("NUL"));
    assert!(refusal(|c| c.process.cwd = "relative".into()).contains("working directory"));
    assert!(refusal(|c| c.cgroup = "/".into()).contains("cgroup"));
    assert!(refusal(|c| c.cgroup = "/a/../b".into()).contains("cgroup"));
    assert!(refusal(|c| c.process.oom_score_adj = 1001).contains("oom_score_adj"));
    assert!(refusal(|c| c.resources.memory_max = Some(0)).contains("memory limit 0"));
    assert!(refusal(|c| c.process.capabilities.push("CAP_FLY".into())).contains("CAP_FLY"));
    let device = crate::container::Device { source: "/dev/x".into(), destination: "/etc/x".into() };
    assert!(refusal(|c| c.devices.push(device)).contains("below /dev"));
}

#[test]
fn root_has_a_place_for_each_mount_that_no_other_covers() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bind = |source: &Path, destination: &str| Mount {
        source: source.to_path_buf(),
        destination: destination.into(),
        fs_type: None,
        options: Vec::new(),
        readonly: false,
    };
    let mut config = config();
    config.mounts = vec![
        bind(file.path(), "/etc/hosts"),
        bind(Path::new("/tmp"), "/data"),
        bind(file.path(), "/data/inner"),
        bind(file.path(), "/dev/termination-log"),
    ];
    let points = mounts::points(&config);
    let expected = [
        MountPoint::File("/etc/hosts".into()),
        MountPoint::Folder("/data".into()),
        MountPoint::Folder("/proc".into()),
        MountPoint::Folder("/dev".into()),
        MountPoint::Folder("/sys".into()),
    ];
    assert_eq!(points, expected);
}

#[test]
fn mounts_that_would_be_lost_or_hide_the_root_are_refused() {
    let own = |destination: &str, option: &str| Mount {
        source: "/volume".into(),
        destination: destination.into(),
        readonly: false,
        fs_type: None,
        options: vec![option.into()],
    };
    assert!(refusal(|c| c.mounts.push(own("/a", "rshared"))).contains("rshared"));
    assert!(refusal(|c| c.mounts.push(own("a", "noexec"))).contains("mount destination"));
    assert!(refusal(|c| c.mounts.push(own("/", "noexec"))).contains("mount destination"));
    let relative = Mount { source: "volume".into(), ..own("/a", "noexec") };
    assert!(refusal(|c| c.mounts.push(relative)).contains("mount source"));
}

#[test]
fn capabilities_are_named_with_or_without_prefix() {
    let config = changed(|config| {
        config.process.capabilities = ["NET_ADMIN", "cap_sys_time"].map(str::to_owned).to_vec();
    });
    assert_eq!(capabilities::of(&config).unwrap(), [Capability::NetAdmin, Capability::SysTime]);
}

#[test]
fn the_specification_survives_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let spec = spec_of(&config());
    spec.save(&path).unwrap();
    assert_eq!(Spec::load(&path).unwrap(), spec);
}
