//! A runtime in folders of its own, and the configuration that tests start from.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use holm_node::container::{
    ContainerConfig, ContainerState, DEFAULT_CAPABILITIES, Exit, Mount, Namespaces, Process,
    Resources, Runtime, RuntimeError, ShimRuntime, User,
};
use rustix::event::{PollFd, PollFlags, Timespec};

/// TCG is slow; a test that hangs must end nevertheless.
pub const DEADLINE: Duration = Duration::from_secs(120);

pub struct Node {
    pub runtime: ShimRuntime,
    pub base: PathBuf,
}

impl Node {
    /// `name` is short: socket paths are below it.
    pub fn new(name: &str) -> Node {
        let base = Path::new("/run/h").join(name);
        let layer = base.join("layer");
        for folder in ["etc", "tmp", "work"] {
            std::fs::create_dir_all(layer.join(folder)).unwrap();
        }
        std::fs::set_permissions(layer.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
        std::fs::write(layer.join("etc/passwd"), "root:x:0:0::/root:\nweb:x:101:102::/srv:\n")
            .unwrap();
        std::fs::write(layer.join("etc/group"), "root:x:0:\nweb:x:102:\nlogs:x:200:web\n").unwrap();
        Node { runtime: open(&base), base }
    }

    /// Another agent on the same node.
    pub fn again(&self) -> ShimRuntime {
        open(&self.base)
    }

    /// A container `id` that runs `/bin/payload payload <args>`.
    pub fn config(&self, id: &str, args: &[&str]) -> ContainerConfig {
        let mut all = vec!["/bin/payload".to_owned(), "payload".to_owned()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let capabilities = DEFAULT_CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
        ContainerConfig {
            id: id.to_owned(),
            labels: BTreeMap::from([("name".to_owned(), id.to_owned())]),
            layers: vec![self.base.join("layer")],
            dir: self.base.join("c").join(id),
            process: Process { args: all, capabilities, ..Process::default() },
            mounts: vec![Mount {
                source: std::env::current_exe().unwrap(),
                destination: "/bin/payload".into(),
                readonly: true,
                fs_type: None,
                options: vec![],
            }],
            devices: vec![],
            namespaces: Namespaces::default(),
            resources: Resources::default(),
            cgroup: Path::new("/holm-test").join(id),
            log_path: self.base.join("log").join(format!("{id}.log")),
            log_max_bytes: 1 << 20,
            log_max_files: 3,
            hostname: Some("box".to_owned()),
            readonly_rootfs: false,
            privileged: false,
            seccomp: true,
            sysctls: BTreeMap::new(),
        }
    }

    pub fn state(&self, id: &str) -> Option<ContainerState> {
        let list = self.runtime.list().unwrap();
        list.into_iter().find(|(config, _)| config.id == id).map(|(_, state)| state)
    }

    pub fn launch(&self, config: &ContainerConfig) {
        self.runtime.create(config).unwrap_or_else(|error| panic!("{}", chain(&error)));
        self.runtime.start(&config.id).unwrap_or_else(|error| panic!("{}", chain(&error)));
    }

    /// Waits for the end as the agent does: by events.
    pub fn wait(&self, id: &str) -> Exit {
        let events = self.runtime.events().unwrap();
        let until = Instant::now() + DEADLINE;
        loop {
            match self.state(id) {
                Some(ContainerState::Exited(exit)) => return exit,
                Some(ContainerState::Unknown) => panic!("{id} is lost"),
                _ => {}
            }
            wait_readable(&events, until, "an exit");
        }
    }

    /// From create to the log; deleted afterwards.
    pub fn run(&self, config: &ContainerConfig) -> (Exit, String) {
        let _ = std::fs::remove_file(&config.log_path);
        self.launch(config);
        let exit = self.wait(&config.id);
        let text = self.log(&config.id);
        self.runtime.delete(&config.id).unwrap_or_else(|error| panic!("{}", chain(&error)));
        (exit, text)
    }

    /// Runs and returns the output of a payload that must succeed.
    pub fn output(&self, config: &ContainerConfig) -> String {
        let (exit, text) = self.run(config);
        assert_eq!(exit.code, 0, "{text}");
        text
    }

    pub fn log_path(&self, id: &str) -> PathBuf {
        self.base.join("log").join(format!("{id}.log"))
    }

    /// The text of a log, times, streams and tags removed.
    pub fn log(&self, id: &str) -> String {
        let bytes = std::fs::read(self.log_path(id)).unwrap();
        let mut text = String::new();
        // Not `lines`, which would eat the carriage returns of a terminal.
        for line in String::from_utf8_lossy(&bytes).split_terminator('\n') {
            let mut parts = line.splitn(4, ' ');
            let tag = parts.nth(2).unwrap();
            text += parts.next().unwrap();
            if tag == "F" {
                text.push('\n');
            }
        }
        text
    }

    /// Waits until the log contains `text`.
    pub fn wait_log(&self, id: &str, text: &str) {
        let watch = rustix::fs::inotify::init(
            rustix::fs::inotify::CreateFlags::NONBLOCK | rustix::fs::inotify::CreateFlags::CLOEXEC,
        )
        .unwrap();
        let flags = rustix::fs::inotify::WatchFlags::MODIFY;
        rustix::fs::inotify::add_watch(&watch, self.log_path(id), flags).unwrap();
        let until = Instant::now() + DEADLINE;
        while !self.log(id).contains(text) {
            wait_readable(&watch, until, text);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for (config, _) in self.runtime.list().unwrap_or_default() {
            let _ = self.runtime.delete(&config.id);
        }
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

fn open(base: &Path) -> ShimRuntime {
    ShimRuntime::open("/proc/self/exe".into(), base.join("s"), base.join("c")).unwrap()
}

/// Waits for an event and reads it away.
pub fn wait_readable(fd: &std::os::fd::OwnedFd, until: Instant, what: &str) {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).unwrap();
    let ready = rustix::event::poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)).unwrap();
    assert!(ready > 0, "waited for {what} in vain");
    let mut buffer = [0; 4096];
    while rustix::io::read(fd, &mut buffer).is_ok_and(|length| length > 0) {}
}

pub fn chain(error: &RuntimeError) -> String {
    format!("{error}: {}", error.source)
}

pub fn user(image: &str) -> User {
    User { image: image.to_owned(), ..User::default() }
}

/// What must be the same before and after: mounts, cgroups, processes, descriptors.
#[derive(Debug, PartialEq, Eq)]
pub struct Footprint {
    mounts: Vec<String>,
    cgroups: Vec<PathBuf>,
    processes: Vec<String>,
    descriptors: usize,
}

pub fn footprint() -> Footprint {
    let names = |path: &str| -> Vec<String> {
        let entries = std::fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut processes: Vec<String> = names("/proc")
        .into_iter()
        .filter(|name| name.parse::<u32>().is_ok())
        // Kernel threads come and go: they have no command line.
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok())
        .filter(|line| line.contains("payload") || line.contains("shim"))
        .collect();
    processes.sort();
    Footprint {
        mounts: mounts.lines().map(str::to_owned).collect(),
        cgroups: below(Path::new("/sys/fs/cgroup/holm-test")),
        processes,
        descriptors: names("/proc/self/fd").len(),
    }
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.is_dir())
        .flat_map(|path| [below(&path), vec![path]].concat())
        .collect()
}
