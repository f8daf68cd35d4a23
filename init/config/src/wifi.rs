//! `[[wifi]]`: the wireless networks that the node may join.

use crate::document::or_default;
use crate::problem::{Refusal, refuse};
use crate::reader::Table;
use crate::{Secret, schema, syntax};

/// One entry of `[[wifi]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wifi {
    /// The network's name.
    pub ssid: String,
    /// Its passphrase, or its key in hexadecimal digits. None for an open network.
    pub passphrase: Option<Secret>,
    /// How it is protected.
    pub security: WifiSecurity,
    /// Whether it does not announce itself.
    pub hidden: bool,
    /// The higher, the rather.
    pub priority: u32,
    /// The country whose rules the radio keeps, two letters.
    pub country: Option<String>,
}

/// How a wireless network is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WifiSecurity {
    /// By WPA3 where it can, else by WPA2.
    Wpa2OrWpa3,
    /// By WPA2.
    Wpa2,
    /// By WPA3.
    Wpa3,
    /// Not at all.
    Open,
}

pub(crate) fn read(root: &Table<'_>) -> Vec<Wifi> {
    let tables = root.tables("wifi", &schema::WIFI);
    tables.iter().filter_map(entry).collect()
}

fn entry(table: &Table<'_>) -> Option<Wifi> {
    let security = or_default(table.parsed("security", security), WifiSecurity::Wpa2OrWpa3);
    let passphrase = table.text("passphrase");
    let is_open = security == WifiSecurity::Open;
    match passphrase {
        Some(given) if is_open => {
            let right = "remove it, or the security";
            table.problem(given.at, "an open network has no passphrase", right);
        }
        // Not the passphrase itself: problems are logged.
        Some(given) if !is_passphrase(given.value, security) => {
            let right =
                "write 8 to 63 characters of ASCII, or for WPA2 a key of 64 hexadecimal digits";
            table.problem(given.at, "this is no passphrase", right);
        }
        None if !is_open && table.place("passphrase").is_none() => {
            let right = "add it, or security = \"open\"";
            table.problem(table.at, "\"passphrase\" is missing", right);
        }
        _ => {}
    }
    if table.place("ssid").is_none() {
        table.problem(table.at, "\"ssid\" is missing", "add the network's name");
    }
    // All of them, for each has its own problems.
    let name = table.parsed("ssid", ssid);
    let hidden = or_default(table.bool("hidden"), false);
    let priority = table.integer("priority", 0..=1000);
    let country = table.parsed("country", country).map(|country| country.value);
    Some(Wifi {
        ssid: name?.value,
        passphrase: passphrase.map(|given| Secret::new(given.value)),
        security,
        hidden,
        priority: priority.and_then(|given| u32::try_from(given.value).ok()).unwrap_or(0),
        country,
    })
}

fn is_passphrase(text: &str, security: WifiSecurity) -> bool {
    let is_text =
        (8..=63).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_text || (is_key && security == WifiSecurity::Wpa2)
}

fn security(text: &str) -> Result<WifiSecurity, Refusal> {
    let choices = [
        ("wpa2-or-wpa3", WifiSecurity::Wpa2OrWpa3),
        ("wpa2", WifiSecurity::Wpa2),
        ("wpa3", WifiSecurity::Wpa3),
        ("open", WifiSecurity::Open),
    ];
    syntax::choose(text, &choices)
}

fn ssid(text: &str) -> Result<String, Refusal> {
    if (1..=32).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    refuse(format!("{text:?} has {} bytes", text.len()), "write 1 to 32")
}

fn country(text: &str) -> Result<String, Refusal> {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(text.to_owned());
    }
    refuse(format!("{text:?} is no country"), "write the two capital letters of ISO 3166")
}
