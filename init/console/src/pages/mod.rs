//! The pages of the dashboard, each from the node's state to the cells of a
//! terminal. Nothing is said by colour alone.

mod logs;
mod overview;
mod pods;
mod text;

pub(crate) use text::{Text, Tone};

use crate::dashboard::{Dashboard, Page};
use crate::plain::span;
use crate::state::State;
use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};

/// The width of the words in the margin.
const MARGIN: u16 = 10;

/// Draws the page that `dashboard` shows. `log` is what it asked for.
pub(crate) fn draw(
    dashboard: &Dashboard,
    state: &State,
    log: &[String],
    size: Size,
    colour: bool,
) -> Buffer {
    let area = Rect::new(0, 0, size.width, size.height);
    let mut sheet = Sheet { buffer: Buffer::empty(area), colour };
    if area.height < 3 || area.width < 20 {
        sheet.write(0, 0, &Text::plain("too small"));
        return sheet.buffer;
    }
    sheet.bar(0, &title(state));
    sheet.bar(area.height - 1, &keys(dashboard.page(), size.width));
    let body = Rect::new(0, 1, area.width, area.height - 2);
    match dashboard.page() {
        Page::Overview => overview::draw(&mut sheet, state, body),
        Page::Pods => pods::draw(&mut sheet, state, dashboard.scroll(), body),
        Page::Logs => logs::draw(&mut sheet, dashboard, log, body),
    }
    sheet.buffer
}

/// What has room for text.
struct Sheet {
    buffer: Buffer,
    colour: bool,
}

impl Sheet {
    /// Writes `text` into row `y` from column `x` on, as far as it fits.
    fn write(&mut self, x: u16, y: u16, text: &Text) {
        let end = self.buffer.area().width;
        let mut x = x;
        for (tone, words) in text.pieces() {
            if x >= end {
                return;
            }
            let style = tone.style(self.colour);
            (x, _) = self.buffer.set_stringn(x, y, words, usize::from(end - x), style);
        }
    }

    /// Writes `text` into row `y` as a bar over the whole width.
    fn bar(&mut self, y: u16, text: &(String, String)) {
        let width = self.buffer.area().width;
        let row = Rect::new(0, y, width, 1);
        self.buffer.set_style(row, Tone::Bar.style(self.colour));
        self.write(1, y, &Text::of(Tone::Bar, &text.0));
        let length = u16::try_from(text.1.chars().count()).unwrap_or(width);
        let left = u16::try_from(text.0.chars().count()).unwrap_or(width).saturating_add(3);
        // The right side gives way to the left one.
        if let Some(x) = width.checked_sub(length.saturating_add(1)).filter(|x| *x >= left) {
            self.write(x, y, &Text::of(Tone::Bar, &text.1));
        }
    }
}

fn title(state: &State) -> (String, String) {
    let mut left = vec![state.hostname.clone(), format!("{} {}", state.version, state.board)];
    left.push(state.slot.clone());
    left.retain(|part| !part.trim().is_empty());
    let left = left.iter().map(|part| part.trim()).collect::<Vec<_>>().join("   ");
    (left, format!("up {}", span(state.uptime)))
}

fn keys(page: Page, width: u16) -> (String, String) {
    let name = |number, name, this| {
        if page == this { format!("[{number} {name}]") } else { format!(" {number} {name} ") }
    };
    let left = [
        name(1, "Overview", Page::Overview),
        name(2, "Pods", Page::Pods),
        name(3, "Logs", Page::Logs),
    ];
    let more = match page {
        Page::Overview => "q Messages",
        Page::Pods => "Up/Down  q Messages",
        Page::Logs if width < 70 => "Arrows  q Messages",
        Page::Logs => "Left/Right which  Up/Down  q Messages",
    };
    (left.join(" "), more.to_owned())
}

#[cfg(test)]
#[path = "../pages_tests.rs"]
mod tests;
