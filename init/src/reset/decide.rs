//! Whether a factory reset is due, and what is done for it. Pure.

/// What is known when the node document has been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen<'a> {
    /// The word in the document.
    pub(crate) request: Option<&'a str>,
    /// The word that the last reset by document was done for.
    pub(crate) done: Option<&'a str>,
    /// Whether the node has had no document before: it has nothing to forget.
    pub(crate) is_new: bool,
    /// Starts in a row that ended early, this one not counted.
    pub(crate) early_starts: u32,
    /// So many ask for a reset; 0: none do.
    pub(crate) power_cycles: u32,
    /// Whether the line is held.
    pub(crate) is_held: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Go on, with this many early starts noted, the present one among them.
    GoOn {
        /// The number.
        early_starts: u32,
        /// The word that counts as done from now on.
        done: Option<String>,
    },
    /// Reset, for this reason.
    Reset(String),
}

/// Decides.
///
/// | seen                                          | decision                   |
/// |-----------------------------------------------|----------------------------|
/// | a word of the document that was not done      | reset; a new node: go on   |
/// | the line is held                              | reset                      |
/// | as many early starts as ask for it            | reset                      |
/// | anything else                                 | go on, one start more      |
pub(crate) fn decide(seen: Seen<'_>) -> Decision {
    let asked = seen.request.filter(|word| Some(*word) != seen.done);
    if let Some(word) = asked
        && !seen.is_new
    {
        return Decision::Reset(format!("the node document asks for it: {word:?}"));
    }
    if seen.is_held {
        return Decision::Reset("its GPIO line is held".to_owned());
    }
    if seen.power_cycles > 0 && seen.early_starts >= seen.power_cycles {
        return Decision::Reset(format!("{} starts in a row ended early", seen.early_starts));
    }
    let early_starts = if seen.power_cycles > 0 { seen.early_starts + 1 } else { 0 };
    Decision::GoOn { early_starts, done: asked.map(str::to_owned) }
}

/// A step of a reset. Each may be done again after a power cut in its midst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Remove all that the data partition holds, durably.
    EmptyData,
    /// Remove what the state partition holds, but for what is kept, durably.
    EmptyState,
    /// Note the word that the reset was done for.
    NoteDone,
    /// Forget that a reset was asked for: it is over.
    Forget,
}

/// The steps, in order: only the last makes the others not happen again.
pub(crate) const STEPS: [Step; 4] =
    [Step::EmptyData, Step::EmptyState, Step::NoteDone, Step::Forget];

/// What stays on the state partition: the floor under the clock, what remembers the
/// reset itself, and the identity if it is kept.
pub(crate) fn stays(name: &str, keeps_identity: bool) -> bool {
    let always = ["lost+found", "time", "reset"];
    let identity = ["machine-id", "random-seed", "identity"];
    always.contains(&name) || (keeps_identity && identity.contains(&name))
}

/// What stays on the data partition: images that came with the card.
pub(crate) fn stays_on_data(name: &str) -> bool {
    ["lost+found", "preload"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn word_of_the_document_is_obeyed_once() {
        let seen = Seen { request: Some("today"), ..Seen::default() };
        assert!(matches!(decide(seen), Decision::Reset(why) if why.contains("today")));
        let done = Seen { done: Some("today"), ..seen };
        assert_eq!(decide(done), Decision::GoOn { early_starts: 0, done: None });
        let later = Seen { request: Some("tomorrow"), ..done };
        assert!(matches!(decide(later), Decision::Reset(_)));
    }

    #[test]
    fn new_node_has_nothing_to_forget() {
        let seen = Seen { request: Some("today"), is_new: true, ..Seen::default() };
        assert_eq!(decide(seen), Decision::GoOn { early_starts: 0, done: Some("today".into()) });
    }

    #[test]
    fn fifth_power_cut_in_a_row_leads_to_a_reset() {
        let mut early_starts = 0;
        for cut in 0..5 {
            let seen = Seen { power_cycles: 5, early_starts, ..Seen::default() };
            let Decision::GoOn { early_starts: next, .. } = decide(seen) else {
                panic!("reset after {cut} cuts");
            };
            early_starts = next;
        }
        let seen = Seen { power_cycles: 5, early_starts, ..Seen::default() };
        assert_eq!(decide(seen), Decision::Reset("5 starts in a row ended early".into()));
        // Switched off, nothing is counted, whatever was noted.
        let off = Seen { power_cycles: 0, ..seen };
        assert_eq!(decide(off), Decision::GoOn { early_starts: 0, done: None });
    }

    #[test]
    fn held_line_asks_for_a_reset() {
        let seen = Seen { is_held: true, is_new: true, ..Seen::default() };
        assert!(matches!(decide(seen), Decision::Reset(_)));
    }

    #[test]
    fn identity_stays_or_goes_and_the_clock_stays() {
        for name in ["machine-id", "random-seed", "identity"] {
            assert!(stays(name, true) && !stays(name, false));
        }
        assert!(stays("time", false) && stays("reset", false));
        assert!(!stays("config", true) && !stays("provisioned", true) && !stays("holm.toml", true));
    }

    /// A node's disk, as far as a reset goes.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Disk {
        data: u32,
        state: u32,
        done: Option<&'static str>,
        wanted: bool,
    }

    /// Performs the steps, at most `budget` single writes of them; whether all.
    fn perform(disk: &mut Disk, mut budget: u32) -> bool {
        let mut write = |change: &mut dyn FnMut()| {
            let may = budget > 0;
            if may {
                budget -= 1;
                change();
            }
            may
        };
        for step in STEPS {
            let whole = match step {
                Step::EmptyData => {
                    let Disk { data, .. } = disk;
                    (0..*data).all(|_| write(&mut || *data -= 1))
                }
                Step::EmptyState => {
                    let Disk { state, .. } = disk;
                    (0..*state).all(|_| write(&mut || *state -= 1))
                }
                Step::NoteDone => write(&mut || disk.done = Some("today")),
                Step::Forget => write(&mut || disk.wanted = false),
            };
            if !whole {
                return false;
            }
        }
        true
    }

    proptest! {
        #[test]
        fn reset_ends_well_however_the_power_goes(
            cuts in proptest::collection::vec(0u32..12, 0..6), data in 0u32..8, state in 0u32..8
        ) {
            let mut disk = Disk { data, state, done: None, wanted: true };
            for budget in cuts {
                if !disk.wanted {
                    break;
                }
                perform(&mut disk, budget);
                // Never forgotten before it is over.
                prop_assert!(disk.wanted || (disk.data, disk.state, disk.done) == (0, 0, Some("today")));
            }
            if disk.wanted {
                prop_assert!(perform(&mut disk, u32::MAX));
            }
            prop_assert_eq!(&disk, &Disk { data: 0, state: 0, done: Some("today"), wanted: false });
            let seen = Seen { request: Some("today"), done: disk.done, ..Seen::default() };
            prop_assert_eq!(decide(seen), Decision::GoOn { early_starts: 0, done: None });
        }
    }
}
