//! Checks a finished card without booting it: what each model would do with it, and that what it
//! loads is what it should be. Reads only.

use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::GzDecoder;

use super::card::{Card, Volume};
use super::firmware::{self, Partition, boot};
use crate::board::Model;

/// What is wrong with a card.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A model does not boot it.
    #[error("{model} would not boot this card")]
    Boot {
        /// The model.
        model: String,
        /// Why.
        source: firmware::Error,
    },
    /// A file is not what its name says.
    #[error("partition {partition}: {file} is no {wanted}")]
    Kind {
        /// Where.
        partition: u32,
        /// The file.
        file: String,
        /// What it should be.
        wanted: &'static str,
    },
}

/// Checks a card for every model, with and without the flag for a trial.
pub fn check(card: &Card, models: &[Model], rom: &[String]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for model in models {
        for tryboot in [false, true] {
            let chosen = boot(&|number| card.partition(number), model, rom, tryboot)
                .map_err(|source| Error::Boot { model: model.name.clone(), source })?;
            let Some(slot) = card.partition(chosen.partition) else { continue };
            for (file, wanted, is_so) in [
                (&chosen.kernel, "kernel for 64-bit Arm, as it is or by gzip", is_kernel as Judge),
                (&chosen.device_tree, "device tree", is_device_tree),
                (&chosen.initramfs, "archive of zstd", is_zstd),
            ] {
                let is_new = seen.insert((chosen.partition, file.clone()));
                if is_new && !is_so(&slot, file) {
                    let (partition, file) = (chosen.partition, file.clone());
                    return Err(Error::Kind { partition, file, wanted });
                }
            }
        }
    }
    Ok(())
}

type Judge = fn(&Volume, &str) -> bool;

/// The header of the kernel's image for 64-bit Arm has its magic at 56.
fn is_kernel(slot: &Volume, file: &str) -> bool {
    let content = slot.file(file).unwrap_or_default();
    let mut head = [0; 64];
    let read = if content.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(content.as_slice()).read_exact(&mut head)
    } else {
        content.as_slice().read_exact(&mut head)
    };
    read.is_ok() && &head[56..60] == b"ARM\x64"
}

fn is_device_tree(slot: &Volume, file: &str) -> bool {
    let content = slot.file(file).unwrap_or_default();
    let word = |at: usize| {
        let bytes = content.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    };
    word(0) == Some(0xd00d_feed) && word(4).is_some_and(|size| size as usize == content.len())
}

fn is_zstd(slot: &Volume, file: &str) -> bool {
    slot.file(file).unwrap_or_default().starts_with(&0xfd2f_b528_u32.to_le_bytes())
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
