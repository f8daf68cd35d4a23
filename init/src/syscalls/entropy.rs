//! Adds a saved seed to the kernel's random numbers and lets it count.
//! Layout: linux/random.h.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

/// The size of a seed: the size of the kernel's pool.
pub(crate) const SEED_BYTES: usize = 32;
/// `_IOW('R', 3, int[2])`
const ADD_ENTROPY: libc::Ioctl = 0x4008_5203;

#[repr(C)]
struct Pool {
    bits: i32,
    bytes: i32,
    seed: [u8; SEED_BYTES],
}

/// Adds `seed` and credits all of its bits.
pub(crate) fn credit(seed: [u8; SEED_BYTES]) -> std::io::Result<()> {
    let device = File::options().write(true).open("/dev/urandom")?;
    let pool = Pool { bits: SEED_BYTES as i32 * 8, bytes: SEED_BYTES as i32, seed };
    // SAFETY: the call reads the two numbers and then as many bytes as they say.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), ADD_ENTROPY, &raw const pool) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
