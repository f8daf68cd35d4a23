//! `[reset]`: what makes the node forget what it has learnt.

use std::time::Duration;

use crate::document::or_default;
use crate::problem::{Refusal, refuse};
use crate::reader::Table;
use crate::{schema, syntax};

/// `[reset]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// A reset is done once for each new word that stands here.
    pub request: Option<String>,
    /// Whether the node stays who it is: machine id, keys.
    pub keep_identity: bool,
    /// So many starts in a row that end early ask for a reset; 0: none do.
    pub power_cycles: u32,
    /// A start that lasts less than this has ended early.
    pub early: Duration,
    /// A line that is held while the node starts.
    pub gpio: Option<Gpio>,
}

/// `[reset.gpio]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpio {
    /// The chip's name below `/dev`, or its label.
    pub chip: String,
    /// The line's number on the chip.
    pub line: u32,
    /// Whether it is held when it is low.
    pub active_low: bool,
    /// For how long it must be held.
    pub hold: Duration,
}

impl Default for Reset {
    fn default() -> Self {
        Self {
            request: None,
            keep_identity: true,
            power_cycles: 0,
            early: Duration::from_secs(20),
            gpio: None,
        }
    }
}

impl Reset {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let default = Self::default();
        let Some(table) = root.table("reset", &schema::RESET) else { return default };
        let early = table.parsed("early", syntax::duration);
        let (least, most) = (Duration::from_secs(5), Duration::from_secs(300));
        if let Some(early) = early.filter(|early| !(least..=most).contains(&early.value)) {
            table.problem(early.at, "the time is out of range", "write a time from 5s to 5m");
        }
        let cycles = table.integer("power-cycles", 0..=20);
        if let Some(cycles) = cycles.filter(|cycles| (1..3).contains(&cycles.value)) {
            let right = "write 3 to 20, or 0 for none";
            table.problem(cycles.at, "so few power cuts happen by accident", right);
        }
        let cycles = cycles.and_then(|cycles| u32::try_from(cycles.value).ok());
        Self {
            request: table.parsed("request", word).map(|word| word.value),
            keep_identity: or_default(table.bool("keep-identity"), default.keep_identity),
            power_cycles: cycles.unwrap_or(default.power_cycles),
            early: or_default(early, default.early),
            gpio: table.table("gpio", &schema::RESET_GPIO).and_then(|table| Gpio::read(&table)),
        }
    }
}

impl Gpio {
    fn read(table: &Table<'_>) -> Option<Self> {
        let hold = table.parsed("hold", syntax::duration);
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(30));
        if let Some(hold) = hold.filter(|hold| !(least..=most).contains(&hold.value)) {
            table.problem(hold.at, "the time is out of range", "write a time from 1s to 30s");
        }
        let chip = table.parsed("chip", chip);
        let line = table.integer("line", 0..=1023);
        for key in ["chip", "line"] {
            if table.place(key).is_none() {
                let right = "say which: chip = \"gpiochip0\", line = 17";
                table.problem(table.at, format!("\"{key}\" is missing"), right);
            }
        }
        let active_low = or_default(table.bool("active-low"), true);
        Some(Self {
            active_low,
            hold: or_default(hold, Duration::from_secs(5)),
            chip: chip?.value,
            line: u32::try_from(line?.value).ok()?,
        })
    }
}

fn word(text: &str) -> Result<String, Refusal> {
    if (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    refuse(
        format!("{text:?} is no word of 1 to 64 letters, digits and signs"),
        "write one that has not stood here before, such as a date",
    )
}

fn chip(text: &str) -> Result<String, Refusal> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if (1..=32).contains(&text.len()) && text.chars().all(is_known) {
        return Ok(text.to_owned());
    }
    refuse(format!("{text:?} is no GPIO chip"), "write its name or label, such as \"gpiochip0\"")
}
