//! Finds out on which machine an image runs: its manifest says so, beside it. So an image can be
//! tried without the repository that it came from. Must never guess from a file's name.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::board::{Architecture, Board, BootPath, Model, Qemu};

/// What running an image depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The processor.
    pub architecture: Architecture,
    /// How it boots.
    pub boot: BootPath,
    /// The machine.
    pub qemu: Qemu,
    /// The model that the machine is, where the boot path tells models apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// What its ROM loads before it knows of slots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rom: Vec<String>,
}

impl From<&Board> for Description {
    fn from(board: &Board) -> Self {
        let is_emulated = |model: &&Model| board.qemu.model.as_ref() == Some(&model.name);
        Self {
            architecture: board.architecture,
            boot: board.boot.path,
            qemu: board.qemu.clone(),
            model: board.boot.models.iter().find(is_emulated).cloned(),
            rom: board.boot.rom.clone(),
        }
    }
}

/// Why nobody knows what machine an image is for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No manifest.
    #[error("{path} is missing, so name the image's board with --board")]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// Not a manifest of ours, or of another version.
    #[error("{path} describes no machine; name the image's board with --board")]
    Invalid {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// The part of a manifest that matters here.
#[derive(Deserialize)]
struct Manifest {
    machine: Description,
}

/// Reads what the manifest beside `image` says.
pub fn describe(image: &Path) -> Result<Description, Error> {
    let path = image.with_extension("manifest.json");
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Error::Missing { path: path.clone(), source })?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|source| Error::Invalid { path, source })?;
    Ok(manifest.machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        crate::board::read(&boards, "arm64-uefi").expect("the board is valid")
    }

    #[test]
    fn manifest_beside_the_image_says_its_machine() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let description = Description::from(&board());
        let text = serde_json::json!({ "board": "arm64-uefi", "machine": description });
        let path = folder.path().join("holm.manifest.json");
        std::fs::write(path, text.to_string()).expect("written");
        let found = describe(&folder.path().join("holm.img")).expect("it is there");
        assert_eq!(found, description);
        assert_eq!(found.qemu.machine, "virt");
    }

    #[test]
    fn card_says_which_model_its_machine_is() {
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        let board = |name| crate::board::read(&boards, name).expect("the board is valid");
        let description = Description::from(&board("rpi"));
        assert_eq!(description.model.expect("a model").filters, ["pi3"]);
        assert_eq!(description.rom, ["bootcode.bin"]);
        assert_eq!(Description::from(&board("rpi5")).model, None, "QEMU has no such machine");
    }

    #[test]
    fn image_without_a_manifest_asks_for_its_board() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let error = describe(&folder.path().join("holm.img")).expect_err("nothing is there");
        assert!(matches!(error, Error::Missing { .. }));
        std::fs::write(folder.path().join("holm.manifest.json"), "{}").expect("written");
        let error = describe(&folder.path().join("holm.img")).expect_err("an old manifest");
        assert!(error.to_string().contains("--board"), "{error}");
    }
}
