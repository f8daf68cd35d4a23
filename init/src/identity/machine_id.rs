//! The machine id: <https://www.freedesktop.org/software/systemd/man/machine-id.html>.
//! Made once, on the node itself, and never changed.

use crate::durable;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The id kept at `path`; makes one when there is none, or none that is whole.
pub(crate) fn keep(path: &Path) -> io::Result<String> {
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    if let Some(id) = parse(&kept) {
        return Ok(id);
    }
    let mut random = [0; 16];
    File::open("/dev/random")?.read_exact(&mut random)?;
    let id = make(random);
    durable::replace(path, format!("{id}\n").as_bytes(), 0o444)?;
    Ok(id)
}

/// The default host name of the node with this id.
pub(crate) fn hostname(id: &str) -> String {
    format!("holm-{}", id.get(..8).unwrap_or(id))
}

fn parse(text: &str) -> Option<String> {
    let id = text.trim();
    let hex = id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (hex && id.bytes().any(|b| b != b'0')).then(|| id.to_owned())
}

/// From random bytes, in the form of a version 4 UUID.
fn make(mut random: [u8; 16]) -> String {
    random[6] = (random[6] & 0x0f) | 0x40;
    random[8] = (random[8] & 0x3f) | 0x80;
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn id_is_made_once() {
        let path = std::env::temp_dir().join(format!("holm-machine-id-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let first = keep(&path).unwrap();
        assert_eq!(keep(&path).unwrap(), first);
        assert_eq!(hostname(&first), format!("holm-{}", &first[..8]));
        std::fs::write(&path, "").unwrap();
        assert_ne!(keep(&path).unwrap(), first);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn only_a_whole_id_is_taken() {
        assert_eq!(parse(&format!("{}\n", "a1".repeat(16))), Some("a1".repeat(16)));
        assert_eq!(parse(&"0".repeat(32)), None);
        assert_eq!(parse("uninitialized\n"), None);
        assert_eq!(parse(&"A1".repeat(16)), None);
    }

    proptest! {
        #[test]
        fn made_ids_are_taken(random: [u8; 16]) {
            let id = make(random);
            prop_assert_eq!(parse(&id), Some(id.clone()));
            prop_assert_eq!(&id[12..13], "4");
        }
    }
}
