//! `[install]`: where an image that installs itself goes.

use crate::document::or_default;
use crate::problem::{Refusal, refuse};
use crate::reader::Table;
use crate::schema;

/// `[install]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Install {
    /// The disk; unset: a person at the console says it.
    pub disk: Option<Target>,
    /// The named disk may lose what it holds.
    pub erase: bool,
    /// What follows.
    pub after: AfterInstall,
}

/// Which disk is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The only one that is built in, blank and large enough.
    Auto,
    /// The one with this name of the kernel's, without `/dev/`, or with this serial number.
    Named(String),
}

/// What an installer does in the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterInstall {
    /// It waits, powered off, for the stick to be taken out.
    #[default]
    PowerOff,
    /// It starts what it has written, if the firmware prefers that to the stick.
    Reboot,
}

impl Install {
    pub(crate) fn read(root: &Table<'_>) -> Self {
        let Some(table) = root.table("install", &schema::INSTALL) else { return Self::default() };
        let disk = table.parsed("disk", target).map(|disk| disk.value);
        let erase = table.bool("erase");
        if let Some(erase) = erase.as_ref().filter(|erase| erase.value)
            && !matches!(disk, Some(Target::Named(_)))
            && table.place("disk").is_none_or(|_| disk.is_some())
        {
            table.problem(
                erase.at,
                "\"erase\" without the name of a disk",
                "name the disk that may lose its data, such as disk = \"nvme0n1\"",
            );
        }
        let after = table.parsed("after", after);
        Self { disk, erase: or_default(erase, false), after: or_default(after, Default::default()) }
    }
}

fn target(text: &str) -> Result<Target, Refusal> {
    let name = text.strip_prefix("/dev/").unwrap_or(text);
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    match name {
        "auto" => Ok(Target::Auto),
        name if is_name => Ok(Target::Named(name.into())),
        _ => refuse(
            format!("{text:?} names no disk"),
            "write \"auto\", a name such as \"nvme0n1\", or a serial number",
        ),
    }
}

fn after(text: &str) -> Result<AfterInstall, Refusal> {
    match text {
        "power-off" => Ok(AfterInstall::PowerOff),
        "reboot" => Ok(AfterInstall::Reboot),
        _ => refuse(format!("{text:?} is nothing to do"), "write \"power-off\" or \"reboot\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn read(text: &str) -> Result<Install, String> {
        let parsed = parse(&format!("[install]\n{text}"), "f");
        let problems = |all: Vec<crate::Problem>| {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        parsed.map(|config| config.install).map_err(problems)
    }

    #[test]
    fn disk_is_auto_or_a_name_with_or_without_its_folder() {
        let disk = |text: &str| read(&format!("disk = \"{text}\"")).map(|found| found.disk);
        assert_eq!(disk("auto"), Ok(Some(Target::Auto)));
        for name in ["nvme0n1", "/dev/nvme0n1"] {
            assert_eq!(disk(name), Ok(Some(Target::Named("nvme0n1".into()))));
        }
        assert_eq!(disk("S4EVNX0R1234"), Ok(Some(Target::Named("S4EVNX0R1234".into()))));
        for wrong in ["", "/dev/", "/dev/disk/by-id/x", "two words"] {
            assert!(disk(wrong).is_err_and(|said| said.contains("names no disk")), "{wrong:?}");
        }
        assert_eq!(read("").map(|found| found.disk), Ok(None));
    }

    #[test]
    fn nobody_is_erased_without_being_named() {
        for text in ["erase = true", "disk = \"auto\"\nerase = true"] {
            let said = read(text).unwrap_err();
            assert!(said.contains("name the disk that may lose its data"), "{said}");
        }
        let said = read("disk = \"sda\"\nerase = true").expect("named");
        assert!(said.erase);
        assert!(read("erase = false").is_ok());
        let said = read("disk = \"a b\"\nerase = true").unwrap_err();
        assert_eq!(said.lines().count(), 1, "one mistake is one problem: {said}");
    }

    #[test]
    fn power_goes_off_unless_a_reboot_is_asked_for() {
        assert_eq!(read("").map(|found| found.after), Ok(AfterInstall::PowerOff));
        assert_eq!(read("after = \"reboot\"").map(|found| found.after), Ok(AfterInstall::Reboot));
        assert!(read("after = \"party\"").is_err());
    }
}
