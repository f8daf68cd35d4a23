//! What the boot loader of a Raspberry Pi says about itself in the device tree, and
//! whether it is too old for a trial. Reads only.
//! Properties: "chosen/bootloader" in the Raspberry Pi documentation.

use crate::time::date_text;
use std::path::Path;

const FOLDER: &str = "/proc/device-tree";
/// The release of 2022-11-25, the first ordinary one of the Pi 4's that reads
/// `autoboot.txt` with `tryboot_a_b`. In seconds since 1970.
const FIRST_WITH_TRIALS: u32 = 1_669_334_400;

/// A sentence when the boot loader is too old for what Holm does with it.
pub(crate) fn complaint() -> Option<String> {
    let folder = Path::new(FOLDER);
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    judge(&read("model")?, read("chosen/bootloader/build-timestamp").as_deref())
}

/// Only models with their boot loader in flash can have an old one: the others
/// get theirs from the card.
fn judge(model: &[u8], timestamp: Option<&[u8]>) -> Option<String> {
    let model = String::from_utf8_lossy(model);
    let model = model.trim_end_matches('\0');
    let has_flash = ["Raspberry Pi 4", "Raspberry Pi Compute Module 4"]
        .iter()
        .any(|name| model.starts_with(name));
    if !has_flash {
        return None;
    }
    let built = timestamp.and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
    let age = match built {
        Some(built) if built >= FIRST_WITH_TRIALS => return None,
        Some(built) => format!("is of {}", date_text(i64::from(built))),
        None => "does not say how old it is".to_owned(),
    };
    Some(format!(
        "boot loader in the flash of this {model} {age}: it cannot try an update and come back; \
         bring it to 2022-11-25 or later with Raspberry Pi Imager (Misc utility images, Bootloader)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &[u8] = b"Raspberry Pi 4 Model B Rev 1.1\0";

    #[test]
    fn boot_loader_from_before_trials_is_complained_about_with_its_date() {
        // Thu Apr 29 16:11:25 UTC 2021, as shipped on many a board.
        let text = judge(MODEL, Some(&1_619_712_685u32.to_be_bytes())).unwrap();
        assert!(text.contains("Rev 1.1 is of 2021-04-29"), "{text}");
        let module = b"Raspberry Pi Compute Module 4 Rev 1.0\0";
        assert!(judge(module, Some(&1u32.to_be_bytes())).is_some());
    }

    #[test]
    fn boot_loader_that_says_nothing_is_too_old_as_well() {
        assert!(judge(MODEL, None).unwrap().contains("does not say"));
        assert!(judge(MODEL, Some(&[1, 2])).unwrap().contains("does not say"));
    }

    #[test]
    fn new_boot_loaders_and_other_machines_are_fine() {
        assert_eq!(judge(MODEL, Some(&FIRST_WITH_TRIALS.to_be_bytes())), None);
        for model in [&b"Raspberry Pi 3 Model B Plus Rev 1.3\0"[..], b"Raspberry Pi 5 Model B", b""]
        {
            assert_eq!(judge(model, None), None);
        }
    }
}
