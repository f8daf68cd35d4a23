//! What is kept on the state partition about documents and their trial. Every file
//! is replaced as a whole, durably.

use crate::configuration::last_good::LastGood;
use crate::durable;
use holm_provision::Record;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The files, below one folder.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    state: PathBuf,
}

impl Kept {
    /// Those of the node.
    pub(crate) fn of_node() -> Self {
        Self::below(Path::new("/state"))
    }

    /// Those below `state`.
    pub(crate) fn below(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    /// Where the document of a stick, a seed or a URL is kept.
    pub(crate) fn document(&self, source: Source) -> PathBuf {
        self.state.join(format!("provisioned/{}.toml", source.name()))
    }

    /// Keeps a document; whether it is another one than before. An empty one is
    /// forgotten.
    pub(crate) fn keep(&self, source: Source, text: &str) -> io::Result<bool> {
        let path = self.document(source);
        let before = fs::read_to_string(&path).ok();
        if text.trim().is_empty() {
            return match before {
                None => Ok(false),
                Some(_) => durable::remove(&path).map(|()| true),
            };
        }
        if before.as_deref() == Some(text) {
            return Ok(false);
        }
        fs::create_dir_all(self.state.join("provisioned"))?;
        durable::replace(&path, text.as_bytes(), 0o600)?;
        Ok(true)
    }

    /// How the trial stands.
    pub(crate) fn record(&self) -> Record {
        let text = fs::read(self.state.join("config/trial.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Keeps how the trial stands.
    pub(crate) fn set_record(&self, record: &Record) -> io::Result<()> {
        let path = self.state.join("config/trial.json");
        if *record == Record::Settled && !path.exists() {
            return Ok(());
        }
        durable::replace(&path, &serde_json::to_vec(record)?, 0o600)
    }

    /// The document that is in force on trial, until it is known whether it stays.
    pub(crate) fn set_tried(&self, folder: &str, text: &str) -> io::Result<()> {
        let path = self.state.join("config/on-trial.toml");
        durable::replace(&path, LastGood::encode(folder, text).as_bytes(), 0o600)
    }

    /// The document on trial becomes the last good one.
    pub(crate) fn keep_tried(&self) -> io::Result<()> {
        let tried = fs::read(self.state.join("config/on-trial.toml"))?;
        durable::replace(&self.state.join("config/last-good.toml"), &tried, 0o600)?;
        self.set_record(&Record::Settled)
    }

    /// The last good document.
    pub(crate) fn last_good(&self) -> Option<LastGood> {
        let kept = fs::read_to_string(self.state.join("config/last-good.toml")).ok()?;
        Some(LastGood::decode(&kept))
    }

    /// Whether the node has had connectivity with the last good document.
    pub(crate) fn was_connected(&self) -> bool {
        let noted = fs::read_to_string(self.state.join("config/connected")).ok();
        noted.is_some_and(|noted| noted == self.mark())
    }

    /// Notes that it has.
    pub(crate) fn note_connected(&self) -> io::Result<()> {
        fs::create_dir_all(self.state.join("config"))?;
        durable::replace(&self.state.join("config/connected"), self.mark().as_bytes(), 0o600)
    }

    /// What stands for the last good document; none stands for the defaults.
    fn mark(&self) -> String {
        let text = self.last_good().map(|good| good.text).unwrap_or_default();
        format!("{:08x}\n", crc32fast::hash(text.as_bytes()))
    }
}

/// A place outside of the node's own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A volume labelled `HOLM`.
    Stick,
    /// A volume labelled `CIDATA`.
    Seed,
    /// A URL.
    Url,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Stick => "stick",
            Self::Seed => "seed",
            Self::Url => "url",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> (tempfile::TempDir, Kept) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("config")).unwrap();
        let kept = Kept::below(folder.path());
        (folder, kept)
    }

    #[test]
    fn document_is_news_once_and_an_empty_one_is_forgotten() {
        let (_folder, kept) = kept();
        assert!(!kept.keep(Source::Stick, " \n").unwrap());
        assert!(kept.keep(Source::Stick, "[node]\n").unwrap());
        assert!(!kept.keep(Source::Stick, "[node]\n").unwrap());
        assert!(!kept.document(Source::Url).exists());
        assert!(kept.keep(Source::Stick, "").unwrap());
        assert!(!kept.document(Source::Stick).exists());
    }

    #[test]
    fn trial_ends_with_its_document_as_the_last_good_one() {
        let (_folder, kept) = kept();
        assert_eq!(kept.record(), Record::Settled);
        let trial = Record::Trial { document: "x".into(), boots: 1 };
        kept.set_tried("/boot", "[node]\n").unwrap();
        kept.set_record(&trial).unwrap();
        assert_eq!(kept.record(), trial);
        kept.keep_tried().unwrap();
        assert_eq!(kept.record(), Record::Settled);
        assert_eq!(kept.last_good().unwrap().text, "[node]\n");
    }

    #[test]
    fn connectivity_is_noted_for_one_document() {
        let (_folder, kept) = kept();
        assert!(!kept.was_connected());
        kept.note_connected().unwrap();
        assert!(kept.was_connected());
        kept.set_tried("/boot", "[node]\n").unwrap();
        kept.keep_tried().unwrap();
        assert!(!kept.was_connected());
    }
}
