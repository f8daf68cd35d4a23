//! The kernel interfaces of the clock that no safe wrapper covers: `clock_adjtime` and the
//! RTC's ioctls. Must hold no decisions.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::zeroed;

use rustix::ioctl;

/// What the kernel is told about its clock. Fields as in clock_adjtime(2).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Adjustment {
    pub(crate) modes: u32,
    pub(crate) offset: i64,
    pub(crate) max_error: i64,
    pub(crate) status: i32,
    pub(crate) constant: i64,
    /// Whole seconds of a step, and the nanoseconds beyond them.
    pub(crate) time: (i64, i64),
}

/// Adjusts the system clock and gives its status bits.
pub(crate) fn adjust_clock(adjustment: &Adjustment) -> io::Result<i32> {
    // SAFETY: a `timex` is plain integers, for which zeros are a valid value.
    let mut timex: libc::timex = unsafe { zeroed() };
    timex.modes = adjustment.modes;
    timex.offset = adjustment.offset;
    timex.maxerror = adjustment.max_error;
    timex.esterror = adjustment.max_error;
    timex.status = adjustment.status;
    timex.constant = adjustment.constant;
    timex.time.tv_sec = adjustment.time.0;
    timex.time.tv_usec = adjustment.time.1;
    // SAFETY: the pointer is to a whole `timex` that outlives the call.
    match unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, &mut timex) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(timex.status),
    }
}

/// `struct rtc_time`: as `struct tm`, in UTC.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RtcTime {
    pub(crate) second: i32,
    pub(crate) minute: i32,
    pub(crate) hour: i32,
    pub(crate) day: i32,
    /// From 0.
    pub(crate) month: i32,
    /// Since 1900.
    pub(crate) year: i32,
    /// These the kernel does not read.
    pub(crate) unused: [i32; 3],
}

const RTC_RD_TIME: ioctl::Opcode = ioctl::opcode::read::<RtcTime>(b'p', 0x09);
const RTC_SET_TIME: ioctl::Opcode = ioctl::opcode::write::<RtcTime>(b'p', 0x0a);

pub(crate) fn read_rtc(rtc: &File) -> io::Result<RtcTime> {
    // SAFETY: this opcode writes one `struct rtc_time`, whose layout `RtcTime` has.
    let getter = unsafe { ioctl::Getter::<RTC_RD_TIME, RtcTime>::new() };
    // SAFETY: as above.
    Ok(unsafe { ioctl::ioctl(rtc, getter) }?)
}

pub(crate) fn set_rtc(rtc: &File, time: RtcTime) -> io::Result<()> {
    // SAFETY: this opcode reads one `struct rtc_time`, whose layout `RtcTime` has.
    let setter = unsafe { ioctl::Setter::<RTC_SET_TIME, RtcTime>::new(time) };
    // SAFETY: as above.
    Ok(unsafe { ioctl::ioctl(rtc, setter) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rtcs_requests_have_the_kernels_numbers() {
        // linux/rtc.h on architectures with the generic ioctl encoding.
        assert_eq!((RTC_RD_TIME, RTC_SET_TIME), (0x8024_7009, 0x4024_700a));
    }

    #[test]
    fn reading_the_clocks_state_needs_no_privilege() {
        assert!(adjust_clock(&Adjustment::default()).is_ok());
    }
}
