//! The page of a node without a document: a QR code that leads to the page for
//! entering one, and its address for who cannot scan it.

use super::{Sheet, Text, Tone};
use qrcodegen::{QrCode, QrCodeEcc};
use ratatui::layout::Rect;

/// The code's own blank border, which readers need.
const BORDER: i32 = 2;

/// Draws it into `body`.
pub(super) fn draw(sheet: &mut Sheet, url: &str, body: Rect) {
    let code = rows(url);
    let width = code.first().map_or(0, |row| row.chars().count());
    let fits = code.len() <= usize::from(body.height) && width < usize::from(body.width);
    let words = [
        ("This node has no document yet.", Tone::Label),
        ("", Tone::Plain),
        ("Scan the code, or open", Tone::Plain),
        (url, Tone::Label),
        ("from the same network, and enter", Tone::Plain),
        ("what the node is to be.", Tone::Plain),
    ];
    let is_beside = fits && usize::from(body.width) >= width + 2 + url.chars().count();
    let mut y = body.y;
    if fits {
        for row in &code {
            sheet.write(0, y, &Text::of(Tone::Code, row));
            y += 1;
        }
    }
    let (x, mut y) = if is_beside { (width as u16 + 2, body.y + 1) } else { (1, y) };
    for (line, tone) in words {
        if y < body.y + body.height {
            sheet.write(x, y, &Text::of(tone, line));
        }
        y += 1;
    }
}

/// The code, two of its rows in one of the terminal's. Light on dark, as terminals
/// are: what is blank is dark, and readers take both.
fn rows(url: &str) -> Vec<String> {
    // Capital letters take little more than half the room; hosts and schemes do not
    // mind, and the page's own path has no others.
    let Ok(code) = QrCode::encode_text(&url.to_ascii_uppercase(), QrCodeEcc::Low) else {
        return Vec::new();
    };
    let range = -BORDER..code.size() + BORDER;
    let is_light = |x, y| !code.get_module(x, y);
    let row = |y: i32| {
        let letter = |x| match (is_light(x, y), is_light(x, y + 1)) {
            (true, true) => '\u{2588}',
            (true, false) => '\u{2580}',
            (false, true) => '\u{2584}',
            (false, false) => ' ',
        };
        range.clone().map(letter).collect()
    };
    range.clone().step_by(2).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modules that a reader sees.
    fn modules(rows: &[String]) -> Vec<Vec<bool>> {
        let half = |row: &String, upper: char| -> Vec<bool> {
            row.chars().map(|letter| letter != '\u{2588}' && letter != upper).collect()
        };
        rows.iter().flat_map(|row| [half(row, '\u{2580}'), half(row, '\u{2584}')]).collect()
    }

    #[test]
    fn picture_has_the_modules_of_the_code() {
        let url = "http://192.168.1.10/ABCDEFGHJK";
        let code = QrCode::encode_text(&url.to_ascii_uppercase(), QrCodeEcc::Low).unwrap();
        let seen = modules(&rows(url));
        for y in 0..code.size() {
            for x in 0..code.size() {
                let (row, column) = ((y + BORDER) as usize, (x + BORDER) as usize);
                assert_eq!(seen[row][column], code.get_module(x, y), "{x} {y}");
            }
        }
        assert!(seen[0].iter().all(|dark| !dark), "the border is light");
    }

    #[test]
    fn code_of_an_address_fits_the_smallest_screen() {
        let rows = rows("http://192.168.100.100/ABCDEFGHJK");
        assert!(rows.len() <= 20 && rows[0].chars().count() <= 40, "{}", rows.len());
    }
}
