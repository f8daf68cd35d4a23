//! The places where a node document may be. Reads only; which of them wins,
//! `holm_provision` says.

use super::base64;
use super::choice::{BOOT, Candidate, Found, STATE};
use crate::cmdline::Cmdline;
use crate::provision::kept::{Kept, Source};
use holm_config::Provisioning;
use holm_provision::{Place, rank};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A document longer than this is refused by its parser, too.
const LONGEST: u64 = 64 << 10;
const ARGUMENT: &str = "holm.config";
/// Asks for the page for entering a document.
const PAGE: &str = "holm.page";
const FIRMWARE: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/holm/holm.toml/raw";

/// The documents that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places {
    found: Vec<(Place, Candidate)>,
    boot_is_there: bool,
    asks_for_page: bool,
}

/// Looks at every place.
pub(crate) fn find() -> Places {
    let cmdline = Cmdline::read().unwrap_or_default();
    let kept = Kept::of_node();
    let of_boot = |path: &Path, place: Place| from_file(path, BOOT, place.name());
    let all = [
        (Place::Firmware, of_boot(Path::new(FIRMWARE), Place::Firmware)),
        (Place::Argument, from_argument(&cmdline)),
        (Place::Stick, of_boot(&kept.document(Source::Stick), Place::Stick)),
        (Place::Boot, of_boot(Path::new("/boot/holm.toml"), Place::Boot)),
        (Place::Seed, of_boot(&kept.document(Source::Seed), Place::Seed)),
        (Place::Url, of_boot(&kept.document(Source::Url), Place::Url)),
        (Place::State, from_file(Path::new("/state/holm.toml"), STATE, Place::State.name())),
    ];
    let found = all.into_iter().filter_map(|(place, candidate)| Some((place, candidate?)));
    Places {
        found: found.collect(),
        boot_is_there: is_mounted(Path::new(BOOT)),
        asks_for_page: cmdline.value(PAGE) == Some("on"),
    }
}

impl Places {
    /// The document to take, and a line about it and the others. Without the boot
    /// partition nobody knows whether there is one that beats those after it.
    pub(crate) fn choose(self) -> (Found, String) {
        let found = self.found.into_iter().map(|(place, candidate)| (place, (place, candidate)));
        let ranked = rank(found.collect(), |(place, c): &(Place, _)| leads_elsewhere(*place, c));
        let line = ranked.line();
        let found = match ranked.winner {
            Some((place, (_, candidate))) if place > Place::Boot && !self.boot_is_there => {
                Found::Unseen(Some(candidate))
            }
            Some((_, (_, candidate))) => Found::Document(candidate),
            None if !self.boot_is_there => return (Found::Unseen(None), line),
            None => Found::Nothing,
        };
        (found, line)
    }

    /// What the document that leads to others says about them: one that came from
    /// there has no say in it.
    pub(crate) fn provisioning(&self) -> Provisioning {
        let local = self.found.iter().filter(|(place, _)| is_local(*place));
        let read = |(_, candidate): &(Place, Candidate)| {
            let text = candidate.text.as_ref().ok()?;
            holm_config::parse(text, "holm.toml").ok().map(|config| config.provisioning)
        };
        local.filter_map(read).next().unwrap_or_default()
    }

    /// Whether the document of a URL has been kept.
    pub(crate) fn has_url(&self) -> bool {
        self.found.iter().any(|(place, _)| *place == Place::Url)
    }

    /// Whether the page for entering a document is asked for, and there is none.
    pub(crate) fn wants_page(&self) -> bool {
        let has_whole = self.found.iter().any(|(place, c)| !leads_elsewhere(*place, c));
        !has_whole && (self.asks_for_page || self.provisioning().page)
    }
}

fn is_local(place: Place) -> bool {
    !matches!(place, Place::Url | Place::State)
}

fn leads_elsewhere(place: Place, candidate: &Candidate) -> bool {
    let text = candidate.text.as_deref().unwrap_or_default();
    let parsed = holm_config::parse(text, "holm.toml");
    is_local(place) && parsed.is_ok_and(|config| config.provisioning.leads_elsewhere())
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

    fn candidate(place: Place, text: &str) -> (Place, Candidate) {
        let name = place.name().to_owned();
        (place, Candidate { name, folder: BOOT, text: Ok(text.to_owned()) })
    }

    fn places(found: Vec<(Place, Candidate)>) -> Places {
        Places { found, boot_is_there: true, asks_for_page: false }
    }

    fn winner(places: Places) -> Option<String> {
        match places.choose().0 {
            Found::Document(candidate) => Some(candidate.name),
            Found::Nothing => None,
            Found::Unseen(_) => panic!("the boot partition is there"),
        }
    }

    const STUB: &str = "[provisioning]\npage = true\n";

    #[test]
    fn whoever_starts_the_machine_beats_its_disk() {
        let all = [Place::State, Place::Boot, Place::Argument, Place::Firmware];
        let all = all.map(|place| candidate(place, ""));
        assert_eq!(winner(places(all.to_vec())), Some("fw_cfg:opt/holm/holm.toml".into()));
        assert_eq!(winner(places(all[..2].to_vec())), Some("/boot/holm.toml".into()));
        assert_eq!(winner(places(Vec::new())), None);
    }

    #[test]
    fn document_that_leads_elsewhere_gives_way_and_asks_for_the_page() {
        let stub = candidate(Place::Boot, STUB);
        let alone = places(vec![stub.clone()]);
        assert!(alone.wants_page() && alone.provisioning().page);
        assert_eq!(winner(alone), Some("/boot/holm.toml".into()));
        // One that was entered may say what it likes.
        let both = places(vec![stub, candidate(Place::State, STUB)]);
        assert!(!both.wants_page());
        assert_eq!(winner(both), Some("/state/holm.toml".into()));
        let whole = Places { asks_for_page: true, ..places(vec![candidate(Place::Boot, "")]) };
        assert!(!whole.wants_page());
        assert!(Places { asks_for_page: true, ..places(Vec::new()) }.wants_page());
        assert!(!places(Vec::new()).wants_page());
    }

    #[test]
    fn without_the_boot_partition_nothing_is_known_of_its_document() {
        let unseen = |found| Places { boot_is_there: false, ..places(found) }.choose().0;
        assert_eq!(unseen(vec![]), Found::Unseen(None));
        let (_, state) = candidate(Place::State, "");
        assert_eq!(unseen(vec![(Place::State, state.clone())]), Found::Unseen(Some(state)));
        let (_, argument) = candidate(Place::Argument, "");
        let found = unseen(vec![(Place::Argument, argument.clone())]);
        assert_eq!(found, Found::Document(argument));
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
