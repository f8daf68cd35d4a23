//! `[update]`: where new versions come from, when they are taken, and what proves them.

use std::time::Duration;

use crate::document::{or_default, values};
use crate::problem::{Refusal, refuse};
use crate::reader::Table;
use crate::{schema, syntax};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MINUTES_OF_A_DAY: u16 = 24 * 60;

/// `[update]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Places of the repository, tried in order: `https://…`, `http://…`, or an absolute folder.
    /// Empty: the node is updated by commands only.
    pub places: Vec<String>,
    /// The channel that the node follows.
    pub channel: String,
    /// Whether the node installs and tries what it finds by itself.
    pub automatic: bool,
    /// How often it looks, on average.
    pub poll: Duration,
    /// When trials may begin; empty: at any time.
    pub windows: Vec<Window>,
    /// For how long all checks of a trial have to hold.
    pub settle: Duration,
    /// Within which time of a trial they have to.
    pub limit: Duration,
    /// Further checks: programs with their arguments, which end with status 0 when all is well.
    pub checks: Vec<Vec<String>>,
    /// Bytes in a second that a download may take.
    pub rate_limit: Option<u64>,
    /// Proxy for downloads.
    pub proxy: Option<String>,
}

impl Default for Update {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            channel: "stable".to_owned(),
            automatic: true,
            poll: Duration::from_secs(6 * 3600),
            windows: Vec::new(),
            settle: Duration::from_secs(120),
            limit: Duration::from_secs(900),
            checks: Vec::new(),
            rate_limit: None,
            proxy: None,
        }
    }
}

/// A time of the week, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins: bit 0 is Monday.
    pub days: u8,
    /// Its first minute of the day.
    pub from: u16,
    /// The minute of the day before which it ends; not after `from` means on the next day.
    pub to: u16,
}

impl Window {
    /// Whether it is open on `day` (0 is Monday) at `minute` of the day.
    pub fn is_open(&self, day: u8, minute: u16) -> bool {
        let begins = |day: u8| self.days & (1 << (day % 7)) != 0;
        if self.from < self.to {
            return begins(day) && (self.from..self.to).contains(&minute);
        }
        (begins(day) && minute >= self.from) || (begins(day + 6) && minute < self.to)
    }
}

impl Update {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let default = Self::default();
        let Some(table) = root.table("update", &schema::UPDATE) else { return default };
        let checks = table.list("checks", command);
        let update = Self {
            places: values(table.list("places", place)),
            channel: or_default(table.parsed("channel", syntax::label_value), default.channel),
            automatic: or_default(table.bool("automatic"), default.automatic),
            poll: or_default(table.parsed("poll", syntax::duration), default.poll),
            windows: values(table.list("windows", window)),
            settle: or_default(table.parsed("settle", syntax::duration), default.settle),
            limit: or_default(table.parsed("limit", syntax::duration), default.limit),
            checks: values(checks),
            rate_limit: table.parsed("rate-limit", syntax::size).map(|limit| limit.value),
            proxy: table.parsed("proxy", proxy).map(|proxy| proxy.value),
        };
        if update.poll < Duration::from_secs(60) {
            let at = table.place("poll").unwrap_or(table.at);
            table.problem(at, "no server is to be asked so often", "write 1m or more");
        }
        if update.limit <= update.settle {
            let at = table.place("limit").or(table.place("settle")).unwrap_or(table.at);
            table.problem(
                at,
                "a trial would be over before its checks have held for long enough",
                "make limit longer than settle",
            );
        }
        update
    }
}

fn place(text: &str) -> Result<String, Refusal> {
    let is_place = ["https://", "http://", "/"]
        .iter()
        .any(|begin| text.strip_prefix(begin).is_some_and(|rest| !rest.is_empty()));
    if is_place && !text.contains(char::is_whitespace) {
        return Ok(text.to_owned());
    }
    refuse(format!("{text:?} is no place for updates"), "write https://…, http://… or /folder")
}

fn proxy(text: &str) -> Result<String, Refusal> {
    let host = text.strip_prefix("http://").unwrap_or_default();
    if !host.is_empty() && !host.contains(char::is_whitespace) {
        return Ok(text.to_owned());
    }
    refuse(format!("{text:?} is no proxy"), "write http://host:port")
}

fn command(text: &str) -> Result<Vec<String>, Refusal> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    match words.first() {
        Some(program) if program.starts_with('/') => Ok(words),
        _ => refuse(format!("{text:?} names no program"), "write /path/to/program and arguments"),
    }
}

/// `daily 02:00-04:00`, `Sun 01:00-03:00`, `Mon-Fri 22:00-05:00`.
fn window(text: &str) -> Result<Window, Refusal> {
    let read = || {
        let (days, times) = text.split_once(' ')?;
        let (from, to) = times.trim().split_once('-')?;
        Some(Window { days: read_days(days)?, from: minute(from)?, to: minute(to)? })
    };
    match read() {
        Some(window) if window.from < MINUTES_OF_A_DAY => Ok(window),
        _ => refuse(
            format!("{text:?} is no time of the week"),
            "write \"daily 02:00-04:00\", \"Sun 01:00-03:00\" or \"Mon-Fri 22:00-05:00\"",
        ),
    }
}

fn read_days(text: &str) -> Option<u8> {
    if text == "daily" {
        return Some(0x7f);
    }
    let day = |text: &str| DAYS.iter().position(|day| *day == text);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    let count = (last + 7 - first) % 7;
    Some((0..=count).fold(0, |days, step| days | 1 << ((first + step) % 7)))
}

/// Minutes since midnight; 24:00 is the end of the day.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<u16>().ok())?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= MINUTES_OF_A_DAY).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_is_open_on_its_days_and_past_midnight() {
        let nightly = window("daily 02:00-04:00").unwrap();
        assert!(nightly.is_open(0, 120) && nightly.is_open(6, 239));
        assert!(!nightly.is_open(0, 119) && !nightly.is_open(0, 240));
        let week = window("Mon-Fri 22:00-05:00").unwrap();
        assert!(week.is_open(4, 23 * 60) && week.is_open(5, 4 * 60));
        assert!(!week.is_open(5, 23 * 60) && !week.is_open(0, 4 * 60));
        let round = window("Sat-Mon 00:00-24:00").unwrap();
        assert!([5, 6, 0].iter().all(|day| round.is_open(*day, 1439)) && !round.is_open(1, 0));
    }

    #[test]
    fn other_texts_are_no_windows() {
        for text in
            ["", "daily", "daily 2:00-4:00", "Mo 02:00-04:00", "Mon 02:60-04:00", "Mon 24:00-25:00"]
        {
            assert!(window(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_proxies_and_commands_are_told_from_nonsense() {
        assert!(place("https://updates.example/holm").is_ok() && place("/data/updates").is_ok());
        assert!(place("ftp://x").is_err() && place("https://").is_err() && place("/a b").is_err());
        assert!(proxy("http://proxy:3128").is_ok() && proxy("proxy:3128").is_err());
        assert_eq!(command("/data/check -q").unwrap(), ["/data/check", "-q"]);
        assert!(command("check").is_err() && command(" ").is_err());
    }
}
