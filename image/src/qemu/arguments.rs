//! The QEMU command line for a node: one machine description in, the words out.
//! Must never look at the host; what it depends on is in the description.

use std::path::PathBuf;
use std::str::FromStr;

use super::accelerator::Accelerator;
use crate::board::{Architecture, Qemu};

/// A virtual machine that boots a Holm image.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The processor.
    pub architecture: Architecture,
    /// The machine's type and devices.
    pub hardware: Qemu,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// MiB.
    pub memory: u64,
    /// Processors.
    pub cpus: u32,
    /// What it boots.
    pub boot: Boot,
    /// The disk, as a QEMU block device description's file name.
    pub disk: Option<PathBuf>,
    /// The disk file's format, `qcow2` or `raw`.
    pub disk_format: String,
    /// No window; without a window the serial line is all there is.
    pub headless: bool,
    /// Where the serial line goes, as a QEMU character device: `stdio` shares it with the monitor.
    pub serial: String,
    /// Ports of the host that lead into the node.
    pub forwards: Vec<Forward>,
    /// The node document, given through QEMU's firmware configuration.
    pub config: Option<PathBuf>,
    /// Words as they are, after all others.
    pub more: Vec<String>,
}

/// What the machine boots.
#[derive(Debug, Clone)]
pub enum Boot {
    /// UEFI firmware from flash, then what is on the disk.
    Uefi {
        /// The firmware's code, read only.
        code: PathBuf,
        /// Its variables; written to by the guest, so a copy of its own.
        variables: PathBuf,
        /// The firmware keeps its variables from the guest by system management mode.
        secure: bool,
        /// More kernel arguments, which the EFI stub takes only while Secure Boot is off.
        append: String,
    },
    /// A U-Boot in the machine's flash, then the script on the disk.
    UBoot {
        /// The program.
        program: PathBuf,
    },
    /// The kernel by itself, without firmware and boot loader.
    Direct {
        /// The kernel.
        kernel: PathBuf,
        /// The initramfs.
        initramfs: PathBuf,
        /// The whole command line.
        command_line: String,
        /// The device tree, where the machine makes none itself.
        device_tree: Option<PathBuf>,
    },
}

/// The protocol of a forwarded port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the host that leads into the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Protocol.
    pub protocol: Forwarding,
    /// The host's address; empty for its loopback.
    pub address: String,
    /// The host's port.
    pub host: u16,
    /// The node's port.
    pub guest: u16,
}

/// A forwarding that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no forwarding; write [tcp:|udp:][ADDRESS:]HOSTPORT:GUESTPORT, as 8080:80")]
pub struct BadForward(String);

impl FromStr for Forward {
    type Err = BadForward;

    fn from_str(text: &str) -> Result<Self, BadForward> {
        let bad = || BadForward(text.to_owned());
        let (protocol, rest) = match text.split_once(':') {
            Some(("tcp", rest)) => (Forwarding::Tcp, rest),
            Some(("udp", rest)) => (Forwarding::Udp, rest),
            _ => (Forwarding::Tcp, text),
        };
        let (rest, guest) = rest.rsplit_once(':').ok_or_else(bad)?;
        let (address, host) = rest.rsplit_once(':').unwrap_or(("127.0.0.1", rest));
        let port = |text: &str| text.parse::<u16>().map_err(|_| bad());
        if !address.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(bad());
        }
        let (host, guest) = (port(host)?, port(guest)?);
        Ok(Self { protocol, address: address.to_owned(), host, guest })
    }
}

/// The machine's own card slot, as a device that a disk hangs on.
const SD: &str = "sd";

/// The name of QEMU's program for a processor.
pub fn program(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "qemu-system-x86_64",
        Architecture::Aarch64 => "qemu-system-aarch64",
    }
}

/// The command line, without the program.
pub fn arguments(machine: &Machine) -> Vec<String> {
    let mut words = Words::default();
    words.add(&["-nodefaults", "-no-user-config"]);
    words.pair("-machine", machine_type(machine));
    words.pair("-accel", machine.accelerator.name());
    words.pair("-cpu", processor(machine));
    words.pair("-m", format!("{}M", machine.memory));
    words.pair("-smp", machine.cpus.to_string());
    boot(machine, &mut words);
    if let Some(disk) = &machine.disk {
        let file = escape(&disk.to_string_lossy());
        let format = &machine.disk_format;
        if machine.hardware.disk == SD {
            words.pair("-drive", format!("if=sd,file={file},format={format}"));
        } else {
            let drive = format!("if=none,id=disk,file={file},format={format},discard=unmap");
            words.pair("-drive", drive);
            words.pair("-device", format!("{},drive=disk,bootindex=0", machine.hardware.disk));
        }
    }
    words.pair("-netdev", network(&machine.forwards));
    words.pair("-device", network_device(&machine.hardware.network));
    for device in &machine.hardware.devices {
        words.pair("-device", device);
    }
    // A watchdog that fires is a reset, as on real hardware.
    words.pair("-action", "watchdog=reset");
    for _ in 0..machine.hardware.serial_line {
        words.pair("-serial", "null");
    }
    words.pair("-serial", &machine.serial);
    if machine.headless {
        words.pair("-display", "none");
    } else {
        for device in &machine.hardware.display {
            words.pair("-device", device);
        }
    }
    if let Some(config) = &machine.config {
        let file = escape(&config.to_string_lossy());
        words.pair("-fw_cfg", format!("name=opt/holm/holm.toml,file={file}"));
    }
    words.0.extend(machine.more.iter().cloned());
    words.0
}

fn machine_type(machine: &Machine) -> String {
    let kind = &machine.hardware.machine;
    match (machine.architecture, &machine.boot) {
        (Architecture::X86_64, Boot::Uefi { secure: true, .. }) => format!("{kind},smm=on"),
        // Without it TCG spares its cost.
        (Architecture::X86_64, _) => format!("{kind},smm=off"),
        (Architecture::Aarch64, _) => kind.clone(),
    }
}

fn processor(machine: &Machine) -> &str {
    match machine.accelerator {
        Accelerator::Kvm => "host",
        Accelerator::Tcg => &machine.hardware.cpu,
    }
}

/// Boot code for the network only costs time, and a device that is not on PCI has none.
fn network_device(name: &str) -> String {
    let end = if name.ends_with("-pci") { ",romfile=" } else { "" };
    format!("{name},netdev=net{end}")
}

fn boot(machine: &Machine, words: &mut Words) {
    match &machine.boot {
        Boot::Uefi { code, variables, secure, append } => {
            let flash = |file: &PathBuf, unit: u32, more: &str| {
                let file = escape(&file.to_string_lossy());
                format!("if=pflash,unit={unit},format=raw,file={file}{more}")
            };
            words.pair("-drive", flash(code, 0, ",readonly=on"));
            words.pair("-drive", flash(variables, 1, ""));
            if *secure && machine.architecture == Architecture::X86_64 {
                words.pair("-global", "driver=cfi.pflash01,property=secure,value=on");
            }
            if !append.is_empty() {
                let value = format!("io.systemd.stub.kernel-cmdline-extra={append}");
                words.pair("-smbios", format!("type=11,value={}", escape(&value)));
            }
        }
        Boot::UBoot { program } => words.pair("-bios", program.to_string_lossy()),
        Boot::Direct { kernel, initramfs, command_line, device_tree } => {
            words.pair("-kernel", kernel.to_string_lossy());
            words.pair("-initrd", initramfs.to_string_lossy());
            words.pair("-append", command_line);
            if let Some(device_tree) = device_tree {
                words.pair("-dtb", device_tree.to_string_lossy());
            }
        }
    }
}

fn network(forwards: &[Forward]) -> String {
    let mut text = "user,id=net".to_owned();
    for Forward { protocol, address, host, guest } in forwards {
        let protocol = match protocol {
            Forwarding::Tcp => "tcp",
            Forwarding::Udp => "udp",
        };
        text += &format!(",hostfwd={protocol}:{address}:{host}-:{guest}");
    }
    text
}

/// A comma ends a value in QEMU's options, unless it is doubled.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }

    fn pair(&mut self, option: &str, value: impl AsRef<str>) {
        self.add(&[option, value.as_ref()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let boards = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        let board = crate::board::read(&boards, "x86-64").expect("the board is valid");
        Machine {
            architecture: board.architecture,
            hardware: board.qemu,
            accelerator: Accelerator::Tcg,
            memory: 256,
            cpus: 2,
            boot: Boot::Uefi {
                code: "/ovmf/code.fd".into(),
                variables: "/tmp/vars.fd".into(),
                secure: false,
                append: String::new(),
            },
            disk: Some("/tmp/a,b.qcow2".into()),
            disk_format: "qcow2".into(),
            headless: true,
            serial: "mon:stdio".into(),
            forwards: vec![],
            config: None,
            more: vec![],
        }
    }

    fn values(machine: &Machine, option: &str) -> Vec<String> {
        let words = arguments(machine);
        let is_option = |pair: &&[String]| pair[0] == option;
        words.windows(2).filter(is_option).map(|pair| pair[1].clone()).collect()
    }

    #[test]
    fn node_gets_disk_network_entropy_and_a_watchdog_that_resets() {
        let machine = machine();
        let devices = values(&machine, "-device").join(" ");
        for device in ["virtio-blk-pci", "virtio-net-pci", "virtio-rng-pci", "i6300esb"] {
            assert!(devices.contains(device), "{device} is missing in {devices}");
        }
        assert_eq!(values(&machine, "-action"), ["watchdog=reset"]);
        assert_eq!(values(&machine, "-display"), ["none"]);
    }

    #[test]
    fn machine_disk_and_network_are_the_boards() {
        let mut machine = Machine { architecture: Architecture::Aarch64, ..machine() };
        machine.hardware.machine = "virt".to_owned();
        machine.hardware.cpu = "cortex-a72".to_owned();
        machine.hardware.disk = "nvme,serial=1".to_owned();
        machine.hardware.network = "usb-net".to_owned();
        assert_eq!(values(&machine, "-machine"), ["virt"]);
        assert_eq!(values(&machine, "-cpu"), ["cortex-a72"]);
        let devices = values(&machine, "-device");
        assert!(devices.contains(&"nvme,serial=1,drive=disk,bootindex=0".to_owned()));
        assert!(devices.contains(&"usb-net,netdev=net".to_owned()), "no boot code: {devices:?}");
    }

    #[test]
    fn raspberry_pi_takes_its_disk_as_a_card_and_its_console_on_the_second_line() {
        let boards = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        let board = crate::board::read(&boards, "rpi").expect("the board is valid");
        let machine = Machine {
            architecture: board.architecture,
            hardware: board.qemu,
            boot: Boot::Direct {
                kernel: "/k".into(),
                initramfs: "/i".into(),
                command_line: "quiet".into(),
                device_tree: Some("/d".into()),
            },
            ..machine()
        };
        assert_eq!(values(&machine, "-machine"), ["raspi3b"]);
        assert_eq!(values(&machine, "-drive"), ["if=sd,file=/tmp/a,,b.qcow2,format=qcow2"]);
        assert_eq!(values(&machine, "-serial"), ["null", "mon:stdio"]);
        assert_eq!(values(&machine, "-device"), ["usb-net,netdev=net"], "it has no PCI");
        assert_eq!(values(&machine, "-dtb"), ["/d"]);
    }

    #[test]
    fn comma_in_a_file_name_is_doubled() {
        let drives = values(&machine(), "-drive");
        assert!(drives.iter().any(|drive| drive.contains("file=/tmp/a,,b.qcow2,")), "{drives:?}");
    }

    #[test]
    fn kernel_arguments_travel_as_a_firmware_string() {
        let mut machine = machine();
        assert!(values(&machine, "-smbios").is_empty());
        if let Boot::Uefi { append, .. } = &mut machine.boot {
            *append = "a=1,2 b".to_owned();
        }
        assert_eq!(
            values(&machine, "-smbios"),
            ["type=11,value=io.systemd.stub.kernel-cmdline-extra=a=1,,2 b"]
        );
    }

    #[test]
    fn secure_firmware_gets_system_management_mode_and_protected_flash() {
        let mut machine = machine();
        assert_eq!(values(&machine, "-machine"), ["q35,smm=off"]);
        if let Boot::Uefi { secure, .. } = &mut machine.boot {
            *secure = true;
        }
        assert_eq!(values(&machine, "-machine"), ["q35,smm=on"]);
        assert_eq!(values(&machine, "-global"), ["driver=cfi.pflash01,property=secure,value=on"]);
    }

    #[test]
    fn direct_boot_has_no_flash() {
        let boot = Boot::Direct {
            kernel: "/k".into(),
            initramfs: "/i".into(),
            command_line: "panic=10 quiet".into(),
            device_tree: None,
        };
        let machine = Machine { boot, disk: None, ..machine() };
        assert_eq!(values(&machine, "-append"), ["panic=10 quiet"]);
        assert!(values(&machine, "-drive").is_empty());
    }

    #[test]
    fn u_boot_takes_the_place_of_flash() {
        let boot = Boot::UBoot { program: "/u/u-boot.bin".into() };
        let machine = Machine { boot, ..machine() };
        assert_eq!(values(&machine, "-bios"), ["/u/u-boot.bin"]);
        assert!(values(&machine, "-drive").iter().all(|drive| !drive.contains("pflash")));
    }

    #[test]
    fn document_is_given_under_its_agreed_name() {
        let machine = Machine { config: Some("/c/holm.toml".into()), ..machine() };
        assert_eq!(values(&machine, "-fw_cfg"), ["name=opt/holm/holm.toml,file=/c/holm.toml"]);
    }

    #[test]
    fn forwardings_stay_on_the_loopback_unless_said_otherwise() {
        let forwards = ["8080:80", "udp:0.0.0.0:53:5353"].map(|text| text.parse().expect("valid"));
        let machine = Machine { forwards: forwards.into(), ..machine() };
        assert_eq!(
            values(&machine, "-netdev"),
            ["user,id=net,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:53-:5353"]
        );
    }

    #[test]
    fn bad_forwardings_are_refused_with_the_right_form() {
        for text in ["", "80", "x:80", "80:x", "80:70000", "tcp:80", "1.2.3.4,x:1:2"] {
            let error = text.parse::<Forward>().expect_err(text).to_string();
            assert!(error.contains("8080:80"), "{error}");
        }
    }
}
