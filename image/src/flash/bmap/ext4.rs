//! Which bytes of an ext4 file system matter: what its block bitmaps say is in use, and all of its
//! own structures. Must never judge what it does not fully understand.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::super::ranges::Ranges;

/// Features under which blocks lie elsewhere than is reckoned here: meta_bg, a journal's own device.
const UNKNOWN_INCOMPATIBLE: u32 = 0x10 | 0x8;
/// Bitmaps that count clusters of blocks.
const BIGALLOC: u32 = 0x200;
/// Another choice of groups with copies of the superblock.
const SPARSE_SUPER_2: u32 = 0x200;
const SPARSE_SUPER: u32 = 1;
const SIXTY_FOUR_BIT: u32 = 0x80;
/// Descriptors have a checksum, and with it flags: gdt_csum, metadata_csum.
const CHECKSUMS: u32 = 0x10 | 0x400;
/// The group's bitmap was never written, since nothing but structures is in use.
const BLOCK_UNINIT: u16 = 2;

/// The superblock's numbers.
struct Form {
    block: u64,
    blocks: u64,
    first: u64,
    per_group: u64,
    groups: u64,
    descriptor: u64,
    reserved: u64,
    inode_table: u64,
    is_sparse: bool,
    has_flags: bool,
}

/// Whether `start`, at least 2 KiB of a partition, begins an ext4 file system.
pub(super) fn is_ext4(start: &[u8]) -> bool {
    start.get(1024 + 56..1024 + 58) == Some(&[0x53, 0xef])
}

fn form(block: &[u8; 1024], size: u64) -> Option<Form> {
    let short = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
    let long = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
    let (compatible, incompatible, read_only) = (long(92), long(96), long(100));
    let is_unknown = incompatible & UNKNOWN_INCOMPATIBLE != 0
        || read_only & BIGALLOC != 0
        || compatible & SPARSE_SUPER_2 != 0
        || long(76) == 0
        || long(24) > 6;
    if is_unknown {
        return None;
    }
    let is_wide = incompatible & SIXTY_FOUR_BIT != 0;
    let bytes = 1024 << long(24);
    let first = u64::from(long(20));
    let blocks = u64::from(long(4)) | if is_wide { u64::from(long(336)) << 32 } else { 0 };
    let per_group = u64::from(long(32));
    let is_whole = blocks.checked_mul(bytes)? <= size
        && first < blocks
        && (1..=8 * bytes).contains(&per_group)
        && matches!(short(254), 0 | 32..=1024);
    is_whole.then(|| Form {
        block: bytes,
        blocks,
        first,
        per_group,
        groups: (blocks - first).div_ceil(per_group),
        descriptor: if is_wide { u64::from(short(254)).max(32) } else { 32 },
        reserved: u64::from(short(206)),
        inode_table: (u64::from(long(40)) * u64::from(short(88))).div_ceil(bytes),
        is_sparse: read_only & SPARSE_SUPER != 0,
        has_flags: read_only & CHECKSUMS != 0,
    })
}

impl Form {
    /// Groups 0, 1 and the powers of 3, 5 and 7 hold copies of the superblock.
    fn has_superblock(&self, group: u64) -> bool {
        let is_power = |of: u64| {
            let powers = std::iter::successors(Some(of), |power| power.checked_mul(of));
            powers.take_while(|power| *power <= group).any(|power| power == group)
        };
        !self.is_sparse || group <= 1 || [3, 5, 7].into_iter().any(is_power)
    }

    /// Blocks of all group descriptors.
    fn descriptors(&self) -> u64 {
        (self.groups * self.descriptor).div_ceil(self.block)
    }
}

/// What matters of the file system on `partition`; `None` where that is not clear.
pub(super) fn needed(disk: &File, partition: &Range<u64>) -> io::Result<Option<Ranges>> {
    let mut superblock = [0; 1024];
    disk.read_exact_at(&mut superblock, partition.start + 1024)?;
    let Some(form) = form(&superblock, partition.end - partition.start) else { return Ok(None) };
    let mut descriptors = vec![0; (form.groups * form.descriptor) as usize];
    let at = partition.start + (form.first + 1) * form.block;
    if at + descriptors.len() as u64 > partition.end {
        return Ok(None);
    }
    disk.read_exact_at(&mut descriptors, at)?;
    // In blocks first.
    let mut used = Ranges::new();
    used.insert(0..form.first + 1);
    for (group, descriptor) in (0..).zip(descriptors.chunks_exact(form.descriptor as usize)) {
        let short = |at: usize| u16::from_le_bytes([descriptor[at], descriptor[at + 1]]);
        let long = |at: usize| u64::from(short(at)) | u64::from(short(at + 2)) << 16;
        let place = |low: usize, high: usize| {
            long(low) | if form.descriptor >= 64 { long(high) << 32 } else { 0 }
        };
        let (bitmap, inodes, table) = (place(0, 32), place(4, 36), place(8, 40));
        if [bitmap, inodes, table + form.inode_table].iter().any(|block| *block > form.blocks) {
            return Ok(None);
        }
        used.insert(bitmap..bitmap + 1);
        used.insert(inodes..inodes + 1);
        used.insert(table..table + form.inode_table);
        let start = form.first + group * form.per_group;
        if form.has_superblock(group) {
            used.insert(start..start + 1 + form.descriptors() + form.reserved);
        }
        if form.has_flags && short(18) & BLOCK_UNINIT != 0 {
            continue;
        }
        let mut bits = vec![0; form.per_group.div_ceil(8) as usize];
        disk.read_exact_at(&mut bits, partition.start + bitmap * form.block)?;
        let count = form.per_group.min(form.blocks - start);
        let in_use = (0..count).filter(|n| bits[(n / 8) as usize] >> (n % 8) & 1 == 1);
        in_use.for_each(|n| used.insert(start + n..start + n + 1));
    }
    let mut needed = Ranges::new();
    for blocks in used.within(0..form.blocks) {
        let offset = |block| partition.start + block * form.block;
        needed.insert(offset(blocks.start)..offset(blocks.end));
    }
    Ok(Some(needed))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::process;

    const MIB: u64 = 1 << 20;

    /// A file system with files in it, `start` bytes into a file.
    fn made(folder: &Path, size: u64, options: &[&str]) -> Vec<u8> {
        let tree = folder.join("tree");
        fs::create_dir_all(tree.join("sub")).expect("made");
        fs::write(tree.join("sub/file"), vec![7; 3_000_000]).expect("written");
        let path = folder.join("fs");
        let mut command = Command::new("mke2fs");
        command.args(["-q", "-F", "-t", "ext4", "-d"]).arg(&tree).args(options).arg(&path);
        process::run(command.arg(format!("{}k", size / 1024))).expect("e2fsprogs are installed");
        fs::read(&path).expect("read")
    }

    fn needed_of(folder: &Path, system: &[u8]) -> Option<Ranges> {
        let path = folder.join("disk");
        fs::write(&path, [&vec![0; MIB as usize], system].concat()).expect("written");
        let disk = File::open(&path).expect("opened");
        needed(&disk, &(MIB..MIB + system.len() as u64)).expect("read")
    }

    #[test]
    fn file_system_survives_garbage_in_everything_else() {
        let forms: [(u64, &[&str]); 4] = [
            (256 * MIB, &[]),
            (128 * MIB, &["-b", "4096", "-E", "resize=8589934592k"]),
            (40 * MIB, &["-b", "1024", "-O", "^metadata_csum,^64bit,^flex_bg,^has_journal"]),
            (300 * MIB, &["-b", "4096", "-g", "8192", "-O", "uninit_bg,^metadata_csum"]),
        ];
        for (size, options) in forms {
            let folder = tempfile::tempdir().expect("temporary folder");
            let system = made(folder.path(), size, options);
            assert!(is_ext4(&system));
            let needed = needed_of(folder.path(), &system).expect("understood");
            assert!(needed.total() < size / 2, "{options:?}: {} of {size}", needed.total());
            let mut garbage = vec![0xa5; system.len()];
            for range in needed.iter() {
                let range = (range.start - MIB) as usize..(range.end - MIB) as usize;
                garbage[range.clone()].copy_from_slice(&system[range]);
            }
            let path = folder.path().join("garbage");
            fs::write(&path, garbage).expect("written");
            process::run(Command::new("e2fsck").args(["-f", "-n"]).arg(&path)).expect("clean");
            let copy = folder.path().join("copy");
            let dump = format!("dump /sub/file {}", copy.display());
            process::run(Command::new("debugfs").args(["-R", &dump]).arg(&path)).expect("dumped");
            assert_eq!(fs::read(copy).expect("read"), vec![7; 3_000_000]);
        }
    }

    #[test]
    fn unknown_feature_or_broken_number_is_not_judged() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let system = made(folder.path(), 16 * MIB, &[]);
        assert!(needed_of(folder.path(), &system).is_some());
        // Places within the superblock: log_block_size, blocks_per_group, features, a group's bitmap.
        for (at, byte) in [(24, 60), (32 + 3, 0xff), (96, 0x10), (101, 2), (7, 1)] {
            let mut broken = system.clone();
            broken[1024 + at] |= byte;
            assert!(needed_of(folder.path(), &broken).is_none(), "{at}");
        }
        assert!(!is_ext4(&[0; 2048]) && !is_ext4(&[]));
    }
}
