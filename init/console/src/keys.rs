//! Keys out of the bytes that a terminal sends, whatever kind it is.

/// An escape sequence that is longer is none.
const LONGEST: usize = 24;

/// A key, or the terminal's answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Return or line feed.
    Enter,
    /// The tabulator.
    Tab,
    /// The arrow up.
    Up,
    /// The arrow down.
    Down,
    /// The arrow to the left.
    Left,
    /// The arrow to the right.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The very first.
    Home,
    /// The very last.
    End,
    /// A printable letter.
    Letter(char),
    /// Where the cursor is: rows and columns from 1 on.
    Cursor(u16, u16),
}

/// The bytes of a key that has not come whole yet.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    rest: Vec<u8>,
}

impl Keys {
    /// The keys in `bytes`, which may begin and end in the midst of one.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        for &byte in bytes {
            if self.rest.is_empty() && byte != 0x1b {
                keys.extend(plain(byte));
                continue;
            }
            if byte == 0x1b {
                // Whatever came before was no key.
                self.rest.clear();
            }
            self.rest.push(byte);
            if self.is_whole() || self.rest.len() > LONGEST {
                keys.extend(sequence(&std::mem::take(&mut self.rest)));
            }
        }
        keys
    }

    /// `ESC letter`, `ESC O letter`, `ESC [ [ letter` or `ESC [ … letter`.
    fn is_whole(&self) -> bool {
        match self.rest.as_slice() {
            [0x1b] | [0x1b, b'[' | b'O'] | [0x1b, b'[', b'['] => false,
            [0x1b, b'[', b'[', ..] | [0x1b, b'O', ..] => true,
            [0x1b, b'[', .., last] => (0x40..=0x7e).contains(last),
            _ => true,
        }
    }
}

fn plain(byte: u8) -> Option<Key> {
    match byte {
        b'\r' | b'\n' => Some(Key::Enter),
        b'\t' => Some(Key::Tab),
        b' '..=b'~' => Some(Key::Letter(char::from(byte))),
        _ => None,
    }
}

fn sequence(bytes: &[u8]) -> Option<Key> {
    let text = str::from_utf8(bytes.get(1..)?).ok()?;
    match text {
        "[A" | "OA" => Some(Key::Up),
        "[B" | "OB" => Some(Key::Down),
        "[C" | "OC" => Some(Key::Right),
        "[D" | "OD" => Some(Key::Left),
        "[H" | "OH" | "[1~" | "[7~" => Some(Key::Home),
        "[F" | "OF" | "[4~" | "[8~" => Some(Key::End),
        "[5~" => Some(Key::PageUp),
        "[6~" => Some(Key::PageDown),
        _ => {
            let (rows, columns) = text.strip_prefix('[')?.strip_suffix('R')?.split_once(';')?;
            Some(Key::Cursor(rows.parse().ok()?, columns.parse().ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_of_several_terminals_are_known() {
        let keys = Keys::default().feed(b"q\r\t\x1b[A\x1bOB\x1b[5~\x1b[4~1");
        assert_eq!(
            keys,
            [
                Key::Letter('q'),
                Key::Enter,
                Key::Tab,
                Key::Up,
                Key::Down,
                Key::PageUp,
                Key::End,
                Key::Letter('1'),
            ]
        );
    }

    #[test]
    fn key_may_come_in_parts() {
        let mut keys = Keys::default();
        assert!(keys.feed(b"\x1b").is_empty());
        assert!(keys.feed(b"[").is_empty());
        assert_eq!(keys.feed(b"Bx"), [Key::Down, Key::Letter('x')]);
    }

    #[test]
    fn terminal_tells_its_size_by_where_the_cursor_ends_up() {
        assert_eq!(Keys::default().feed(b"\x1b[25;80R"), [Key::Cursor(25, 80)]);
        assert!(Keys::default().feed(b"\x1b[;80R\x1b[99999;1R").is_empty());
    }

    #[test]
    fn unknown_sequence_is_passed_over_whole() {
        assert_eq!(
            Keys::default().feed(b"\x1b[[A\x1b[15~\x1bx\x1b\x1b[Aq"),
            [Key::Up, Key::Letter('q')]
        );
    }

    proptest! {
        #[test]
        fn noise_on_a_line_is_survived_and_never_held_for_long(bytes: Vec<u8>) {
            let mut keys = Keys::default();
            keys.feed(&bytes);
            prop_assert!(keys.rest.len() <= LONGEST);
        }
    }
}
