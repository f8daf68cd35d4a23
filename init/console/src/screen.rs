//! The bytes that bring a terminal from what it shows to what it shall show.
//! Only what every terminal of the last forty years understands.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Rect, Size};
use ratatui::style::{Color, Modifier};
use std::io::Write as _;

/// Takes the terminal: attributes off, screen empty, cursor hidden.
pub const SHOW: &[u8] = b"\x1b[0m\x1b[?25l\x1b[2J\x1b[H";
/// Gives it back, empty, for what the kernel says next.
pub const HIDE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[2J\x1b[H";
/// Asks how large the terminal is: it answers where the cursor has come to.
pub const SIZE_QUESTION: &[u8] = b"\x1b[999;999H\x1b[6n";

/// What a terminal shows.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    shown: Option<Buffer>,
}

impl Screen {
    /// Forgets what is shown: the next painting is a whole one.
    pub fn forget(&mut self) {
        self.shown = None;
    }

    /// The bytes that show `next`; none when it is shown already.
    ///
    /// The cursor ends in the last row: what the kernel writes, a panic above all,
    /// scrolls the dashboard up and stays readable.
    pub fn paint(&mut self, next: Buffer) -> Vec<u8> {
        let area = *next.area();
        let known = self.shown.take().filter(|shown| *shown.area() == area);
        let mut bytes = Vec::new();
        let before = known.unwrap_or_else(|| {
            bytes.extend_from_slice(SHOW);
            Buffer::empty(area)
        });
        let mut pen = Pen { at: None, modifier: Modifier::empty(), colour: Color::Reset };
        for (x, y, cell) in before.diff(&next) {
            pen.draw(&mut bytes, (x, y), cell);
        }
        if !bytes.is_empty() {
            let _ = write!(bytes, "\x1b[0m\x1b[{};1H", area.height);
        }
        self.shown = Some(next);
        bytes
    }

    /// A buffer of nothing, of this size.
    pub fn blank(size: Size) -> Buffer {
        Buffer::empty(Rect::new(0, 0, size.width, size.height))
    }
}

/// Where the terminal's cursor is and how it writes.
struct Pen {
    at: Option<(u16, u16)>,
    modifier: Modifier,
    colour: Color,
}

impl Pen {
    fn draw(&mut self, bytes: &mut Vec<u8>, (x, y): (u16, u16), cell: &Cell) {
        if self.at != Some((x, y)) {
            let _ = write!(bytes, "\x1b[{};{}H", y + 1, x + 1);
        }
        if (cell.modifier, cell.fg) != (self.modifier, self.colour) {
            bytes.extend_from_slice(b"\x1b[0");
            for (modifier, code) in [(Modifier::BOLD, ";1"), (Modifier::REVERSED, ";7")] {
                if cell.modifier.contains(modifier) {
                    bytes.extend_from_slice(code.as_bytes());
                }
            }
            if let Some(code) = foreground(cell.fg) {
                let _ = write!(bytes, ";{code}");
            }
            bytes.push(b'm');
            (self.modifier, self.colour) = (cell.modifier, cell.fg);
        }
        let symbol = cell.symbol();
        bytes.extend_from_slice(symbol.as_bytes());
        // How far another letter moves the cursor is the terminal's to know.
        let is_narrow = symbol.len() == 1;
        self.at = is_narrow.then(|| (x + 1, y));
    }
}

fn foreground(colour: Color) -> Option<u8> {
    match colour {
        Color::Red => Some(31),
        Color::Green => Some(32),
        Color::Yellow => Some(33),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::Style;

    fn buffer(text: &str, style: Style) -> Buffer {
        let mut buffer = Screen::blank(Size::new(10, 2));
        buffer.set_string(0, 0, text, style);
        buffer
    }

    fn painted(screen: &mut Screen, next: Buffer) -> String {
        String::from_utf8(screen.paint(next)).unwrap()
    }

    #[test]
    fn first_painting_is_whole_and_next_ones_are_what_changed() {
        let mut screen = Screen::default();
        let first = painted(&mut screen, buffer("load 1.0", Style::new()));
        assert_eq!(first, "\x1b[0m\x1b[?25l\x1b[2J\x1b[H\x1b[1;1Hload\x1b[1;6H1.0\x1b[0m\x1b[2;1H");
        let second = painted(&mut screen, buffer("load 1.2", Style::new()));
        assert_eq!(second, "\x1b[1;8H2\x1b[0m\x1b[2;1H");
        assert_eq!(painted(&mut screen, buffer("load 1.2", Style::new())), "");
    }

    #[test]
    fn forgotten_screen_and_other_size_are_painted_whole() {
        let mut screen = Screen::default();
        screen.paint(buffer("a", Style::new()));
        screen.forget();
        assert!(painted(&mut screen, buffer("a", Style::new())).contains("\x1b[2J"));
        let larger = Screen::blank(Size::new(20, 5));
        assert!(painted(&mut screen, larger).starts_with("\x1b[0m\x1b[?25l\x1b[2J"));
    }

    #[test]
    fn tone_is_changed_once_for_all_that_share_it() {
        let mut screen = Screen::default();
        let style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
        let bytes = painted(&mut screen, buffer("bad", style));
        assert!(bytes.contains("\x1b[0;1;31mbad\x1b[0m"), "{bytes:?}");
    }
}
