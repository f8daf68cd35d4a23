//! What the last boot left behind when it ended badly: a panic's record, which PID 1 has moved from
//! pstore to the data partition in this boot, or the watchdog's own flag.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use holm_update::ledger::{Code, Verdict};

use rustix::event::{Timespec, poll};

use super::node::tail;

/// The records that PID 1 found in this boot, one path a line; there when it has looked.
const FOUND: &str = "/run/holm/crashes";
/// How long PID 1 may take to look.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const BOOT_STATUS: &str = "/sys/class/watchdog/watchdog0/bootstatus";
/// `WDIOF_CARDRESET` of linux/watchdog.h.
const CARD_RESET: u64 = 0x20;
/// Bytes of the record that are kept.
const MOST_LOG: usize = 4 << 10;

/// Looks for evidence.
pub(super) fn of_last_boot() -> Option<Verdict> {
    let begin = Instant::now();
    while !Path::new(FOUND).exists() && begin.elapsed() < PATIENCE {
        // PID 1 renames it into place; nothing else comes of the folder so early in a boot.
        let _ = poll(&mut [], Some(&PAUSE));
    }
    let list = fs::read_to_string(FOUND).unwrap_or_default();
    let records: Vec<String> = list
        .lines()
        .filter_map(|path| fs::read(path).ok())
        .map(|record| String::from_utf8_lossy(&record).into_owned())
        .collect();
    panic_in(records).or_else(|| {
        let status = fs::read_to_string(BOOT_STATUS).ok()?;
        watchdog_in(status.trim().parse().ok()?)
    })
}

/// A kernel writes a long record in parts, each headed `Panic#1 Part3`; the last part comes first.
fn panic_in(mut records: Vec<String>) -> Option<Verdict> {
    let part = |record: &String| {
        let head = record.lines().next().unwrap_or_default();
        head.split_once("Part").and_then(|(_, part)| part.trim().parse::<u32>().ok())
    };
    records.sort_by_key(|record| std::cmp::Reverse(part(record)));
    let text = records.join("\n");
    let line = text.lines().find(|line| line.contains("Kernel panic"))?;
    let reason = line.split_once("Kernel panic - not syncing: ").map_or(line, |(_, why)| why);
    Some(Verdict {
        code: Code::Panic,
        check: "kernel".to_owned(),
        reason: reason.to_owned(),
        kernel_log: tail(&text, MOST_LOG),
    })
}

fn watchdog_in(status: u64) -> Option<Verdict> {
    (status & CARD_RESET != 0).then(|| Verdict {
        code: Code::Watchdog,
        check: "watchdog".to_owned(),
        reason: "the hardware watchdog reset the machine".to_owned(),
        kernel_log: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_is_told_from_its_record_in_parts() {
        let first = "Panic#1 Part2\n<0>[ 1.0] early\n".to_owned();
        let last = "Panic#1 Part1\n<0>[ 2.0] Kernel panic - not syncing: Attempted to kill init!\n";
        let verdict = panic_in(vec![last.to_owned(), first]).unwrap();
        assert_eq!((verdict.code, &*verdict.reason), (Code::Panic, "Attempted to kill init!"));
        assert!(verdict.kernel_log.starts_with("Panic#1 Part2"), "{}", verdict.kernel_log);
    }

    #[test]
    fn record_without_a_panic_and_a_quiet_watchdog_are_no_evidence() {
        assert_eq!(panic_in(vec!["Oops#1 Part1\nBUG: x\n".to_owned()]), None);
        assert_eq!(panic_in(Vec::new()), None);
        assert_eq!(watchdog_in(0x100), None);
        assert_eq!(watchdog_in(0x20).map(|verdict| verdict.code), Some(Code::Watchdog));
    }
}
