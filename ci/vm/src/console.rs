//! The node's serial console: every line is kept with the moment it came, and can be waited for.
//!
//! Must never lose a line: reading starts before the machine does.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::deadline::Deadline;

/// Why a line that a scenario waited for did not come.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The deadline passed first.
    #[error("{wanted} did not come in time; the console's last lines:\n{tail}")]
    Timeout {
        /// What was waited for.
        wanted: String,
        /// The end of the console's output.
        tail: String,
    },
    /// The machine ended first.
    #[error("the machine ended before {wanted} came; the console's last lines:\n{tail}")]
    Ended {
        /// What was waited for.
        wanted: String,
        /// The end of the console's output.
        tail: String,
    },
}

/// A line of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When its last byte came.
    pub at: Instant,
    /// The text without line ends and terminal sequences.
    pub text: String,
}

#[derive(Default)]
struct Captured {
    lines: Vec<Line>,
    partial: Vec<u8>,
    ended: bool,
}

/// The captured console of one machine, over all of its resets.
#[derive(Clone, Default)]
pub struct Console {
    captured: Arc<(Mutex<Captured>, Condvar)>,
    /// Index of the first line that no `expect` has passed yet.
    next: Arc<Mutex<usize>>,
}

impl Console {
    /// Captures `source` on a thread of its own until it ends.
    pub fn capture(mut source: impl Read + Send + 'static) -> Self {
        let console = Self::default();
        let writer = console.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                match source.read(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => writer.feed(&chunk[..length], Instant::now()),
                }
            }
            writer.end();
        });
        console
    }

    fn feed(&self, bytes: &[u8], at: Instant) {
        let mut captured = self.lock();
        for byte in bytes {
            if *byte == b'\n' {
                let text = plain_text(&std::mem::take(&mut captured.partial));
                captured.lines.push(Line { at, text });
            } else {
                captured.partial.push(*byte);
            }
        }
        self.captured.1.notify_all();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.captured.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Captured> {
        self.captured.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All complete lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lock().lines.clone()
    }

    /// How many complete lines there are: a mark for [`Console::lines_since`].
    pub fn mark(&self) -> usize {
        self.lock().lines.len()
    }

    /// The complete lines after a mark.
    pub fn lines_since(&self, mark: usize) -> Vec<Line> {
        self.lock().lines.get(mark..).unwrap_or_default().to_vec()
    }

    /// Waits for the next line that contains `text`; later calls look only behind it.
    pub fn expect(&self, text: &str, wait: Duration) -> Result<Line, ConsoleError> {
        self.expect_any(&format!("'{text}'"), wait, |line| line.contains(text).then_some(()))
            .map(|(line, ())| line)
    }

    /// Waits until `text` has been written since the last end of a line, as a program does that
    /// draws on the terminal. Gives all that it has drawn, without terminal sequences.
    pub fn expect_drawn(&self, text: &str, wait: Duration) -> Result<String, ConsoleError> {
        let deadline = Deadline::after(wait);
        let mut captured = self.lock();
        loop {
            let drawn = plain_text(&captured.partial);
            if drawn.contains(text) {
                return Ok(drawn);
            }
            let wanted = format!("a drawing of '{text}'");
            if captured.ended {
                return Err(ConsoleError::Ended { wanted, tail: tail(&captured) });
            }
            if deadline.has_passed() {
                return Err(ConsoleError::Timeout { wanted, tail: tail(&captured) });
            }
            captured = self
                .captured
                .1
                .wait_timeout(captured, deadline.remaining())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the next line that `pick` accepts; later calls look only behind it. `wanted`
    /// names it in the error.
    pub fn expect_any<T>(
        &self,
        wanted: &str,
        wait: Duration,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<(Line, T), ConsoleError> {
        let deadline = Deadline::after(wait);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut captured = self.lock();
        loop {
            while let Some(line) = captured.lines.get(*next) {
                *next += 1;
                if let Some(picked) = pick(&line.text) {
                    return Ok((line.clone(), picked));
                }
            }
            let wanted = wanted.to_owned();
            if captured.ended {
                return Err(ConsoleError::Ended { wanted, tail: tail(&captured) });
            }
            if deadline.has_passed() {
                return Err(ConsoleError::Timeout { wanted, tail: tail(&captured) });
            }
            captured = self
                .captured
                .1
                .wait_timeout(captured, deadline.remaining())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// What an error shows: enough for a kernel's last words.
const TAIL_LINES: usize = 60;

fn tail(captured: &Captured) -> String {
    let from = captured.lines.len().saturating_sub(TAIL_LINES);
    let mut lines: Vec<&str> = captured.lines[from..].iter().map(|l| l.text.as_str()).collect();
    let partial = plain_text(&captured.partial);
    lines.push(&partial);
    lines.join("\n")
}

/// Drops carriage returns and the escape sequences by which firmware paints its screen.
fn plain_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut characters),
            '\t' => plain.push('\t'),
            other if other.is_control() => {}
            other => plain.push(other),
        }
    }
    plain
}

/// `ESC [ … letter` or `ESC letter`.
fn skip_sequence(characters: &mut std::str::Chars<'_>) {
    if characters.next() == Some('[') {
        for character in characters.by_ref() {
            if ('@'..='~').contains(&character) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(text: &str) -> Console {
        let console = Console::default();
        console.feed(text.as_bytes(), Instant::now());
        console
    }

    #[test]
    fn lines_come_without_terminal_sequences() {
        let console = fed("\u{1b}[2J\u{1b}[01;01HBdsDxe: loading\r\nsecond\r\n");
        let lines: Vec<_> = console.lines().into_iter().map(|line| line.text).collect();
        assert_eq!(lines, ["BdsDxe: loading", "second"]);
    }

    #[test]
    fn a_line_that_has_come_already_is_found_and_passed() {
        let console = fed("ready 1\nready 2\n");
        let wait = Duration::from_millis(1);
        assert_eq!(console.expect("ready", wait).unwrap().text, "ready 1");
        assert_eq!(console.expect("ready", wait).unwrap().text, "ready 2");
        assert!(matches!(console.expect("ready", wait), Err(ConsoleError::Timeout { .. })));
    }

    #[test]
    fn what_is_drawn_without_an_end_of_line_is_found() {
        let console = fed("line\n\u{1b}[2J\u{1b}[1;1H\u{1b}[0;7m[1 Overview]\u{1b}[3;2HNode");
        let drawn = console.expect_drawn("[1 Overview]", Duration::from_millis(1)).unwrap();
        assert_eq!(drawn, "[1 Overview]Node");
        assert!(console.expect_drawn("line", Duration::from_millis(1)).is_err());
    }

    #[test]
    fn a_line_in_two_pieces_is_one_line() {
        let console = fed("holm: rea");
        assert!(console.lines().is_empty());
        console.feed(b"dy\n", Instant::now());
        assert_eq!(console.lines()[0].text, "holm: ready");
    }

    #[test]
    fn a_machine_that_ends_fails_the_wait_at_once_and_shows_the_last_words() {
        let console = Console::capture(&b"Kernel panic\nhalf"[..]);
        let error = console.expect("holm: ready", Duration::from_secs(60)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ConsoleError::Ended { .. }), "{text}");
        assert!(text.contains("'holm: ready'") && text.contains("Kernel panic\nhalf"), "{text}");
    }

    #[test]
    fn lines_since_a_mark_leave_out_what_came_before() {
        let console = fed("one\n");
        let mark = console.mark();
        console.feed(b"two\n", Instant::now());
        assert_eq!(console.lines_since(mark).len(), 1);
        assert_eq!(console.lines_since(99), []);
    }
}
