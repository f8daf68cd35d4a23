//! What makes an image one that installs another: that one lies on its data partition, and a kernel
//! argument has init write it to a disk instead of running the agent. Must never share its
//! partitions' GUIDs with what it installs, for firmware tells disks apart by them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The kernel argument, as `init/src/install` reads it.
pub(super) const ARGUMENT: &str = "holm.install";
/// Where the image lies on the data partition.
pub(super) const PLACE: &str = "/install/holm.img";
/// What its GUIDs are made of, beside the board's name.
pub(super) const APART: &str = "installer";

const BLOCK: usize = 4096;

/// The bytes that the file takes in a file system with holes: the same wherever it lies now.
pub(super) fn stored_size(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; 256 * BLOCK];
    let mut stored = 0;
    loop {
        let mut length = 0;
        while length < piece.len() {
            match file.read(&mut piece[length..])? {
                0 => break,
                read => length += read,
            }
        }
        if length == 0 {
            return Ok(stored);
        }
        let zeros = [0; BLOCK];
        let full = piece[..length].chunks(BLOCK).filter(|block| **block != zeros[..block.len()]);
        stored += (full.count() * BLOCK) as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn zeros_take_no_room_whether_they_are_holes_or_not() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        file.as_file().set_len(10 << 20).expect("sized");
        file.as_file().write_all_at(&vec![0; 1 << 20], 1 << 20).expect("written");
        assert_eq!(stored_size(file.path()).expect("read"), 0);
        file.as_file().write_all_at(b"x", 5 << 20).expect("written");
        file.as_file().write_all_at(b"end", (10 << 20) - 3).expect("written");
        assert_eq!(stored_size(file.path()).expect("read"), 2 * BLOCK as u64);
    }
}
