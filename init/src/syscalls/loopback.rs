//! Brings the loopback link up, for whoever needs it before or without `network`.
#![allow(unsafe_code)]

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::os::fd::AsRawFd;

/// Sets the link `lo` up.
pub(crate) fn up() -> std::io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let call = libc::SIOCSIFFLAGS as libc::Ioctl;
    // SAFETY: the call reads one `ifreq`, which outlives it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), call, &raw mut request) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
