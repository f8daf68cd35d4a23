use super::*;
use std::os::unix::fs::PermissionsExt;

/// A runtime whose shim is a shell script: the part of the agent, without root.
struct Fixture {
    dir: tempfile::TempDir,
    runtime: ShimRuntime,
}

fn fixture(script: &str) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let runtime =
        ShimRuntime::open(program, dir.path().join("shims"), dir.path().join("containers"))
            .unwrap();
    Fixture { dir, runtime }
}

impl Fixture {
    fn config(&self, id: &str) -> ContainerConfig {
        serde_json::from_value(serde_json::json!({
            "id": id, "labels": {}, "layers": ["/layer"],
            "dir": self.dir.path().join("containers").join(id),
            "process": {
                "args": ["x"], "env": [], "cwd": "", "capabilities": [],
                "user": {
                    "image": "", "uid": null, "gid": null, "additional_gids": [],
                    "must_not_be_root": false,
                },
                "no_new_privileges": false, "oom_score_adj": 0, "terminal": false,
            },
            "mounts": [], "cgroup": "/pods/x", "log_path": "/log", "log_max_bytes": 1,
            "namespaces": {
                "network": null, "ipc": null, "uts": null,
                "host_network": false, "host_pid": false, "host_ipc": false,
            },
            "resources": {
                "memory_max": null, "cpu_limit_millis": null,
                "cpu_request_millis": null, "pids_max": null,
            },
            "log_max_files": 1, "hostname": null, "readonly_rootfs": false,
            "privileged": false, "seccomp": true, "sysctls": {},
        }))
        .unwrap()
    }

    fn error_of_create(&self) -> (ErrorKind, String) {
        let error = self.runtime.create(&self.config("a")).unwrap_err();
        assert_eq!((error.operation, error.id.as_str()), ("create", "a"));
        (error.source.kind(), error.source.to_string())
    }

    fn entries(&self) -> usize {
        let count = |name: &str| std::fs::read_dir(self.dir.path().join(name)).unwrap().count();
        count("containers") + count("shims")
    }
}

#[test]
fn a_created_container_is_listed_with_its_configuration() {
    let fixture = fixture(r#"echo '{"Ok":7}'"#);
    fixture.runtime.create(&fixture.config("a")).unwrap();
    let list = fixture.runtime.list().unwrap();
    assert_eq!(list, [(fixture.config("a"), ContainerState::Unknown)]);
    let error = fixture.runtime.create(&fixture.config("a")).unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fixture.runtime.list().unwrap().len(), 1, "the first one is untouched");
}

#[test]
fn the_shim_gets_its_folder_and_nothing_of_the_agents_environment() {
    let fixture = fixture(r#"env > "$3/env"; echo "$1 $2" > "$3/args"; echo '{"Ok":7}'"#);
    fixture.runtime.create(&fixture.config("a")).unwrap();
    let read = |name: &str| {
        std::fs::read_to_string(fixture.dir.path().join("shims/a").join(name)).unwrap()
    };
    assert_eq!(read("args"), "shim --dir\n");
    assert!(!read("env").contains("CARGO"), "{}", read("env"));
    assert!(read("container/container.json").contains("/layer"));
}

#[test]
fn a_failed_create_says_why_and_leaves_nothing() {
    let fixture = fixture(r#"echo '{"Err":{"invalid":true,"text":"no such user"}}'"#);
    assert_eq!(fixture.error_of_create(), (ErrorKind::InvalidInput, "no such user".into()));
    assert_eq!(fixture.entries(), 0);
}

#[test]
fn a_shim_that_dies_is_reported_with_its_last_words() {
    let (_, text) = fixture("echo first >&2; echo out of luck >&2; exit 3").error_of_create();
    assert!(text.contains("exit status: 3") && text.ends_with("out of luck"), "{text}");
    let (kind, text) = fixture("echo gone >&2").error_of_create();
    assert_eq!(kind, ErrorKind::UnexpectedEof);
    assert!(text.ends_with("gone"), "{text}");
    let (_, text) = fixture("echo nonsense").error_of_create();
    assert!(text.ends_with("it said nothing"), "{text}");
}

#[test]
fn a_configuration_that_cannot_work_spawns_nothing() {
    let fixture = fixture("exit 9");
    let mut config = fixture.config("a");
    config.dir = "/elsewhere".into();
    let error = fixture.runtime.create(&config).unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::InvalidInput);
    assert!(error.source.to_string().contains("containers/a"));
    config.layers.clear();
    assert!(fixture.runtime.create(&config).unwrap_err().source.to_string().contains("layers"));
    assert_eq!(fixture.entries(), 0);
}

#[test]
fn orders_to_unknown_and_ended_containers() {
    let fixture = fixture(r#"echo '{"Ok":7}'"#);
    let kind = |result: Result<(), RuntimeError>| result.unwrap_err().source.kind();
    assert_eq!(kind(fixture.runtime.start("a")), ErrorKind::NotFound);
    assert_eq!(kind(fixture.runtime.signal("a", 15, false)), ErrorKind::NotFound);
    fixture.runtime.create(&fixture.config("a")).unwrap();
    assert_eq!(kind(fixture.runtime.start("a")), ErrorKind::NotFound);
    fixture.runtime.signal("a", 15, false).expect("it has ended");
    fixture.runtime.delete("a").unwrap();
    fixture.runtime.delete("a").unwrap();
    assert_eq!(fixture.entries(), 0);
}

#[test]
fn an_exit_record_of_an_earlier_boot_is_found() {
    let fixture = fixture(r#"echo '{"Ok":7}'"#);
    fixture.runtime.create(&fixture.config("a")).unwrap();
    let exit = crate::container::Exit {
        code: 4,
        signal: None,
        oom_killed: false,
        started_at: None,
        finished_at: jiff::Timestamp::UNIX_EPOCH,
    };
    record::write(&fixture.dir.path().join("containers/a/exit.json"), &exit).unwrap();
    std::fs::remove_dir_all(fixture.dir.path().join("shims/a")).unwrap();
    assert_eq!(fixture.runtime.list().unwrap()[0].1, ContainerState::Exited(exit));
}

#[test]
fn what_is_being_created_is_not_listed() {
    let fixture = fixture(r#"echo '{"Ok":7}'"#);
    fixture.runtime.create(&fixture.config("a")).unwrap();
    fixture.runtime.creating.lock().unwrap().insert("a".to_owned());
    assert_eq!(fixture.runtime.list().unwrap(), []);
}

#[test]
fn the_end_of_a_shim_is_an_event() {
    let fixture = fixture("");
    let events = fixture.runtime.events().unwrap();
    let mut buffer = [0; 4096];
    assert_eq!(rustix::io::read(&events, &mut buffer), Err(rustix::io::Errno::AGAIN));
    let lock = ShimDir::new(&fixture.dir.path().join("shims"), "a").lock();
    drop(liveness::take(&lock).unwrap());
    assert!(rustix::io::read(&events, &mut buffer).unwrap() > 0);
    liveness::holder(&lock).unwrap();
    assert_eq!(rustix::io::read(&events, &mut buffer), Err(rustix::io::Errno::AGAIN));
}
