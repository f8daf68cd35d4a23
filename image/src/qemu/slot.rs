//! Boots a card as its firmware would: QEMU has none of a Raspberry Pi, so the slot is chosen here,
//! and its files are laid out for QEMU to load. Must never read a file that firmware would not.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::arguments::Boot;
use crate::board::Model;
use crate::rpi::{self, Card, Partition};

/// Why the card cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image is no card.
    #[error(transparent)]
    Card(#[from] rpi::CardError),
    /// The firmware would not boot it.
    #[error("{model} does not boot this card")]
    Firmware {
        /// The model.
        model: String,
        /// Why.
        source: rpi::Error,
    },
    /// A file of the slot could not be laid out.
    #[error("cannot lay out {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Chooses the slot of the card `image` and lays its files out in `folder`. `rom` are the files that
/// the model's ROM needs, `tryboot` says that the flag for a trial is up, `append` are more kernel
/// arguments.
pub fn lay_out_slot(
    image: &Path,
    model: &Model,
    rom: &[String],
    tryboot: bool,
    append: &str,
    folder: &Path,
) -> Result<(u32, Boot), Error> {
    let card = Card::open(image)?;
    let partition = |number| card.partition(number);
    let chosen = rpi::boot(&partition, model, rom, tryboot)
        .map_err(|source| Error::Firmware { model: model.name.clone(), source })?;
    let slot = card.partition(chosen.partition);
    let content = |name: &str| slot.as_ref().and_then(|slot| slot.file(name)).unwrap_or_default();
    let put = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        let failed = |source| Error::File { path: path.clone(), source };
        fs::write(&path, content).map_err(failed)?;
        Ok::<PathBuf, Error>(path)
    };
    let kernel = put("kernel", &[])?;
    unpack(&content(&chosen.kernel), &kernel)
        .map_err(|source| Error::File { path: kernel.clone(), source })?;
    let mut command_line = chosen.command_line;
    if !append.is_empty() {
        command_line = format!("{command_line} {append}");
    }
    let boot = Boot::Direct {
        kernel,
        initramfs: put("initramfs", &content(&chosen.initramfs))?,
        command_line,
        device_tree: Some(put("device-tree", &content(&chosen.device_tree))?),
    };
    Ok((chosen.partition, boot))
}

/// The firmware unpacks a kernel that begins as gzip does; others it takes as they are.
fn unpack(content: &[u8], to: &Path) -> io::Result<()> {
    if content.starts_with(&[0x1f, 0x8b]) {
        return io::copy(&mut MultiGzDecoder::new(content), &mut File::create(to)?).map(drop);
    }
    fs::write(to, content)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn compressed_and_plain_kernels_are_taken() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("kernel");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"MZ kernel").expect("written");
        for content in [packed.finish().expect("finished"), b"MZ kernel".to_vec()] {
            unpack(&content, &path).expect("unpacked");
            assert_eq!(fs::read(&path).expect("read"), b"MZ kernel");
        }
        assert!(unpack(&[0x1f, 0x8b, 0], &path).is_err(), "cut");
    }
}
