//! `[hardware]`: settings of the board itself.

use crate::document::values;
use crate::problem::{Refusal, refuse};
use crate::reader::Table;
use crate::{schema, syntax};

/// `[hardware]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hardware {
    /// What chooses the processors' frequency. Unset: what the kernel has chosen.
    pub cpu_governor: Option<String>,
    /// Modules that make device files of buses for pods: `i2c-dev`, `spidev`.
    pub buses: Vec<String>,
}

impl Hardware {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let Some(table) = root.table("hardware", &schema::HARDWARE) else { return Self::default() };
        Self {
            cpu_governor: table.parsed("cpu-governor", governor).map(|governor| governor.value),
            buses: values(table.list("buses", bus)),
        }
    }
}

fn governor(text: &str) -> Result<String, Refusal> {
    let known = ["performance", "powersave", "ondemand", "conservative", "schedutil", "userspace"];
    let choices = known.map(|name| (name, name));
    syntax::choose(text, &choices).map(str::to_owned)
}

fn bus(text: &str) -> Result<String, Refusal> {
    match text {
        "i2c" => Ok("i2c-dev".to_owned()),
        "spi" => Ok("spidev".to_owned()),
        _ => refuse(format!("{text:?} is no bus that has device files"), "write i2c, spi"),
    }
}
