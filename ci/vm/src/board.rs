//! An image of any board on the machine of QEMU that its manifest names, with what a person would
//! give it at the build: nothing is edited on its disk.
//!
//! Must never write to the image; every machine works on a layer over it.

use std::path::{Path, PathBuf};
use std::process::Command;

use holm_image::board::{BootPath, Model};
use holm_image::process;
use holm_image::qemu::{self, Accelerator, Boot, Description, Forward, Forwarding};

use crate::machine::{CONSOLE_SOCKET, QMP_SOCKET, SHELL_SOCKET};
use crate::scenario::{Folder, ScenarioError};
use crate::vm::Vm;

/// A scenario of one board.
pub struct BoardScenario {
    folder: Folder,
    machine: qemu::Machine,
}

impl BoardScenario {
    /// A machine for the image that the environment's `variable` names; `ports` of the node can be
    /// reached from the host.
    pub fn new(name: &str, variable: &'static str, ports: &[u16]) -> Result<Self, ScenarioError> {
        let image = std::env::var_os(variable).ok_or(ScenarioError::NoBoardImage(variable))?;
        let image = PathBuf::from(image);
        let description = qemu::describe(&image)?;
        let folder = Folder::new(name)?;
        let boot = boot(&description, &image, folder.path())?;
        let forward = |guest: &u16| Forward {
            protocol: Forwarding::Tcp,
            address: "127.0.0.1".to_owned(),
            // QEMU takes a free one, and tells it when asked.
            host: 0,
            guest: *guest,
        };
        let machine = qemu::Machine {
            architecture: description.architecture,
            accelerator: Accelerator::Tcg,
            memory: description.qemu.memory,
            cpus: description.qemu.processors,
            boot,
            disk: Some(layer(&image, description.model.as_ref(), folder.path())?),
            disk_format: "qcow2".to_owned(),
            headless: true,
            serial: "chardev:console".to_owned(),
            forwards: ports.iter().map(forward).collect(),
            config: None,
            more: sockets(folder.path()),
            hardware: description.qemu,
        };
        Ok(Self { folder, machine })
    }

    /// Starts the machine.
    pub fn start(&self) -> Result<Vm, ScenarioError> {
        let program = qemu::program(self.machine.architecture);
        Ok(Vm::run(program, &qemu::arguments(&self.machine), self.folder.path())?)
    }
}

/// What the machine boots: its firmware, or what its firmware would choose.
fn boot(description: &Description, image: &Path, folder: &Path) -> Result<Boot, ScenarioError> {
    match (description.boot, &description.model) {
        (BootPath::Uefi, _) => {
            let firmware = qemu::find(description.architecture, false)?;
            let variables = folder.join("variables.fd");
            crate::scenario::copy(&firmware.variables, &variables)?;
            let append = String::new();
            Ok(Boot::Uefi { code: firmware.code, variables, secure: false, append })
        }
        (BootPath::UBoot, _) => Ok(Boot::UBoot { program: qemu::find_u_boot()? }),
        (BootPath::Rpi, Some(model)) => {
            let (_, boot) = qemu::lay_out_slot(image, model, &description.rom, false, "", folder)?;
            Ok(boot)
        }
        (BootPath::Rpi, None) => Err(ScenarioError::NoMachine(image.to_owned())),
    }
}

/// An empty layer over the image, larger than it as a card or disk would be.
fn layer(image: &Path, model: Option<&Model>, folder: &Path) -> Result<PathBuf, ScenarioError> {
    let failed = |source| ScenarioError::File { what: "measure", path: image.to_owned(), source };
    let length = std::fs::metadata(image).map_err(failed)?.len();
    let size = match model {
        // What the card reader takes.
        Some(_) => (length + (1 << 30)).next_power_of_two(),
        None => length + (1 << 30),
    };
    let image = image.canonicalize().map_err(failed)?;
    let path = folder.join("disk.qcow2");
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(image).arg(&path);
    process::run(command.arg(size.to_string())).map_err(ScenarioError::Layer)?;
    Ok(path)
}

/// The sockets by which [`Vm`] reaches the machine. Not every machine has a port for the shell.
fn sockets(folder: &Path) -> Vec<String> {
    let escaped = |name: &str| folder.join(name).display().to_string().replace(',', ",,");
    let mut words = Vec::new();
    for (id, socket) in [("console", CONSOLE_SOCKET), ("shell", SHELL_SOCKET), ("qmp", QMP_SOCKET)]
    {
        let (path, log) = (escaped(socket), escaped(&format!("{id}.log")));
        words.push("-chardev".to_owned());
        words.push(format!("socket,id={id},path={path},logfile={log}"));
    }
    words.extend(["-mon", "chardev=qmp,mode=control"].map(str::to_owned));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_socket_that_a_machine_is_reached_by_is_named() {
        let words = sockets(Path::new("/tmp/a,b")).join(" ");
        for id in ["console", "shell", "qmp"] {
            let socket = format!("socket,id={id},path=/tmp/a,,b/{id}.sock");
            assert!(words.contains(&socket), "{words}");
        }
    }
}
