//! From create to delete: ends, limits that end a container, restarts of the agent, leftovers.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use holm_node::container::{ContainerState, Resources, Rlimit, Runtime, ShimRuntime};

use crate::fixture::{DEADLINE, Node, chain, field, footprint, user, wait_readable};

pub const TESTS: &[(&str, fn())] = &[
    ("exit_codes_are_reported", exit_codes_are_reported),
    ("signals_become_128_and_their_number", signals_become_128_and_their_number),
    ("a_program_that_ignores_sigterm_dies_of_sigkill", a_program_that_ignores_sigterm_dies),
    ("a_signal_reaches_the_first_or_every_process", a_signal_reaches_the_first_or_every_process),
    ("an_oom_kill_is_reported", an_oom_kill_is_reported),
    ("limits_are_in_force", limits_are_in_force),
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
    // It keeps nothing mounted that the node wants to unmount.
    let mounts = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).unwrap();
    assert_eq!(mounts(&shim.to_string()), mounts("self"));
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
