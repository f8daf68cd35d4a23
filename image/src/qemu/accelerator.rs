//! Finds out whether KVM really runs a guest here: a device node that opens promises nothing.
//! Must never guess from the device's presence.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::arguments::program;
use crate::board::Architecture;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accelerator {
    /// QEMU's name, with what makes it faster.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }
}

/// How long a guest of four instructions may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A boot sector that writes 0x10 to port 0xf4, where QEMU's exit device listens, and halts.
const SECTOR_CODE: [u8; 6] = [0xb0, 0x10, 0xe6, 0xf4, 0xf4, 0xeb];
/// QEMU leaves with twice the written value plus one.
const EXIT_STATUS: i32 = 0x21;

/// KVM where a guest really ran on it just now, TCG everywhere else.
pub fn probe(architecture: Architecture) -> Accelerator {
    let native = Architecture::of_host() == Some(architecture);
    if native && File::options().read(true).write(true).open("/dev/kvm").is_ok() && runs() {
        Accelerator::Kvm
    } else {
        Accelerator::Tcg
    }
}

/// Boots the sector under KVM. On other processors than x86 no such device exists to leave by, and
/// starting QEMU's KVM at all has to do.
fn runs() -> bool {
    let Some(host) = Architecture::of_host() else { return false };
    let mut command = Command::new(program(host));
    command.args(["-accel", "kvm", "-nodefaults", "-display", "none", "-no-reboot"]);
    let mut sector = match tempfile::NamedTempFile::new() {
        Ok(file) => file,
        Err(_) => return false,
    };
    match host {
        Architecture::X86_64 => {
            if sector.write_all(&boot_sector()).is_err() {
                return false;
            }
            let drive = format!("if=ide,format=raw,file={}", sector.path().display());
            command.args(["-cpu", "host", "-drive", &drive]);
            command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
            leaves_with(&mut command, EXIT_STATUS)
        }
        Architecture::Aarch64 => {
            command.args(["-machine", "virt,gic-version=host", "-cpu", "host", "-S"]);
            command.args(["-monitor", "stdio"]);
            leaves_with(&mut command, 0)
        }
    }
}

fn boot_sector() -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..SECTOR_CODE.len()].copy_from_slice(&SECTOR_CODE);
    // The jump back to the halt.
    sector[SECTOR_CODE.len()] = 0xfd;
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Whether the program ends by itself, in time and with `status`.
fn leaves_with(command: &mut Command, status: i32) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = quiet.spawn() else { return false };
    let (sender, ended) = std::sync::mpsc::channel::<()>();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match child.try_wait() {
            Ok(Some(found)) => return found.code() == Some(status),
            Ok(None) => drop(ended.recv_timeout(Duration::from_millis(20))),
            Err(_) => break,
        }
    }
    drop(sender);
    let _ = child.kill();
    let _ = child.wait();
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sector_is_bootable() {
        let sector = boot_sector();
        assert_eq!(sector[510..], [0x55, 0xaa]);
    }

    #[test]
    fn foreign_processor_is_never_accelerated() {
        let foreign = match Architecture::of_host() {
            Some(Architecture::X86_64) => Architecture::Aarch64,
            _ => Architecture::X86_64,
        };
        assert_eq!(probe(foreign), Accelerator::Tcg);
    }

    #[test]
    fn status_decides_and_a_hang_is_cut() {
        assert!(leaves_with(Command::new("sh").args(["-c", "exit 33"]), 33));
        assert!(!leaves_with(Command::new("sh").args(["-c", "exit 1"]), 33));
        assert!(!leaves_with(&mut Command::new("/nonexistent/qemu"), 33));
    }
}
