//! The power button, as an input device. Opens and reads only; never blocks.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
const PRESSED: i32 = 1;
/// `struct input_event`: two words of time, then type, code and value.
const EVENT: usize = 2 * size_of::<usize>() + 8;

/// The power buttons of a machine.
#[derive(Default)]
pub(crate) struct PowerButtons(Vec<(String, File)>);

impl PowerButtons {
    /// Opens the buttons that are there and not open yet.
    pub(crate) fn look(&mut self) {
        for entry in fs::read_dir("/sys/class/input").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let keys = fs::read_to_string(entry.path().join("device/capabilities/key"));
            let known = self.0.iter().any(|(open, _)| *open == name);
            if !name.starts_with("event") || known || !has_key(&keys.unwrap_or_default()) {
                continue;
            }
            let path = Path::new("/dev/input").join(&name);
            if let Ok(file) = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
                self.0.push((name, file));
            }
        }
    }

    /// The buttons, for the poll.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(_, file)| file.as_fd())
    }

    /// Takes what has happened; whether a button was pressed. Buttons that are
    /// gone are forgotten.
    pub(crate) fn was_pressed(&mut self) -> bool {
        let mut pressed = false;
        self.0.retain_mut(|(_, file)| {
            let mut buffer = [0; EVENT * 16];
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => return false,
                    Ok(length) => pressed |= buffer[..length].chunks_exact(EVENT).any(is_press),
                    Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
                }
            }
        });
        pressed
    }
}

/// Whether the bit of the power key is set in sysfs's list of words, the highest
/// first, without leading zeros.
fn has_key(capabilities: &str) -> bool {
    let bits = usize::BITS as usize;
    let word = capabilities.split_whitespace().rev().nth(usize::from(KEY_POWER) / bits);
    let word = word.and_then(|word| usize::from_str_radix(word, 16).ok());
    word.is_some_and(|word| word >> (usize::from(KEY_POWER) % bits) & 1 == 1)
}

fn is_press(event: &[u8]) -> bool {
    let at = EVENT - 8;
    let half = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    let value = [event[at + 4], event[at + 5], event[at + 6], event[at + 7]];
    (half(at), half(at + 2), i32::from_ne_bytes(value)) == (EV_KEY, KEY_POWER, PRESSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![9; EVENT - 8];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&code.to_ne_bytes());
        bytes.extend_from_slice(&value.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_the_press_of_the_power_key_counts() {
        assert!(is_press(&event(EV_KEY, KEY_POWER, 1)));
        assert!(!is_press(&event(EV_KEY, KEY_POWER, 0)));
        assert!(!is_press(&event(EV_KEY, KEY_POWER - 1, 1)));
        assert!(!is_press(&event(0, 0, 0)));
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn button_is_told_from_other_input_devices() {
        assert!(has_key("10000000000000 0\n"));
        assert!(has_key("1 ffffffffffffffff 0\n"));
        assert!(!has_key("ffffffffffffffff\n"));
        assert!(!has_key("70000 0 0 0 0\n"));
        assert!(!has_key(""));
    }
}
