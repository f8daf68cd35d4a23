//! From the bytes of a container's stream to lines of the CRI log format:
//! `<RFC 3339, nanoseconds> stdout|stderr F|P <text>`.
//!
//! Pure. A line longer than [`MAX_LINE_BYTES`] becomes several with the tag `P` (partial) before the
//! one with `F` (full). Never keeps more than one such piece in memory.

use std::io::Write;

use jiff::Timestamp;

/// What readers of the format expect as the longest piece.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// The stream that a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn word(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// Cuts one stream into log lines.
#[derive(Debug)]
pub struct LineSplitter {
    stream: Stream,
    /// The start of a line whose end has not come yet; at most [`MAX_LINE_BYTES`].
    pending: Vec<u8>,
}

impl LineSplitter {
    /// A splitter at the start of `stream`.
    pub fn new(stream: Stream) -> Self {
        LineSplitter { stream, pending: Vec::new() }
    }

    /// Takes the next bytes, read at `now`, and appends the log lines that they complete to `out`.
    pub fn push(&mut self, mut input: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        while !input.is_empty() {
            let room = MAX_LINE_BYTES - self.pending.len();
            let end = input.iter().take(room + 1).position(|byte| *byte == b'\n');
            match end {
                Some(end) => {
                    self.emit(&input[..end], 'F', now, out);
                    input = &input[end + 1..];
                }
                // At exactly the longest piece the newline may be the next byte to come, and
                // the line is full, not partial: wait for it.
                None if input.len() > room => {
                    self.emit(&input[..room], 'P', now, out);
                    input = &input[room..];
                }
                None => {
                    self.pending.extend_from_slice(input);
                    return;
                }
            }
        }
    }

    /// The stream has ended: what is left of an unfinished line becomes one.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.emit(&[], 'F', now, out);
        }
    }

    fn emit(&mut self, rest: &[u8], tag: char, now: Timestamp, out: &mut Vec<u8>) {
        start_line(self.stream, tag, now, out);
        out.extend_from_slice(&self.pending);
        out.extend_from_slice(rest);
        out.push(b'\n');
        self.pending.clear();
    }
}

/// A whole line of the shim's own, such as one about lost lines.
pub fn notice(text: &str, now: Timestamp) -> Vec<u8> {
    let mut line = Vec::new();
    start_line(Stream::Stderr, 'F', now, &mut line);
    line.extend_from_slice(text.as_bytes());
    line.push(b'\n');
    line
}

fn start_line(stream: Stream, tag: char, now: Timestamp, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{now:.9} {} {tag} ", stream.word());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const PREFIX: &str = "1970-01-01T00:00:00.000000000Z";

    fn log(chunks: &[&[u8]]) -> Vec<u8> {
        let mut splitter = LineSplitter::new(Stream::Stdout);
        let mut out = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, NOW, &mut out);
        }
        splitter.finish(NOW, &mut out);
        out
    }

    /// What a reader of the log gives back.
    fn decode(log: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").expect("each record ends its line");
            let rest = line.strip_prefix(PREFIX.as_bytes()).expect("a time");
            let rest = rest.strip_prefix(b" stdout ").expect("a stream");
            assert_eq!(rest[1], b' ');
            assert!(rest.len() - 2 <= MAX_LINE_BYTES);
            text.extend_from_slice(&rest[2..]);
            match rest[0] {
                b'F' => text.push(b'\n'),
                tag => assert_eq!(tag, b'P'),
            }
        }
        text
    }

    #[test]
    fn each_line_gets_time_stream_and_tag() {
        let text = String::from_utf8(log(&[b"one\n\ntwo\n"])).unwrap();
        assert_eq!(
            text,
            format!("{PREFIX} stdout F one\n{PREFIX} stdout F \n{PREFIX} stdout F two\n")
        );
    }

    #[test]
    fn time_has_nanoseconds() {
        let mut out = Vec::new();
        let now = Timestamp::new(1_700_000_000, 120_000_000).unwrap();
        LineSplitter::new(Stream::Stderr).push(b"x\n", now, &mut out);
        assert_eq!(out, b"2023-11-14T22:13:20.120000000Z stderr F x\n");
    }

    #[test]
    fn an_unfinished_last_line_is_kept_until_the_end() {
        let mut splitter = LineSplitter::new(Stream::Stdout);
        let mut out = Vec::new();
        splitter.push(b"no newline", NOW, &mut out);
        assert!(out.is_empty());
        splitter.finish(NOW, &mut out);
        assert_eq!(decode(&out), b"no newline\n");
        let before = out.len();
        splitter.finish(NOW, &mut out);
        assert_eq!(out.len(), before);
    }

    #[test]
    fn the_longest_line_is_one_record_and_one_byte_more_is_two() {
        let mut line = vec![b'x'; MAX_LINE_BYTES];
        line.push(b'\n');
        assert_eq!(log(&[&line]).iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(log(&[&line[..MAX_LINE_BYTES], b"\n"]).split(|b| *b == b'\n').count(), 2);
        line.insert(0, b'x');
        let text = log(&[&line]);
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert_eq!(decode(&text), line);
    }

    #[test]
    fn bytes_that_are_no_text_pass_unchanged() {
        assert_eq!(decode(&log(&[&[0xff, 0x00, b'\n']])), [0xff, 0x00, b'\n']);
    }

    #[test]
    fn a_notice_is_one_full_line() {
        assert_eq!(notice("lost", NOW), format!("{PREFIX} stderr F lost\n").as_bytes());
    }

    proptest! {
        #[test]
        fn the_log_of_any_chunks_reads_as_the_input(
            chunks in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..60),
                    (1usize..40_000).prop_map(|len| vec![b'a'; len]),
                    Just(b"\n".to_vec()),
                ],
                0..12,
            )
        ) {
            let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let mut expected = chunks.concat();
            if expected.last().is_some_and(|byte| *byte != b'\n') {
                expected.push(b'\n');
            }
            prop_assert_eq!(decode(&log(&slices)), expected);
        }
    }
}
