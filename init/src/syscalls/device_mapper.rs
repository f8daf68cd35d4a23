//! Device-mapper's control device: create a read-only device from one table line.
//! Layout: linux/dm-ioctl.h, version 4.
#![allow(unsafe_code)]

use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;

const GROUP: u8 = 0xfd;
const DEV_CREATE: u8 = 3;
const DEV_SUSPEND: u8 = 6;
const TABLE_LOAD: u8 = 9;
const HEADER: usize = 312;
const TARGET_SPEC: usize = 40;
const BUFFER: usize = 2048;
const READ_ONLY: u32 = 1;

/// Why the kernel did not make the device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The control device could not be opened.
    #[error("cannot open /dev/mapper/control (is the module dm_mod loaded?)")]
    Control(#[source] std::io::Error),
    /// A step was refused.
    #[error("device-mapper refused to {0} ({1}): {2}")]
    Refused(&'static str, String, Errno),
    /// Name, id or table do not fit the interface.
    #[error("device-mapper table is too long")]
    TooLong,
}

/// Makes the device `name` of `sectors` sectors with one target, and gives the
/// path of its device file.
pub(crate) fn create_read_only(
    name: &str,
    id: &str,
    sectors: u64,
    target: &str,
    parameters: &str,
) -> Result<String, Error> {
    let control = File::options().read(true).write(true).open("/dev/mapper/control");
    let control = control.map_err(Error::Control)?;
    let fits = name.len() < 128 && id.len() < 129 && target.len() < 16;
    if !fits || HEADER + TARGET_SPEC + parameters.len() + 1 > BUFFER {
        return Err(Error::TooLong);
    }

    let mut request = header(name, id, READ_ONLY);
    call(&control, DEV_CREATE, &mut request)
        .map_err(|errno| Error::Refused("create the device", name.to_owned(), errno))?;
    let minor = minor(&request);

    let mut request = header(name, "", READ_ONLY);
    request[20..24].copy_from_slice(&1u32.to_ne_bytes());
    let spec = &mut request[HEADER..];
    spec[8..16].copy_from_slice(&sectors.to_ne_bytes());
    spec[24..24 + target.len()].copy_from_slice(target.as_bytes());
    spec[TARGET_SPEC..TARGET_SPEC + parameters.len()].copy_from_slice(parameters.as_bytes());
    call(&control, TABLE_LOAD, &mut request)
        .map_err(|errno| Error::Refused("load the table", parameters.to_owned(), errno))?;

    // Without the suspend flag this call resumes, which puts the table in use.
    let mut request = header(name, "", READ_ONLY);
    call(&control, DEV_SUSPEND, &mut request)
        .map_err(|errno| Error::Refused("activate the table", name.to_owned(), errno))?;
    Ok(format!("/dev/dm-{minor}"))
}

fn header(name: &str, id: &str, flags: u32) -> Vec<u8> {
    let mut request = vec![0u8; BUFFER];
    for (at, value) in [(0, 4), (12, BUFFER as u32), (16, HEADER as u32), (28, flags)] {
        request[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    request[48..48 + name.len()].copy_from_slice(name.as_bytes());
    request[176..176 + id.len()].copy_from_slice(id.as_bytes());
    request
}

/// The minor number in the kernel's 64-bit device number (huge_encode_dev).
fn minor(request: &[u8]) -> u64 {
    let mut device = [0; 8];
    device.copy_from_slice(&request[40..48]);
    let device = u64::from_ne_bytes(device);
    (device & 0xff) | ((device >> 12) & 0x000f_ff00)
}

fn call(control: &File, number: u8, request: &mut [u8]) -> Result<(), Errno> {
    // _IOWR(0xfd, number, struct dm_ioctl)
    let code = (3 << 30)
        | ((HEADER as libc::Ioctl) << 16)
        | (libc::Ioctl::from(GROUP) << 8)
        | libc::Ioctl::from(number);
    loop {
        // SAFETY: the kernel reads and writes at most `data_size` bytes, which
        // `header` has set to the buffer's length.
        let result = unsafe { libc::ioctl(control.as_raw_fd(), code, request.as_mut_ptr()) };
        match Errno::from_io_error(&std::io::Error::last_os_error()) {
            _ if result >= 0 => return Ok(()),
            Some(Errno::INTR) => continue,
            errno => return Err(errno.unwrap_or(Errno::IO)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_puts_each_field_where_the_kernel_looks() {
        let request = header("root", "CRYPT-1", READ_ONLY);
        assert_eq!(request[0], 4);
        assert_eq!(request[12..16], (BUFFER as u32).to_ne_bytes());
        assert_eq!(request[16..20], 312u32.to_ne_bytes());
        assert_eq!(request[28], 1);
        assert_eq!(&request[48..53], b"root\0");
        assert_eq!(&request[176..184], b"CRYPT-1\0");
    }

    #[test]
    fn minor_number_is_taken_from_both_halves() {
        let mut request = header("x", "", 0);
        let device: u64 = (254 << 8) | 0x34 | (0x12 << 20);
        request[40..48].copy_from_slice(&device.to_ne_bytes());
        assert_eq!(minor(&request), 0x1234);
    }
}
