//! What can be wrong with a document, told so that a person can mend it.

use std::cell::RefCell;
use std::fmt;

/// More problems than this tell a person nothing, and a hostile text must not fill the memory.
const MOST_PROBLEMS: usize = 100;

/// One thing that is wrong in a node document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the document, as the caller gave it.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}; {}", self.file, self.line, self.column, self.what, self.right)
    }
}

impl std::error::Error for Problem {}

/// Why a value was refused, before its place is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) what: String,
    pub(crate) right: String,
}

/// A refusal as the error of a check.
pub(crate) fn refuse<T>(what: impl Into<String>, right: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { what: what.into(), right: right.into() })
}

/// Gathers problems by byte offset while a document is read.
#[derive(Default)]
pub(crate) struct Report {
    found: RefCell<Vec<(usize, Refusal)>>,
}

impl Report {
    pub(crate) fn add(&self, at: usize, what: impl Into<String>, right: impl Into<String>) {
        self.refuse(at, Refusal { what: what.into(), right: right.into() });
    }

    pub(crate) fn refuse(&self, at: usize, refusal: Refusal) {
        self.found.borrow_mut().push((at, refusal));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Forgets what was found after the first `keep` on the lines of those first: a line that
    /// cannot be read yields follow-up problems that are not the author's.
    pub(crate) fn silence_echoes(&self, keep: usize, text: &str) {
        let mut found = self.found.borrow_mut();
        let lines: Vec<usize> = found.iter().take(keep).map(|(at, _)| place(text, *at).0).collect();
        let mut n = 0;
        found.retain(|(at, _)| {
            n += 1;
            n <= keep || !lines.contains(&place(text, *at).0)
        });
    }

    /// The problems in the order of the text.
    pub(crate) fn into_problems(self, file: &str, text: &str) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(at, _)| *at);
        let more = found.len().saturating_sub(MOST_PROBLEMS);
        found.truncate(MOST_PROBLEMS);
        let mut problems: Vec<Problem> = found
            .into_iter()
            .map(|(at, Refusal { what, right })| {
                let (line, column) = place(text, at);
                let (what, right) = (printable(&what), printable(&right));
                Problem { file: file.into(), line, column, what, right }
            })
            .collect();
        if let (Some(last), true) = (problems.last_mut(), more > 0) {
            last.right.push_str(&format!(" (and {more} more problems)"));
        }
        problems
    }
}

/// Without control characters: a problem is one line, and goes to consoles.
fn printable(text: &str) -> String {
    let escape =
        |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// Line and column of a byte offset, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        assert_eq!(place("ab\ncd", 0), (1, 1));
        assert_eq!(place("ab\ncd", 4), (2, 2));
        assert_eq!(place("ü = 1", 3), (1, 3));
        assert_eq!(place("ü", 1), (1, 1));
        assert_eq!(place("ab", 99), (1, 3));
    }

    #[test]
    fn problems_come_in_the_order_of_the_text() {
        let report = Report::default();
        report.add(3, "late", "x");
        report.add(0, "early", "x");
        let problems = report.into_problems("f", "ab\ncd");
        assert_eq!(problems.iter().map(|p| p.what.as_str()).collect::<Vec<_>>(), ["early", "late"]);
        assert_eq!(problems[1].to_string(), "f:2:1: late; x");
    }

    #[test]
    fn a_problem_is_one_line_without_escape_sequences() {
        let report = Report::default();
        report.add(0, "unknown key \"\u{1b}[2J\n\"", "ü");
        let problems = report.into_problems("f", "");
        assert_eq!(problems[0].what, "unknown key \"\\u{1b}[2J\\n\"");
        assert_eq!(problems[0].right, "ü");
    }

    #[test]
    fn a_flood_of_problems_is_cut_and_counted() {
        let report = Report::default();
        for at in 0..250 {
            report.add(at, "wrong", "right");
        }
        let problems = report.into_problems("f", "");
        assert_eq!(problems.len(), MOST_PROBLEMS);
        assert_eq!(problems[99].right, "right (and 150 more problems)");
    }

    #[test]
    fn follow_ups_on_an_unreadable_line_are_silent() {
        let report = Report::default();
        report.add(1, "syntax", "x");
        report.add(0, "echo", "x");
        report.add(4, "own fault", "x");
        report.silence_echoes(1, "ab\ncd");
        let what: Vec<_> =
            report.into_problems("f", "ab\ncd").into_iter().map(|p| p.what).collect();
        assert_eq!(what, ["syntax", "own fault"]);
    }
}
