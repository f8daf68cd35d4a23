//! A card as U-Boot sees it, and QEMU with a U-Boot that boots from it. The kernels on it are none:
//! the script says which slot it boots, tries, and goes on to the next.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use holm_image::uboot;
use holm_update::Slot;
use holm_update::state_files;

const UBOOT: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";
const START: u64 = 1 << 20;
const SIZE: u64 = 64 << 20;

/// Which slots have files.
pub enum Slots {
    Both,
    Only(Slot),
}

pub struct Card {
    folder: tempfile::TempDir,
}

impl Card {
    pub fn new(states: &[[u8; state_files::SIZE]; 2], slots: Slots) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let script = folder.path().join("boot.scr");
        let text = folder.path().join("boot.cmd");
        fs::write(&text, uboot::SCRIPT).expect("written");
        let made = Command::new("mkimage")
            .args(["-q", "-A", "arm64", "-T", "script", "-C", "none", "-d"])
            .args([&text, &script])
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("mkimage is installed").success());
        let mut files = vec![(uboot::SCRIPT_NAME.to_owned(), fs::read(script).expect("made"))];
        for (name, bytes) in state_files::NAMES.iter().zip(states) {
            files.push(((*name).to_owned(), bytes.to_vec()));
        }
        for slot in [Slot::A, Slot::B] {
            if matches!(slots, Slots::Only(only) if only != slot) {
                continue;
            }
            let line = format!("holm.slot={slot}");
            let environment = uboot::environment(&[("bootargs", &line)], uboot::ENVIRONMENT);
            files.push((format!("{slot}/boot.env"), environment.expect("fits")));
            files.push((format!("{slot}/vmlinuz"), vec![1; 4096]));
            files.push((format!("{slot}/initramfs.zst"), vec![2; 4096]));
        }
        let card = Self { folder };
        card.write(&files);
        card
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("card.img")
    }

    fn write(&self, files: &[(String, Vec<u8>)]) {
        let file = File::create(self.path()).expect("made");
        file.set_len(START + SIZE).expect("sized");
        let sectors = |bytes: u64| (bytes / 512) as u32;
        let mut record = vec![0x80, 0, 2, 0, 0x0c, 0, 0, 0];
        record.extend(sectors(START).to_le_bytes());
        record.extend(sectors(SIZE).to_le_bytes());
        file.write_all_at(&record, 446).expect("written");
        file.write_all_at(&[0x55, 0xaa], 510).expect("written");
        let mut part = vec![0; SIZE as usize];
        let options = FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat32);
        let options = options.bytes_per_cluster(512);
        fatfs::format_volume(Cursor::new(&mut part[..]), options).expect("formatted");
        let volume = Cursor::new(&mut part[..]);
        let volume = FileSystem::new(volume, FsOptions::new()).expect("mounted");
        for (path, bytes) in files {
            if let Some((folder, _)) = path.split_once('/') {
                volume.root_dir().create_dir(folder).expect("made");
            }
            let mut file = volume.root_dir().create_file(path).expect("made");
            file.write_all(bytes).expect("written");
        }
        volume.unmount().expect("complete");
        file.write_all_at(&part, START).expect("written");
    }

    /// The slots that the script boots, one after the other since none has a kernel.
    pub fn boot(&self) -> Vec<Slot> {
        let mut qemu = Command::new("qemu-system-aarch64")
            .args(["-machine", "virt", "-cpu", "cortex-a57", "-m", "256M", "-nodefaults"])
            .args(["-display", "none", "-serial", "stdio", "-bios", UBOOT, "-drive"])
            .arg(format!("if=none,id=card,format=raw,file={}", self.path().display()))
            .args(["-device", "virtio-blk-device,drive=card"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-aarch64 is installed");
        let lines = BufReader::new(qemu.stdout.take().expect("piped")).lines();
        let mut booted = Vec::new();
        let mut shown = String::new();
        for line in lines.map_while(Result::ok) {
            let line = line.trim_end().to_owned();
            if let Some(slot) = line.strip_prefix("holm: boots slot ") {
                booted.push(slot.parse().expect("a slot"));
            }
            shown += &format!("{line}\n");
            if line.starts_with("holm: no slot can be booted") {
                break;
            }
        }
        let _ = qemu.kill();
        let _ = qemu.wait();
        assert!(shown.contains("holm: no slot can be booted"), "the script did not end:\n{shown}");
        println!("{shown}");
        booted
    }

    pub fn state_files(&self) -> [[u8; state_files::SIZE]; 2] {
        let mut part = vec![0; SIZE as usize];
        let file = File::open(self.path()).expect("opened");
        file.read_exact_at(&mut part, START).expect("read");
        let volume = Cursor::new(&mut part[..]);
        let volume = FileSystem::new(volume, FsOptions::new()).expect("mounted");
        state_files::NAMES.map(|name| {
            let mut bytes = Vec::new();
            let mut file = volume.root_dir().open_file(name).expect("there");
            file.read_to_end(&mut bytes).expect("read");
            bytes.try_into().expect("a state file's size")
        })
    }
}
