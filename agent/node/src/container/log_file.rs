//! The log file of a container: appended to, rotated by size, bounded in number.
//!
//! `append` never fails and never waits: a container must not stall because its disk is full. What
//! cannot be written is counted, and said in the log as soon as there is room again.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::lines;

/// One step of a rotation. An absent file is no reason to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Remove this file.
    Remove(PathBuf),
    /// Rename the first to the second, replacing it.
    Rename(PathBuf, PathBuf),
}

/// How to free `path` for a new file while at most `max_files` exist, the new one included:
/// `.2` becomes `.3`, `.1` becomes `.2`, `path` becomes `.1`, and what is too much goes first.
pub fn rotation(path: &Path, max_files: u32) -> Vec<Step> {
    let numbered = |number: u32| match number {
        0 => path.to_owned(),
        number => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        }
    };
    let last = max_files.max(1) - 1;
    let mut steps = vec![Step::Remove(numbered(last))];
    steps.extend((0..last).rev().map(|n| Step::Rename(numbered(n), numbered(n + 1))));
    steps
}

fn perform(steps: &[Step]) -> std::io::Result<()> {
    for step in steps {
        let done = match step {
            Step::Remove(path) => std::fs::remove_file(path),
            Step::Rename(from, to) => std::fs::rename(from, to),
        };
        match done {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Where it can be written, and how much is in it.
struct Current {
    file: File,
    bytes: u64,
}

/// An open log.
pub struct LogFile {
    path: PathBuf,
    max_bytes: u64,
    max_files: u32,
    current: Option<Current>,
    lost_bytes: u64,
    lost_reason: String,
}

impl LogFile {
    /// The log at `path`; opened, and its folder made, when the first line comes.
    pub fn new(path: PathBuf, max_bytes: u64, max_files: u32) -> Self {
        let lost_reason = String::new();
        LogFile { path, max_bytes, max_files, current: None, lost_bytes: 0, lost_reason }
    }

    /// Opens the file now, so that a container without output has an empty log too.
    pub fn open(&mut self) {
        self.append(&[], Timestamp::UNIX_EPOCH);
    }

    /// Appends whole lines.
    pub fn append(&mut self, lines: &[u8], now: Timestamp) {
        if self.lost_bytes > 0 {
            let text =
                format!("holm: {} bytes of log are lost: {}", self.lost_bytes, self.lost_reason);
            if self.try_append(&lines::notice(&text, now)).is_ok() {
                self.lost_bytes = 0;
            }
        }
        let mut rest = lines;
        loop {
            let part = self.fitting(rest);
            if let Err(error) = self.try_append(&rest[..part]) {
                self.lost_bytes += part as u64;
                self.lost_reason = error.to_string();
            }
            rest = &rest[part..];
            if rest.is_empty() {
                return;
            }
        }
    }

    /// How many of these bytes, in whole lines, fit into the current file; at least one line.
    fn fitting(&self, lines: &[u8]) -> usize {
        let used = self.current.as_ref().map_or(0, |current| current.bytes);
        let room = usize::try_from(self.max_bytes.saturating_sub(used)).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return lines.len();
        }
        let newline = |byte: &u8| *byte == b'\n';
        match lines[..room].iter().rposition(newline) {
            Some(end) => end + 1,
            None => lines.iter().position(newline).map_or(lines.len(), |end| end + 1),
        }
    }

    fn try_append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        let full = self.current.as_ref().is_some_and(|current| {
            current.bytes > 0 && current.bytes + lines.len() as u64 > self.max_bytes
        });
        if full {
            self.rotate();
        }
        let current = match &mut self.current {
            Some(current) => current,
            none => none.insert(open(&self.path)?),
        };
        match current.file.write_all(lines) {
            Ok(()) => {
                current.bytes += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a line would make the next one unreadable.
                let _ = current.file.set_len(current.bytes);
                Err(error)
            }
        }
    }

    /// A log that cannot be renamed is emptied: bounded matters more than complete.
    fn rotate(&mut self) {
        let Some(current) = self.current.take() else { return };
        if let Err(error) = perform(&rotation(&self.path, self.max_files)) {
            self.lost_bytes += current.bytes;
            self.lost_reason = error.to_string();
            let bytes = if current.file.set_len(0).is_ok() { 0 } else { current.bytes };
            self.current = Some(Current { file: current.file, bytes });
        }
    }
}

fn open(path: &Path) -> std::io::Result<Current> {
    let open = || OpenOptions::new().append(true).create(true).open(path);
    let file = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            open()?
        }
        other => other?,
    };
    let bytes = file.metadata()?.len();
    Ok(Current { file, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn rotation_moves_the_oldest_first() {
        let path = Path::new("/l/0.log");
        let p = |name: &str| PathBuf::from(format!("/l/{name}"));
        assert_eq!(
            rotation(path, 3),
            [
                Step::Remove(p("0.log.2")),
                Step::Rename(p("0.log.1"), p("0.log.2")),
                Step::Rename(p("0.log"), p("0.log.1")),
            ]
        );
        assert_eq!(rotation(path, 1), [Step::Remove(p("0.log"))]);
        assert_eq!(rotation(path, 0), rotation(path, 1));
    }

    #[test]
    fn a_full_file_is_rotated_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod/0.log");
        let mut log = LogFile::new(path.clone(), 8, 3);
        for line in ["1111\n", "2222\n", "3333\n", "4444\n"] {
            log.append(line.as_bytes(), NOW);
        }
        assert_eq!(read(&path), "4444\n");
        assert_eq!(read(&path.with_extension("log.1")), "3333\n");
        assert_eq!(read(&path.with_extension("log.2")), "2222\n");
        assert!(!path.with_extension("log.3").exists());
    }

    #[test]
    fn a_line_longer_than_a_file_is_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = LogFile::new(path.clone(), 4, 2);
        log.append(b"a\nlonger than four\nb\n", NOW);
        assert_eq!(read(&path.with_extension("log.1")), "longer than four\n");
        assert_eq!(read(&path), "b\n");
    }

    #[test]
    fn an_earlier_file_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        LogFile::new(path.clone(), 100, 2).append(b"one\n", NOW);
        LogFile::new(path.clone(), 100, 2).append(b"two\n", NOW);
        assert_eq!(read(&path), "one\ntwo\n");
    }

    #[test]
    fn opening_makes_an_empty_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/0.log");
        LogFile::new(path.clone(), 100, 2).open();
        assert!(path.exists());
    }

    #[test]
    fn what_a_full_disk_loses_is_counted_and_said_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        // /dev/full answers every write as a full disk does.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut log = LogFile::new(path.clone(), 1000, 2);
        log.append(b"lost\n", NOW);
        log.append(b"too\n", NOW);
        assert_eq!(log.lost_bytes, 9);
        std::fs::remove_file(&path).unwrap();
        log.current = None;
        log.append(b"kept\n", NOW);
        let text = read(&path);
        assert!(text.contains("stderr F holm: 9 bytes of log are lost: No space left"), "{text}");
        assert!(text.ends_with("\nkept\n"), "{text}");
    }

    proptest! {
        #[test]
        fn files_in_order_are_the_lines_in_order(
            lines in prop::collection::vec("[a-z]{0,12}\n", 0..40),
            max_bytes in 1u64..40,
            batch in 1usize..5,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("0.log");
            let mut log = LogFile::new(path.clone(), max_bytes, 100);
            for lines in lines.chunks(batch) {
                log.append(lines.concat().as_bytes(), NOW);
            }
            let mut text = String::new();
            for number in (1..=lines.len()).rev() {
                text += &read(&path.with_extension(format!("log.{number}")));
            }
            text += &read(&path);
            prop_assert_eq!(text, lines.concat());
        }

        #[test]
        fn no_more_files_than_allowed(count in 1u32..5, lines in 0usize..30) {
            let dir = tempfile::tempdir().unwrap();
            let mut log = LogFile::new(dir.path().join("0.log"), 3, count);
            for _ in 0..lines {
                log.append(b"ab\n", NOW);
            }
            let files = std::fs::read_dir(dir.path()).unwrap().count();
            prop_assert!(files <= count as usize);
        }
    }
}
