//! The configuration of wpa_supplicant out of the node document's networks. Pure.
//! Its form: wpa_supplicant.conf(5).

use holm_config::{Wifi, WifiSecurity};
use std::fmt::Write as _;

/// The text. It holds secrets: for root alone.
pub(crate) fn text(networks: &[Wifi]) -> String {
    let mut text =
        String::from("# Written by holm-init wifi; changes are lost.\nupdate_config=0\n");
    // One radio keeps the rules of one country.
    if let Some(country) = networks.iter().find_map(|network| network.country.as_deref()) {
        let _ = writeln!(text, "country={country}");
    }
    // WPA3 by either of its two ways to the key.
    text.push_str("sae_pwe=2\n");
    for network in networks {
        let _ = write!(text, "network={{\n{}}}\n", entry(network));
    }
    text
}

fn entry(network: &Wifi) -> String {
    // Any bytes are a name, so it is written in digits.
    let ssid: String = network.ssid.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!("\tssid={ssid}\n");
    if network.hidden {
        text.push_str("\tscan_ssid=1\n");
    }
    if network.priority > 0 {
        let _ = writeln!(text, "\tpriority={}", network.priority);
    }
    let secret = network.passphrase.as_ref().map(|secret| secret.reveal()).unwrap_or_default();
    // The last quotation mark ends the text, so one within is no harm; a key of 64
    // digits stands without.
    let psk = if secret.len() == 64 { secret.to_owned() } else { format!("\"{secret}\"") };
    let _ = match network.security {
        WifiSecurity::Open => writeln!(text, "\tkey_mgmt=NONE"),
        WifiSecurity::Wpa2 => {
            writeln!(text, "\tkey_mgmt=WPA-PSK WPA-PSK-SHA256\n\tpsk={psk}\n\tieee80211w=1")
        }
        WifiSecurity::Wpa2OrWpa3 => {
            writeln!(text, "\tkey_mgmt=SAE WPA-PSK WPA-PSK-SHA256\n\tpsk={psk}\n\tieee80211w=1")
        }
        WifiSecurity::Wpa3 => {
            writeln!(text, "\tkey_mgmt=SAE\n\tsae_password=\"{secret}\"\n\tieee80211w=2")
        }
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(document: &str) -> Vec<Wifi> {
        holm_config::parse(document, "holm.toml").unwrap().wifi
    }

    #[test]
    fn every_security_has_its_keys() {
        let text = text(&networks(
            "[[wifi]]\nssid = \"a\"\npassphrase = \"eight or more\"\ncountry = \"DE\"\n\
             [[wifi]]\nssid = \"b\"\npassphrase = \"12345678\"\nsecurity = \"wpa3\"\nhidden = true\n\
             [[wifi]]\nssid = \"c\"\nsecurity = \"open\"\npriority = 5\n",
        ));
        assert_eq!(
            text,
            "# Written by holm-init wifi; changes are lost.\nupdate_config=0\ncountry=DE\nsae_pwe=2\n\
             network={\n\tssid=61\n\tkey_mgmt=SAE WPA-PSK WPA-PSK-SHA256\n\
             \tpsk=\"eight or more\"\n\tieee80211w=1\n}\n\
             network={\n\tssid=62\n\tscan_ssid=1\n\tkey_mgmt=SAE\n\tsae_password=\"12345678\"\n\
             \tieee80211w=2\n}\n\
             network={\n\tssid=63\n\tpriority=5\n\tkey_mgmt=NONE\n}\n"
        );
    }

    #[test]
    fn names_and_secrets_cannot_add_lines_of_their_own() {
        let text = text(&networks(
            "[[wifi]]\nssid = \"x\\n}\\nnetwork={\"\npassphrase = \"a\\\"b\\\"#cdefg\"\nsecurity = \"wpa2\"\n",
        ));
        assert_eq!(text.matches("network={").count(), 1, "{text}");
        assert!(text.contains("\tpsk=\"a\"b\"#cdefg\"\n"), "{text}");
    }

    #[test]
    fn key_in_digits_stands_without_quotation_marks() {
        let key = "0123456789abcdef".repeat(4);
        let document =
            format!("[[wifi]]\nssid = \"a\"\nsecurity = \"wpa2\"\npassphrase = \"{key}\"\n");
        assert!(text(&networks(&document)).contains(&format!("\tpsk={key}\n")));
    }
}
