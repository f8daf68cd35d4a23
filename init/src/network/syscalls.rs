//! The few socket interfaces that no safe wrapper covers: link-layer addresses, filters, and
//! binding to a link. Must hold no decisions.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

/// A packet socket's address: a link, a protocol, and for sending a hardware address.
pub(crate) struct LinkAddress(libc::sockaddr_ll);

impl LinkAddress {
    /// `protocol` is an EtherType.
    pub(crate) fn new(index: u32, protocol: u16, hardware: [u8; 6]) -> Self {
        let mut address = [0; 8];
        address[..6].copy_from_slice(&hardware);
        Self(libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: protocol.to_be(),
            sll_ifindex: i32::try_from(index).unwrap_or(i32::MAX),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: address,
        })
    }
}

// SAFETY: the pointer is to a whole `sockaddr_ll` that outlives the call, with its true length.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        f((&raw const self.0).cast(), size_of::<libc::sockaddr_ll>() as SocketAddrLen)
    }
}

/// One instruction of classic BPF: code, jump if true, jump if false, constant.
pub(crate) type Instruction = (u16, u8, u8, u32);

/// Makes the kernel drop what the program does not accept.
pub(crate) fn attach_filter(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let mut code: Vec<libc::sock_filter> =
        program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let length = u16::try_from(code.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog { len: length, filter: code.as_mut_ptr() };
    set_option(socket, libc::SO_ATTACH_FILTER, &filter)
}

/// Lets a socket send and receive on one link only.
pub(crate) fn bind_to_link(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let index = libc::c_int::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_option(socket, libc::SO_BINDTOIFINDEX, &index)
}

fn set_option<T>(socket: BorrowedFd<'_>, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes at a reference that outlives the call; the
    // program behind a `sock_fprog` lives in the caller's frame.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
