//! The servers that are asked, and what each has earned: silence, a plea to ask less, a ban.
//! Pure; time is an argument.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::select::Sample;

/// A server that was silent this often is looked up anew.
const MOST_MISSES: u32 = 4;
/// After "RATE" a server is left alone for this long, doubling to an hour.
const FIRST_HOLD: Duration = Duration::from_secs(128);
const LONGEST_HOLD: Duration = Duration::from_secs(3600);
/// A server that refused us is not asked again for this long.
const BAN: Duration = Duration::from_secs(24 * 3600);

const DENY: [u8; 4] = *b"DENY";
const RSTR: [u8; 4] = *b"RSTR";

/// What asking one server came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Sample(Sample),
    /// The code of a "kiss of death".
    Kiss([u8; 4]),
    /// It answered and does not know the time.
    Unfit(&'static str),
    /// No answer in time, or no way to it.
    Silent,
}

#[derive(Debug)]
struct Source {
    address: SocketAddr,
    misses: u32,
    hold: Duration,
    not_before: Option<Instant>,
}

#[derive(Debug, Default)]
pub(crate) struct Sources {
    list: Vec<Source>,
    /// Outlives the list, so that a name looked up anew does not bring them back.
    banned: Vec<(SocketAddr, Instant)>,
}

impl Sources {
    /// Asks these from now on, but those that refused us.
    pub(crate) fn replace(&mut self, addresses: &[SocketAddr], now: Instant) {
        self.banned.retain(|(_, until)| *until > now);
        let mut known = std::mem::take(&mut self.list);
        for address in addresses {
            let is_listed = self.list.iter().any(|source| source.address == *address);
            if is_listed || self.banned.iter().any(|(banned, _)| banned == address) {
                continue;
            }
            let place = known.iter().position(|source| source.address == *address);
            let source = place.map(|place| Source { misses: 0, ..known.swap_remove(place) });
            let fresh =
                || Source { address: *address, misses: 0, hold: FIRST_HOLD, not_before: None };
            self.list.push(source.unwrap_or_else(fresh));
        }
    }

    /// Whom to ask now.
    pub(crate) fn due(&self, now: Instant) -> Vec<SocketAddr> {
        let is_due = |source: &&Source| source.not_before.is_none_or(|moment| moment <= now);
        self.list.iter().filter(is_due).map(|source| source.address).collect()
    }

    /// Whether names should be looked up anew: most of the servers are gone.
    pub(crate) fn are_spent(&self) -> bool {
        let alive = self.list.iter().filter(|source| source.misses < MOST_MISSES).count();
        alive * 2 <= self.list.len()
    }

    pub(crate) fn note(&mut self, address: SocketAddr, outcome: &Outcome, now: Instant) {
        let Some(source) = self.list.iter_mut().find(|source| source.address == address) else {
            return;
        };
        match outcome {
            Outcome::Sample(_) => (source.misses, source.hold) = (0, FIRST_HOLD),
            Outcome::Silent | Outcome::Unfit(_) => source.misses += 1,
            // RFC 5905, section 7.4: these two mean "never again", anything that is not known
            // is a wish for fewer questions at least.
            Outcome::Kiss(DENY | RSTR) => {
                self.banned.push((address, now + BAN));
                self.list.retain(|source| source.address != address);
            }
            Outcome::Kiss(_) => {
                source.not_before = Some(now + source.hold);
                source.hold = LONGEST_HOLD.min(source.hold * 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
    }

    fn sources(count: u16, now: Instant) -> (Sources, Vec<SocketAddr>) {
        let mut sources = Sources::default();
        sources.replace(&addresses(count), now);
        (sources, addresses(count))
    }

    const FINE: Outcome = Outcome::Sample(Sample { offset: 0, error: 0 });

    #[test]
    fn nobody_to_ask_means_look_up() {
        assert!(Sources::default().are_spent());
        assert!(!sources(1, Instant::now()).0.are_spent());
    }

    #[test]
    fn a_server_that_denies_is_not_asked_again_even_after_a_new_look_up() {
        let now = Instant::now();
        for code in [b"DENY", b"RSTR"] {
            let (mut sources, all) = sources(2, now);
            sources.note(all[0], &Outcome::Kiss(*code), now);
            assert_eq!(sources.due(now), all[1..]);
            sources.replace(&all, now);
            assert_eq!(sources.due(now), all[1..]);
            sources.replace(&all, now + BAN);
            assert_eq!(sources.due(now), all);
        }
    }

    #[test]
    fn a_server_that_pleads_is_left_alone_twice_as_long_each_time() {
        let now = Instant::now();
        let (mut sources, all) = sources(1, now);
        sources.note(all[0], &Outcome::Kiss(*b"RATE"), now);
        assert!(sources.due(now + FIRST_HOLD - Duration::from_secs(1)).is_empty());
        let later = now + FIRST_HOLD;
        assert_eq!(sources.due(later), all);
        sources.note(all[0], &Outcome::Kiss(*b"RATE"), later);
        assert!(sources.due(later + FIRST_HOLD).is_empty());
        assert_eq!(sources.due(later + FIRST_HOLD * 2), all);
        sources.replace(&all, later);
        assert!(sources.due(later).is_empty(), "a new look-up does not forgive");
        for _ in 0..40 {
            sources.note(all[0], &Outcome::Kiss(*b"RATE"), later);
        }
        assert_eq!(sources.due(later + LONGEST_HOLD), all);
    }

    #[test]
    fn silent_servers_are_looked_up_anew_when_they_are_most() {
        let now = Instant::now();
        let (mut sources, all) = sources(3, now);
        for _ in 0..MOST_MISSES {
            sources.note(all[0], &Outcome::Silent, now);
        }
        assert!(!sources.are_spent());
        for _ in 0..MOST_MISSES {
            sources.note(all[1], &Outcome::Unfit("not synchronised"), now);
        }
        assert!(sources.are_spent());
        sources.note(all[1], &FINE, now);
        assert!(!sources.are_spent());
    }

    #[test]
    fn an_address_given_twice_has_one_voice() {
        let now = Instant::now();
        let (mut sources, all) = sources(1, now);
        sources.replace(&[all[0], all[0]], now);
        assert_eq!(sources.due(now), all);
    }
}
