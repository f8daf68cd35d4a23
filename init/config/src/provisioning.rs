//! `[provisioning]`: where else a document may come from, and how a new one proves
//! itself.

use std::time::Duration;

use crate::document::or_default;
use crate::problem::{Refusal, refuse};
use crate::reader::Table;
use crate::{schema, syntax};

/// `[provisioning]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioning {
    /// Take the document of a stick labelled `HOLM`.
    pub stick: bool,
    /// Take the `user-data` of a NoCloud seed.
    pub seed: bool,
    /// Show a page for entering a document, as long as there is no other.
    pub page: bool,
    /// Take the document at this URL.
    pub url: Option<String>,
    /// Take the document at the URL that DHCP gives in option 224.
    pub dhcp: bool,
    /// The SHA-256 of the document at the URL, in hexadecimal digits.
    pub sha256: Option<String>,
    /// The minisign public key that has signed the document at the URL.
    pub key: Option<String>,
    /// What proves a new document.
    pub confirm: Confirm,
    /// Within which time it must.
    pub confirm_within: Duration,
}

/// What proves a new document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// The node keeps its connectivity; or the command.
    Connectivity,
    /// The command `holm-init ctl confirm`.
    Command,
    /// Nothing: it is taken at once.
    Off,
}

impl Default for Provisioning {
    fn default() -> Self {
        Self {
            stick: true,
            seed: true,
            page: false,
            url: None,
            dhcp: false,
            sha256: None,
            key: None,
            confirm: Confirm::Connectivity,
            confirm_within: Duration::from_secs(300),
        }
    }
}

impl Provisioning {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let default = Self::default();
        let Some(table) = root.table("provisioning", &schema::PROVISIONING) else { return default };
        let within = table.parsed("confirm-within", syntax::duration);
        let (least, most) = (Duration::from_secs(30), Duration::from_secs(24 * 3600));
        if let Some(within) = within.filter(|within| !(least..=most).contains(&within.value)) {
            table.problem(within.at, "the time is out of range", "write a time from 30s to 24h");
        }
        let read = Self {
            stick: or_default(table.bool("stick"), default.stick),
            seed: or_default(table.bool("seed"), default.seed),
            page: or_default(table.bool("page"), default.page),
            url: table.parsed("url", url).map(|url| url.value),
            dhcp: or_default(table.bool("dhcp"), default.dhcp),
            sha256: table.parsed("sha256", sha256).map(|hash| hash.value),
            key: table.parsed("key", key).map(|key| key.value),
            confirm: or_default(table.parsed("confirm", confirm), default.confirm),
            confirm_within: or_default(within, default.confirm_within),
        };
        read.check(&table);
        read
    }

    /// Nothing from a network is taken on trust.
    fn check(&self, table: &Table<'_>) {
        let at = |key: &str| table.place(key).unwrap_or(table.at);
        if self.dhcp && self.key.is_none() && table.place("key").is_none() {
            let right = "add key = \"...\": whoever answers DHCP could give any document";
            table.problem(at("dhcp"), "\"dhcp\" needs a key", right);
        }
        let is_pinned = ["sha256", "key"].iter().any(|key| table.place(key).is_some());
        if table.place("url").is_some() && !is_pinned {
            let right = "add sha256 = \"...\" or key = \"...\"";
            table.problem(at("url"), "\"url\" needs a pinned hash or key", right);
        }
        if table.place("sha256").is_some() && table.place("url").is_none() {
            table.problem(at("sha256"), "\"sha256\" has no url", "add the url, or remove it");
        }
    }

    /// Whether the document only leads to another one.
    pub fn leads_elsewhere(&self) -> bool {
        self.page || self.dhcp || self.url.is_some()
    }
}

fn confirm(text: &str) -> Result<Confirm, Refusal> {
    let choices = [
        ("connectivity", Confirm::Connectivity),
        ("command", Confirm::Command),
        ("off", Confirm::Off),
    ];
    syntax::choose(text, &choices)
}

fn url(text: &str) -> Result<String, Refusal> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_url = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if is_url && text.len() <= 512 && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    refuse(
        format!("{text:?} is no URL of a document"),
        "write it as \"https://example.org/holm.toml\"",
    )
}

fn sha256(text: &str) -> Result<String, Refusal> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    refuse(format!("{text:?} is no SHA-256"), "write the 64 hexadecimal digits of sha256sum")
}

fn key(text: &str) -> Result<String, Refusal> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    if text.len() == 56 && text.starts_with("RW") && text.chars().all(is_base64) {
        return Ok(text.to_owned());
    }
    refuse(
        format!("{text:?} is no minisign public key"),
        "write the second line of minisign.pub, which begins with RW",
    )
}
