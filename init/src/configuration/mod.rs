//! The configuration phase: finds the node document, checks it, puts it where
//! everybody reads it, and applies what concerns the kernel. Runs in a child of
//! PID 1. A broken document never replaces a good one.

mod base64;
mod choice;
mod last_good;
pub(crate) mod settings;
mod sources;
pub(crate) mod sysctls;

use crate::durable;
use crate::identity;
use crate::kmsg;
use crate::modules::drivers;
use choice::{Choice, Source};
use last_good::LastGood;
use settings::Settings;
use std::path::Path;

/// The document that is in force.
const IN_FORCE: &str = "/run/holm/holm.toml";
/// The last one that was accepted, for the day when the present one is broken.
const LAST_GOOD: &str = "/state/config/last-good.toml";
/// More than this does not help a person at a console.
const MOST_PROBLEMS: usize = 10;

/// Does it all, and gives what PID 1 needs to know.
pub(crate) fn apply() -> Result<Settings, String> {
    let found = sources::find();
    let last_good = std::fs::read_to_string(LAST_GOOD).ok().map(|kept| LastGood::decode(&kept));
    let Choice { text, config, folder, problems, source } = choice::choose(found, last_good);
    let mut complaints = Vec::new();
    if !problems.is_empty() {
        for problem in problems.iter().take(MOST_PROBLEMS) {
            kmsg::announce(problem);
        }
        let more = problems.len().saturating_sub(MOST_PROBLEMS);
        if more > 0 {
            kmsg::announce(&format!("and {more} more problems"));
        }
        let instead = source.text();
        let count = problems.len();
        complaints.push(format!("node document has {count} problems; in force: {instead}"));
    }
    let mut check = |what: &str, result: Result<(), String>| {
        if let Err(reason) = result {
            complaints.push(format!("{what}: {reason}"));
        }
    };
    let text_of = |error: std::io::Error| error.to_string();
    check(IN_FORCE, keep(Path::new(IN_FORCE), &text).map_err(text_of));
    if source == Source::Found {
        // Flushed before anybody acts on it.
        let kept = LastGood::encode(folder, &text);
        check(LAST_GOOD, keep(Path::new(LAST_GOOD), &kept).map_err(text_of));
    }
    if let Some(name) = &config.node.hostname {
        check("host name", identity::set_hostname(name).map_err(text_of));
    }
    check("kernel modules", drivers::load_needed(&config.kernel.modules));
    let (waiting, set) = sysctls::apply(&config.kernel.sysctls);
    check("kernel settings", set);
    if !waiting.is_empty() {
        let waiting = waiting.join(", ");
        kmsg::announce(&format!("kernel settings that wait for their links: {waiting}"));
    }
    Ok(Settings {
        folder: folder.to_owned(),
        watchdog_seconds: config.watchdog.timeout.as_secs(),
        log_max_size: config.log.max_size,
        log_files: config.log.files,
        console: config.console.is_on(),
        complaint: (!complaints.is_empty()).then(|| complaints.join("; ")),
    })
}

/// Writes a document for root alone: it may hold passwords of registries.
fn keep(path: &Path, text: &str) -> std::io::Result<()> {
    durable::replace(path, text.as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn documents_are_for_root_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("holm.toml");
        // An empty one too: services expect the file.
        for text in ["", "[node]\n"] {
            keep(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
