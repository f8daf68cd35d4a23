//! Which page a terminal shows, and how far it is scrolled: the keys change it.

use crate::keys::Key;
use crate::pages;
use crate::state::State;
use ratatui::buffer::Buffer;
use ratatui::layout::Size;

/// The logs that can be looked at, by their names on disk; `messages` is the
/// kernel's ring buffer, which is there without a disk too.
pub const LOGS: [&str; 5] = ["messages", "agent", "network", "time", "kernel"];
/// How far one of the keys that page goes.
const PAGE_OF_LINES: usize = 20;
/// No log is kept further back.
const FURTHEST: usize = 100_000;

/// A page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Everything at a glance.
    Overview,
    /// All pods.
    Pods,
    /// One log.
    Logs,
}

const PAGES: [Page; 3] = [Page::Overview, Page::Pods, Page::Logs];

/// What a key asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// To be drawn anew.
    Redraw,
    /// To be drawn from scratch: the screen may be in disorder.
    Repaint,
    /// To give the terminal back to the kernel's messages.
    Leave,
}

/// A terminal's view of the node.
///
/// | key                    | does                                             |
/// |------------------------|--------------------------------------------------|
/// | 1, 2, 3                | that page                                        |
/// | Tab                    | the next page                                    |
/// | left, right            | the next log, on the page of logs                |
/// | up, down, page up, …   | scrolls, on the pages of pods and logs           |
/// | r                      | repaints                                         |
/// | q                      | leaves                                           |
#[derive(Debug, Clone)]
pub struct Dashboard {
    page: Page,
    log: usize,
    scroll: usize,
}

impl Default for Dashboard {
    fn default() -> Self {
        Self { page: Page::Overview, log: 0, scroll: 0 }
    }
}

impl Dashboard {
    /// Takes a key.
    pub fn press(&mut self, key: Key) -> Asked {
        let back = self.page == Page::Logs;
        match key {
            Key::Letter('q' | 'Q') => return Asked::Leave,
            Key::Letter('r' | 'R') => return Asked::Repaint,
            Key::Letter('1') => self.turn_to(Page::Overview),
            Key::Letter('2') => self.turn_to(Page::Pods),
            Key::Letter('3' | 'l' | 'L') => self.turn_to(Page::Logs),
            Key::Tab => {
                let at = PAGES.iter().position(|page| *page == self.page).unwrap_or(0);
                self.turn_to(PAGES[(at + 1) % PAGES.len()]);
            }
            Key::Left | Key::Right if self.page == Page::Logs => {
                let step = if key == Key::Right { 1 } else { LOGS.len() - 1 };
                self.log = (self.log + step) % LOGS.len();
                self.scroll = 0;
            }
            // A log is scrolled from its end, a list from its start.
            Key::Up => self.scroll_by(1, back),
            Key::Down => self.scroll_by(1, !back),
            Key::PageUp => self.scroll_by(PAGE_OF_LINES, back),
            Key::PageDown => self.scroll_by(PAGE_OF_LINES, !back),
            Key::Home => self.scroll = if back { FURTHEST } else { 0 },
            Key::End => self.scroll = if back { 0 } else { FURTHEST },
            _ => return Asked::Nothing,
        }
        Asked::Redraw
    }

    fn turn_to(&mut self, page: Page) {
        self.page = page;
        self.scroll = 0;
    }

    fn scroll_by(&mut self, lines: usize, further: bool) {
        self.scroll = match further {
            true => self.scroll.saturating_add(lines).min(FURTHEST),
            false => self.scroll.saturating_sub(lines),
        };
    }

    /// Keeps the scrolling within `lines`, so that the way back is not longer than
    /// the way there.
    pub fn settle(&mut self, lines: usize) {
        self.scroll = self.scroll.min(lines);
    }

    /// The page.
    pub fn page(&self) -> Page {
        self.page
    }

    /// The log that the page of logs shows.
    pub fn log(&self) -> &'static str {
        LOGS[self.log]
    }

    /// How many lines it is scrolled.
    pub fn scroll(&self) -> usize {
        self.scroll
    }

    /// The cells to show. `log` is the end of [`Dashboard::log`].
    pub fn draw(&self, state: &State, log: &[String], size: Size, colour: bool) -> Buffer {
        pages::draw(self, state, log, size, colour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_turn_pages() {
        let mut dashboard = Dashboard::default();
        assert_eq!(dashboard.press(Key::Letter('3')), Asked::Redraw);
        assert_eq!(dashboard.page(), Page::Logs);
        dashboard.press(Key::Tab);
        assert_eq!(dashboard.page(), Page::Overview);
        assert_eq!(dashboard.press(Key::Letter('q')), Asked::Leave);
        assert_eq!(dashboard.press(Key::Letter('x')), Asked::Nothing);
        assert_eq!(dashboard.press(Key::Letter('r')), Asked::Repaint);
    }

    #[test]
    fn logs_follow_one_another_in_both_directions() {
        let mut dashboard = Dashboard::default();
        dashboard.press(Key::Left);
        assert_eq!(dashboard.log(), "messages", "only the page of logs has several");
        dashboard.press(Key::Letter('3'));
        dashboard.press(Key::Left);
        assert_eq!(dashboard.log(), "kernel");
        dashboard.press(Key::Right);
        dashboard.press(Key::Right);
        assert_eq!(dashboard.log(), "agent");
    }

    #[test]
    fn log_is_scrolled_from_its_end_and_list_from_its_start() {
        let mut dashboard = Dashboard::default();
        dashboard.press(Key::Letter('3'));
        dashboard.press(Key::Up);
        assert_eq!(dashboard.scroll(), 1);
        dashboard.press(Key::PageDown);
        assert_eq!(dashboard.scroll(), 0);
        dashboard.press(Key::Home);
        dashboard.settle(7);
        assert_eq!(dashboard.scroll(), 7);
        dashboard.press(Key::Letter('2'));
        dashboard.press(Key::Down);
        assert_eq!(dashboard.scroll(), 1);
    }
}
