//! The factory reset: who asks for it notes so durably and starts the node again;
//! it is done before the disks are used. Runs in children of PID 1.

mod button;
mod decide;

use crate::ctl;
use crate::durable;
use crate::kmsg;
use decide::{Decision, STEPS, Seen, Step, decide, stays, stays_on_data};
use holm_config::Reset;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const STATE: &str = "/state";
const DATA: &str = "/data";

/// A reset that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Wanted {
    keep_identity: bool,
    reason: String,
    /// The word of the document that counts as done afterwards.
    word: Option<String>,
}

/// The files of a node that a reset is about.
struct Places {
    state: PathBuf,
    data: PathBuf,
}

impl Places {
    fn of_node() -> Self {
        Self { state: STATE.into(), data: DATA.into() }
    }

    fn note(&self, name: &str) -> PathBuf {
        self.state.join("reset").join(name)
    }

    fn read(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.note(name)).ok()?;
        Some(text.trim_end().to_owned())
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::create_dir_all(self.state.join("reset"))?;
        durable::replace(&self.note(name), format!("{text}\n").as_bytes(), 0o600)
    }

    fn want(&self, wanted: &Wanted) -> Result<(), String> {
        let text = serde_json::to_string(wanted).map_err(|error| error.to_string())?;
        self.write("wanted", &text).map_err(|error| format!("the reset cannot be noted: {error}"))
    }

    /// Does the reset that was asked for, if one was; its reason.
    fn perform(&self) -> io::Result<Option<String>> {
        let Some(text) = self.read("wanted") else {
            return Ok(None);
        };
        // Half a request was never acknowledged.
        let Ok(wanted) = serde_json::from_str::<Wanted>(&text) else {
            durable::remove(&self.note("wanted"))?;
            return Ok(None);
        };
        for step in STEPS {
            match step {
                Step::EmptyData => empty(&self.data, stays_on_data)?,
                Step::EmptyState => empty(&self.state, |name| stays(name, wanted.keep_identity))?,
                Step::NoteDone => {
                    if let Some(word) = &wanted.word {
                        self.write("done", word)?;
                    }
                    self.write("early-starts", "0")?;
                }
                Step::Forget => durable::remove(&self.note("wanted"))?,
            }
        }
        Ok(Some(wanted.reason))
    }

    /// Whether the document, the button or the power asks for a reset; notes what
    /// has to be noted.
    fn look(&self, settings: &Reset, is_new: bool, is_held: bool) -> Result<bool, String> {
        let done = self.read("done");
        let early_starts = self.read("early-starts").and_then(|text| text.parse().ok());
        let decision = decide(Seen {
            request: settings.request.as_deref(),
            done: done.as_deref(),
            is_new,
            early_starts: early_starts.unwrap_or(0),
            power_cycles: settings.power_cycles,
            is_held,
        });
        match decision {
            Decision::Reset(reason) => {
                let keep_identity = settings.keep_identity;
                self.want(&Wanted { keep_identity, reason, word: settings.request.clone() })?;
                Ok(true)
            }
            Decision::GoOn { early_starts: next, done } => {
                let noted = || -> io::Result<()> {
                    if next != early_starts.unwrap_or(0) {
                        self.write("early-starts", &next.to_string())?;
                    }
                    done.map_or(Ok(()), |word| self.write("done", &word))
                };
                noted().map_err(|error| format!("this start cannot be noted: {error}"))?;
                Ok(false)
            }
        }
    }
}

/// Removes what `folder` holds, but for names that stay, so that it does not come
/// back after a power cut.
fn empty(folder: &Path, stays: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&stays) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    rustix::fs::syncfs(fs::File::open(folder)?)?;
    Ok(())
}

/// Does the reset that was asked for before this start, if one was. The disks are
/// mounted, and nobody uses them yet.
pub(crate) fn perform() -> Result<(), String> {
    match Places::of_node().perform() {
        Ok(None) => Ok(()),
        Ok(Some(reason)) => {
            kmsg::announce(&format!("factory reset done: {reason}"));
            Ok(())
        }
        Err(error) => Err(format!("factory reset: {error}; the next start tries again")),
    }
}

/// Looks whether a reset is due, now that the document is known, and starts the node
/// again if so. `is_new`: it has had no document before.
pub(crate) fn look(settings: &Reset, is_new: bool) -> Result<(), String> {
    let is_held = match &settings.gpio {
        Some(gpio) => button::is_held(gpio)?,
        None => false,
    };
    if !Places::of_node().look(settings, is_new, is_held)? {
        return Ok(());
    }
    kmsg::announce("a factory reset is asked for: starting again for it");
    ctl::restart()
}

/// Asks for a reset, by command.
pub(crate) fn ask_for(words: &[&str]) -> Result<(), String> {
    let keep_identity = match words {
        [] => true,
        ["--drop-identity"] => false,
        _ => return Err("usage: holm-init ctl factory-reset [--drop-identity]".to_owned()),
    };
    let text = fs::read_to_string("/run/holm/holm.toml").unwrap_or_default();
    let word = holm_config::parse(&text, "holm.toml").unwrap_or_default().reset.request;
    let reason = "by command".to_owned();
    Places::of_node().want(&Wanted { keep_identity, reason, word })
}

/// Notes that this start has not ended early.
pub(crate) fn lasted() -> Result<(), String> {
    let places = Places::of_node();
    if places.read("early-starts").is_none_or(|text| text == "0") {
        return Ok(());
    }
    places.write("early-starts", "0").map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> (tempfile::TempDir, Places) {
        let folder = tempfile::tempdir().unwrap();
        let places =
            Places { state: folder.path().join("state"), data: folder.path().join("data") };
        for path in ["images/a", "lost+found", "preload", "var/log"] {
            fs::create_dir_all(places.data.join(path)).unwrap();
        }
        for path in ["config", "identity", "provisioned", "time"] {
            fs::create_dir_all(places.state.join(path)).unwrap();
        }
        fs::write(places.state.join("machine-id"), "id").unwrap();
        fs::write(places.state.join("holm.toml"), "").unwrap();
        fs::write(places.state.join("config/last-good.toml"), "").unwrap();
        (folder, places)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn reset_keeps_the_identity_and_forgets_the_rest() {
        let (_folder, node) = node();
        let settings = Reset { request: Some("today".into()), ..Reset::default() };
        assert_eq!(node.look(&settings, false, false), Ok(true));
        let reason = node.perform().unwrap().unwrap();
        assert!(reason.contains("today"), "{reason}");
        assert_eq!(names(&node.data), ["lost+found", "preload"]);
        assert_eq!(names(&node.state), ["identity", "machine-id", "reset", "time"]);
        assert_eq!(node.perform().unwrap(), None);
        assert_eq!(node.look(&settings, true, false), Ok(false), "once for each word");
    }

    #[test]
    fn reset_that_drops_the_identity_leaves_a_new_node() {
        let (_folder, node) = node();
        let wanted = Wanted { keep_identity: false, reason: "by command".into(), word: None };
        node.want(&wanted).unwrap();
        node.perform().unwrap();
        assert_eq!(names(&node.state), ["reset", "time"]);
    }

    #[test]
    fn early_starts_are_counted_until_one_lasts() {
        let (_folder, node) = node();
        let settings = Reset { power_cycles: 3, ..Reset::default() };
        for _ in 0..3 {
            assert_eq!(node.look(&settings, false, false), Ok(false));
        }
        assert_eq!(node.read("early-starts").as_deref(), Some("3"));
        assert_eq!(node.look(&settings, false, false), Ok(true));
        node.perform().unwrap();
        assert_eq!(node.read("early-starts").as_deref(), Some("0"));
    }

    #[test]
    fn node_that_counts_nothing_writes_nothing() {
        let (_folder, node) = node();
        assert_eq!(node.look(&Reset::default(), false, false), Ok(false));
        assert!(!node.state.join("reset").exists());
    }

    #[test]
    fn damaged_request_is_dropped() {
        let (_folder, node) = node();
        node.write("wanted", "{\"keep").unwrap();
        assert_eq!(node.perform().unwrap(), None);
        assert!(node.state.join("holm.toml").exists());
        assert_eq!(node.read("wanted"), None);
    }
}
