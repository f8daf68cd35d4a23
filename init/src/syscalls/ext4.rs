//! Grows a mounted ext4 file system: the call that `resize2fs` makes.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

/// `_IOW('f', 16, __u64)`
const RESIZE_FS: libc::Ioctl = 0x4008_6610;

/// Grows the file system that `mount_point` is open on to `blocks` of its blocks.
pub(crate) fn resize(mount_point: &File, blocks: u64) -> std::io::Result<()> {
    // SAFETY: the call reads one 64-bit number, which outlives it.
    let result = unsafe { libc::ioctl(mount_point.as_raw_fd(), RESIZE_FS, &raw const blocks) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
