//! Lines of GPIO chips, by the kernel's character devices. Layout: linux/gpio.h.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

const NAME: usize = 32;

/// `struct gpiochip_info`
#[repr(C)]
struct ChipInfo {
    name: [u8; NAME],
    label: [u8; NAME],
    lines: u32,
}

/// `struct gpio_v2_line_config`: the attributes are not used.
#[repr(C)]
struct LineConfig {
    flags: u64,
    attribute_count: u32,
    padding: [u32; 5],
    attributes: [[u64; 3]; 10],
}

/// `struct gpio_v2_line_request`
#[repr(C)]
struct LineRequest {
    offsets: [u32; 64],
    consumer: [u8; NAME],
    config: LineConfig,
    line_count: u32,
    event_buffer_size: u32,
    padding: [u32; 5],
    descriptor: i32,
}

/// `struct gpio_v2_line_values`
#[repr(C)]
struct LineValues {
    bits: u64,
    mask: u64,
}

const ACTIVE_LOW: u64 = 1 << 1;
const INPUT: u64 = 1 << 2;

/// `_IOC(direction, 0xB4, number, size)`
const fn request_code(direction: u32, number: u32, size: usize) -> libc::Ioctl {
    (direction << 30 | (size as u32) << 16 | 0xb4 << 8 | number) as libc::Ioctl
}

const GET_CHIP_INFO: libc::Ioctl = request_code(2, 1, size_of::<ChipInfo>());
const GET_LINE: libc::Ioctl = request_code(3, 7, size_of::<LineRequest>());
const GET_VALUES: libc::Ioctl = request_code(3, 0x0e, size_of::<LineValues>());

/// The label of the chip at `path`.
pub(crate) fn label_of(path: &Path) -> io::Result<String> {
    let chip = File::open(path)?;
    let mut info = ChipInfo { name: [0; NAME], label: [0; NAME], lines: 0 };
    // SAFETY: the call writes one structure of this layout.
    let result = unsafe { libc::ioctl(chip.as_raw_fd(), GET_CHIP_INFO, &raw mut info) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let end = info.label.iter().position(|byte| *byte == 0).unwrap_or(NAME);
    Ok(String::from_utf8_lossy(&info.label[..end]).into_owned())
}

/// A line that is read.
pub(crate) struct Line(OwnedFd);

impl Line {
    /// Takes line `number` of the chip at `path` as an input.
    pub(crate) fn request(path: &Path, number: u32, active_low: bool) -> io::Result<Self> {
        let chip = File::options().read(true).write(true).open(path)?;
        let mut consumer = [0; NAME];
        consumer[..4].copy_from_slice(b"holm");
        let mut offsets = [0; 64];
        offsets[0] = number;
        let mut request = LineRequest {
            offsets,
            consumer,
            config: LineConfig {
                flags: INPUT | if active_low { ACTIVE_LOW } else { 0 },
                attribute_count: 0,
                padding: [0; 5],
                attributes: [[0; 3]; 10],
            },
            line_count: 1,
            event_buffer_size: 0,
            padding: [0; 5],
            descriptor: -1,
        };
        // SAFETY: the call reads and writes one structure of this layout.
        let result = unsafe { libc::ioctl(chip.as_raw_fd(), GET_LINE, &raw mut request) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        if request.descriptor < 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: the call has just made the descriptor, for us alone.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(request.descriptor) }))
    }

    /// Whether it is active now.
    pub(crate) fn is_active(&self) -> io::Result<bool> {
        let mut values = LineValues { bits: 0, mask: 1 };
        // SAFETY: the call reads and writes one structure of this layout.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), GET_VALUES, &raw mut values) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(values.bits & 1 == 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_kernels_sizes() {
        // As linux/gpio.h and a C compiler give them.
        assert_eq!((size_of::<ChipInfo>(), size_of::<LineConfig>()), (68, 272));
        assert_eq!((size_of::<LineRequest>(), size_of::<LineValues>()), (592, 16));
        assert_eq!(GET_LINE as u32, 0xc250_b407);
    }

    #[test]
    fn what_is_no_chip_is_refused() {
        assert!(label_of(Path::new("/dev/null")).is_err());
        assert!(Line::request(Path::new("/dev/null"), 0, true).is_err());
    }
}
