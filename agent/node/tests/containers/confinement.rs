//! What a container may see and do.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use holm_node::container::{Device, User};

use crate::fixture::{Node, field, footprint, user};

pub const TESTS: &[(&str, fn())] = &[
    ("a_fork_bomb_is_contained", a_fork_bomb_is_contained),
    ("the_seccomp_filter_is_in_force", the_seccomp_filter_is_in_force),
    ("capabilities_and_signals_are_as_asked", capabilities_and_signals_are_as_asked),
    ("devices_are_those_given_and_no_others", devices_are_those_given_and_no_others),
    ("the_root_is_read_only_when_asked", the_root_is_read_only_when_asked),
    ("users_and_groups_come_from_the_image", users_and_groups_come_from_the_image),
    ("environment_and_folder_are_as_asked", environment_and_folder_are_as_asked),
    ("the_nodes_secrets_are_masked", the_nodes_secrets_are_masked),
    ("a_privileged_container_sees_the_machine", a_privileged_container_sees_the_machine),
    ("a_network_namespace_is_joined_by_path", a_network_namespace_is_joined_by_path),
    ("the_nodes_processes_are_shared_when_asked", the_nodes_processes_are_shared_when_asked),
];

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
