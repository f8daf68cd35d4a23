//! A GPIO line that is held while the node starts. Asks the kernel by the second
//! version of its interface for lines: linux/gpio.h.

use crate::clock::{now, timeout};
use crate::syscalls::gpio::{Line, label_of};
use holm_config::Gpio;
use rustix::event::poll;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(50);

/// Whether the line is held, for as long as it must be. Returns at once when it is
/// not.
pub(crate) fn is_held(wanted: &Gpio) -> Result<bool, String> {
    let name =
        |error: std::io::Error| format!("GPIO {} line {}: {error}", wanted.chip, wanted.line);
    let chip = find(&wanted.chip).ok_or_else(|| {
        let known = chips().into_iter().map(|(name, label, _)| format!("{name} ({label})"));
        let known = known.collect::<Vec<_>>().join(", ");
        format!("there is no GPIO chip {:?}; there are: {known}", wanted.chip)
    })?;
    let line = Line::request(&chip, wanted.line, wanted.active_low).map_err(name)?;
    held_for(wanted.hold, || line.is_active().map_err(name), rest)
}

fn rest(time: Duration) {
    let moment = now();
    let _ = poll(&mut [], Some(&timeout(moment + time, moment)));
}

/// Looks again and again until `hold` has passed, or the line is let go.
fn held_for(
    hold: Duration,
    mut is_active: impl FnMut() -> Result<bool, String>,
    mut sleep: impl FnMut(Duration),
) -> Result<bool, String> {
    let start = Instant::now();
    let mut looked = Duration::ZERO;
    while looked < hold {
        if !is_active()? {
            return Ok(false);
        }
        sleep(LOOK);
        looked = (looked + LOOK).max(start.elapsed());
    }
    is_active()
}

/// Name, label and path of every chip.
fn chips() -> Vec<(String, String, PathBuf)> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<_> = names
        .filter(|name| name.starts_with("gpiochip"))
        .map(|name| {
            let path = PathBuf::from("/dev").join(&name);
            (name, label_of(&path).unwrap_or_default(), path)
        })
        .collect();
    found.sort();
    found
}

fn find(wanted: &str) -> Option<PathBuf> {
    let chips = chips();
    let by_name = chips.iter().find(|(name, _, _)| name == wanted);
    let found = by_name.or_else(|| chips.iter().find(|(_, label, _)| label == wanted));
    found.map(|(_, _, path)| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_must_be_held_all_the_time() {
        let hold = Duration::from_secs(1);
        let mut looks = 0;
        let held = held_for(
            hold,
            || {
                looks += 1;
                Ok(true)
            },
            |_| {},
        );
        assert_eq!(held, Ok(true));
        assert_eq!(looks, 21);
        let mut looks = 0;
        let let_go = held_for(
            hold,
            || {
                looks += 1;
                Ok(looks < 10)
            },
            |_| {},
        );
        assert_eq!((let_go, looks), (Ok(false), 10));
    }

    #[test]
    fn chip_that_is_not_there_is_named() {
        let wanted = Gpio {
            chip: "no-such-chip".into(),
            line: 1,
            active_low: true,
            hold: Duration::from_secs(1),
        };
        let error = is_held(&wanted).unwrap_err();
        assert!(error.contains("no GPIO chip \"no-such-chip\""), "{error}");
    }
}
