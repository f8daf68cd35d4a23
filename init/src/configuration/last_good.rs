//! The last good document as it is kept: its text below a comment that names the
//! folder it came from. One file, so that a power cut never parts the two. Pure.

use super::choice::{BOOT, STATE};

const COMMENT: &str = "# accepted by Holm from ";

/// A document that was accepted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastGood {
    /// The folder it came from.
    pub(crate) folder: &'static str,
    /// Its text.
    pub(crate) text: String,
}

impl LastGood {
    /// As it is kept.
    pub(crate) fn encode(folder: &str, text: &str) -> String {
        format!("{COMMENT}{folder}\n{text}")
    }

    /// From what was kept. An earlier Holm kept no folder.
    pub(crate) fn decode(kept: &str) -> Self {
        let split = kept.strip_prefix(COMMENT).and_then(|rest| rest.split_once('\n'));
        let (folder, text) = split.unwrap_or((BOOT, kept));
        let folder = if folder == STATE { STATE } else { BOOT };
        Self { folder, text: text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn document_of_an_earlier_holm_is_of_the_boot_partition() {
        for text in ["", "[node]\n", "# accepted by Holm from /state"] {
            assert_eq!(LastGood::decode(text), LastGood { folder: BOOT, text: text.into() });
        }
    }

    #[test]
    fn kept_document_is_a_document_itself() {
        // An earlier Holm that comes back reads it, too.
        let kept = LastGood::encode(STATE, "[node]\nhostname = \"edge-1\"\n");
        let config = holm_config::parse(&kept, "x").unwrap();
        assert_eq!(config.node.hostname.as_deref(), Some("edge-1"));
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back(text in "(?s).{0,80}", state in any::<bool>()) {
            let folder = if state { STATE } else { BOOT };
            let kept = LastGood::encode(folder, &text);
            prop_assert_eq!(LastGood::decode(&kept), LastGood { folder, text });
        }
    }
}
