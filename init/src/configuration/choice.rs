//! Which document is in force: the one that was found if it is right, else the
//! last good one, else the defaults. Pure.

use super::last_good::LastGood;
use holm_config::NodeConfig;

/// Where the paths of a document without a folder of its own lead.
pub(crate) const BOOT: &str = "/boot";
/// The other folder that a document may come from.
pub(crate) const STATE: &str = "/state";

/// A document that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// What its problems call it.
    pub(crate) name: String,
    /// The folder it came from.
    pub(crate) folder: &'static str,
    /// Its text, or why it cannot be read.
    pub(crate) text: Result<String, String>,
}

/// The document in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// What the one that was found is called; empty for another.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
    /// What it says.
    pub(crate) config: NodeConfig,
    /// The folder it came from.
    pub(crate) folder: &'static str,
    /// What was wrong with the one that was found.
    pub(crate) problems: Vec<String>,
    /// Where it comes from.
    pub(crate) source: Source,
}

/// Where the document in force comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// It is the one that was found, and so the last good one from now on.
    Found,
    /// It is the last good one.
    LastGood,
    /// There is none; the defaults are in force.
    Defaults,
}

impl Source {
    /// What it is called.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Found => "the one that was found",
            Self::LastGood => "the last good one",
            Self::Defaults => "the defaults",
        }
    }
}

/// What the search for a document gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// This one.
    Document(Candidate),
    /// Every place was looked at, and there is none.
    Nothing,
    /// The boot partition could not be looked at; what the state partition has.
    Unseen(Option<Candidate>),
}

const UNSEEN: &str = "/boot/holm.toml: cannot be looked at, the boot partition is not mounted";

/// Chooses. Without any document the defaults are in force, and nothing is wrong;
/// but that a document could not be looked at does not mean that there is none.
pub(crate) fn choose(found: Found, last_good: Option<LastGood>) -> Choice {
    let mut problems = Vec::new();
    // A last good document that has become wrong (an older Holm accepted it) is
    // as good as none.
    let mut fallback = last_good.and_then(|LastGood { folder, text }| {
        let config = holm_config::parse(&text, "last-good.toml").ok()?;
        let (name, problems, source) = (String::new(), Vec::new(), Source::LastGood);
        Some(Choice { name, text, config, folder, problems, source })
    });
    let candidate = match found {
        Found::Document(candidate) => Some(candidate),
        Found::Nothing => {
            fallback = None;
            None
        }
        Found::Unseen(other) => {
            problems.push(UNSEEN.to_owned());
            // One of the state partition was the last good one, or beaten by it.
            other.filter(|_| fallback.as_ref().is_none_or(|good| good.folder == STATE))
        }
    };
    if let Some(candidate) = candidate {
        let (name, folder) = (candidate.name.clone(), candidate.folder);
        match read(candidate) {
            Ok((text, config)) => {
                return Choice { name, text, config, folder, problems, source: Source::Found };
            }
            Err(reasons) => problems.extend(reasons),
        }
    }
    let choice = fallback.unwrap_or_else(|| Choice {
        name: String::new(),
        text: String::new(),
        config: NodeConfig::default(),
        folder: BOOT,
        problems: Vec::new(),
        source: Source::Defaults,
    });
    Choice { problems, ..choice }
}

fn read(Candidate { name, text, .. }: Candidate) -> Result<(String, NodeConfig), Vec<String>> {
    let text = text.map_err(|reason| vec![format!("{name}: {reason}")])?;
    match holm_config::parse(&text, &name) {
        Ok(config) => Ok((text, config)),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "[node]\nhostname = \"edge-1\"\n";
    const BROKEN: &str = "[node]\nhostnme = \"edge-2\"\n";

    fn candidate(text: &str) -> Found {
        let text = Ok(text.to_owned());
        Found::Document(Candidate { name: "/boot/holm.toml".into(), folder: "/boot", text })
    }

    fn last_good(text: &str) -> Option<LastGood> {
        Some(LastGood { folder: BOOT, text: text.to_owned() })
    }

    #[test]
    fn right_document_is_in_force() {
        let choice = choose(candidate(GOOD), last_good(""));
        assert!(choice.source == Source::Found && choice.problems.is_empty());
        assert_eq!(choice.config.node.hostname.as_deref(), Some("edge-1"));
    }

    #[test]
    fn broken_document_leaves_the_last_good_one_in_force() {
        let choice = choose(candidate(BROKEN), last_good(GOOD));
        assert_eq!(choice.source, Source::LastGood);
        assert_eq!(choice.text, GOOD);
        assert!(choice.problems[0].starts_with("/boot/holm.toml:2:1: "), "{:?}", choice.problems);
        assert!(choice.problems[0].contains("hostname"), "{:?}", choice.problems);
    }

    #[test]
    fn broken_document_on_a_fresh_node_leaves_the_defaults() {
        let choice = choose(candidate(BROKEN), None);
        assert_eq!((choice.text.as_str(), choice.config), ("", NodeConfig::default()));
        // One that is there but broken itself is not in force, and not said to be.
        let choice = choose(candidate(BROKEN), last_good(BROKEN));
        assert_eq!((choice.text.as_str(), choice.source), ("", Source::Defaults));
        assert_eq!(choice.source.text(), "the defaults");
    }

    #[test]
    fn unreadable_document_is_a_problem_too() {
        let text = Err("is not UTF-8 text".to_owned());
        let candidate = Candidate { name: "holm.config".into(), folder: "/boot", text };
        let choice = choose(Found::Document(candidate), last_good(GOOD));
        assert_eq!(choice.problems, ["holm.config: is not UTF-8 text"]);
        assert_eq!(choice.text, GOOD);
    }

    #[test]
    fn node_without_document_has_the_defaults_and_no_problem() {
        let choice = choose(Found::Nothing, last_good(GOOD));
        assert!(choice.problems.is_empty() && choice.source == Source::Defaults);
        assert_eq!(choice.config, NodeConfig::default());
    }

    #[test]
    fn unseen_document_leaves_the_last_good_one_in_force() {
        let choice = choose(Found::Unseen(None), last_good(GOOD));
        assert_eq!((choice.text.as_str(), choice.source), (GOOD, Source::LastGood));
        assert_eq!(choice.problems, [UNSEEN]);
        let choice = choose(Found::Unseen(None), None);
        assert_eq!((choice.source, choice.problems.len()), (Source::Defaults, 1));
    }

    #[test]
    fn state_partition_speaks_when_the_boot_partition_is_unseen_and_nothing_was_good() {
        let text = Ok(GOOD.to_owned());
        let state = Candidate { name: "/state/holm.toml".into(), folder: "/state", text };
        let choice = choose(Found::Unseen(Some(state.clone())), None);
        assert_eq!((choice.source, choice.folder), (Source::Found, "/state"));
        let choice = choose(Found::Unseen(Some(state.clone())), last_good(""));
        assert_eq!((choice.source, choice.text.as_str()), (Source::LastGood, ""));
        // The node has its document there, and this is the new one.
        let good = LastGood { folder: STATE, text: String::new() };
        let choice = choose(Found::Unseen(Some(state)), Some(good));
        assert_eq!((choice.source, choice.text.as_str()), (Source::Found, GOOD));
    }

    #[test]
    fn last_good_document_keeps_its_own_folder() {
        let good = LastGood { folder: STATE, text: GOOD.to_owned() };
        let choice = choose(candidate(BROKEN), Some(good));
        assert_eq!((choice.source, choice.folder), (Source::LastGood, STATE));
    }

    proptest! {
        #[test]
        fn what_is_in_force_is_always_right(text in ".{0,80}", last in ".{0,80}") {
            let choice = choose(candidate(&text), last_good(&last));
            prop_assert_eq!(holm_config::parse(&choice.text, "x"), Ok(choice.config));
        }
    }
}
