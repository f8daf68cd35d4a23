//! Which bytes of a FAT file system matter: everything before the clusters, and clusters in use.
//! Must never judge what it does not fully understand.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::super::ranges::Ranges;

/// Places and sizes, from the boot sector; in bytes from the partition's start.
struct Form {
    fat: u64,
    data: u64,
    cluster: u64,
    clusters: u64,
    entry: u64,
}

/// Whether `boot`, the first sector, begins a FAT file system.
pub(super) fn is_fat(boot: &[u8]) -> bool {
    let has_mark = boot.get(510..512) == Some(&[0x55, 0xaa]);
    let has_jump = matches!(boot.first(), Some(0xeb | 0xe9));
    let has_name = [54..57, 82..85].map(|at| boot.get(at) == Some(b"FAT")).contains(&true);
    has_mark && has_jump && has_name
}

fn form(boot: &[u8; 512], size: u64) -> Option<Form> {
    let short = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let long = |at: usize| short(at) | short(at + 2) << 16;
    let either = |one: u64, other: u64| if one != 0 { one } else { other };
    let sector = short(11);
    if !sector.is_power_of_two() || !(512..=4096).contains(&sector) || !boot[13].is_power_of_two() {
        return None;
    }
    let table = either(short(22), long(36)) * sector;
    let total = either(short(19), long(32)) * sector;
    let cluster = u64::from(boot[13]) * sector;
    let fat = short(14) * sector;
    let root = (short(17) * 32).next_multiple_of(sector);
    let data = fat + u64::from(boot[16]) * table + root;
    let clusters = total.checked_sub(data)? / cluster;
    // Below that it is FAT12, whose entries are no whole bytes.
    let entry = if clusters < 4085 {
        return None;
    } else if clusters < 65525 {
        2
    } else {
        4
    };
    let is_whole = total <= size && fat != 0 && (clusters + 2) * entry <= table;
    is_whole.then_some(Form { fat, data, cluster, clusters, entry })
}

/// What matters of the file system on `partition`; `None` where that is not clear.
pub(super) fn needed(disk: &File, partition: &Range<u64>) -> io::Result<Option<Ranges>> {
    let mut boot = [0; 512];
    disk.read_exact_at(&mut boot, partition.start)?;
    let Some(form) = form(&boot, partition.end - partition.start) else { return Ok(None) };
    let mut table = vec![0; ((form.clusters + 2) * form.entry) as usize];
    disk.read_exact_at(&mut table, partition.start + form.fat)?;
    let mut needed = Ranges::new();
    needed.insert(partition.start..partition.start + form.data);
    let entries = table.chunks_exact(form.entry as usize).skip(2);
    for (n, entry) in entries.enumerate() {
        // The upper four bits of a FAT32 entry say nothing.
        let is_used = match entry {
            [a, b, c, d] => (a | b | c | d & 0x0f) != 0,
            short => short.iter().any(|byte| *byte != 0),
        };
        if is_used {
            let start = partition.start + form.data + n as u64 * form.cluster;
            needed.insert(start..start + form.cluster);
        }
    }
    Ok(Some(needed))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::flash::samples::{MIB, fat};

    fn needed_of(bytes: &[u8]) -> Option<Ranges> {
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(&vec![0; MIB as usize])
            .and_then(|()| file.write_all(bytes))
            .expect("written");
        needed(&file, &(MIB..MIB + bytes.len() as u64)).expect("read")
    }

    #[test]
    fn files_survive_garbage_in_everything_else() {
        let content = vec![3; 100_000];
        for size in [16 * MIB, 160 * MIB] {
            let volume = fat(size, &[("file", &content), ("other", b"x")]);
            assert!(is_fat(&volume[..512]));
            let needed = needed_of(&volume).expect("understood");
            assert!(needed.total() < 3 * MIB, "{} of {size}", needed.total());
            let mut garbage = vec![0xa5; volume.len()];
            for range in needed.iter() {
                let range = (range.start - MIB) as usize..(range.end - MIB) as usize;
                garbage[range.clone()].copy_from_slice(&volume[range]);
            }
            let folder = tempfile::tempdir().expect("temporary folder");
            let path = folder.path().join("fat");
            std::fs::write(&path, garbage).expect("written");
            let check = std::process::Command::new("fsck.fat").arg("-n").arg(&path).output();
            let check = check.expect("dosfstools are installed");
            assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
            let bytes = std::fs::read(&path).expect("read");
            let system = fatfs::FileSystem::new(io::Cursor::new(bytes), fatfs::FsOptions::new());
            let system = system.expect("mounted");
            let mut found = Vec::new();
            let mut file = system.root_dir().open_file("file").expect("there");
            io::Read::read_to_end(&mut file, &mut found).expect("readable");
            assert_eq!(found, content);
        }
    }

    #[test]
    fn small_or_damaged_file_system_is_not_judged() {
        assert!(needed_of(&fat(MIB, &[])).is_none(), "FAT12");
        let mut volume = fat(16 * MIB, &[]);
        volume[13] = 3;
        assert!(needed_of(&volume).is_none(), "clusters of three sectors");
        let mut volume = fat(16 * MIB, &[]);
        volume.truncate(8 * MIB as usize);
        assert!(needed_of(&volume).is_none(), "larger than its partition");
        assert!(!is_fat(&[0; 512]) && !is_fat(&[]));
    }
}
