//! Cuts a stream of bytes into lines of bounded length. Pure.

/// A longer line is cut into several.
const LONGEST: usize = 8 * 1024;

/// What has come of a line up to now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes in `bytes` and hands each finished line to `take`, without its end.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, finished) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let mut text = text;
            while self.rest.len() + text.len() > LONGEST {
                let (head, tail) = text.split_at(LONGEST - self.rest.len());
                self.rest.extend_from_slice(head);
                self.finish(&mut take);
                text = tail;
            }
            self.rest.extend_from_slice(text);
            if finished {
                self.finish(&mut take);
            }
        }
    }

    /// Hands over what has no end of line yet.
    pub(crate) fn flush(&mut self, mut take: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            self.finish(&mut take);
        }
    }

    /// Gives the memory back too: PID 1 keeps one of these for each service.
    fn finish(&mut self, take: &mut impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.rest);
        take(line.strip_suffix(b"\r").unwrap_or(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collect(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for part in parts {
            lines.feed(part, |line| found.push(line.to_vec()));
        }
        lines.flush(|line| found.push(line.to_vec()));
        found
    }

    #[test]
    fn line_may_come_in_parts() {
        assert_eq!(
            collect(&[b"on", b"e\ntw", b"o\r\n", b"\nrest"]),
            [&b"one"[..], b"two", b"", b"rest"]
        );
    }

    #[test]
    fn endless_line_is_cut() {
        let found = collect(&[&vec![b'x'; LONGEST * 2 + 1]]);
        let lengths: Vec<_> = found.iter().map(Vec::len).collect();
        assert_eq!(lengths, [LONGEST, LONGEST, 1]);
    }

    proptest! {
        #[test]
        fn cutting_does_not_depend_on_the_parts(text in "[ab\n]{0,60}", cut in 0usize..60) {
            let bytes = text.as_bytes();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(collect(&[bytes]), collect(&[head, tail]));
        }
    }
}
