//! What PID 1 itself takes from the node document, as the child tells it.

use serde::{Deserialize, Serialize};

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The folder that the document came from, for paths relative to it.
    pub(crate) folder: String,
    /// `watchdog.timeout`
    pub(crate) watchdog_seconds: u64,
    /// `log.max-size`, in bytes.
    pub(crate) log_max_size: u64,
    /// `log.files`
    pub(crate) log_files: u32,
    /// Whether any terminal may show the dashboard.
    pub(crate) console: bool,
    /// What was wrong, if anything was.
    pub(crate) complaint: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            folder: "/boot".to_owned(),
            watchdog_seconds: 30,
            log_max_size: 1 << 20,
            log_files: 4,
            console: true,
            complaint: None,
        }
    }
}

impl Settings {
    /// As one line.
    pub(crate) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the last line of `text`.
    pub(crate) fn decode(text: &str) -> Result<Self, String> {
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).map_err(|error| format!("no settings were told: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_in_one_line() {
        let settings = Settings { complaint: Some("a\nb".into()), ..Settings::default() };
        assert_eq!(settings.encode().lines().count(), 1);
        assert_eq!(Settings::decode(&settings.encode()), Ok(settings.clone()));
        assert_eq!(Settings::decode(&format!("words\n{}", settings.encode())), Ok(settings));
        assert!(Settings::decode("words").is_err());
    }

    #[test]
    fn defaults_are_the_documents() {
        let document = holm_config::NodeConfig::default();
        let settings = Settings::default();
        assert_eq!(settings.watchdog_seconds, document.watchdog.timeout.as_secs());
        assert_eq!(settings.log_max_size, document.log.max_size);
        assert_eq!(settings.log_files, document.log.files);
        assert_eq!(settings.console, document.console.is_on());
    }
}
