//! Makes one container inside its shim: mounts, cgroup, specification, first process.
//!
//! A list of steps, each of which fails with its own reason. What a failed step leaves is undone by
//! the end of the shim (its mounts) and by [`undo`].

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::lines::Stream;
use super::log_file::LogFile;
use super::payload::Payload;
use super::record::{self, Record, ShimDir};
use super::spec::{self, SpecError};
use super::streams::Streams;
use super::user::{self, UserError};
use super::{ContainerConfig, cgroup, devices, mounts, rootfs};

/// How long a half-made container may take to die.
const UNDO_DEADLINE: Duration = Duration::from_secs(5);
const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

/// Which step failed, and why.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The configuration can never work.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Nor can this user.
    #[error(transparent)]
    User(#[from] UserError),
    /// The kernel refused a step.
    #[error("{step}")]
    Step {
        /// Which one.
        step: &'static str,
        /// Its reason.
        #[source]
        source: std::io::Error,
    },
    /// libcontainer's, or the container's first process on its way to the program.
    #[error("container")]
    Runtime(#[from] LibcontainerError),
    /// As above, with the likely reason.
    #[error("out of memory before the program started: raise the memory limit of {0} bytes")]
    MemoryLimit(u64),
}

impl CreateError {
    /// Trying again is of no use.
    pub fn is_invalid(&self) -> bool {
        matches!(self, CreateError::Spec(_) | CreateError::User(_))
    }
}

fn step(step: &'static str) -> impl FnOnce(std::io::Error) -> CreateError {
    move |source| CreateError::Step { step, source }
}

/// A created container, waiting for its start.
pub struct Created {
    /// libcontainer's handle.
    pub container: Container,
    /// The first process.
    pub pid: i32,
    /// Its output.
    pub streams: Streams,
    /// Its complaint when the program cannot be run; the end of the file when it does.
    pub exec_failure: OwnedFd,
}

/// Where the output comes from, and what the container gets of it.
enum Output {
    Pipes { ours: Vec<(OwnedFd, Stream)>, stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd },
    Terminal { listener: UnixListener, socket: PathBuf },
}

/// Creates the container; `record` keeps what [`undo`] must know.
///
/// # Errors
/// The step that failed. The caller calls [`undo`].
pub fn create(
    shim: &ShimDir,
    config: &ContainerConfig,
    record: &mut Record,
) -> Result<Created, CreateError> {
    spec::check(config)?;
    let node_mounts = rootfs::leave_node_mounts().map_err(step("mount namespace"))?;
    let mut config = config.clone();
    rootfs::follow_node_mounts(&mut config.mounts, &shim.path().join("mounts"))
        .map_err(step("volumes"))?;
    let config = &config;
    let root = shim.rootfs();
    let points = mounts::points(config);
    rootfs::mount(&config.layers, &config.dir, &root, &points).map_err(step("root file system"))?;
    let identity = {
        let open = || std::fs::File::open(&root);
        let read = |path: &str| user::read_in_root(open()?, path.as_ref());
        let passwd = read("etc/passwd").map_err(step("/etc/passwd"))?;
        let group = read("etc/group").map_err(step("/etc/group"))?;
        user::resolve(&config.process.user, &passwd, &group)?
    };
    rootfs::make_folder(&root, config.process.cwd.as_ref()).map_err(step("working directory"))?;
    let devices = devices::of(config).map_err(step("devices"))?;
    let spec = spec::runtime_spec(config, &identity, &root, devices)?;
    spec.save(shim.path().join("config.json")).map_err(SpecError::Build)?;

    record.cgroup_inode = cgroup::make(&config.cgroup).map_err(step("cgroup"))?;
    record::write(&shim.record(), record).map_err(step("record"))?;

    let (exec_failure, failure_writer) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| step("pipe")(e.into()))?;
    let output = open_output(shim, config).map_err(step("standard streams"))?;
    // libcontainer lowers or raises this process to the container's score.
    let own_score = std::fs::read(OOM_SCORE_ADJ).map_err(step("oom_score_adj"))?;
    let (builder, output) = with_output(
        ContainerBuilder::new(config.id.clone(), SyscallType::default())
            .with_executor(Payload::new(failure_writer))
            .with_root_path(shim.runtime_state())?
            .validate_id()?,
        output,
    );
    let before = oom_kills_around(config);
    let built = builder
        .as_init(shim.path())
        .as_sibling(false)
        .with_systemd(false)
        .with_detach(true)
        .build();
    let container = match built {
        Ok(container) => container,
        Err(error) => return Err(explain(error, config, before)),
    };
    std::fs::write(OOM_SCORE_ADJ, own_score).map_err(step("oom_score_adj"))?;
    rootfs::return_to_node_mounts(node_mounts).map_err(step("mount namespace"))?;
    rootfs::renounce_reserve().map_err(step("capabilities"))?;
    let pid = container.pid().map_or(0, |pid| pid.as_raw());
    let sources = match output {
        Ours::Pipes(sources) => sources,
        Ours::Terminal(listener) => {
            vec![(receive_terminal(&listener).map_err(step("terminal"))?, Stream::Stdout)]
        }
    };
    let log = LogFile::new(config.log_path.clone(), config.log_max_bytes, config.log_max_files);
    Ok(Created { container, pid, streams: Streams::new(sources, log), exec_failure })
}

/// A first process that the kernel killed says nothing itself.
fn explain(error: LibcontainerError, config: &ContainerConfig, kills_before: u64) -> CreateError {
    match config.resources.memory_max {
        Some(limit) if oom_kills_around(config) > kills_before => CreateError::MemoryLimit(limit),
        _ => CreateError::Runtime(error),
    }
}

/// Counted by the parent too, and there when libcontainer has removed the container's own cgroup.
fn oom_kills_around(config: &ContainerConfig) -> u64 {
    config.cgroup.parent().map_or(0, |parent| cgroup::oom_kills(&cgroup::folder(parent)))
}

/// Kills what a failed create has started, and removes its cgroup.
pub fn undo(config: &ContainerConfig, record: &Record) {
    let folder = cgroup::folder(&config.cgroup);
    if cgroup::inode(&folder).is_ok_and(|inode| inode == record.cgroup_inode) {
        let _ = cgroup::destroy(&folder, Instant::now() + UNDO_DEADLINE);
    }
}

fn open_output(shim: &ShimDir, config: &ContainerConfig) -> std::io::Result<Output> {
    if config.process.terminal {
        let socket = shim.console();
        return Ok(Output::Terminal { listener: UnixListener::bind(&socket)?, socket });
    }
    // Only our ends are non-blocking: the flag belongs to each end of a pipe on its own.
    let pipe = || -> std::io::Result<(OwnedFd, OwnedFd)> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        Ok((reader, writer))
    };
    let (stdout_reader, stdout) = pipe()?;
    let (stderr_reader, stderr) = pipe()?;
    Ok(Output::Pipes {
        ours: vec![(stdout_reader, Stream::Stdout), (stderr_reader, Stream::Stderr)],
        stdin: std::fs::File::open("/dev/null")?.into(),
        stdout,
        stderr,
    })
}

/// What stays with the shim.
enum Ours {
    Pipes(Vec<(OwnedFd, Stream)>),
    Terminal(UnixListener),
}

fn with_output(builder: ContainerBuilder, output: Output) -> (ContainerBuilder, Ours) {
    match output {
        Output::Pipes { ours, stdin, stdout, stderr } => {
            (builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr), Ours::Pipes(ours))
        }
        Output::Terminal { listener, socket } => {
            (builder.with_console_socket(Some(socket)), Ours::Terminal(listener))
        }
    }
}

/// The master side of the container's terminal, which its first process has sent.
fn receive_terminal(listener: &UnixListener) -> std::io::Result<OwnedFd> {
    let (stream, _) = listener.accept()?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 256];
    rustix::net::recvmsg(
        &stream,
        &mut [std::io::IoSliceMut::new(&mut text)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let Some(terminal) = descriptors.next()
        {
            rustix::io::ioctl_fionbio(&terminal, true)?;
            return Ok(terminal);
        }
    }
    Err(std::io::Error::other("the container's first process sent no terminal"))
}
