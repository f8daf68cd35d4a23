//! The places where a node document may be, the first that has one winning:
//! QEMU's fw_cfg, the kernel command line, the boot partition, the state
//! partition. Reads only.

use super::base64;
use super::choice::{BOOT, Candidate, Found, STATE};
use crate::cmdline::Cmdline;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A document longer than this is refused by its parser, too.
const LONGEST: u64 = 64 << 10;
const ARGUMENT: &str = "holm.config";

/// File, folder that its paths are relative to, what it is called.
const FILES: [(&str, &str, &str); 3] = [
    ("/sys/firmware/qemu_fw_cfg/by_name/opt/holm/holm.toml/raw", BOOT, "fw_cfg:opt/holm/holm.toml"),
    ("/boot/holm.toml", BOOT, "/boot/holm.toml"),
    ("/state/holm.toml", STATE, "/state/holm.toml"),
];

/// The document, if there is any.
pub(crate) fn find() -> Found {
    let cmdline = Cmdline::read().unwrap_or_default();
    let [fw_cfg, boot, state] =
        FILES.map(|(path, folder, name)| from_file(Path::new(path), folder, name));
    first([fw_cfg, from_argument(&cmdline), boot, state], is_mounted(Path::new(BOOT)))
}

/// The order above is the precedence: what whoever starts the machine says beats
/// what lies on its disk. Without the boot partition nobody knows whether there is
/// one that beats that of the state partition.
fn first([fw_cfg, argument, boot, state]: [Option<Candidate>; 4], boot_is_there: bool) -> Found {
    match (fw_cfg.or(argument).or(boot), state) {
        (Some(candidate), _) => Found::Document(candidate),
        (None, state) if !boot_is_there => Found::Unseen(state),
        (None, Some(candidate)) => Found::Document(candidate),
        (None, None) => Found::Nothing,
    }
}

/// Whether something is mounted on the folder `path`.
fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    let parent = path.parent().and_then(device);
    device(path).is_some_and(|own| Some(own) != parent)
}

fn from_argument(cmdline: &Cmdline) -> Option<Candidate> {
    let value = cmdline.value(ARGUMENT)?;
    let text = base64::decode(value)
        .map_err(|error| format!("{error}; it must be the document in base64"))
        .and_then(utf8);
    Some(Candidate { name: ARGUMENT.to_owned(), folder: BOOT, text })
}

/// A file that is not there is no candidate; one that cannot be read is one.
fn from_file(path: &Path, folder: &'static str, name: &str) -> Option<Candidate> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(LONGEST + 1).read_to_end(&mut bytes));
    let text = match read {
        // Its end may be cut off within a letter.
        Ok(length) if length as u64 > LONGEST => {
            Err(format!("is too long; keep it within {LONGEST} bytes"))
        }
        Ok(_) => utf8(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    Some(Candidate { name: name.to_owned(), folder, text })
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let start = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = start.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8; save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<Candidate> {
        Some(Candidate { name: name.into(), folder: BOOT, text: Ok(String::new()) })
    }

    #[test]
    fn whoever_starts_the_machine_beats_its_disk() {
        let name = |places| match first(places, true) {
            Found::Document(candidate) => Some(candidate.name),
            Found::Nothing => None,
            Found::Unseen(_) => panic!("the boot partition is there"),
        };
        let all = [named("fw_cfg"), named("argument"), named("boot"), named("state")];
        assert_eq!(name(all), Some("fw_cfg".into()));
        assert_eq!(name([None, None, named("boot"), named("state")]), Some("boot".into()));
        assert_eq!(name([None, None, None, None]), None);
    }

    #[test]
    fn without_the_boot_partition_nothing_is_known_of_its_document() {
        let first = |places| first(places, false);
        assert_eq!(first([None, None, None, None]), Found::Unseen(None));
        let state = named("state");
        assert_eq!(first([None, None, None, state.clone()]), Found::Unseen(state.clone()));
        let argument = named("argument");
        let found = first([None, argument.clone(), None, state]);
        assert_eq!(Some(found), argument.map(Found::Document));
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(Path::new("/proc/self")) && !is_mounted(Path::new("/nonexistent")));
    }

    #[test]
    fn argument_is_decoded() {
        let cmdline = Cmdline::parse("holm.config=W25vZGVdCg==");
        assert_eq!(from_argument(&cmdline).unwrap().text, Ok("[node]\n".into()));
        let odd = from_argument(&Cmdline::parse("holm.config=%")).unwrap();
        assert!(odd.text.unwrap_err().ends_with("it must be the document in base64"));
        assert_eq!(from_argument(&Cmdline::parse("quiet")), None);
    }

    #[test]
    fn missing_file_is_none_and_unreadable_file_is_a_problem() {
        assert_eq!(from_file(Path::new("/nonexistent/holm.toml"), BOOT, "x"), None);
        let folder = from_file(Path::new("/"), BOOT, "x").unwrap();
        assert!(folder.text.unwrap_err().starts_with("cannot be read"));
    }

    #[test]
    fn longest_document_is_that_of_the_parser() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("holm.toml");
        let found = |text: &str| {
            std::fs::write(&path, text).unwrap();
            from_file(&path, BOOT, "x").unwrap().text
        };
        let longest = "#".repeat(LONGEST as usize);
        assert_eq!(holm_config::parse(&longest, "x"), Ok(holm_config::NodeConfig::default()));
        assert_eq!(found(&longest), Ok(longest.clone()));
        let refused = Err("is too long; keep it within 65536 bytes".to_owned());
        for more in ["#", "\u{e9}"] {
            let longer = longest.clone() + more;
            assert!(holm_config::parse(&longer, "x").is_err());
            assert_eq!(found(&longer), refused);
        }
    }

    #[test]
    fn line_that_is_not_utf8_is_named() {
        let error = utf8(b"[node]\nhostname = \"\xff\"\n".to_vec()).unwrap_err();
        assert_eq!(error, "line 2 is not UTF-8; save the file as UTF-8");
    }
}
