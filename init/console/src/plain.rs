//! Texts for a person: cleaned of what would disturb a terminal, and numbers in
//! the units that people use.

use std::time::Duration;

/// `text` as one line of printable characters: a log may hold anything, and a
/// terminal obeys what it is sent.
pub(crate) fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.trim_end().chars() {
        match letter {
            '\t' => line.push_str("    "),
            // Also those that change the direction of what follows.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            letter if letter.is_control() => line.push(' '),
            letter => line.push(letter),
        }
    }
    line
}

/// A time span in its two largest units.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if minutes == 0 => format!("{seconds} s"),
        () if hours == 0 => format!("{minutes} min {} s", seconds % 60),
        () if days == 0 => format!("{hours} h {} min", minutes % 60),
        () => format!("{days} d {} h", hours % 24),
    }
}

/// How full something is, in bytes: both numbers in the unit of the larger.
pub(crate) fn filling(used: u64, size: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let found = UNITS.into_iter().find(|(shift, _)| size >> shift >= 10);
    let (shift, unit) = found.unwrap_or((0, "B"));
    let rounded = |bytes: u64| bytes.saturating_add((1 << shift) >> 1) >> shift;
    format!("{} of {} {unit}", rounded(used), rounded(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_becomes_blank() {
        assert_eq!(clean("a\u{1b}[2Jb\tc\r\n"), "a [2Jb    c");
        assert_eq!(clean("\u{202e}evil"), "evil");
        assert_eq!(clean("Größe"), "Größe");
    }

    #[test]
    fn spans_have_two_units() {
        let spans = [59, 61, 3600, 90_061].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }

    #[test]
    fn filling_is_told_in_the_unit_of_the_whole() {
        assert_eq!(filling(48 << 20, 118 << 20), "48 of 118 MiB");
        assert_eq!(filling(3 << 30, 29 << 30), "3 of 29 GiB");
        assert_eq!(filling(0, 0), "0 of 0 B");
        assert_eq!(filling(u64::MAX, u64::MAX), "16777215 of 16777215 TiB");
    }

    proptest! {
        #[test]
        fn cleaned_text_has_no_control_character(text in ".{0,60}") {
            prop_assert!(!clean(&text).chars().any(char::is_control));
        }
    }
}
