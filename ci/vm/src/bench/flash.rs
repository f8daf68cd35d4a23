//! How fast `holm-image flash` writes, beside `dd` with the same block size and the same flush, both
//! from the same image in memory into a file of the same folder, in turns.
//!
//! The image is full: holes, which dd would write, must not make flash look faster than it is.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use holm_image::flash::target::FileTarget;
use holm_image::flash::{self, Edits, Image};

use super::BenchError;
use super::metric::Metrics;
use crate::disk::Disk;
use crate::scenario::ScenarioError;

/// What flash reads and writes at once.
const BLOCK: usize = 4 << 20;
const MIB: f64 = (1 << 20) as f64;
/// Two partition tables and what people might read off them.
const HEAD: u64 = 1 << 20;

/// Writes the image `runs` times with each.
pub fn measure(image: &Path, runs: usize) -> Result<Metrics, BenchError> {
    let folder = std::env::temp_dir().join(format!("holm-bench-flash-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|source| failed("make", &folder, source))?;
    let result = measure_in(&folder, image, runs);
    let _ = fs::remove_dir_all(&folder);
    result
}

fn measure_in(folder: &Path, image: &Path, runs: usize) -> Result<Metrics, BenchError> {
    let full = folder.join("full.img");
    Disk::copy(image, full.clone()).map_err(ScenarioError::from)?;
    let size = fill(&full).map_err(|source| failed("fill", &full, source))?;
    let (mut rates, mut verifies, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let to = folder.join("target.img");
        // Both begin with nothing there, and with the image in memory.
        peers.push(rate(size, dd(&full, &to)?));
        fs::remove_file(&to).map_err(|source| failed("remove", &to, source))?;
        let mut target = FileTarget::create(&to).map_err(|source| failed("create", &to, source))?;
        let report = Image::open(&full)
            .and_then(|image| flash::flash(image, Edits::default(), &mut target, &mut |_, _| {}))
            .map_err(BenchError::Flash)?;
        rates.push(rate(report.written + report.zeroed, report.writing.as_secs_f64()));
        verifies.push(rate(size, report.verifying.as_secs_f64()));
        fs::remove_file(&to).map_err(|source| failed("remove", &to, source))?;
    }
    let mut metrics = Metrics::default();
    metrics.add("flash.rate", "MiB/s", &rates);
    metrics.add("flash.rate.dd", "MiB/s", &peers);
    metrics.add("flash.verify_rate", "MiB/s", &verifies);
    Ok(metrics)
}

fn rate(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / MIB / seconds.max(0.001)
}

/// Seconds that dd takes from its start to its end, the flush included.
fn dd(from: &Path, to: &Path) -> Result<f64, BenchError> {
    let started = Instant::now();
    let output = Command::new("dd")
        .arg(format!("if={}", from.display()))
        .arg(format!("of={}", to.display()))
        .arg(format!("bs={BLOCK}"))
        .args(["conv=fsync", "status=none"])
        .output()
        .map_err(|source| failed("start", Path::new("dd"), source))?;
    if output.status.success() {
        return Ok(started.elapsed().as_secs_f64());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(failed("run", Path::new("dd"), io::Error::other(said)))
}

/// Puts bytes that are not zero wherever the image has none, but for its two ends, which hold the
/// partition tables. Returns its size.
fn fill(path: &Path) -> io::Result<u64> {
    let file = File::options().read(true).write(true).open(path)?;
    let size = file.metadata()?.len();
    let mut block = vec![0; BLOCK];
    let mut state = 1_u64;
    let mut at = HEAD;
    while at < size.saturating_sub(HEAD) {
        let length = (size - HEAD - at).min(BLOCK as u64) as usize;
        let block = &mut block[..length];
        file.read_exact_at(block, at)?;
        for word in block.chunks_mut(8).filter(|word| word.iter().all(|byte| *byte == 0)) {
            // xorshift: fast, and no two blocks alike.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&(state | 1).to_le_bytes()[..word.len()]);
        }
        file.write_all_at(block, at)?;
        at += length as u64;
    }
    file.sync_all()?;
    Ok(size)
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> BenchError {
    let path = PathBuf::from(path);
    ScenarioError::File { what, path, source }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_image_has_no_zeros_but_at_its_ends() {
        let path = std::env::temp_dir().join(format!("holm-fill-{}", std::process::id()));
        let size = 3 << 20;
        File::create(&path).and_then(|file| file.set_len(size)).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"kept", 0).unwrap();
        file.write_all_at(b"kept too", HEAD + 4096).unwrap();
        assert_eq!(fill(&path).unwrap(), size);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (head, rest) = bytes.split_at(HEAD as usize);
        let (body, tail) = rest.split_at(HEAD as usize);
        assert!(head.starts_with(b"kept") && head[4..].iter().all(|byte| *byte == 0));
        assert!(tail.iter().all(|byte| *byte == 0));
        assert!(body.chunks(8).all(|word| word.iter().any(|byte| *byte != 0)));
        assert!(body[4096..].starts_with(b"kept too"));
    }

    #[test]
    fn rate_is_in_mebibytes_a_second_and_never_infinite() {
        assert_eq!(rate(10 << 20, 2.0), 5.0);
        assert!(rate(1, 0.0).is_finite());
    }
}
