//! The third page: the end of one log, scrolled back as far as it was read.

use super::{Sheet, Text, Tone};
use crate::dashboard::{Dashboard, LOGS};
use ratatui::layout::Rect;

/// Draws it into `body`. Long lines go on in the next row.
pub(super) fn draw(sheet: &mut Sheet, dashboard: &Dashboard, log: &[String], body: Rect) {
    let mut head = Text::default();
    for name in LOGS {
        let this = name == dashboard.log();
        let (tone, word) = if this {
            (Tone::Label, format!("[{name}]"))
        } else {
            (Tone::Plain, format!(" {name} "))
        };
        head = head.and(tone, &word).with(" ");
    }
    sheet.write(1, body.y, &head);
    let room = usize::from(body.height) - 1;
    let rows = rows(log, usize::from(body.width));
    let last = rows.len().saturating_sub(room);
    let first = last.saturating_sub(dashboard.scroll());
    if rows.is_empty() {
        sheet.write(1, body.y + 1, &Text::plain("nothing there yet"));
    }
    for (y, row) in (body.y + 1..).zip(rows.into_iter().skip(first).take(room)) {
        sheet.write(0, y, &Text::plain(row));
    }
}

/// The lines, cut where the terminal ends.
fn rows(log: &[String], width: usize) -> Vec<String> {
    let mut rows = Vec::with_capacity(log.len());
    for line in log {
        let letters: Vec<char> = line.chars().collect();
        rows.extend(letters.chunks(width.max(1)).map(|row| row.iter().collect::<String>()));
        if letters.is_empty() {
            rows.push(String::new());
        }
    }
    rows
}
