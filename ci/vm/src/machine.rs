//! What a virtual machine consists of, and the QEMU arguments that say so. Pure.
//!
//! Must never start anything: `vm` does.

use std::path::{Path, PathBuf};

/// A virtual x86-64 machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub processors: u32,
    /// How it comes to a kernel.
    pub boot: BootPath,
    /// Raw disks, the first one bootable.
    pub disks: Vec<PathBuf>,
    /// Raw disks on a USB port, as sticks are.
    pub usb_disks: Vec<PathBuf>,
    /// Network links, in order.
    pub links: Vec<Link>,
    /// Firmware configuration entries: name and file.
    pub firmware_entries: Vec<(String, PathBuf)>,
    /// Words added to the kernel command line of a UKI.
    pub append: String,
}

/// How a machine comes to a kernel.
#[derive(Clone, Debug)]
pub enum BootPath {
    /// By UEFI firmware from the first disk.
    Firmware {
        /// OVMF's code.
        code: PathBuf,
        /// This machine's own variables.
        variables: PathBuf,
        /// True if the firmware checks signatures and guards its variables.
        secure: bool,
    },
    /// QEMU loads the kernel itself.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// The initramfs.
        initramfs: PathBuf,
        /// The whole command line.
        command_line: String,
    },
}

/// A network link.
#[derive(Clone, Debug)]
pub enum Link {
    /// QEMU's own network: DHCP, DNS and a way out; host ports lead to these guest ports.
    User {
        /// TCP ports of the guest to be reached from the host's loopback.
        forwarded_ports: Vec<u16>,
    },
    /// Each frame is a datagram between two loopback ports: the far end is the scenario's.
    Frames {
        /// The port that QEMU sends from.
        machine_port: u16,
        /// The port that QEMU sends to.
        scenario_port: u16,
    },
}

/// Sockets to which QEMU connects, all in the machine's folder.
pub(crate) const CONSOLE_SOCKET: &str = "console.sock";
/// The virtio port on which a privileged pod serves a shell.
pub(crate) const SHELL_SOCKET: &str = "shell.sock";
/// The machine protocol.
pub(crate) const QMP_SOCKET: &str = "qmp.sock";

impl Machine {
    /// The program's arguments. `folder` holds the machine's sockets, `kvm` says that it is safe
    /// to use.
    pub fn arguments(&self, folder: &Path, kvm: bool) -> Vec<String> {
        let mut arguments = Arguments::default();
        let secure = matches!(self.boot, BootPath::Firmware { secure: true, .. });
        arguments.flag("-nodefaults").flag("-no-user-config");
        arguments.pair("-name", "holm");
        arguments.pair("-machine", if secure { "q35,smm=on" } else { "q35,smm=off" });
        arguments.pair("-accel", if kvm { "kvm" } else { "tcg,thread=multi" });
        arguments.pair("-cpu", "max");
        arguments.pair("-smp", &self.processors.to_string());
        arguments.pair("-m", &format!("{}M", self.memory_mib));
        arguments.pair("-display", "none");
        // The chipset's own watchdog resets the machine, as on hardware.
        arguments.pair("-global", "ICH9-LPC.noreboot=false");
        arguments.pair("-action", "watchdog=reset");
        arguments.pair("-device", "virtio-rng-pci");
        self.boot_arguments(secure, &mut arguments);
        for (index, disk) in self.disks.iter().enumerate() {
            let disk = escaped(disk);
            arguments.pair("-drive", &format!("if=none,id=disk{index},format=raw,file={disk}"));
            arguments.pair(
                "-device",
                &format!("virtio-blk-pci,drive=disk{index},bootindex={}", index + 1),
            );
        }
        if !self.usb_disks.is_empty() {
            arguments.pair("-device", "qemu-xhci");
        }
        for (index, disk) in self.usb_disks.iter().enumerate() {
            let disk = escaped(disk);
            arguments.pair("-drive", &format!("if=none,id=usb{index},format=raw,file={disk}"));
            let device = format!("usb-storage,drive=usb{index},removable=on");
            arguments.pair("-device", &device);
        }
        for (index, link) in self.links.iter().enumerate() {
            arguments.pair("-netdev", &link.backend(index));
            // A fixed address each, so that a second boot meets the same hardware.
            let device = format!("virtio-net-pci,netdev=net{index},mac={}", mac_text(index));
            // The firmware's own network boot would only cost time.
            arguments.pair("-device", &format!("{device},romfile="));
        }
        for (name, file) in &self.firmware_entries {
            arguments.pair("-fw_cfg", &format!("name={name},file={}", escaped(file)));
        }
        if !self.append.is_empty() {
            let words = self.append.replace(',', ",,");
            arguments.pair(
                "-smbios",
                &format!("type=11,value=io.systemd.stub.kernel-cmdline-extra={words}"),
            );
        }
        for (id, socket) in [("console", CONSOLE_SOCKET), ("shell", SHELL_SOCKET)] {
            let path = escaped(&folder.join(socket));
            // The log goes on when nobody is connected any more.
            let log = escaped(&folder.join(id)) + ".log";
            arguments.pair("-chardev", &format!("socket,id={id},path={path},logfile={log}"));
        }
        arguments.pair("-serial", "chardev:console");
        arguments.pair("-device", "virtio-serial-pci,romfile=");
        arguments.pair("-device", "virtserialport,chardev=shell,name=shell");
        let path = escaped(&folder.join(QMP_SOCKET));
        arguments.pair("-chardev", &format!("socket,id=qmp,path={path}"));
        arguments.pair("-mon", "chardev=qmp,mode=control");
        arguments.0
    }

    fn boot_arguments(&self, secure: bool, arguments: &mut Arguments) {
        match &self.boot {
            BootPath::Firmware { code, variables, .. } => {
                let (code, variables) = (escaped(code), escaped(variables));
                arguments.pair("-drive", &format!("if=pflash,format=raw,readonly=on,file={code}"));
                arguments.pair("-drive", &format!("if=pflash,format=raw,file={variables}"));
                if secure {
                    arguments.pair("-global", "driver=cfi.pflash01,property=secure,value=on");
                }
            }
            BootPath::Kernel { kernel, initramfs, command_line } => {
                arguments.pair("-kernel", &kernel.display().to_string());
                arguments.pair("-initrd", &initramfs.display().to_string());
                arguments.pair("-append", command_line);
            }
        }
    }
}

impl Link {
    fn backend(&self, index: usize) -> String {
        match self {
            Self::User { forwarded_ports } => {
                let mut backend = format!("user,id=net{index}");
                for port in forwarded_ports {
                    // Port 0: QEMU takes a free one, and tells it when asked.
                    backend.push_str(&format!(",hostfwd=tcp:127.0.0.1:0-:{port}"));
                }
                backend
            }
            Self::Frames { machine_port, scenario_port } => format!(
                "socket,id=net{index},udp=127.0.0.1:{scenario_port},localaddr=127.0.0.1:{machine_port}"
            ),
        }
    }
}

/// The hardware address of the link with that index: locally administered.
pub fn mac(index: usize) -> [u8; 6] {
    [0x52, 0x54, 0x00, 0x48, 0x4f, index as u8]
}

fn mac_text(index: usize) -> String {
    mac(index).map(|byte| format!("{byte:02x}")).join(":")
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&mut self, flag: &str) -> &mut Self {
        self.0.push(flag.to_owned());
        self
    }

    fn pair(&mut self, flag: &str, value: &str) -> &mut Self {
        self.flag(flag).flag(value)
    }
}

/// QEMU splits its options at commas; a doubled one stands for itself.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            memory_mib: 128,
            processors: 1,
            boot: BootPath::Firmware {
                code: "/ovmf/code".into(),
                variables: "/vm/vars".into(),
                secure: false,
            },
            disks: vec!["/vm/a,b.raw".into()],
            usb_disks: Vec::new(),
            links: Vec::new(),
            firmware_entries: Vec::new(),
            append: String::new(),
        }
    }

    fn joined(machine: &Machine) -> String {
        machine.arguments(Path::new("/vm"), false).join(" ")
    }

    #[test]
    fn a_machine_without_links_has_no_network() {
        let line = joined(&machine());
        assert!(!line.contains("net"), "{line}");
        assert!(line.contains("-m 128M"), "{line}");
    }

    #[test]
    fn sticks_hang_on_one_usb_controller_and_none_needs_none() {
        let mut machine = machine();
        assert!(!joined(&machine).contains("usb"));
        machine.usb_disks = vec!["/vm/one.raw".into(), "/vm/two.raw".into()];
        let line = joined(&machine);
        assert_eq!(line.matches("qemu-xhci").count(), 1, "{line}");
        assert!(line.contains("file=/vm/two.raw") && line.contains("usb-storage,drive=usb1"));
    }

    #[test]
    fn commas_in_paths_and_appended_words_are_doubled() {
        let mut machine = machine();
        machine.append = "console=ttyS0,115200 holm.payload=payload".to_owned();
        let line = joined(&machine);
        assert!(line.contains("file=/vm/a,,b.raw"), "{line}");
        assert!(
            line.contains("cmdline-extra=console=ttyS0,,115200 holm.payload=payload"),
            "{line}"
        );
    }

    #[test]
    fn only_a_secure_machine_guards_its_variables() {
        let mut machine = machine();
        assert!(joined(&machine).contains("smm=off"));
        machine.boot = BootPath::Firmware {
            code: "/ovmf/code".into(),
            variables: "/vm/vars".into(),
            secure: true,
        };
        let line = joined(&machine);
        assert!(line.contains("smm=on") && line.contains("property=secure,value=on"), "{line}");
    }

    #[test]
    fn each_link_has_its_backend_and_its_own_fixed_address() {
        let mut machine = machine();
        machine.links = vec![
            Link::User { forwarded_ports: vec![8080] },
            Link::Frames { machine_port: 4001, scenario_port: 4002 },
        ];
        let line = joined(&machine);
        assert!(line.contains("user,id=net0,hostfwd=tcp:127.0.0.1:0-:8080"), "{line}");
        assert!(line.contains("udp=127.0.0.1:4002,localaddr=127.0.0.1:4001"), "{line}");
        assert!(line.contains("mac=52:54:00:48:4f:00") && line.contains("mac=52:54:00:48:4f:01"));
    }

    #[test]
    fn a_kernel_of_its_own_needs_no_firmware() {
        let mut machine = machine();
        machine.boot = BootPath::Kernel {
            kernel: "/k".into(),
            initramfs: "/i".into(),
            command_line: "console=ttyS0".to_owned(),
        };
        let line = joined(&machine);
        assert!(line.contains("-kernel /k -initrd /i -append console=ttyS0"), "{line}");
        assert!(!line.contains("pflash"), "{line}");
    }
}
