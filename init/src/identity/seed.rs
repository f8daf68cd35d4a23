//! The random seed that is carried from one boot to the next.
//! A seed is credited once only: it is gone from the disk, durably, before.

use crate::durable;
use crate::syscalls::entropy::{SEED_BYTES, credit};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const PATH: &str = "/state/random-seed";

/// Gives the kernel the seed of the last boot, and keeps a new one.
pub(crate) fn use_up_and_renew() -> io::Result<()> {
    let path = Path::new(PATH);
    if let Some(seed) = take(path)? {
        credit(seed)?;
    }
    renew()
}

/// Keeps a new seed.
pub(crate) fn renew() -> io::Result<()> {
    let mut seed = [0; SEED_BYTES];
    // Waits until the kernel's generator is ready, so that the seed may count.
    File::open("/dev/random")?.read_exact(&mut seed)?;
    durable::replace(Path::new(PATH), &seed, 0o600)
}

/// Takes the seed away from the disk. One of the wrong size is not used.
fn take(path: &Path) -> io::Result<Option<[u8; SEED_BYTES]>> {
    let Ok(content) = std::fs::read(path) else {
        return Ok(None);
    };
    durable::remove(path)?;
    Ok(content.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_is_taken_once() {
        let path = std::env::temp_dir().join(format!("holm-seed-{}", std::process::id()));
        std::fs::write(&path, [7; SEED_BYTES]).unwrap();
        assert_eq!(take(&path).unwrap(), Some([7; SEED_BYTES]));
        assert_eq!(take(&path).unwrap(), None);
        std::fs::write(&path, "short").unwrap();
        assert_eq!(take(&path).unwrap(), None);
        assert!(!path.exists());
    }
}
