//! The shim: the process that makes one container, is its parent, and keeps its log.
//!
//! Single-threaded from its first instruction to its last, since libcontainer forks. It outlives the
//! agent, and ends by itself when the container has ended and all of its output is in the log.
//!
//! ```text
//! starting -> created  (answers the agent on its standard output)
//! created  -> running  (order on the control socket)
//! created, running -> exited (the first process ended: kill the rest, drain, write the record)
//! ```

use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::control::{self, Answer, Failure, Request};
use super::create::{self, Created};
use super::payload::error_chain;
use super::record::{self, Record, ShimDir};
use super::{ContainerConfig, Exit, cgroup, complaints, deadline, liveness, signals};

/// For the last output and the last processes of a container that has ended.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);
/// For the kernel to load the program; a later failure is only in the exit status.
const EXEC_DEADLINE: Duration = Duration::from_secs(10);
const FREEZE_DEADLINE: Duration = Duration::from_secs(1);
const USAGE: &str = "usage: shim --dir FOLDER";

/// The shim's `main`, to be called before any thread exists. `args` follow the word `shim`.
///
/// The process that was spawned ends at once with status 0, and a child of it goes on, so that
/// shims are never the agent's to reap. Everything else is said on standard output: one JSON line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let dir = match args.as_slice() {
        [flag, dir] if flag == "--dir" => ShimDir::at(PathBuf::from(dir)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = nix::unistd::daemon(false, true) {
        eprintln!("shim: daemon: {error}");
        return ExitCode::FAILURE;
    }
    match run(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shim: {}", error_chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &ShimDir) -> std::io::Result<()> {
    let _ = rustix::thread::set_name(c"holm-shim");
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // Held until the end of the process, whatever ends it.
    let _alive = liveness::take(&dir.lock())?;
    let path = dir.container().join(record::CONFIG);
    let config: ContainerConfig = record::read(&path)?
        .ok_or_else(|| std::io::Error::new(ErrorKind::NotFound, path.display().to_string()))?;
    complaints::keep_in(&dir.log())?;
    let mut record = Record::default();
    let listener = UnixListener::bind(dir.control())?;
    let created = match create::create(dir, &config, &mut record) {
        Ok(created) => created,
        Err(error) => {
            create::undo(&config, &record);
            let mut text = error_chain(&error);
            let log = std::fs::read_to_string(dir.log()).unwrap_or_default();
            if let Some(complaint) = complaints::first_of(&log)
                && !text.contains(complaint)
            {
                text = format!("{text} ({complaint})");
            }
            let failure = Failure { invalid: error.is_invalid(), text };
            return report(&Answer::<i32>::Err(failure));
        }
    };
    let mut shim = Shim::new(dir.clone(), config, record, listener, created)?;
    report(&Answer::Ok(shim.pid.as_raw_nonzero().get()))?;
    let status = shim.serve()?;
    shim.finish(status)
}

/// Answers the agent that spawned this shim, if it is still there, and lets go of its pipe.
fn report(answer: &Answer<i32>) -> std::io::Result<()> {
    let sent = control::send(std::io::stdout(), answer);
    rustix::stdio::dup2_stdout(std::fs::OpenOptions::new().write(true).open("/dev/null")?)?;
    match sent {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

struct Shim {
    dir: ShimDir,
    config: ContainerConfig,
    record: Record,
    listener: UnixListener,
    signals: SignalFd,
    pid: Pid,
    created: Created,
    /// There until the start.
    waiting: bool,
}

impl Shim {
    fn new(
        dir: ShimDir,
        config: ContainerConfig,
        mut record: Record,
        listener: UnixListener,
        created: Created,
    ) -> std::io::Result<Self> {
        // After the fork: the container must start with no signal blocked. A child that ended
        // before is found by the first look.
        let mut mask = SigSet::empty();
        for signal in [NixSignal::SIGCHLD, NixSignal::SIGTERM, NixSignal::SIGINT, NixSignal::SIGHUP]
        {
            mask.add(signal);
        }
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        listener.set_nonblocking(true)?;
        let pid = Pid::from_raw(created.pid)
            .ok_or_else(|| std::io::Error::other("libcontainer gave no process id"))?;
        record.pid = Some(created.pid);
        record::write(&dir.record(), &record)?;
        // Memory of a tmpfs, for what nobody reads again.
        let _ = std::fs::remove_file(dir.path().join("config.json"));
        Ok(Shim { dir, config, record, listener, signals, pid, created, waiting: true })
    }

    /// Serves until the first process has ended.
    fn serve(&mut self) -> std::io::Result<WaitStatus> {
        loop {
            if let Some(status) = self.reap()? {
                return Ok(status);
            }
            let mut fds = vec![
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::new(&self.listener, PollFlags::IN),
            ];
            fds.extend(
                self.created
                    .streams
                    .descriptors()
                    .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
            );
            match rustix::event::poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            // From the back, since a stream that has ended is removed.
            for index in (2..ready.len()).rev().filter(|index| ready[*index]) {
                self.created.streams.pump(index - 2);
            }
            if ready[1] {
                self.accept();
            }
            // SIGTERM and the like are read and forgotten: at a shutdown the container gets them
            // too, and how it ends is still to be recorded.
            while let Ok(Some(_)) = self.signals.read_signal() {}
        }
    }

    /// Reaps every child that has ended: orphans of the container are this process's children.
    fn reap(&self) -> std::io::Result<Option<WaitStatus>> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => return Ok(Some(status)),
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn accept(&mut self) {
        let Ok((mut stream, _)) = self.listener.accept() else { return };
        if let Err(error) = self.answer(&mut stream) {
            eprintln!("shim: order: {error}");
        }
    }

    fn answer(&mut self, stream: &mut UnixStream) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(control::PATIENCE))?;
        stream.set_write_timeout(Some(control::PATIENCE))?;
        let request: Request = control::receive(&mut *stream)?;
        let done = match request {
            Request::Start => self.start(),
            Request::Signal { number, all } => self.signal(number, all),
        };
        control::send(stream, &done)
    }

    fn start(&mut self) -> Answer<()> {
        let failed = |text: String| Failure { invalid: false, text };
        if !self.waiting {
            return Err(failed("it was started before".to_owned()));
        }
        self.waiting = false;
        self.created.container.start().map_err(|error| failed(error_chain(&error)))?;
        let now = Timestamp::now();
        let _ = std::fs::remove_dir_all(self.dir.runtime_state());
        if let Some(reason) = exec_failure(&self.created.exec_failure) {
            return Err(failed(reason));
        }
        self.record.started_at = Some(now);
        record::write(&self.dir.record(), &self.record)
            .map_err(|error| failed(format!("record: {error}")))
    }

    fn signal(&self, number: i32, all: bool) -> Answer<()> {
        let Some(signal) = signals::from_number(number) else {
            let text = format!("signal {number} does not exist");
            return Err(Failure { invalid: true, text });
        };
        let sent = match all {
            true => {
                let until = Instant::now() + FREEZE_DEADLINE;
                cgroup::signal_all(&cgroup::folder(&self.config.cgroup), signal, until)
            }
            // Not reaped yet, so the number is still this process's.
            false => rustix::process::kill_process(self.pid, signal).map_err(Into::into),
        };
        sent.map_err(|error| Failure { invalid: false, text: error.to_string() })
    }

    /// Leaves nothing running, writes the rest of the log, then the record.
    fn finish(mut self, status: WaitStatus) -> std::io::Result<()> {
        let finished_at = Timestamp::now();
        let folder = cgroup::folder(&self.config.cgroup);
        let oom_killed = cgroup::oom_kills(&folder) > 0;
        let until = Instant::now() + DRAIN_DEADLINE;
        // Without a PID namespace of its own the first process leaves others behind.
        if let Err(error) = cgroup::kill(&folder) {
            eprintln!("shim: kill the rest: {error}");
        }
        self.created.streams.drain(until);
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        if let Err(error) = cgroup::destroy(&folder, until) {
            eprintln!("shim: remove the cgroup: {error}");
        }
        let started_at = self.record.started_at;
        let (code, signal) = code_of(status.exit_status(), status.terminating_signal());
        let exit = Exit { code, signal, oom_killed, started_at, finished_at };
        let kept = record::write(&self.dir.container().join(record::EXIT), &exit);
        if let Err(error) = kept {
            // A full disk: the one in memory is enough until the next boot.
            eprintln!("shim: exit record: {error}");
        }
        record::write(&self.dir.exit(), &exit)
    }
}

/// Why the program could not be run; `None` when it runs.
fn exec_failure(pipe: &OwnedFd) -> Option<String> {
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    let ready = deadline::poll(&mut fds, Instant::now() + EXEC_DEADLINE);
    if !matches!(ready, Ok(1..)) {
        return None;
    }
    let mut text = [0; 1024];
    let length = std::fs::File::from(pipe.try_clone().ok()?).read(&mut text).ok()?;
    (length > 0).then(|| String::from_utf8_lossy(&text[..length]).into_owned())
}

/// As shells count: the status, or 128 and the signal.
fn code_of(status: Option<i32>, signal: Option<i32>) -> (i32, Option<i32>) {
    (status.or(signal.map(|signal| 128 + signal)).unwrap_or(255), signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_becomes_128_and_its_number() {
        assert_eq!(code_of(None, Some(9)), (137, Some(9)));
        assert_eq!(code_of(Some(3), None), (3, None));
    }

    #[test]
    fn an_exec_that_succeeds_says_nothing() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&writer, b"exec format error").unwrap();
        assert_eq!(exec_failure(&reader).as_deref(), Some("exec format error"));
        drop(writer);
        assert_eq!(exec_failure(&reader), None);
    }

    #[test]
    fn wrong_arguments_are_refused_before_anything_happens() {
        assert_eq!(main([]), ExitCode::from(2));
        assert_eq!(main(["--dir".into()]), ExitCode::from(2));
    }
}
