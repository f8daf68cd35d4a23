//! Asks the boot loader, through an EFI variable, which partition it came from.
//! Reads only; a machine without EFI has no answer.

use std::path::Path;

/// The variable of the boot loader interface:
/// <https://systemd.io/BOOT_LOADER_INTERFACE/>.
const LOADER_PARTITION: &str =
    "/sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// Whether this machine was started by EFI firmware.
pub(crate) fn is_present() -> bool {
    Path::new(EFIVARS).exists()
}

/// The unique id, in lower case, of the partition that the boot loader was
/// started from; none when the loader did not say.
pub(crate) fn loader_partition() -> Option<String> {
    parse(&std::fs::read(LOADER_PARTITION).ok()?)
}

/// Four bytes of attributes, then UTF-16 with a zero at the end.
fn parse(content: &[u8]) -> Option<String> {
    let units = content.get(4..)?.chunks_exact(2);
    let units: Vec<u16> = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let text = String::from_utf16(&units).ok()?;
    let id = text.trim_end_matches('\0').to_ascii_lowercase();
    (id.len() == 36).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(text: &str) -> Vec<u8> {
        let units = text.encode_utf16().chain([0]);
        [6u8, 0, 0, 0].into_iter().chain(units.flat_map(u16::to_le_bytes)).collect()
    }

    #[test]
    fn id_is_read_in_lower_case() {
        let id = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
        assert_eq!(parse(&variable(id)), Some(id.to_ascii_lowercase()));
    }

    #[test]
    fn odd_content_gives_nothing() {
        assert_eq!(parse(&variable("short")), None);
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0, 0, 0, 0, 0xff]), None);
    }
}
