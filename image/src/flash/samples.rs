//! Small images that tests begin with.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::ops::Range;

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

pub(super) const MIB: u64 = 1 << 20;

/// A disk of `size` bytes with a GPT; the partition called `boot` has the type of a system one.
pub(super) fn gpt(size: u64, partitions: &[(&str, Range<u64>)]) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; size as usize]);
    let protective = gpt::mbr::ProtectiveMBR::with_lb_size((size / 512 - 1) as u32);
    protective.overwrite_lba0(&mut disk).expect("written");
    let configuration = gpt::GptConfig::new().writable(true);
    let mut table = configuration
        .create_from_device(&mut disk, Some(uuid::Uuid::from_bytes([7; 16])))
        .expect("a table");
    let entry = |(number, (name, range)): (u32, &(&str, Range<u64>))| {
        let partition = gpt::partition::Partition {
            part_type_guid: match *name {
                "boot" => gpt::partition_types::EFI,
                _ => gpt::partition_types::LINUX_FS,
            },
            part_guid: uuid::Uuid::from_bytes([number as u8; 16]),
            first_lba: range.start / 512,
            last_lba: range.end / 512 - 1,
            flags: 0,
            name: (*name).to_owned(),
        };
        (number, partition)
    };
    let entries: BTreeMap<_, _> = (1..).zip(partitions).map(entry).collect();
    table.update_partitions(entries).expect("updated");
    table.write().expect("written");
    disk.into_inner()
}

/// A boot record with entries of a type and a place each.
pub(super) fn mbr(entries: &[(u8, Range<u64>)]) -> Vec<u8> {
    let mut record = vec![0; 512];
    for (n, (kind, range)) in entries.iter().enumerate() {
        let entry = &mut record[446 + 16 * n..446 + 16 * (n + 1)];
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&((range.start / 512) as u32).to_le_bytes());
        entry[12..16].copy_from_slice(&(((range.end - range.start) / 512) as u32).to_le_bytes());
    }
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    record
}

/// A FAT file system of `size` bytes with files on it.
pub(super) fn fat(size: u64, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut volume = Cursor::new(vec![0; size as usize]);
    let options = FormatVolumeOptions::new().bytes_per_cluster(2048).volume_id(7);
    fatfs::format_volume(&mut volume, options).expect("formatted");
    {
        let system = FileSystem::new(&mut volume, FsOptions::new()).expect("mounted");
        for (name, bytes) in files {
            system.root_dir().create_file(name).expect("made").write_all(bytes).expect("written");
        }
        system.unmount().expect("unmounted");
    }
    volume.into_inner()
}

/// 24 MiB: `boot` (FAT) with a document, `root-a` with bytes in its first half, `state` empty.
pub(super) fn image() -> Vec<u8> {
    let (boot, root, state) = (MIB..17 * MIB, 17 * MIB..21 * MIB, 21 * MIB..23 * MIB);
    let mut image =
        gpt(24 * MIB, &[("boot", boot.clone()), ("root-a", root.clone()), ("state", state)]);
    let kernel: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8 + 1).collect();
    let files: [(&str, &[u8]); 2] =
        [("kernel.efi", &kernel), ("holm.toml", b"# ours\n[node]\nhostname = \"first\"\n")];
    image[boot.start as usize..boot.end as usize].copy_from_slice(&fat(16 * MIB, &files));
    for (n, byte) in image[root.start as usize..][..2 << 20].iter_mut().enumerate() {
        *byte = (n / 4096 % 255) as u8 + 1;
    }
    image
}

/// What a file on the partition `boot` of [`image`] holds.
pub(super) fn read_boot(image: &[u8], name: &str) -> Option<Vec<u8>> {
    let volume = Cursor::new(image[MIB as usize..17 * MIB as usize].to_vec());
    let system = FileSystem::new(volume, FsOptions::new()).expect("FAT");
    let mut bytes = Vec::new();
    let mut file = system.root_dir().open_file(name).ok()?;
    std::io::Read::read_to_end(&mut file, &mut bytes).expect("readable");
    Some(bytes)
}
