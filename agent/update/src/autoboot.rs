//! `autoboot.txt` of the Raspberry Pi's firmware: which partition boots, and which one a boot with
//! the tryboot flag takes. Pure.
//! Source: "autoboot.txt" in the Raspberry Pi documentation of `config.txt`.
//!
//! The text always has [`LENGTH`] bytes: it is replaced where it lies, as one sector, so that no
//! power cut leaves half of it.

use std::fmt;

/// One sector, and the most that the firmware reads.
pub const LENGTH: usize = 512;

/// What the file says, in partition numbers of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Autoboot {
    /// The partition of an ordinary boot.
    pub boot: u8,
    /// The partition of a boot with the tryboot flag. The same as `boot` when none may be tried.
    pub tryboot: u8,
}

/// Why a text is no `autoboot.txt` of Holm's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AutobootError {
    /// The firmware reads no further.
    #[error("autoboot.txt has {0} bytes; the firmware reads {LENGTH}")]
    TooLong(usize),
    /// Not text, or a line that is neither a section nor an assignment.
    #[error("autoboot.txt, line {0}: write a section such as [all], or key=value")]
    Line(usize),
    /// A value is no partition number.
    #[error("autoboot.txt, line {0}: boot_partition is a partition's number, 1 to 63")]
    Partition(usize),
    /// `tryboot_a_b=1` or a partition is missing.
    #[error("autoboot.txt lacks {0}")]
    Missing(&'static str),
}

impl Autoboot {
    /// Reads a file. Sections and keys that Holm does not write are passed over, as the firmware
    /// passes over those that it does not know.
    ///
    /// # Errors
    /// See [`AutobootError`].
    pub fn parse(content: &[u8]) -> Result<Self, AutobootError> {
        if content.len() > LENGTH {
            return Err(AutobootError::TooLong(content.len()));
        }
        let (mut boot, mut tryboot, mut a_b) = (None, None, false);
        let mut section = Section::All;
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            let line = std::str::from_utf8(line).map_err(|_| AutobootError::Line(number))?.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = match name {
                    "all" => Section::All,
                    "tryboot" => Section::Tryboot,
                    _ => Section::Foreign,
                };
                continue;
            }
            let (key, value) = line.split_once('=').ok_or(AutobootError::Line(number))?;
            match (section, key.trim()) {
                (Section::All, "tryboot_a_b") => a_b = value.trim() == "1",
                (Section::All, "boot_partition") => boot = Some(partition(value, number)?),
                (Section::Tryboot, "boot_partition") => tryboot = Some(partition(value, number)?),
                _ => {}
            }
        }
        if !a_b {
            return Err(AutobootError::Missing("tryboot_a_b=1 in its section [all]"));
        }
        let boot = boot.ok_or(AutobootError::Missing("boot_partition in its section [all]"))?;
        let tryboot =
            tryboot.ok_or(AutobootError::Missing("boot_partition in its section [tryboot]"))?;
        Ok(Self { boot, tryboot })
    }

    /// The file's content: [`LENGTH`] bytes, filled up with line ends.
    pub fn render(&self) -> Vec<u8> {
        let mut content = self.to_string().into_bytes();
        content.resize(LENGTH, b'\n');
        content
    }
}

impl fmt::Display for Autoboot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boot, tryboot } = self;
        write!(f, "[all]\ntryboot_a_b=1\nboot_partition={boot}\n")?;
        write!(f, "[tryboot]\nboot_partition={tryboot}\n")
    }
}

#[derive(Clone, Copy)]
enum Section {
    All,
    Tryboot,
    Foreign,
}

fn partition(value: &str, line: usize) -> Result<u8, AutobootError> {
    let number = value.trim().parse().map_err(|_| AutobootError::Partition(line))?;
    if (1..=63).contains(&number) { Ok(number) } else { Err(AutobootError::Partition(line)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn file_fills_one_sector_and_says_what_the_firmware_reads() {
        let content = Autoboot { boot: 2, tryboot: 3 }.render();
        assert_eq!(content.len(), 512);
        let text = String::from_utf8(content).unwrap();
        assert_eq!(
            text.trim_end(),
            "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3"
        );
    }

    #[test]
    fn a_persons_comments_spaces_and_further_keys_do_not_matter() {
        let text = b"# by hand\r\n[pi4]\r\nboot_partition=9\r\n[all]\r\ntryboot_a_b = 1\r\n\
            boot_partition = 3\r\nother=x\r\n[tryboot]\r\nboot_partition=2\r\n";
        assert_eq!(Autoboot::parse(text), Ok(Autoboot { boot: 3, tryboot: 2 }));
    }

    #[test]
    fn broken_file_is_told_what_is_wrong_and_where() {
        let error = |text: &[u8]| Autoboot::parse(text).unwrap_err();
        assert_eq!(error(&[b'\n'; 513]), AutobootError::TooLong(513));
        assert_eq!(error(b"[all]\nboot_partition\n"), AutobootError::Line(2));
        assert_eq!(error(b"[all]\n\xff=\n"), AutobootError::Line(2));
        assert_eq!(error(b"boot_partition=0\n"), AutobootError::Partition(1));
        assert_eq!(error(b"boot_partition=x\n"), AutobootError::Partition(1));
        let no_a_b = b"[all]\nboot_partition=2\n[tryboot]\nboot_partition=3\n";
        assert!(matches!(error(no_a_b), AutobootError::Missing(what) if what.contains("a_b")));
        assert!(matches!(error(b"tryboot_a_b=1\nboot_partition=2\n"), AutobootError::Missing(_)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(boot in 1u8..64, tryboot in 1u8..64) {
            let autoboot = Autoboot { boot, tryboot };
            prop_assert_eq!(Autoboot::parse(&autoboot.render()), Ok(autoboot));
        }

        #[test]
        fn any_content_is_survived(content in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Autoboot::parse(&content);
        }
    }
}
