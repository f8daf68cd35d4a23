//! A running machine: its process, its console, its shell port and its monitor.
//!
//! Must never outlive its owner, except by `detach`, and never end a process but its own.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::console::Console;
use crate::deadline::Deadline;
use crate::machine::{self, Machine};
use crate::qmp::{Qmp, QmpError};
use crate::shell::{Shell, ShellError};

/// Why a machine could not be started or steered.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// A file or socket of the machine's folder.
    #[error("cannot {what} {}", path.display())]
    Folder {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU could not be started.
    #[error("cannot start {program}")]
    Start {
        /// Which one.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// QEMU ended before it connected.
    #[error("QEMU did not start: {0}")]
    Refused(String),
    /// The monitor failed.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// The machine runs on.
    #[error("the machine did not power off within {0:?}")]
    RunsOn(Duration),
    /// QEMU forwards no such port.
    #[error("no host port leads to port {port} of the node; QEMU says:\n{table}")]
    NotForwarded {
        /// The guest's port.
        port: u16,
        /// QEMU's table of connections.
        table: String,
    },
}

/// A running machine.
pub struct Vm {
    child: Child,
    owned: bool,
    /// The first serial port.
    pub console: Console,
    /// The monitor.
    pub qmp: Qmp,
    keyboard: UnixStream,
    shell: UnixStream,
}

const START_WAIT: Duration = Duration::from_secs(30);

impl Vm {
    /// Starts the machine; its sockets and QEMU's messages lie in `folder`.
    pub fn start(machine: &Machine, folder: &Path) -> Result<Self, VmError> {
        Self::run("qemu-system-x86_64", &machine.arguments(folder, kvm_is_wanted()), folder)
    }

    /// Starts QEMU's `program` with arguments by which it connects to the three sockets in `folder`.
    pub(crate) fn run(program: &str, arguments: &[String], folder: &Path) -> Result<Self, VmError> {
        let listen = |name: &str| {
            let path = folder.join(name);
            // The machine's earlier run left its socket behind.
            let _ = std::fs::remove_file(&path);
            let failed = |source| VmError::Folder { what: "listen on", path, source };
            UnixListener::bind(folder.join(name))
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(failed)
        };
        let console = listen(machine::CONSOLE_SOCKET)?;
        let shell = listen(machine::SHELL_SOCKET)?;
        let qmp = listen(machine::QMP_SOCKET)?;
        let messages = folder.join("qemu.log");
        let log = File::create(&messages).map_err(|source| VmError::Folder {
            what: "create",
            path: messages.clone(),
            source,
        })?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|source| VmError::Start { program: program.to_owned(), source })?;
        match connect(&mut child, [console, shell, qmp]) {
            Some((console, shell, qmp)) => {
                let keyboard = console.try_clone();
                let keyboard = keyboard.map_err(|source| VmError::Folder {
                    what: "share",
                    path: folder.join(machine::CONSOLE_SOCKET),
                    source,
                })?;
                let console = Console::capture(console);
                Ok(Self { child, owned: true, console, qmp, keyboard, shell })
            }
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(VmError::Refused(std::fs::read_to_string(messages).unwrap_or_default()))
            }
        }
    }

    /// The process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Opens the shell that the scenarios' privileged pod serves, once it answers.
    pub fn shell(&self, wait: Duration) -> Result<Shell, ShellError> {
        let stream = self.shell.try_clone().map_err(ShellError::Port)?;
        Shell::open(stream, Deadline::after(wait))
    }

    /// Types a line on the first serial port.
    pub fn type_line(&self, text: &str) -> Result<(), VmError> {
        let path = PathBuf::from(machine::CONSOLE_SOCKET);
        let typed = (&self.keyboard).write_all(format!("{text}\n").as_bytes());
        typed.map_err(|source| VmError::Folder { what: "type on", path, source })
    }

    /// Reads the virtio port as a console, where a payload reports instead of a shell.
    pub fn second_console(&self) -> Result<Console, VmError> {
        let path = PathBuf::from(machine::SHELL_SOCKET);
        let port = self.shell.try_clone();
        port.map(Console::capture).map_err(|source| VmError::Folder { what: "share", path, source })
    }

    /// The host's address that leads to a TCP port of the node.
    pub fn forwarded(&mut self, port: u16) -> Result<SocketAddr, VmError> {
        let table = self.qmp.monitor("info usernet")?;
        match forwarded_port(&table, port) {
            Some(host_port) => Ok((Ipv4Addr::LOCALHOST, host_port).into()),
            None => Err(VmError::NotForwarded { port, table }),
        }
    }

    /// Pulls the plug: nothing in the machine hears of it.
    pub fn cut_power(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.owned = false;
    }

    /// Presses the reset button.
    pub fn reset(&mut self) -> Result<(), VmError> {
        self.qmp.execute("system_reset", json!({}))?;
        Ok(())
    }

    /// Presses the power button.
    pub fn press_power_button(&mut self) -> Result<(), VmError> {
        self.qmp.execute("system_powerdown", json!({}))?;
        Ok(())
    }

    /// Plugs a link's cable in or out.
    pub fn set_link(&mut self, index: usize, up: bool) -> Result<(), VmError> {
        self.qmp.execute("set_link", json!({"name": format!("net{index}"), "up": up}))?;
        Ok(())
    }

    /// Waits until the machine has powered itself off.
    pub fn wait_power_off(mut self, wait: Duration) -> Result<ExitStatus, VmError> {
        let deadline = Deadline::after(wait);
        let child = &mut self.child;
        let ended = deadline.poll(Duration::from_millis(20), || child.try_wait().ok().flatten());
        self.owned = ended.is_none();
        ended.ok_or(VmError::RunsOn(wait))
    }

    /// Leaves the machine running after its owner; returns its process.
    pub fn detach(mut self) -> u32 {
        self.owned = false;
        self.child.id()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if self.owned {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// QEMU's connections to the console, the shell and the monitor, unless it ends first.
fn connect(
    child: &mut Child,
    listeners: [UnixListener; 3],
) -> Option<(UnixStream, UnixStream, Qmp)> {
    let [console, shell, qmp] = listeners;
    let console = accept(child, &console)?;
    let shell = accept(child, &shell)?;
    let qmp = accept(child, &qmp)?;
    // A kernel or disk that is not there stops QEMU only after it has connected.
    Some((console, shell, Qmp::open(qmp).ok()?))
}

/// The connection that QEMU makes, unless it ends first.
fn accept(child: &mut Child, listener: &UnixListener) -> Option<UnixStream> {
    let connection = Deadline::after(START_WAIT).poll(Duration::from_millis(5), || {
        match (listener.accept(), child.try_wait()) {
            (Ok((stream, _)), _) => Some(Some(stream)),
            (Err(_), Ok(None)) => None,
            (Err(_), _) => Some(None),
        }
    });
    connection.flatten().filter(|stream| stream.set_nonblocking(false).is_ok())
}

/// A KVM that does not really boot is worse than none, so it is used only when asked for.
fn kvm_is_wanted() -> bool {
    std::env::var("HOLM_VM_KVM").is_ok_and(|value| value == "1")
}

/// Finds `TCP[HOST_FORWARD]  fd  127.0.0.1 <host port>  <guest> <guest port> …`.
fn forwarded_port(table: &str, port: u16) -> Option<u16> {
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()? != "TCP[HOST_FORWARD]" {
            return None;
        }
        let words: Vec<_> = words.collect();
        let guest_port: u16 = words.get(4)?.parse().ok()?;
        if guest_port == port { words.get(2)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_port_is_found_in_qemus_table() {
        let table = "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
            TCP[HOST_FORWARD]  13       127.0.0.1 35621       10.0.2.15    22     0     0\r\n  \
            TCP[HOST_FORWARD]  12       127.0.0.1 45873       10.0.2.15  8080     0     0\r\n";
        assert_eq!(forwarded_port(table, 8080), Some(45873));
        assert_eq!(forwarded_port(table, 22), Some(35621));
        assert_eq!(forwarded_port(table, 80), None);
    }

    #[test]
    fn a_machine_that_qemu_refuses_is_an_error_with_qemus_words() {
        let folder = std::env::temp_dir().join(format!("holm-vm-refused-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let machine = Machine {
            memory_mib: 64,
            processors: 1,
            boot: machine::BootPath::Kernel {
                kernel: "/nowhere/kernel".into(),
                initramfs: "/nowhere/initramfs".into(),
                command_line: String::new(),
            },
            disks: Vec::new(),
            usb_disks: Vec::new(),
            links: Vec::new(),
            firmware_entries: Vec::new(),
            append: String::new(),
        };
        let error = Vm::start(&machine, &folder).err().map(|error| error.to_string());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(error.as_deref().unwrap_or_default().contains("/nowhere/kernel"), "{error:?}");
    }
}
