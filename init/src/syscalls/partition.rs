//! Tells the kernel that a partition has grown, while it and others are in use, and
//! that a disk has new ones. Layout: linux/blkpg.h, linux/fs.h.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

const BLKPG: libc::Ioctl = 0x1269;
const RESIZE: i32 = 3;
const BLKRRPART: libc::Ioctl = 0x125f;

#[repr(C)]
struct Argument {
    operation: i32,
    flags: i32,
    length: i32,
    data: *mut Partition,
}

#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// Has the kernel read the partition table of the open `disk` anew; none of its partitions may be
/// in use.
pub(crate) fn reread(disk: &File) -> std::io::Result<()> {
    // SAFETY: the call takes no argument.
    let result = unsafe { libc::ioctl(disk.as_raw_fd(), BLKRRPART, 0) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets the length, in bytes, of partition `number` of the open `disk`.
pub(crate) fn resize(disk: &File, number: u32, start: u64, length: u64) -> std::io::Result<()> {
    let mut partition = Partition {
        start: i64::try_from(start).unwrap_or(i64::MAX),
        length: i64::try_from(length).unwrap_or(i64::MAX),
        number: i32::try_from(number).unwrap_or(i32::MAX),
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let mut argument = Argument {
        operation: RESIZE,
        flags: 0,
        length: size_of::<Partition>() as i32,
        data: &raw mut partition,
    };
    // SAFETY: both structures have the kernel's layout and outlive the call.
    let result = unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG, &raw mut argument) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
