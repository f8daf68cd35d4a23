//! Which document is in force: the one that was found if it is right, else the
//! last good one, else the defaults. Pure.

use holm_config::NodeConfig;

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

/// Chooses. Without any document the defaults are in force, and nothing is wrong.
pub(crate) fn choose(candidate: Option<Candidate>, last_good: Option<&str>) -> Choice {
    let Some(Candidate { name, folder, text }) = candidate else {
        return Choice {
            text: String::new(),
            config: NodeConfig::default(),
            folder: "/boot",
            problems: Vec::new(),
            source: Source::Defaults,
        };
    };
    let problems = match text {
        Ok(text) => match holm_config::parse(&text, &name) {
            Ok(config) => {
                return Choice {
                    text,
                    config,
                    folder,
                    problems: Vec::new(),
                    source: Source::Found,
                };
            }
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        },
        Err(reason) => vec![format!("{name}: {reason}")],
    };
    // A last good document that has become wrong (an older Holm accepted it) is
    // as good as none.
    let fallback = last_good.and_then(|text| {
        let config = holm_config::parse(text, "last-good.toml").ok()?;
        Some((text.to_owned(), config, Source::LastGood))
    });
    let (text, config, source) =
        fallback.unwrap_or_else(|| (String::new(), NodeConfig::default(), Source::Defaults));
    Choice { text, config, folder, problems, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "[node]\nhostname = \"edge-1\"\n";
    const BROKEN: &str = "[node]\nhostnme = \"edge-2\"\n";

    fn candidate(text: &str) -> Option<Candidate> {
        let text = Ok(text.to_owned());
        Some(Candidate { name: "/boot/holm.toml".into(), folder: "/boot", text })
    }

    #[test]
    fn right_document_is_in_force() {
        let choice = choose(candidate(GOOD), Some(""));
        assert!(choice.source == Source::Found && choice.problems.is_empty());
        assert_eq!(choice.config.node.hostname.as_deref(), Some("edge-1"));
    }

    #[test]
    fn broken_document_leaves_the_last_good_one_in_force() {
        let choice = choose(candidate(BROKEN), Some(GOOD));
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
        let choice = choose(candidate(BROKEN), Some(BROKEN));
        assert_eq!((choice.text.as_str(), choice.source), ("", Source::Defaults));
        assert_eq!(choice.source.text(), "the defaults");
    }

    #[test]
    fn unreadable_document_is_a_problem_too() {
        let text = Err("is not UTF-8 text".to_owned());
        let candidate = Candidate { name: "holm.config".into(), folder: "/boot", text };
        let choice = choose(Some(candidate), Some(GOOD));
        assert_eq!(choice.problems, ["holm.config: is not UTF-8 text"]);
        assert_eq!(choice.text, GOOD);
    }

    #[test]
    fn node_without_document_has_the_defaults_and_no_problem() {
        let choice = choose(None, Some(GOOD));
        assert!(choice.problems.is_empty() && choice.source == Source::Defaults);
        assert_eq!(choice.config, NodeConfig::default());
    }

    proptest! {
        #[test]
        fn what_is_in_force_is_always_right(text in ".{0,80}", last in ".{0,80}") {
            let choice = choose(candidate(&text), Some(&last));
            prop_assert_eq!(holm_config::parse(&choice.text, "x"), Ok(choice.config));
        }
    }
}
