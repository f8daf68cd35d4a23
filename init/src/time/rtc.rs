//! The battery-backed clock, where there is one: set once the time is known, so that the next
//! boot begins near it. Many boards have none.

use std::fs::File;
use std::io;
use std::path::Path;

use super::clock::NANOS;
use super::syscalls::{RtcTime, read_rtc, set_rtc};

pub(crate) const DEVICE: &str = "/dev/rtc0";

/// Sets the RTC to `now` (nanoseconds since 1970) when it is off by two seconds or more.
/// Whether it was set; `false` also where there is no RTC.
pub(crate) fn set(device: &Path, now: i64) -> io::Result<bool> {
    let rtc = match File::open(device) {
        Ok(rtc) => rtc,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let seconds = now.div_euclid(NANOS);
    let shown = read_rtc(&rtc).map(seconds_since_1970);
    if shown.is_ok_and(|shown| shown.abs_diff(seconds) < 2) {
        return Ok(false);
    }
    set_rtc(&rtc, calendar(seconds))?;
    Ok(true)
}

/// Days before each month in a year that begins in March.
const DAYS_BEFORE: [i64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];

/// Days from 1970-01-01; the month counts from 0. Years are taken from March on, which puts
/// the leap day last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let before = DAYS_BEFORE.get(month.rem_euclid(12) as usize).copied().unwrap_or(0);
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719468 days lie between the first of March in year 0 and 1970.
    year * 365 + leap_days + before + day - 1 - 719_468
}

fn seconds_since_1970(time: RtcTime) -> i64 {
    let wide = i64::from;
    let days = days_since_1970(wide(time.year) + 1900, wide(time.month), wide(time.day));
    ((days * 24 + wide(time.hour)) * 60 + wide(time.minute)) * 60 + wide(time.second)
}

fn calendar(seconds: i64) -> RtcTime {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // A first guess that is at most a year too early, as no year is longer than 366 days.
    let mut year = 1970 + days.div_euclid(366);
    while days_since_1970(year + 1, 0, 1) <= days {
        year += 1;
    }
    let month = (0..12).rev().find(|month| days_since_1970(year, *month, 1) <= days).unwrap_or(0);
    let narrow = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
    RtcTime {
        second: narrow(second % 60),
        minute: narrow(second / 60 % 60),
        hour: narrow(second / 3600),
        day: narrow(days - days_since_1970(year, month, 1) + 1),
        month: narrow(month),
        year: narrow(year - 1900),
        unused: [0; 3],
    }
}

/// The date of a time in seconds since 1970, as `2022-11-25`.
pub(crate) fn date_text(seconds: i64) -> String {
    let RtcTime { day, month, year, .. } = calendar(seconds);
    format!("{:04}-{:02}-{day:02}", year + 1900, month + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn date(time: RtcTime) -> [i32; 6] {
        let RtcTime { second, minute, hour, day, month, year, .. } = time;
        [year + 1900, month + 1, day, hour, minute, second]
    }

    #[test]
    fn known_dates_are_right() {
        let known = [
            (0, [1970, 1, 1, 0, 0, 0]),
            (951_782_400, [2000, 2, 29, 0, 0, 0]),
            (1_078_012_800, [2004, 2, 29, 0, 0, 0]),
            (1_795_478_399, [2026, 11, 23, 23, 59, 59]),
            (4_107_542_400, [2100, 3, 1, 0, 0, 0]),
            (4_107_542_399, [2100, 2, 28, 23, 59, 59]),
        ];
        for (seconds, wanted) in known {
            assert_eq!(date(calendar(seconds)), wanted);
            assert_eq!(seconds_since_1970(calendar(seconds)), seconds);
        }
    }

    #[test]
    fn a_machine_without_rtc_is_no_error() {
        assert!(!set(Path::new("/dev/no-such-rtc"), 0).unwrap());
    }

    proptest! {
        #[test]
        fn dates_come_back_and_are_real(seconds in 0..8_000_000_000i64) {
            let time = calendar(seconds);
            prop_assert!((0..12).contains(&time.month) && (1..=31).contains(&time.day));
            prop_assert!((0..24).contains(&time.hour) && (0..60).contains(&time.minute));
            prop_assert_eq!(seconds_since_1970(time), seconds);
        }
    }

    mod vm {
        use super::*;

        #[test]
        #[ignore = "needs root in a VM"]
        fn the_rtc_shows_what_it_was_set_to_and_is_set_once() {
            let device = Path::new(DEVICE);
            for seconds in [1_000_000_000, 1_800_000_000] {
                assert!(set(device, seconds * NANOS).unwrap(), "is there an RTC?");
                let shown = seconds_since_1970(read_rtc(&File::open(device).unwrap()).unwrap());
                assert!((seconds..seconds + 5).contains(&shown), "{shown}");
                assert!(!set(device, shown * NANOS).unwrap());
            }
        }
    }
}
