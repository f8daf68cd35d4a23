//! The scenarios. Each has a runtime of its own, and leaves nothing.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use holm_node::container::{
    ContainerState, Device, Mount, Resources, Rlimit, Runtime, ShimRuntime, User,
};

use crate::fixture::{DEADLINE, Node, chain, footprint, user, wait_readable};

pub const TESTS: &[(&str, fn())] = &[
    ("exit_codes_are_reported", exit_codes_are_reported),
    ("signals_become_128_and_their_number", signals_become_128_and_their_number),
    ("a_program_that_ignores_sigterm_dies_of_sigkill", a_program_that_ignores_sigterm_dies),
    ("a_signal_reaches_the_first_or_every_process", a_signal_reaches_the_first_or_every_process),
    ("an_oom_kill_is_reported", an_oom_kill_is_reported),
    ("limits_are_in_force", limits_are_in_force),
    ("a_fork_bomb_is_contained", a_fork_bomb_is_contained),
    ("the_seccomp_filter_is_in_force", the_seccomp_filter_is_in_force),
    ("capabilities_and_signals_are_as_asked", capabilities_and_signals_are_as_asked),
    ("devices_are_those_given_and_no_others", devices_are_those_given_and_no_others),
    ("the_root_is_read_only_when_asked", the_root_is_read_only_when_asked),
    ("users_and_groups_come_from_the_image", users_and_groups_come_from_the_image),
    ("environment_and_folder_are_as_asked", environment_and_folder_are_as_asked),
    ("the_nodes_secrets_are_masked", the_nodes_secrets_are_masked),
    ("a_privileged_container_sees_the_machine", a_privileged_container_sees_the_machine),
    ("layers_are_stacked_in_order", layers_are_stacked_in_order),
    ("mounts_are_made_in_order", mounts_are_made_in_order),
    ("long_and_unfinished_lines_are_logged", long_and_unfinished_lines_are_logged),
    ("a_log_rotates_and_is_bounded", a_log_rotates_and_is_bounded),
    ("a_full_disk_does_not_stop_a_container", a_full_disk_does_not_stop_a_container),
    ("a_terminal_is_logged", a_terminal_is_logged),
    ("a_network_namespace_is_joined_by_path", a_network_namespace_is_joined_by_path),
    ("the_nodes_processes_are_shared_when_asked", the_nodes_processes_are_shared_when_asked),
    ("containers_outlive_their_agent", containers_outlive_their_agent),
    ("a_lost_shim_takes_its_container_along", a_lost_shim_takes_its_container_along),
    ("a_missing_program_fails_the_create", a_missing_program_fails_the_create),
    ("a_program_of_another_kind_fails_the_start", a_program_of_another_kind_fails_the_start),
    ("bad_configurations_fail_and_leave_nothing", bad_configurations_fail_and_leave_nothing),
    ("delete_removes_a_container_in_any_state", delete_removes_a_container_in_any_state),
    ("twenty_cycles_leak_nothing", twenty_cycles_leak_nothing),
    ("containers_are_made_side_by_side", containers_are_made_side_by_side),
    ("leftovers_of_a_power_cut_are_removed", leftovers_of_a_power_cut_are_removed),
];

fn exit_codes_are_reported() {
    let node = Node::new("exit");
    for code in [0, 1, 42, 255] {
        let (exit, _) = node.run(&node.config(&format!("e{code}"), &["exit", &code.to_string()]));
        assert_eq!((exit.code, exit.signal, exit.oom_killed), (code, None, false));
        assert!(exit.started_at.unwrap() <= exit.finished_at);
    }
}

fn signals_become_128_and_their_number() {
    let node = Node::new("sig");
    node.launch(&node.config("a", &["pause"]));
    node.wait_log("a", "ready");
    assert!(matches!(node.state("a"), Some(ContainerState::Running { .. })));
    node.runtime.signal("a", 9, false).unwrap();
    let exit = node.wait("a");
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
    node.runtime.signal("a", 9, false).expect("an ended container is no error");
    assert!(node.runtime.start("a").is_err());
    assert!(node.runtime.signal("none", 9, false).is_err());
}

fn a_program_that_ignores_sigterm_dies() {
    let node = Node::new("ign");
    node.launch(&node.config("a", &["ignore-term"]));
    node.wait_log("a", "ready");
    node.runtime.signal("a", 15, false).unwrap();
    // The answer to a second order shows that the first had its effect, or none.
    node.runtime.signal("a", 15, true).unwrap();
    assert!(matches!(node.state("a"), Some(ContainerState::Running { .. })));
    node.runtime.signal("a", 9, true).unwrap();
    assert_eq!(node.wait("a").code, 137);
}

fn a_signal_reaches_the_first_or_every_process() {
    let node = Node::new("all");
    node.launch(&node.config("one", &["handle-term"]));
    node.wait_log("one", "ready");
    node.runtime.signal("one", 15, false).unwrap();
    assert_eq!(node.wait("one").code, 42);
    node.launch(&node.config("all", &["handle-term", "twice"]));
    node.wait_log("all", "ready");
    node.runtime.signal("all", 15, true).unwrap();
    assert_eq!(node.wait("all").code, 0);
    assert!(node.log("all").contains("child 42"), "{}", node.log("all"));
}

fn an_oom_kill_is_reported() {
    let node = Node::new("oom");
    let mut config = node.config("a", &["eat", "64"]);
    config.resources.memory_max = Some(24 << 20);
    let (exit, text) = node.run(&config);
    assert_eq!((exit.code, exit.oom_killed), (137, true), "{text}");
    // A new one in the same cgroup starts with counters of its own.
    let mut config = node.config("b", &["exit", "1"]);
    config.cgroup = Path::new("/holm-test/a").into();
    let (exit, _) = node.run(&config);
    assert_eq!((exit.code, exit.oom_killed), (1, false));
}

fn limits_are_in_force() {
    let node = Node::new("lim");
    let resources = Resources {
        memory_max: Some(64 << 20),
        cpu_limit_millis: Some(250),
        cpu_request_millis: Some(500),
        pids_max: Some(17),
    };
    let files = [
        ("memory.max", "67108864"),
        ("memory.oom.group", "1"),
        ("cpu.max", "25000 100000"),
        ("cpu.weight", "50"),
        ("pids.max", "17"),
    ];
    for (file, value) in files {
        let path = format!("/sys/fs/cgroup/{file}");
        let mut config = node.config("a", &["cat", &path]);
        config.resources = resources.clone();
        assert_eq!(node.output(&config).trim(), value, "{file}");
    }
    let mut config = node.config("a", &["cat", "/proc/self/limits"]);
    config.process.rlimits = vec![Rlimit { name: "RLIMIT_CORE".into(), soft: 0, hard: 7 }];
    let limits = node.output(&config);
    let line = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert!(line("Max open files").contains("1024 524288"), "{limits}");
    assert!(line("Max core file size").contains("0 7"), "{limits}");
}

fn a_fork_bomb_is_contained() {
    let node = Node::new("bomb");
    let mut config = node.config("a", &["bomb"]);
    config.resources.pids_max = Some(20);
    let text = node.output(&config);
    assert!(text.starts_with("stopped after 1") && text.ends_with(": 11\n"), "{text}");
}

fn the_seccomp_filter_is_in_force() {
    let node = Node::new("sec");
    let expected = "unshare 1\nkeyctl 1\nbpf 1\nclone3 38\nfuture 38\nvsock 1\nudp 0\n\
                    clone-newuser 1\nfork 0\n";
    for user in ["", "web"] {
        for no_new_privileges in [false, true] {
            let mut config = node.config("a", &["calls"]);
            config.process.user = crate::fixture::user(user);
            config.process.no_new_privileges = no_new_privileges;
            assert_eq!(node.output(&config), expected, "{user} {no_new_privileges}");
        }
    }
    let mut config = node.config("a", &["cat", "/proc/self/status"]);
    assert!(node.output(&config).contains("Seccomp:\t2\n"));
    config.seccomp = false;
    assert!(node.output(&config).contains("Seccomp:\t0\n"));
}

/// A line of `/proc/self/status`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

fn capabilities_and_signals_are_as_asked() {
    let node = Node::new("cap");
    let status = |config: &_| node.output(config);
    let config = node.config("a", &["cat", "/proc/self/status"]);
    let text = status(&config);
    // The default set: bits 0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29 and 31.
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(field(&text, set), "00000000a00425fb", "{set}");
    }
    assert_eq!(field(&text, "CapInh"), "0000000000000000");
    assert_eq!(field(&text, "CapAmb"), "0000000000000000");
    // A shell pipeline relies on SIGPIPE, and every program on no blocked signals.
    assert_eq!(node.output(&node.config("a", &["sigpipe"])), "ignored false\n");
    assert_eq!(field(&text, "SigBlk"), "0000000000000000");
    assert_eq!(field(&text, "NoNewPrivs"), "0");

    let mut config = config;
    config.process.no_new_privileges = true;
    config.process.capabilities = vec!["CAP_NET_ADMIN".to_owned()];
    let text = status(&config);
    assert_eq!(field(&text, "CapBnd"), "0000000000001000");
    assert_eq!(field(&text, "NoNewPrivs"), "1");
    config.process.user = user("web");
    let text = status(&config);
    assert_eq!(field(&text, "CapEff"), "0000000000000000", "{text}");
}

fn devices_are_those_given_and_no_others() {
    let node = Node::new("dev");
    let names = node.output(&node.config("a", &["ls", "/dev"]));
    assert_eq!(
        names.trim(),
        "fd full kcore mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    let made = node.output(&node.config("a", &["open-device", "/dev/mine"]));
    assert_eq!(made, "mknod 1\n");
    let mut config = node.config("a", &["ls", "/dev"]);
    config.devices =
        vec![Device { source: "/dev/null".into(), destination: "/dev/extra/one".into() }];
    assert!(node.output(&config).contains("extra"));
    // A node that the image brings cannot be opened: EACCES.
    let path = node.base.join("layer/node");
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o666),
        device,
    )
    .unwrap();
    assert_eq!(node.output(&node.config("a", &["write", "/node"])), "error 13\n");
    assert_eq!(node.output(&node.config("a", &["write", "/dev/null"])), "ok\n");
}

fn the_root_is_read_only_when_asked() {
    let node = Node::new("ro");
    let mut config = node.config("a", &["write", "/work/file"]);
    assert_eq!(node.output(&config), "ok\n");
    assert!(!node.base.join("layer/work/file").exists(), "a layer is never written");
    config.readonly_rootfs = true;
    assert_eq!(node.output(&config), "error 30\n");
}

fn users_and_groups_come_from_the_image() {
    let node = Node::new("user");
    let status = |user: User| {
        let mut config = node.config("a", &["cat", "/proc/self/status"]);
        config.process.user = user;
        let text = node.output(&config);
        let first = |name| field(&text, name).split_whitespace().next().unwrap_or("").to_owned();
        let groups = field(&text, "Groups").split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{} {} {groups}", first("Uid"), first("Gid"))
    };
    assert_eq!(status(user("")).trim(), "0 0");
    assert_eq!(status(user("web")), "101 102 200");
    assert_eq!(status(user("web:logs")), "101 200 200");
    let user = User { uid: Some(7), gid: Some(8), additional_gids: vec![9, 10], ..User::default() };
    assert_eq!(status(user), "7 8 9 10");
}

fn environment_and_folder_are_as_asked() {
    let node = Node::new("env");
    let mut config = node.config("a", &["surroundings", "two words", ""]);
    config.process.env = vec!["A=1".into(), "B=x=y".into(), "A=2".into()];
    config.process.cwd = "/made/here".into();
    config.process.user = user("web");
    let text = node.output(&config);
    for line in [
        "cwd /made/here",
        r#"args ["surroundings", "two words", ""]"#,
        "env A=2",
        "env B=x=y",
        "env HOME=/srv",
        "env HOSTNAME=box",
        "host box",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    let variables = text.lines().filter(|line| line.starts_with("env ")).count();
    assert_eq!(variables, 5, "the agent's own environment stays out: {text}");
}

fn the_nodes_secrets_are_masked() {
    let node = Node::new("mask");
    for path in ["/proc/kcore", "/proc/timer_list", "/proc/interrupts"] {
        assert_eq!(node.output(&node.config("a", &["cat", path])), "", "{path}");
    }
    assert_eq!(node.output(&node.config("a", &["ls", "/sys/firmware"])).trim(), "");
    for path in ["/proc/sys/kernel/panic", "/proc/sysrq-trigger", "/sys/fs/cgroup/pids.max"] {
        assert_eq!(node.output(&node.config("a", &["write", path])), "error 30\n", "{path}");
    }
}

fn a_privileged_container_sees_the_machine() {
    let node = Node::new("priv");
    let privileged = |args: &[&str]| {
        let mut config = node.config("a", args);
        config.privileged = true;
        node.output(&config)
    };
    let status = privileged(&["cat", "/proc/self/status"]);
    assert_eq!(field(&status, "CapEff"), "000001ffffffffff");
    assert_eq!(field(&status, "Seccomp"), "0");
    assert!(privileged(&["ls", "/dev"]).contains("kmsg"));
    assert!(privileged(&["ls", "/sys/fs/cgroup"]).contains("holm-test"));
    assert!(!privileged(&["cat", "/proc/timer_list"]).is_empty());
}

fn layers_are_stacked_in_order() {
    let node = Node::new("lay");
    let mut config = node.config("a", &["cat", "/which"]);
    // Longer together than the page that mount(2) would take.
    for number in 0..60 {
        let layer = node.base.join(format!("{number:0>100}"));
        std::fs::create_dir_all(&layer).unwrap();
        std::fs::write(layer.join("which"), format!("{number}")).unwrap();
        config.layers.push(layer);
    }
    assert_eq!(node.output(&config).trim(), "59");
    config.layers = vec![node.base.join("layer"), node.base.join("gone")];
    let error = chain(&node.runtime.create(&config).unwrap_err());
    assert!(error.contains("gone"), "{error}");
}

fn mounts_are_made_in_order() {
    let node = Node::new("mnt");
    let volume = node.base.join("volume");
    std::fs::create_dir_all(volume.join("sub")).unwrap();
    std::fs::write(volume.join("file"), "from the node").unwrap();
    let bind = |destination: &str, readonly| Mount {
        source: volume.clone(),
        destination: destination.into(),
        readonly,
        fs_type: None,
        options: vec![],
    };
    let tmpfs = Mount {
        source: "tmpfs".into(),
        destination: "/v/sub".into(),
        readonly: false,
        fs_type: Some("tmpfs".into()),
        options: vec!["size=64k".into(), "mode=700".into()],
    };
    let with = |args: &[&str]| {
        let mut config = node.config("a", args);
        // The deeper one first: order is not the caller's duty.
        config.mounts.extend([tmpfs.clone(), bind("/v", false), bind("/ro", true)]);
        node.output(&config)
    };
    assert_eq!(with(&["cat", "/v/file"]).trim(), "from the node");
    assert_eq!(with(&["write", "/ro/new"]), "error 30\n");
    assert_eq!(with(&["write", "/v/new"]), "ok\n");
    assert!(volume.join("new").exists());
    assert_eq!(with(&["write", "/v/sub/hidden"]), "ok\n");
    assert!(!volume.join("sub/hidden").exists());
    let mut config = node.config("a", &["exit", "0"]);
    config.mounts.push(Mount { source: "/absent".into(), ..bind("/x", false) });
    let error = chain(&node.runtime.create(&config).unwrap_err());
    assert!(error.contains("No such file"), "{error}");
}

fn long_and_unfinished_lines_are_logged() {
    let node = Node::new("log");
    let config = node.config("a", &["partial"]);
    let (_, text) = node.run(&config);
    let bytes = std::fs::read_to_string(node.log_path("a")).unwrap();
    let tags: Vec<(&str, &str, usize)> = bytes
        .lines()
        .map(|line| {
            let parts: Vec<&str> = line.splitn(4, ' ').collect();
            assert!(parts[0].parse::<jiff::Timestamp>().is_ok() && parts[0].len() == 30, "{line}");
            (parts[1], parts[2], parts[3].len())
        })
        .collect();
    let stdout: Vec<_> = tags.iter().filter(|tag| tag.0 == "stdout").collect();
    assert_eq!(stdout, [&("stdout", "P", 16_384), &("stdout", "F", 3616), &("stdout", "F", 19)]);
    assert!(tags.contains(&("stderr", "F", 9)));
    assert!(text.contains("end without newline\n"));
}

fn a_log_rotates_and_is_bounded() {
    let node = Node::new("rot");
    let mut config = node.config("a", &["lines", "2000", "60"]);
    config.log_max_bytes = 20_000;
    config.log_max_files = 3;
    node.run(&config);
    let files = std::fs::read_dir(node.base.join("log")).unwrap();
    let mut sizes: Vec<u64> = files.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|size| *size <= 20_000), "{sizes:?}");
    assert!(node.log("a").ends_with("1999\n"), "the newest lines are in the newest file");
}

fn a_full_disk_does_not_stop_a_container() {
    let node = Node::new("full");
    let disk = node.base.join("log");
    std::fs::create_dir_all(&disk).unwrap();
    let size = Some(c"size=64k");
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", &disk, "tmpfs", flags, size).unwrap();
    let mut config = node.config("a", &["lines", "5000", "80"]);
    config.log_max_bytes = 1 << 20;
    let (exit, _) = node.run(&config);
    assert_eq!(exit.code, 0);
    let text = std::fs::read_to_string(node.log_path("a")).unwrap();
    assert!(text.ends_with('\n'), "no line is cut in half");
    rustix::mount::unmount(&disk, rustix::mount::UnmountFlags::empty()).unwrap();
}

fn a_terminal_is_logged() {
    let node = Node::new("tty");
    let mut config = node.config("a", &["terminal"]);
    config.process.terminal = true;
    assert_eq!(node.output(&config), "tty 1 1 1\r\n");
    assert_eq!(node.output(&node.config("b", &["terminal"])), "tty 0 0 0\n");
}

/// A process in a new network namespace, alive until dropped.
struct Sleeper(std::process::Child);

impl Sleeper {
    fn in_new_network() -> Sleeper {
        let mut command = Command::new("/proc/self/exe");
        command.args(["payload", "pause"]).stdout(Stdio::piped());
        #[allow(unsafe_code)]
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(|| {
                rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET)?;
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        let mut line = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        Sleeper(child)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_network_namespace_is_joined_by_path() {
    let node = Node::new("net");
    let sleeper = Sleeper::in_new_network();
    let mut config = node.config("a", &["link", "/proc/self/ns/net"]);
    let path = PathBuf::from(format!("/proc/{}/ns/net", sleeper.0.id()));
    let expected = std::fs::read_link(&path).unwrap().display().to_string();
    config.namespaces.network = Some(path);
    assert_eq!(node.output(&config).trim(), expected);
    let own = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    config.namespaces.network = None;
    let fresh = node.output(&config);
    assert!(fresh.trim() != expected && fresh.trim() != own);
    config.namespaces.host_network = true;
    assert_eq!(node.output(&config).trim(), own);
}

fn the_nodes_processes_are_shared_when_asked() {
    let node = Node::new("pid");
    let mut config = node.config("a", &["cat", "/proc/1/cmdline"]);
    assert!(node.output(&config).contains("payload"));
    config.namespaces.host_pid = true;
    assert!(!node.output(&config).contains("payload"));
    // Without a PID namespace nothing but the shim ends what the first process left behind.
    let before = footprint();
    let mut config = node.config("b", &["orphan"]);
    config.namespaces.host_pid = true;
    assert_eq!(node.output(&config), "left one\n");
    assert_eq!(footprint(), before);
}

/// Another agent: creates and starts one container, and is gone without a farewell.
pub fn agent(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let base = PathBuf::from(args.next().unwrap());
    let program = PathBuf::from("/proc/self/exe");
    let runtime = ShimRuntime::open(program, base.join("s"), base.join("c")).unwrap();
    let config = serde_json::from_slice(&std::fs::read(base.join("config")).unwrap()).unwrap();
    runtime.create(&config).unwrap();
    runtime.start(&config.id).unwrap();
    std::process::abort();
}

fn containers_outlive_their_agent() {
    let node = Node::new("live");
    for (id, code) in [("a", "7"), ("b", "pause")] {
        let args: &[&str] = if code == "7" { &["exit", "7"] } else { &["pause"] };
        let config = node.config(id, args);
        std::fs::write(node.base.join("config"), serde_json::to_vec(&config).unwrap()).unwrap();
        let status = Command::new("/proc/self/exe").arg("agent").arg(&node.base).status().unwrap();
        assert!(!status.success());
    }
    assert_eq!(node.wait("a").code, 7);
    node.wait_log("b", "ready");
    let agent = node.again();
    let list = agent.list().unwrap();
    assert_eq!(list.len(), 2);
    assert!(list.iter().all(|(config, _)| config.labels["name"] == config.id));
    agent.signal("b", 9, false).unwrap();
    assert_eq!(node.wait("b").code, 137);
    // The exit is known after a reboot too, when only the disk is left.
    std::fs::remove_dir_all(node.base.join("s/a")).unwrap();
    assert!(matches!(node.state("a"), Some(ContainerState::Exited(exit)) if exit.code == 7));
}

fn a_lost_shim_takes_its_container_along() {
    let node = Node::new("lost");
    let before = footprint();
    let config = node.config("a", &["pause"]);
    node.launch(&config);
    node.wait_log("a", "ready");
    let Some(ContainerState::Running { pid, .. }) = node.state("a") else { panic!("not running") };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let shim: i32 = field(&status, "PPid").parse().unwrap();
    let events = node.runtime.events().unwrap();
    let shim = rustix::process::Pid::from_raw(shim).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    wait_readable(&events, Instant::now() + DEADLINE, "the end of a shim");
    assert_eq!(node.state("a"), Some(ContainerState::Unknown));
    node.runtime.signal("a", 15, false).expect("an ended container is no error");
    node.runtime.delete("a").unwrap();
    drop(events);
    assert_eq!(footprint(), before);
    assert_eq!(node.state("a"), None);
}

fn a_missing_program_fails_the_create() {
    let node = Node::new("miss");
    let before = footprint();
    let mut config = node.config("a", &[]);
    let mut error = |program: &str| {
        config.process.args = vec![program.to_owned()];
        let error = chain(&node.runtime.create(&config).unwrap_err());
        assert_eq!(node.runtime.list().unwrap(), []);
        error
    };
    let text = error("/bin/absent");
    assert!(text.contains("program \"/bin/absent\" does not exist in the container"), "{text}");
    let text = error("absent");
    assert!(text.contains("program \"absent\" is not in PATH (/usr/local/sbin:"), "{text}");
    let text = error("/etc/passwd");
    assert!(text.contains("may not be executed"), "{text}");
    assert_eq!(footprint(), before);
}

fn a_program_of_another_kind_fails_the_start() {
    let node = Node::new("kind");
    let program = node.base.join("layer/program");
    std::fs::write(&program, b"\x7fELF of no machine").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let mut config = node.config("a", &[]);
    config.process.args = vec!["/program".to_owned()];
    node.runtime.create(&config).unwrap();
    let error = chain(&node.runtime.start("a").unwrap_err());
    assert!(error.contains("program \"/program\": Exec format error"), "{error}");
    let exit = node.wait("a");
    assert_eq!((exit.code, exit.started_at), (126, None));
}

fn bad_configurations_fail_and_leave_nothing() {
    let node = Node::new("bad");
    let before = footprint();
    let good = node.config("a", &["exit", "0"]);
    let refused = |change: &dyn Fn(&mut holm_node::container::ContainerConfig), expected: &str| {
        let mut config = good.clone();
        change(&mut config);
        let error = node.runtime.create(&config).unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::InvalidInput, "{}", chain(&error));
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    };
    refused(&|c| c.process.user = user("nobody"), "user \"nobody\" is not in the image's");
    refused(&|c| c.process.user.must_not_be_root = true, "runAsNonRoot");
    refused(&|c| c.process.args.clear(), "no program");
    refused(&|c| c.dir = "/elsewhere".into(), "its folder must be");
    refused(&|c| c.id = "../x".into(), "must be 1 to 64 characters");
    let mut small = good.clone();
    small.resources.memory_max = Some(64 << 10);
    let error = chain(&node.runtime.create(&small).unwrap_err());
    assert!(error.contains("raise the memory limit"), "{error}");
    node.runtime.create(&good).unwrap();
    let error = node.runtime.create(&good).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::AlreadyExists);
    node.runtime.delete("a").unwrap();
    assert_eq!(footprint(), before);
    assert_eq!(std::fs::read_dir(node.base.join("c")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(node.base.join("s")).unwrap().count(), 0);
}

fn delete_removes_a_container_in_any_state() {
    let node = Node::new("del");
    let before = footprint();
    node.runtime.create(&node.config("created", &["pause"])).unwrap();
    assert!(matches!(node.state("created"), Some(ContainerState::Created { .. })));
    node.launch(&node.config("running", &["ignore-term"]));
    node.launch(&node.config("exited", &["exit", "0"]));
    node.wait("exited");
    for id in ["created", "running", "exited", "exited", "never"] {
        node.runtime.delete(id).unwrap_or_else(|error| panic!("{}", chain(&error)));
    }
    assert_eq!(footprint(), before);
    assert_eq!(std::fs::read_dir(node.base.join("c")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(node.base.join("s")).unwrap().count(), 0);
    assert!(node.log_path("exited").exists(), "the log stays");
}

fn twenty_cycles_leak_nothing() {
    let node = Node::new("leak");
    node.output(&node.config("a", &["exit", "0"]));
    let before = footprint();
    for cycle in 0..20 {
        node.output(&node.config(&format!("a{cycle}"), &["print", "x"]));
    }
    assert_eq!(footprint(), before);
}

fn containers_are_made_side_by_side() {
    let node = Node::new("par");
    std::thread::scope(|scope| {
        for number in 0..6 {
            let node = &node;
            scope.spawn(move || {
                let config = node.config(&format!("p{number}"), &["exit", &number.to_string()]);
                let (exit, _) = node.run(&config);
                assert_eq!(exit.code, number);
            });
        }
    });
    assert_eq!(node.runtime.list().unwrap(), []);
}

fn leftovers_of_a_power_cut_are_removed() {
    let node = Node::new("cut");
    let containers = node.base.join("c");
    std::fs::create_dir_all(containers.join(".removed-x/upper")).unwrap();
    std::fs::create_dir_all(containers.join("empty/upper")).unwrap();
    std::fs::create_dir_all(containers.join("cut")).unwrap();
    std::fs::write(containers.join("cut/container.json"), "").unwrap();
    let config = node.config("whole", &["exit", "0"]);
    std::fs::create_dir_all(&config.dir).unwrap();
    std::fs::write(config.dir.join("container.json"), serde_json::to_vec(&config).unwrap())
        .unwrap();
    let agent = node.again();
    assert_eq!(agent.list().unwrap(), [(config, ContainerState::Unknown)]);
    assert_eq!(std::fs::read_dir(&containers).unwrap().count(), 1);
    agent.delete("whole").unwrap();
    assert_eq!(std::fs::read_dir(&containers).unwrap().count(), 0);
}
