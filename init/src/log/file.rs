//! One service's log file. A line that cannot be written is counted and dropped:
//! a full disk must not stop anybody.

use super::rotation::{Limits, is_due, renames};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A log file.
pub(crate) struct LogFile {
    path: PathBuf,
    limits: Limits,
    file: Option<File>,
    size: u64,
    dropped: u64,
}

impl LogFile {
    /// The file of `name` in `folder`. It is opened by the first line.
    pub(crate) fn new(folder: &Path, name: &str, limits: Limits) -> Self {
        let path = folder.join(format!("{name}.log"));
        Self { path, limits, file: None, size: 0, dropped: 0 }
    }

    /// Writes one line, with the time before it.
    pub(crate) fn write(&mut self, line: &[u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut record = timestamp(now).into_bytes();
        record.push(b' ');
        if self.dropped > 0 {
            let lost = format!("{} lines were lost: the disk did not take them\n", self.dropped);
            let mut notice = record.clone();
            notice.extend_from_slice(lost.as_bytes());
            if !self.append(&notice) {
                self.dropped += 1;
                return;
            }
            self.dropped = 0;
        }
        record.extend_from_slice(line);
        record.push(b'\n');
        if !self.append(&record) {
            self.dropped += 1;
        }
    }

    /// Writes whole records only; whether it did.
    fn append(&mut self, record: &[u8]) -> bool {
        if is_due(self.size, record.len() as u64, self.limits) {
            self.rotate();
        }
        if self.file.is_none() {
            let file = File::options().append(true).create(true).open(&self.path);
            let Ok(file) = file else {
                return false;
            };
            self.size = file.metadata().map_or(0, |metadata| metadata.len());
            self.file = Some(file);
            if is_due(self.size, record.len() as u64, self.limits) {
                self.rotate();
                return self.append(record);
            }
        }
        let Some(file) = &mut self.file else {
            return false;
        };
        match file.write(record) {
            Ok(length) if length == record.len() => {
                self.size += length as u64;
                true
            }
            // Half a record is taken back.
            Ok(_) | Err(_) => {
                let _ = file.set_len(self.size);
                false
            }
        }
    }

    fn rotate(&mut self) {
        self.file = None;
        self.size = 0;
        let renames = renames(&self.path, self.limits);
        if renames.is_empty() {
            let _ = fs::remove_file(&self.path);
        }
        for (from, to) in renames {
            // What does not exist yet cannot be moved, and need not be.
            let _ = fs::rename(from, to);
        }
    }
}

/// Seconds since 1970 as RFC 3339 in UTC, by the calendar that has been counted
/// in eras of 400 years: <https://howardhinnant.github.io/date_algorithms.html>.
fn timestamp(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3600, second % 3600 / 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("holm-log-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn time_is_written_as_everybody_writes_it() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(timestamp(1_795_471_323), "2026-11-23T22:02:03Z");
        assert_eq!(timestamp(4_107_542_399), "2100-02-28T23:59:59Z");
    }

    #[test]
    fn files_stay_within_their_limits_across_restarts() {
        let folder = folder("limits");
        let limits = Limits { max_size: 200, files: 3 };
        for _ in 0..5 {
            let mut log = LogFile::new(&folder, "agent", limits);
            (0..20).for_each(|number| log.write(format!("line {number}").as_bytes()));
        }
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        assert_eq!(names.len(), 3);
        assert!(names.iter().all(|path| fs::metadata(path).unwrap().len() <= 200));
        assert!(fs::read_to_string(&names[0]).unwrap().ends_with("line 19\n"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn lines_that_the_disk_does_not_take_are_counted() {
        let folder = folder("full");
        let mut log = LogFile::new(&folder, "agent", Limits { max_size: 4096, files: 2 });
        // /dev/full refuses every write as a full disk does.
        log.file = Some(File::options().write(true).open("/dev/full").unwrap());
        log.write(b"one");
        log.write(b"two");
        assert_eq!(log.dropped, 2);
        log.file = None;
        log.write(b"three");
        let text = fs::read_to_string(folder.join("agent.log")).unwrap();
        assert!(text.contains("2 lines were lost"), "{text}");
        assert!(text.ends_with("three\n"), "{text}");
        fs::remove_dir_all(folder).unwrap();
    }
}
