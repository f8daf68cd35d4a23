//! The last known time, kept over a reboot in one small file. Written rarely, because flash
//! wears, and replaced whole, because power goes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::clock::NANOS;

pub(crate) const FILE: &str = "/state/time";
/// How often the time is saved while the node runs; it is saved at stop as well.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3600);
/// A file is never longer; a damaged one must not fill the memory.
const MOST_BYTES: u64 = 32;

/// The time in `file` in nanoseconds since 1970; `None` when there is none that makes sense.
pub(crate) fn read(file: &Path) -> Option<i64> {
    let metadata = fs::metadata(file).ok()?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return None;
    }
    let seconds: i64 = fs::read_to_string(file).ok()?.trim_end().parse().ok()?;
    (seconds > 0).then_some(seconds)?.checked_mul(NANOS)
}

/// Whether `now` is worth a write over what the file says: a clock that was set is always
/// right, also when that is earlier; one that runs free only knows that time went on.
pub(crate) fn is_worth_saving(now: i64, is_synchronised: bool, file_says: Option<i64>) -> bool {
    match file_says {
        Some(before) if is_synchronised => now.abs_diff(before) >= NANOS.unsigned_abs(),
        Some(before) => now > before,
        None => now > 0,
    }
}

/// Saves `now` when it is worth it.
pub(crate) fn save(file: &Path, now: i64, is_synchronised: bool) -> io::Result<()> {
    if !is_worth_saving(now, is_synchronised, read(file)) {
        return Ok(());
    }
    let (Some(folder), fresh) = (file.parent(), file.with_extension("new")) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut writer = File::create(&fresh)?;
    writer.write_all(format!("{}\n", now.div_euclid(NANOS)).as_bytes())?;
    writer.sync_all()?;
    fs::rename(&fresh, file)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000 * NANOS;

    #[test]
    fn a_saved_time_comes_back_to_the_second() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("time");
        assert_eq!(read(&file), None);
        save(&file, NOW + 5, true).unwrap();
        assert_eq!(read(&file), Some(NOW));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn only_a_synchronised_clock_takes_the_time_back() {
        let table = [
            (NOW, true, None, true),
            (NOW, true, Some(NOW + NANOS), true),
            (NOW, true, Some(NOW), false),
            (NOW, false, Some(NOW + NANOS), false),
            (NOW + NANOS, false, Some(NOW), true),
            (0, false, None, false),
        ];
        for (now, synchronised, before, worth) in table {
            assert_eq!(is_worth_saving(now, synchronised, before), worth, "{now} {before:?}");
        }
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error() {
        assert!(save(Path::new("/no/such/folder/time"), NOW, true).is_err());
    }

    #[test]
    fn a_file_too_long_to_be_a_time_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("time");
        fs::write(&file, format!("{:0>40}", 5)).unwrap();
        assert_eq!(read(&file), None);
    }
}
