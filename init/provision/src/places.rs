//! The places that a document may come from, and which of them wins.

/// A place, the first one winning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// QEMU's `fw_cfg`.
    Firmware,
    /// The kernel argument.
    Argument,
    /// A stick labelled `HOLM`.
    Stick,
    /// The boot partition.
    Boot,
    /// A NoCloud seed.
    Seed,
    /// A URL, of a stub document or from DHCP.
    Url,
    /// What was entered on the page, or put on the state partition.
    State,
}

impl Place {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firmware => "fw_cfg:opt/holm/holm.toml",
            Self::Argument => "holm.config",
            Self::Stick => "the stick HOLM",
            Self::Boot => "/boot/holm.toml",
            Self::Seed => "the seed CIDATA",
            Self::Url => "the provisioning URL",
            Self::State => "/state/holm.toml",
        }
    }
}

/// Who won, and why the others did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked<T> {
    /// The winner.
    pub winner: Option<(Place, T)>,
    /// The others, in order.
    pub losers: Vec<Place>,
}

/// Ranks the documents that were found, one for each place at most. A stub only
/// leads to another document, so it wins over nobody.
pub fn rank<T>(found: Vec<(Place, T)>, is_stub: impl Fn(&T) -> bool) -> Ranked<T> {
    let mut found = found;
    found.sort_by_key(|(place, document)| (is_stub(document), *place));
    let mut found = found.into_iter();
    let winner = found.next();
    Ranked { winner, losers: found.map(|(place, _)| place).collect() }
}

impl<T> Ranked<T> {
    /// One line for the log.
    pub fn line(&self) -> String {
        let Some((winner, _)) = &self.winner else {
            return "node document: none anywhere; the defaults are in force".to_owned();
        };
        let mut line = format!("node document: {} is taken", winner.name());
        for loser in &self.losers {
            let why = if loser < winner { "only leads to another" } else { "comes after it" };
            line.push_str(&format!("; {} is not: it {why}", loser.name()));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_place_wins_and_the_losers_are_named() {
        let found = vec![(Place::State, "s"), (Place::Boot, "b"), (Place::Stick, "u")];
        let ranked = rank(found, |_| false);
        assert_eq!(ranked.winner, Some((Place::Stick, "u")));
        assert_eq!(
            ranked.line(),
            "node document: the stick HOLM is taken; /boot/holm.toml is not: it comes after it; \
             /state/holm.toml is not: it comes after it"
        );
    }

    #[test]
    fn stub_gives_way_to_what_it_leads_to() {
        let found = vec![(Place::Boot, "stub"), (Place::Url, "whole")];
        let ranked = rank(found, |text| *text == "stub");
        assert_eq!(ranked.winner, Some((Place::Url, "whole")));
        assert!(ranked.line().ends_with("/boot/holm.toml is not: it only leads to another"));
        let alone = rank(vec![(Place::Boot, "stub")], |_| true);
        assert_eq!(alone.winner, Some((Place::Boot, "stub")));
    }

    #[test]
    fn nothing_found_is_said() {
        let ranked = rank(Vec::<(Place, ())>::new(), |()| false);
        assert!(ranked.line().contains("the defaults are in force"));
    }
}
