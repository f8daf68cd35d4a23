//! The time below which the clock cannot be right: the image was built after it, or this node
//! has seen it. Lifts the clock there, so that certificates can be checked before any server
//! was asked; never sets it back. Needs no network and waits for nothing but the disk.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::clock::{Clock, NANOS};
use super::saved;

/// A saved time that lies further beyond the build than this is not believed: a damaged file
/// must not put the clock where no certificate is valid.
const LIFE_OF_AN_IMAGE: i64 = 50 * 366 * 86_400 * NANOS;

#[derive(Debug, thiserror::Error)]
pub(crate) enum FloorError {
    #[error("reading the time of {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("setting the clock")]
    Set(#[source] io::Error),
}

/// Where the known times come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// The image's build.
    Build,
    /// The last time that this node saved.
    Saved,
    /// The battery-backed clock: one whose driver is a module comes too late for the kernel,
    /// which has set its clock by those that it has built in.
    Rtc,
}

/// The image's `os-release`.
pub(crate) const OS_RELEASE: &str = "/etc/os-release";

/// What was done to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifted {
    pub(crate) to: Known,
    pub(crate) by: Duration,
}

impl fmt::Display for Lifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = match self.to {
            Known::Build => "when this image was built",
            Known::Saved => "the last time that was saved",
            Known::Rtc => "the battery-backed clock",
        };
        write!(f, "the clock was {} s behind {known}, and was lifted there", self.by.as_secs())
    }
}

/// Lifts `clock` to the latest of the time of `os_release` (its modification time is the image's
/// build), the time in the file `saved`, and what the battery-backed clock shows. `None` when the clock
/// is past all of them. What is missing or damaged is as good as none; the others lift the clock.
///
/// # Errors
/// When neither the build's time can be read nor the clock be set.
pub(crate) fn lift(
    clock: &mut impl Clock,
    os_release: &Path,
    saved: &Path,
    rtc: Option<i64>,
) -> Result<Option<Lifted>, FloorError> {
    let built = built(os_release)?;
    let (floor, to) = latest(built, saved::read(saved), rtc);
    let by = floor.saturating_sub(clock.now());
    if by <= 0 {
        return Ok(None);
    }
    clock.step(by).map_err(FloorError::Set)?;
    Ok(Some(Lifted { to, by: Duration::from_nanos(by.unsigned_abs()) }))
}

/// When the image was built, in nanoseconds since 1970.
pub(crate) fn built(os_release: &Path) -> Result<i64, FloorError> {
    let modified = fs::metadata(os_release).and_then(|metadata| metadata.modified());
    let modified =
        modified.map_err(|source| FloorError::Read { path: os_release.to_path_buf(), source })?;
    let since_1970 = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX))
}

fn latest(built: i64, saved: Option<i64>, rtc: Option<i64>) -> (i64, Known) {
    let believed =
        |time: &(i64, Known)| time.0 > built && time.0.saturating_sub(built) < LIFE_OF_AN_IMAGE;
    let known = [saved.map(|saved| (saved, Known::Saved)), rtc.map(|rtc| (rtc, Known::Rtc))];
    let latest = known.into_iter().flatten().filter(believed).max_by_key(|(time, _)| *time);
    latest.unwrap_or((built, Known::Build))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::clock::ModelClock;

    const DAY: i64 = 86_400 * NANOS;
    const BUILT: i64 = 1_790_000_000 * NANOS;

    struct Node {
        folder: tempfile::TempDir,
    }

    impl Node {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = fs::File::create(folder.path().join("os-release")).unwrap();
            let built = SystemTime::UNIX_EPOCH + Duration::from_nanos(BUILT as u64);
            file.set_modified(built).unwrap();
            Self { folder }
        }

        fn lift(&self, clock: &mut ModelClock) -> Option<Known> {
            let folder = self.folder.path();
            let (release, saved) = (folder.join("os-release"), folder.join("time"));
            let lifted = lift(clock, &release, &saved, None).unwrap();
            lifted.map(|lifted| lifted.to)
        }

        fn save(&self, text: &str) {
            fs::write(self.folder.path().join("time"), text).unwrap();
        }
    }

    fn shows(clock: &ModelClock, time: i64) -> bool {
        (clock.now() - time).abs() < NANOS
    }

    #[test]
    fn a_clock_in_1970_is_lifted_to_the_images_build() {
        let mut clock = ModelClock::in_1970();
        assert_eq!(Node::new().lift(&mut clock), Some(Known::Build));
        assert!(shows(&clock, BUILT) && !clock.is_synchronised());
    }

    #[test]
    fn a_clock_in_1970_is_lifted_to_the_saved_time_when_that_is_later() {
        let node = Node::new();
        node.save(&format!("{}\n", (BUILT + DAY) / NANOS));
        let mut clock = ModelClock::in_1970();
        assert_eq!(node.lift(&mut clock), Some(Known::Saved));
        assert!(shows(&clock, BUILT + DAY));
    }

    #[test]
    fn a_clock_past_the_floor_is_left_alone() {
        let mut clock = ModelClock::in_1970();
        clock.wrong_by += BUILT + DAY;
        assert_eq!(Node::new().lift(&mut clock), None);
        assert!(clock.steps.is_empty());
    }

    #[test]
    fn a_damaged_saved_time_is_as_good_as_none() {
        let node = Node::new();
        let centuries = (BUILT + 10 * LIFE_OF_AN_IMAGE.min(i64::MAX / 20)) / NANOS;
        for text in ["", "x", "-5", "99999999999999999999", &centuries.to_string(), "17\0"] {
            node.save(text);
            let mut clock = ModelClock::in_1970();
            assert_eq!(node.lift(&mut clock), Some(Known::Build), "{text:?}");
        }
    }

    #[test]
    fn an_older_saved_time_does_not_lower_the_floor() {
        let node = Node::new();
        node.save("1000000000\n");
        assert_eq!(node.lift(&mut ModelClock::in_1970()), Some(Known::Build));
    }

    #[test]
    fn an_image_without_os_release_is_an_error_that_names_it() {
        let error =
            lift(&mut ModelClock::in_1970(), Path::new("/no/os-release"), Path::new("/no"), None);
        assert_eq!(error.unwrap_err().to_string(), "reading the time of /no/os-release");
    }

    #[test]
    fn battery_backed_clock_lifts_too_unless_it_shows_nonsense() {
        let later = BUILT + DAY;
        assert_eq!(latest(BUILT, None, Some(later)), (later, Known::Rtc));
        assert_eq!(latest(BUILT, Some(later + 1), Some(later)), (later + 1, Known::Saved));
        assert_eq!(latest(BUILT, Some(later), Some(later + 1)), (later + 1, Known::Rtc));
        // Its battery is empty, or it has never been set.
        assert_eq!(latest(BUILT, Some(later), Some(0)), (later, Known::Saved));
        assert_eq!(latest(BUILT, None, Some(BUILT + LIFE_OF_AN_IMAGE)), (BUILT, Known::Build));
    }
}
