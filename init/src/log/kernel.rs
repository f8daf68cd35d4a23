//! The kernel's own log, which holds Holm's early messages too.
//! Reads on where the last run of this service stopped.

use super::file::LogFile;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Where the number of the last record is noted, in memory.
const LAST: &str = "/run/holm/last-kernel-record";

/// A reader of `/dev/kmsg` and the file that it fills.
pub(crate) struct KernelLog {
    device: File,
    log: LogFile,
    last: Option<u64>,
}

impl KernelLog {
    /// Opens the device; without it there is nothing to keep.
    pub(crate) fn open(log: LogFile) -> Option<Self> {
        let device = File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
        let last = std::fs::read_to_string(LAST).ok().and_then(|text| text.trim().parse().ok());
        Some(Self { device: device.ok()?, log, last })
    }

    /// Writes all that is new.
    pub(crate) fn drain(&mut self) {
        let mut record = [0; 8192];
        let before = self.last;
        loop {
            match self.device.read(&mut record) {
                Ok(length @ 1..) => {
                    let parsed = parse(&record[..length]);
                    if let Some((number, line)) = parsed.filter(|(n, _)| self.last < Some(*n)) {
                        self.log.write(line.as_bytes());
                        self.last = Some(number);
                    }
                }
                // Records were overwritten before they were read.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {
                    self.log.write(b"kernel messages were lost");
                }
                _ => break,
            }
        }
        if let (true, Some(last)) = (self.last != before, self.last) {
            // At worst the next run writes some lines twice.
            let _ = std::fs::write(LAST, last.to_string());
        }
    }
}

impl AsFd for KernelLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Number and line of a record: `level,number,microseconds,flags;text`. Words of
/// services, which init put there before there was a disk, come out as they are.
fn parse(record: &[u8]) -> Option<(u64, String)> {
    let text = String::from_utf8_lossy(record);
    let (head, body) = text.split_once(';')?;
    let mut fields = head.split(',').skip(1);
    let number = fields.next()?.parse().ok()?;
    let micros: u64 = fields.next()?.parse().ok()?;
    let line = body.lines().next().unwrap_or_default();
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    Some((number, format!("[{seconds:5}.{fraction:06}] {line}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_becomes_a_line_as_dmesg_shows_it() {
        let record = b"6,339,5140900,-;NET: Registered\n SUBSYSTEM=net\n";
        assert_eq!(parse(record), Some((339, "[    5.140900] NET: Registered".into())));
        assert_eq!(parse(b"nonsense"), None);
        assert_eq!(parse(b"6,x,1,-;text"), None);
    }
}
