//! Which release a node goes for, and in words why it goes for none. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use semver::Version;

use crate::release::Release;

/// What the choice depends on, beside the releases.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The board that the running image was built for.
    pub board: &'a str,
    /// The channel that the node follows.
    pub channel: &'a str,
    /// What runs.
    pub version: &'a Version,
    /// The node's wave seed.
    pub seed: u16,
}

/// What is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<'a> {
    /// This one, now.
    Take {
        /// The path of its index.
        path: &'a str,
        /// Its facts.
        release: &'a Release,
        /// Whether it cannot wait for a maintenance window.
        urgent: bool,
    },
    /// This one, but the node's turn has not come.
    Wait {
        /// Its version.
        version: &'a Version,
        /// When.
        until: Timestamp,
    },
    /// There is nothing newer.
    UpToDate,
}

/// Why a release is not for this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The channel has nothing for this board.
    #[error("channel {channel:?} has nothing for board {board:?}")]
    NothingForBoard {
        /// The channel.
        channel: String,
        /// The board.
        board: String,
    },
    /// Newer releases ask for a version between.
    #[error("version {version} asks for {minimum} first, and nothing leads there from {running}")]
    TooOld {
        /// The newest release.
        version: Version,
        /// What it asks for.
        minimum: Version,
        /// What runs.
        running: Version,
    },
    /// No release of that name.
    #[error("there is no version {version} for board {board:?}")]
    Unknown {
        /// The version that was named.
        version: Version,
        /// The board.
        board: String,
    },
    /// Older than what runs, and not forced.
    #[error("version {version} is older than {running}, which runs: a way back has to be forced")]
    Downgrade {
        /// The version that was named.
        version: Version,
        /// What runs.
        running: Version,
    },
}

/// The newest release of the node's channel that it can take from what runs.
pub fn choose<'a>(
    releases: &'a BTreeMap<String, Release>,
    node: Node<'_>,
    now: Timestamp,
) -> Result<Choice<'a>, Refusal> {
    let offered = || {
        releases.iter().filter_map(|(path, release)| {
            let rollout = release.channels.get(node.channel)?;
            (release.board == node.board).then_some((path, release, rollout))
        })
    };
    if offered().next().is_none() {
        let (channel, board) = (node.channel.to_owned(), node.board.to_owned());
        return Err(Refusal::NothingForBoard { channel, board });
    }
    let mut newer: Vec<_> =
        offered().filter(|one| is_newer(&one.1.version, node.version)).collect();
    newer.sort_by(|one, two| two.1.version.cmp(&one.1.version));
    let Some((_, newest, _)) = newer.first() else { return Ok(Choice::UpToDate) };
    let reachable = |release: &Release| {
        release.minimum_version.as_ref().is_none_or(|minimum| node.version >= minimum)
    };
    let mut candidates = newer.iter().filter(|(_, release, _)| reachable(release)).peekable();
    if candidates.peek().is_none() {
        return Err(Refusal::TooOld {
            version: newest.version.clone(),
            minimum: newest.minimum_version.clone().unwrap_or_else(|| newest.version.clone()),
            running: node.version.clone(),
        });
    }
    let mut waiting: Option<(&Version, Timestamp)> = None;
    for (path, release, rollout) in candidates {
        let turn = rollout.waves.turn(rollout.start, node.seed, &release.version.to_string());
        if turn <= now {
            return Ok(Choice::Take { path, release, urgent: rollout.urgent });
        }
        waiting = match waiting {
            Some(earlier) if earlier.1 <= turn => Some(earlier),
            _ => Some((&release.version, turn)),
        };
    }
    Ok(waiting.map_or(Choice::UpToDate, |(version, until)| Choice::Wait { version, until }))
}

/// The release that a person named: no channel, no wave. Backwards only when forced.
pub fn named<'a>(
    releases: &'a BTreeMap<String, Release>,
    node: Node<'_>,
    version: &Version,
    forced: bool,
) -> Result<(&'a str, &'a Release), Refusal> {
    let wanted = |release: &Release| release.board == node.board && release.version == *version;
    let found = releases.iter().find(|(_, release)| wanted(release));
    let unknown = || Refusal::Unknown { version: version.clone(), board: node.board.to_owned() };
    let (path, release) = found.ok_or_else(unknown)?;
    if forced {
        return Ok((path, release));
    }
    let running = || node.version.clone();
    if is_newer(node.version, version) {
        return Err(Refusal::Downgrade { version: version.clone(), running: running() });
    }
    match &release.minimum_version {
        Some(minimum) if node.version < minimum => Err(Refusal::TooOld {
            version: version.clone(),
            minimum: minimum.clone(),
            running: running(),
        }),
        _ => Ok((path, release)),
    }
}

/// By precedence, where build metadata count as well: each build is a version of its own.
fn is_newer(one: &Version, than: &Version) -> bool {
    one > than
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Rollout;
    use crate::release::tests::release;
    use crate::waves::{NORMAL, Schedule, URGENT};

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn later() -> Timestamp {
        "2026-02-01T00:00:00Z".parse().unwrap()
    }

    /// (version, minimum version, channel)
    fn offered(list: &[(&str, Option<&str>, &str)]) -> BTreeMap<String, Release> {
        let make = |(name, minimum, channel): &(&str, Option<&str>, &str)| {
            let mut release = release(name);
            release.minimum_version = minimum.map(version);
            let waves = Schedule(NORMAL.to_vec());
            let rollout = Rollout { start: start(), urgent: false, waves };
            release.channels.insert((*channel).to_owned(), rollout);
            (format!("x86-64/{name}/index"), release)
        };
        list.iter().map(make).collect()
    }

    fn node(version: &Version) -> Node<'_> {
        Node { board: "x86-64", channel: "stable", version, seed: 7 }
    }

    fn chosen(releases: &BTreeMap<String, Release>, running: &str) -> String {
        match choose(releases, node(&version(running)), later()) {
            Ok(Choice::Take { release, .. }) => release.version.to_string(),
            Ok(other) => format!("{other:?}"),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn newest_of_the_channel_is_taken_and_nothing_older() {
        let releases = offered(&[
            ("1.1.0", None, "stable"),
            ("1.10.0", None, "stable"),
            ("2.0.0", None, "beta"),
        ]);
        assert_eq!(chosen(&releases, "1.0.0"), "1.10.0");
        assert_eq!(chosen(&releases, "1.10.0"), "UpToDate");
        assert_eq!(chosen(&releases, "3.0.0"), "UpToDate");
        // A version to try comes before the one that it leads to.
        assert_eq!(chosen(&releases, "1.10.0-beta.1"), "1.10.0");
    }

    #[test]
    fn stepping_stone_is_taken_where_the_newest_asks_for_it() {
        let releases = offered(&[
            ("1.5.0", None, "stable"),
            ("2.0.0", Some("1.5.0"), "stable"),
            ("3.0.0", Some("2.0.0"), "stable"),
        ]);
        assert_eq!(chosen(&releases, "1.0.0"), "1.5.0");
        assert_eq!(chosen(&releases, "1.5.0"), "2.0.0");
        assert_eq!(chosen(&releases, "2.0.0"), "3.0.0");
        let without = offered(&[("2.0.0", Some("1.5.0"), "stable")]);
        assert_eq!(
            chosen(&without, "1.0.0"),
            "version 2.0.0 asks for 1.5.0 first, and nothing leads there from 1.0.0"
        );
    }

    #[test]
    fn another_board_or_channel_has_nothing_to_offer() {
        let releases = offered(&[("1.1.0", None, "beta")]);
        assert!(chosen(&releases, "1.0.0").contains("has nothing for board"));
        let mut other = offered(&[("1.1.0", None, "stable")]);
        other.values_mut().for_each(|release| release.board = "rpi".into());
        assert!(chosen(&other, "1.0.0").contains("has nothing for board"));
    }

    #[test]
    fn node_waits_for_its_turn() {
        let releases = offered(&[("1.1.0", None, "stable")]);
        let running = version("1.0.0");
        let choice = choose(&releases, node(&running), start()).unwrap();
        let Choice::Wait { version, until } = choice else { panic!("{choice:?}") };
        assert_eq!(version.to_string(), "1.1.0");
        assert!(until > start());
        let then = choose(&releases, node(&running), until).unwrap();
        assert!(matches!(then, Choice::Take { urgent: false, .. }), "{then:?}");
    }

    #[test]
    fn urgent_release_says_so_and_is_out_in_three_hours() {
        let mut releases = offered(&[("1.1.0", None, "stable")]);
        for rollout in releases.values_mut().flat_map(|release| release.channels.values_mut()) {
            *rollout = Rollout { start: start(), urgent: true, waves: Schedule(URGENT.to_vec()) };
        }
        let now = start() + jiff::SignedDuration::from_hours(3);
        for seed in 0..200 {
            let running = version("1.0.0");
            let node = Node { seed, ..node(&running) };
            let choice = choose(&releases, node, now).unwrap();
            assert!(matches!(choice, Choice::Take { urgent: true, .. }), "{seed}");
        }
    }

    #[test]
    fn way_back_has_to_be_forced() {
        let releases = offered(&[("1.0.0", None, "stable"), ("3.0.0", Some("2.9.0"), "beta")]);
        let running = version("2.0.0");
        let by_name = |name: &str, forced| {
            named(&releases, node(&running), &version(name), forced)
                .map(|(path, _)| path.to_owned())
        };
        let refused = by_name("1.0.0", false).unwrap_err();
        assert!(matches!(refused, Refusal::Downgrade { .. }), "{refused}");
        assert_eq!(by_name("1.0.0", true).unwrap(), "x86-64/1.0.0/index");
        assert!(matches!(by_name("3.0.0", false), Err(Refusal::TooOld { .. })));
        assert!(by_name("3.0.0", true).is_ok());
        assert!(matches!(by_name("4.0.0", true), Err(Refusal::Unknown { .. })));
    }
}
