//! Which servers to ask: the document's, else those that the network offered, else a default.
//! Pure.

use serde_json::Value;

/// Volunteers' servers; each name look-up gives a few of them.
const DEFAULT: &str = "pool.ntp.org";

/// Names or addresses of servers. `network` is the text of the network service's report, whose
/// field `ntp` lists what DHCP servers offered.
pub(crate) fn choose(configured: &[String], network: &str) -> Vec<String> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    let report: Value = serde_json::from_str(network).unwrap_or_default();
    let offered = report.get("ntp").and_then(Value::as_array);
    let offered: Vec<String> =
        offered.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if offered.is_empty() { vec![DEFAULT.to_owned()] } else { offered }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_goes_before_dhcp_and_dhcp_before_the_default() {
        let configured = ["ntp.example".to_owned()];
        let network = r#"{"dns": ["192.0.2.1"], "ntp": ["192.0.2.5", "192.0.2.6"]}"#;
        assert_eq!(choose(&configured, network), configured);
        assert_eq!(choose(&[], network), ["192.0.2.5", "192.0.2.6"]);
        assert_eq!(choose(&[], r#"{"ntp": []}"#), [DEFAULT]);
    }

    #[test]
    fn a_report_that_is_missing_or_damaged_offers_nothing() {
        for network in ["", "{", "[]", r#"{"ntp": "x"}"#, r#"{"ntp": [5, null]}"#] {
            assert_eq!(choose(&[], network), [DEFAULT], "{network}");
        }
    }
}
