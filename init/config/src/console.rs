//! `[console]`: where and when the node shows its dashboard.

use crate::document::{or_default, values};
use crate::reader::Table;
use crate::{schema, syntax};

/// `[console]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// On the screen.
    pub screen: Appearance,
    /// On serial lines.
    pub serial: Appearance,
    /// Names of the terminals below `/dev`. When empty, those that the kernel has as consoles.
    pub terminals: Vec<String>,
    /// Whether it uses colours.
    pub colour: bool,
}

/// What makes the dashboard appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appearance {
    /// The node is ready, or the key Enter.
    WhenReady,
    /// The key Enter.
    OnKey,
    /// Nothing.
    Off,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            screen: Appearance::WhenReady,
            serial: Appearance::OnKey,
            terminals: Vec::new(),
            colour: true,
        }
    }
}

impl Console {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let default = Self::default();
        let Some(table) = root.table("console", &schema::CONSOLE) else { return default };
        Self {
            screen: or_default(table.parsed("screen", appearance), default.screen),
            serial: or_default(table.parsed("serial", appearance), default.serial),
            terminals: values(table.list("terminals", syntax::terminal)),
            colour: or_default(table.bool("colour"), default.colour),
        }
    }

    /// Whether any terminal may show it.
    pub fn is_on(&self) -> bool {
        self.screen != Appearance::Off || self.serial != Appearance::Off
    }
}

fn appearance(text: &str) -> Result<Appearance, crate::problem::Refusal> {
    let choices = [
        ("when-ready", Appearance::WhenReady),
        ("on-key", Appearance::OnKey),
        ("off", Appearance::Off),
    ];
    syntax::choose(text, &choices)
}
