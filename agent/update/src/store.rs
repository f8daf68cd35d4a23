//! Keeps the ledger in two files, each with its digest: a file that a worn disk has damaged costs
//! one step of history, not all of it. Never decides what is in it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::ledger::Ledger;

/// The folder of the ledger.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

const CURRENT: &str = "ledger.json";
const PREVIOUS: &str = "ledger.previous.json";

impl Store {
    /// A store in `folder`, which is made when something is kept.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// What is kept; an empty ledger where nothing readable is, with the reason when there is a
    /// file after all.
    pub fn load(&self) -> (Ledger, Option<String>) {
        let mut complaint = None;
        for name in [CURRENT, PREVIOUS] {
            let path = self.folder.join(name);
            match fs::read(&path) {
                Ok(content) => match decode(&content) {
                    Some(ledger) => return (ledger, complaint),
                    None => complaint = Some(format!("{} is damaged", path.display())),
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => complaint = Some(format!("read {}: {error}", path.display())),
            }
        }
        (Ledger::default(), complaint)
    }

    /// Keeps the ledger: after a power cut this one or the one before is there.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn save(&self, ledger: &Ledger) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let (current, new) = (self.folder.join(CURRENT), self.folder.join("ledger.new"));
        let mut file = File::create(&new)?;
        file.write_all(&encode(ledger)?)?;
        file.sync_all()?;
        if current.exists() {
            fs::rename(&current, self.folder.join(PREVIOUS))?;
            // Cut here, the previous one is what there is.
        }
        fs::rename(&new, &current)?;
        sync(&self.folder)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The digest in hex, a line end, and the ledger.
fn encode(ledger: &Ledger) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec_pretty(ledger)?;
    let mut content = digest(&text).into_bytes();
    content.push(b'\n');
    content.extend(text);
    Ok(content)
}

fn decode(content: &[u8]) -> Option<Ledger> {
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let text = &content[end + 1..];
    (content[..end] == *digest(text).as_bytes()).then(|| serde_json::from_slice(text).ok())?
}

fn digest(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(version: &str) -> Ledger {
        Ledger { spare: Some(version.to_owned()), ..Ledger::default() }
    }

    #[test]
    fn kept_ledger_is_read_again_and_an_empty_folder_is_an_empty_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("update"));
        assert_eq!(store.load(), (Ledger::default(), None));
        for version in ["1", "2"] {
            store.save(&ledger(version)).unwrap();
            assert_eq!(store.load(), (ledger(version), None));
        }
    }

    #[test]
    fn damaged_file_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        store.save(&ledger("1")).unwrap();
        store.save(&ledger("2")).unwrap();
        let path = folder.path().join(CURRENT);
        let mut content = fs::read(&path).unwrap();
        let last = content.len() - 5;
        content[last] ^= 1;
        fs::write(&path, content).unwrap();
        let (found, complaint) = store.load();
        assert_eq!(found, ledger("1"));
        assert!(complaint.is_some_and(|text| text.ends_with("ledger.json is damaged")));
        fs::remove_file(&path).unwrap();
        assert_eq!(store.load(), (ledger("1"), None));
    }
}
