//! Whether the document that was chosen is in force for good, on trial, or not at
//! all because an earlier trial has failed. Notes it durably before anybody acts.

use super::choice::{Candidate, Choice, Found, Source, choose};
use super::last_good::LastGood;
use crate::provision::kept::Kept;
use holm_config::Confirm;
use holm_provision::{AtBoot, Verdict, at_boot};

const UNDONE: &str = "cost the node its connectivity and was undone; change it";

/// Judges `choice`, which was made with this last good document at hand.
pub(crate) fn judge(choice: Choice, last_good: Option<LastGood>, kept: &Kept) -> (Choice, Verdict) {
    if choice.source != Source::Found {
        return (choice, Verdict::Take);
    }
    let before = kept.record();
    let seen = AtBoot {
        found: Some(&choice.text),
        proven: last_good.as_ref().map(|good| good.text.as_str()),
        was_connected: kept.was_connected(),
        wants_trial: choice.config.provisioning.confirm != Confirm::Off,
    };
    let (record, verdict) = at_boot(&before, seen);
    let noted = || -> std::io::Result<()> {
        if verdict == Verdict::Try {
            kept.set_tried(choice.folder, &choice.text)?;
        }
        if record != before { kept.set_record(&record) } else { Ok(()) }
    };
    match (noted(), verdict) {
        // Without a disk there is nothing to come back to.
        (Err(_), _) => (choice, Verdict::Take),
        (Ok(()), Verdict::Refuse) => {
            let name = choice.name.clone();
            let text = Err(UNDONE.to_owned());
            let candidate = Candidate { name, folder: choice.folder, text };
            (choose(Found::Document(candidate), last_good), verdict)
        }
        (Ok(()), verdict) => (choice, verdict),
    }
}

#[cfg(test)]
mod tests {
    use super::super::choice::BOOT;
    use super::*;

    const OLD: &str = "[node]\nhostname = \"old\"\n";
    const NEW: &str = "[node]\nhostname = \"new\"\n";

    fn start(kept: &Kept) -> (Choice, Verdict) {
        let text = Ok(NEW.to_owned());
        let candidate = Candidate { name: "/boot/holm.toml".into(), folder: BOOT, text };
        let last_good = kept.last_good();
        judge(choose(Found::Document(candidate), last_good.clone()), last_good, kept)
    }

    fn node_with_old_document() -> (tempfile::TempDir, Kept) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("config")).unwrap();
        let kept = Kept::below(folder.path());
        kept.set_tried(BOOT, OLD).unwrap();
        kept.keep_tried().unwrap();
        (folder, kept)
    }

    #[test]
    fn failed_trial_leaves_the_last_good_document_in_force_and_says_why() {
        let (_folder, kept) = node_with_old_document();
        kept.note_connected().unwrap();
        let (choice, verdict) = start(&kept);
        assert_eq!((choice.text.as_str(), verdict), (NEW, Verdict::Try));
        assert_eq!(kept.last_good().unwrap().text, OLD);
        kept.set_record(&kept.record().undo()).unwrap();
        let (choice, verdict) = start(&kept);
        assert_eq!((choice.text.as_str(), verdict), (OLD, Verdict::Refuse));
        assert_eq!(choice.problems, [format!("/boot/holm.toml: {UNDONE}")]);
    }

    #[test]
    fn good_trial_makes_the_document_the_last_good_one() {
        let (_folder, kept) = node_with_old_document();
        kept.note_connected().unwrap();
        start(&kept);
        kept.keep_tried().unwrap();
        assert_eq!(start(&kept).1, Verdict::Take);
        assert_eq!(kept.last_good().unwrap().text, NEW);
    }

    #[test]
    fn node_that_was_never_connected_takes_the_document() {
        let (_folder, kept) = node_with_old_document();
        assert_eq!(start(&kept).1, Verdict::Take);
    }

    #[test]
    fn node_without_a_disk_takes_the_document() {
        let kept = Kept::below(std::path::Path::new("/nonexistent"));
        assert_eq!(start(&kept).1, Verdict::Take);
    }
}
