//! Commands inside a node, through a pod that serves a shell on a virtio port.
//!
//! The released image has no back door: the shell is a privileged pod that only scenarios add.
//! Must never take a late answer for the answer to a later command.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::deadline::Deadline;

/// The manifest of the pod that serves the shell. It sees the node's processes, network and files
/// (below `/host`), and needs neither address nor port, so it works when no network does.
pub const MANIFEST: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: shell
  namespace: default
spec:
  hostNetwork: true
  hostPID: true
  terminationGracePeriodSeconds: 1
  containers:
    - name: shell
      image: localhost/busybox:1
      imagePullPolicy: Never
      command:
        - sh
        - -c
        - |
          trap 'exit 0' TERM
          while true; do
            for port in /host/dev/vport*p1; do
              [ -c $port ] || continue
              sh <>$port >&0 2>&1 &
              wait $!
            done
            sleep 1
          done
      securityContext:
        privileged: true
      volumeMounts:
        - name: host
          mountPath: /host
  volumes:
    - name: host
      hostPath:
        path: /
"#;

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// The port could not be used.
    #[error("cannot use the shell's serial port")]
    Port(#[source] io::Error),
    /// Nobody answered.
    #[error("the node's shell does not answer '{command}'; so far: {output}")]
    Silent {
        /// The command.
        command: String,
        /// What came before the deadline.
        output: String,
    },
    /// The command failed where it had to succeed.
    #[error("'{command}' ended with {status}: {output}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit code.
        status: i32,
        /// What it wrote.
        output: String,
    },
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit code.
    pub status: i32,
    /// What it wrote to either stream, without the last line end.
    pub text: String,
}

/// A shell inside a node.
pub struct Shell {
    port: UnixStream,
    received: Vec<u8>,
    commands: u64,
}

const COMMAND_WAIT: Duration = Duration::from_secs(60);

impl Shell {
    /// Asks until the shell answers or the deadline passes.
    pub(crate) fn open(port: UnixStream, deadline: Deadline) -> Result<Self, ShellError> {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let commands = seed.map_or(0, |elapsed| elapsed.as_micros() as u64);
        let mut shell = Self { port, received: Vec::new(), commands };
        while !deadline.has_passed() {
            // What is written before the pod reads is lost in the port: ask again.
            let attempt = Deadline::after(Duration::from_millis(500).min(deadline.remaining()));
            if shell.run_until("true", attempt).is_ok() {
                return Ok(shell);
            }
        }
        let output = String::from_utf8_lossy(&shell.received).into_owned();
        Err(ShellError::Silent { command: "true".to_owned(), output })
    }

    /// Runs a command; whatever its exit code is, that it ended is success.
    pub fn run(&mut self, command: &str) -> Result<Output, ShellError> {
        self.run_until(command, Deadline::after(COMMAND_WAIT))
    }

    /// Runs a command that must succeed, and returns what it wrote.
    pub fn succeed(&mut self, command: &str) -> Result<String, ShellError> {
        let Output { status, text } = self.run(command)?;
        if status == 0 {
            return Ok(text);
        }
        Err(ShellError::Failed { command: command.to_owned(), status, output: text })
    }

    /// Runs a command whose answer nobody waits for, because the node goes down by it.
    pub fn start(&mut self, command: &str) -> Result<(), ShellError> {
        self.port.write_all(format!("\n{command}\n").as_bytes()).map_err(ShellError::Port)
    }

    /// Runs a program of the node itself: its root, not the pod's.
    pub fn succeed_on_host(&mut self, command: &str) -> Result<String, ShellError> {
        self.succeed(&format!("chroot /host {command}"))
    }

    /// Runs a command again and again until `accept` takes its output, at most `wait`.
    pub fn wait_until(
        &mut self,
        command: &str,
        wait: Duration,
        accept: impl Fn(&Output) -> bool,
    ) -> Result<Output, ShellError> {
        let deadline = Deadline::after(wait);
        let mut last =
            Err(ShellError::Silent { command: command.to_owned(), output: String::new() });
        let accepted = deadline.poll(Duration::from_millis(200), || {
            last = self.run(command);
            last.as_ref().ok().filter(|output| accept(output)).cloned()
        });
        match (accepted, last) {
            (Some(output), _) => Ok(output),
            (None, Ok(Output { status, text })) => {
                Err(ShellError::Failed { command: command.to_owned(), status, output: text })
            }
            (None, Err(error)) => Err(error),
        }
    }

    /// The process of the node whose command line begins with `command`.
    pub fn process(&mut self, command: &str) -> Result<String, ShellError> {
        self.succeed(&process_search(command))
    }

    /// Waits until a process with that command line runs that is not `old`, and returns it.
    pub fn wait_for_other_process(
        &mut self,
        command: &str,
        old: &str,
        wait: Duration,
    ) -> Result<String, ShellError> {
        let found = self.wait_until(&process_search(command), wait, |output| {
            output.status == 0 && output.text != old
        })?;
        Ok(found.text)
    }

    fn run_until(&mut self, command: &str, deadline: Deadline) -> Result<Output, ShellError> {
        self.commands += 1;
        let mark = format!("@holm-{}", self.commands);
        // A subshell, so that `exit` or `cd` in a command does not reach the next one.
        let line = format!("\n( {command}\n) </dev/null 2>&1; printf '\\n{mark} %s\\n' $?\n");
        self.port.write_all(line.as_bytes()).map_err(ShellError::Port)?;
        loop {
            if let Some((output, used)) = parse_answer(&self.received, &mark) {
                self.received.drain(..used);
                return Ok(output);
            }
            if deadline.has_passed() {
                let output = String::from_utf8_lossy(&self.received).into_owned();
                return Err(ShellError::Silent { command: command.to_owned(), output });
            }
            self.receive(deadline)?;
        }
    }

    fn receive(&mut self, deadline: Deadline) -> Result<(), ShellError> {
        let wait = deadline.remaining().max(Duration::from_millis(1));
        self.port.set_read_timeout(Some(wait)).map_err(ShellError::Port)?;
        let mut chunk = [0; 4096];
        match self.port.read(&mut chunk) {
            Ok(0) => Err(ShellError::Port(io::ErrorKind::UnexpectedEof.into())),
            Ok(length) => {
                self.received.extend_from_slice(&chunk[..length]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(ShellError::Port(error)),
        }
    }
}

/// A shell command that prints the first process whose command line begins with `command`.
fn process_search(command: &str) -> String {
    format!(
        "exec 2>/dev/null; for p in /proc/[0-9]*; do \
         case $(tr '\\0' ' ' <$p/cmdline) in \
         '{command}'*) echo ${{p#/proc/}}; exit 0;; esac; done; exit 1"
    )
}

/// The output before `\n<mark> <status>\n`, and how many bytes that took. What is left of earlier
/// commands that nobody waited for ends at the last mark before.
fn parse_answer(received: &[u8], mark: &str) -> Option<(Output, usize)> {
    let text = String::from_utf8_lossy(received);
    let sought = format!("\n{mark} ");
    let end = text.find(&sought)?;
    let (status, _) = text[end + sought.len()..].split_once('\n')?;
    let used = end + sought.len() + status.len() + 1;
    let before = &text[..end];
    let own = before.rfind("\n@holm-").map_or(before, |earlier| {
        before[earlier + 1..].split_once('\n').map_or("", |(_, own)| own)
    });
    let own = own.strip_suffix('\n').unwrap_or(own);
    Some((Output { status: status.trim().parse().ok()?, text: own.to_owned() }, used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// The host's own shell on the other end of the port, started only after `delay` commands
    /// were lost.
    fn host_shell() -> Shell {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let output = theirs.try_clone().unwrap();
            let input: std::os::fd::OwnedFd = theirs.into();
            let output: std::os::fd::OwnedFd = output.into();
            Command::new("sh").stdin(Stdio::from(input)).stdout(Stdio::from(output)).status()
        });
        Shell::open(ours, Deadline::after(Duration::from_secs(20))).unwrap()
    }

    #[test]
    fn a_command_gives_its_output_and_status() {
        let mut shell = host_shell();
        let output = shell.run("echo one; echo two >&2; exit 3").unwrap();
        assert_eq!(output, Output { status: 3, text: "one\ntwo".to_owned() });
        assert_eq!(shell.succeed("printf 'no line end'").unwrap(), "no line end");
    }

    #[test]
    fn a_failed_command_is_an_error_that_shows_its_words() {
        let error = host_shell().succeed("echo sorry; false").unwrap_err();
        assert_eq!(error.to_string(), "'echo sorry; false' ended with 1: sorry");
    }

    #[test]
    fn a_command_nobody_waited_for_does_not_disturb_the_next() {
        let mut shell = host_shell();
        shell.start("echo noise").unwrap();
        shell.run("true").unwrap();
        assert_eq!(shell.succeed("echo signal").unwrap(), "signal");
    }

    #[test]
    fn a_process_is_found_by_the_start_of_its_command_line() {
        let mut sleeper = Command::new("sleep").arg("987654").spawn().unwrap();
        let mut shell = host_shell();
        let found = shell.process("sleep 987654").unwrap();
        let other = shell.wait_for_other_process("sleep 987654", &found, Duration::ZERO);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert_eq!(found, sleeper.id().to_string());
        assert!(other.is_err(), "{other:?}");
        assert!(shell.process("sleep 987654").is_err());
    }

    #[test]
    fn wait_until_asks_again_and_ends_with_the_last_output() {
        let mut shell = host_shell();
        let file = std::env::temp_dir().join(format!("holm-shell-{}", std::process::id()));
        let count = format!("echo x >>{0}; grep -c x {0}", file.display());
        let output = shell.wait_until(&count, Duration::from_secs(20), |o| o.text == "3").unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(output.text, "3");
        let error = shell.wait_until("echo no", Duration::from_millis(1), |_| false).unwrap_err();
        assert!(error.to_string().contains("echo no"), "{error}");
    }

    #[test]
    fn an_answer_to_an_earlier_command_is_not_taken_for_this_one() {
        let received = b"late\n@holm-1 0\nmine\n\n@holm-2 0\n";
        let (output, used) = parse_answer(received, "@holm-2").unwrap();
        assert_eq!((output.text.as_str(), used), ("mine", received.len()));
        assert_eq!(parse_answer(b"half\n@holm-2 ", "@holm-2"), None);
    }
}
