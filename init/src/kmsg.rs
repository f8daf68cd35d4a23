//! Holm's own messages: into the kernel's log, which exists before any disk,
//! is shown on every console, and reaches pstore when the kernel dies.
//! Never blocks and never fails: a message that cannot be written is dropped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

/// The kernel cuts a longer record off.
const LONGEST_RECORD: usize = 900;

/// How much a message matters, as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Something is not as it should be; the node goes on.
    Warning = 4,
    /// For the record.
    Info = 6,
}

/// Says something that a person at the console must see: phases, and what failed.
pub(crate) fn announce(text: &str) {
    let shown = std::fs::read_to_string("/proc/sys/kernel/printk").unwrap_or_default();
    write(level_shown_on_console(&shown), text);
}

/// Records something that matters only to whoever reads the log.
pub(crate) fn log(level: Level, text: &str) {
    write(level as u8, text);
}

/// Lets init write as much as it needs: the kernel's default drops all but ten
/// messages in five seconds.
pub(crate) fn lift_rate_limit() {
    // Fails where the command line has pinned it; then that stands.
    let _ = std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
}

/// Holm's last `count` messages out of the kernel's log.
pub(crate) fn recent(count: usize) -> Vec<String> {
    let mut found = std::collections::VecDeque::new();
    let options = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
    let Ok(mut file) = options else {
        return Vec::new();
    };
    let mut record = [0u8; 8192];
    loop {
        match file.read(&mut record) {
            Ok(length @ 1..) => {
                if let Some(text) = own_text(&record[..length]) {
                    if found.len() == count {
                        found.pop_front();
                    }
                    found.push_back(text);
                }
            }
            // Records were overwritten while reading: go on with those that are left.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            _ => return found.into(),
        }
    }
}

/// The text of one record of `/dev/kmsg`, `6,12,3456,-;text\n`, if it is Holm's.
fn own_text(record: &[u8]) -> Option<String> {
    let record = str::from_utf8(record).ok()?;
    let (_, text) = record.split_once(';')?;
    text.lines().next()?.strip_prefix("holm: ").map(str::to_owned)
}

/// The highest level that the console still shows, and `Info` if it shows that.
/// `printk` is the content of `/proc/sys/kernel/printk`.
fn level_shown_on_console(printk: &str) -> u8 {
    let first = printk.split_whitespace().next();
    let threshold: u8 = first.and_then(|word| word.parse().ok()).unwrap_or(4);
    threshold.saturating_sub(1).min(Level::Info as u8)
}

/// One record for each line, in the form `<level>holm: text`.
fn records(level: u8, text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let mut end = line.len().min(LONGEST_RECORD);
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            // Without its end the kernel keeps a record back until the next one, for
            // more of the line might follow.
            format!("<{level}>holm: {}\n", &line[..end])
        })
        .collect()
}

fn write(level: u8, text: &str) {
    let kmsg = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
        .open("/dev/kmsg");
    for record in records(level, text) {
        match &kmsg {
            Ok(file) => {
                let mut file: &File = file;
                let _ = file.write_all(record.as_bytes());
            }
            // Before devtmpfs is mounted the only way out is the console.
            Err(_) => {
                let _ = write!(std::io::stderr(), "{}", &record[3..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcement_takes_a_level_that_the_console_shows() {
        assert_eq!(level_shown_on_console("4\t4\t1\t7\n"), 3);
        assert_eq!(level_shown_on_console("7 4 1 7"), 6);
        assert_eq!(level_shown_on_console("15 4 1 7"), 6);
        assert_eq!(level_shown_on_console("0 4 1 7"), 0);
        assert_eq!(level_shown_on_console(""), 3);
    }

    #[test]
    fn each_line_becomes_one_record() {
        assert_eq!(records(3, "a\n\n b\n"), ["<3>holm: a\n", "<3>holm:  b\n"]);
    }

    #[test]
    fn own_messages_are_told_from_the_kernels() {
        assert_eq!(own_text(b"3,12,3456,-;holm: ready\n SUBSYSTEM=x\n"), Some("ready".into()));
        assert_eq!(own_text(b"6,1,2,-;Linux version 6.12\n"), None);
        assert_eq!(own_text(b"nonsense"), None);
    }

    #[test]
    fn long_record_is_cut_between_letters() {
        let cut = records(6, &"ä".repeat(LONGEST_RECORD));
        assert!(cut[0].len() <= LONGEST_RECORD + 10);
        assert!(cut[0].ends_with("ä\n"));
    }
}
