//! The 48 bytes of NTP (RFC 5905, section 7.3): a client's request and a server's answer.
//! Pure; trusts nothing that it reads.

/// Nanoseconds between 1900 (NTP era 0) and 1970.
const ERA_0: i128 = -2_208_988_800 * NANOS;
/// Length of an NTP era: 2³² seconds.
const ERA: i128 = (1 << 32) * NANOS;
const NANOS: i128 = 1_000_000_000;

pub(crate) const LENGTH: usize = 48;

/// A server that is this far from its reference is no better than none (RFC 5905, MAXDIST).
const MOST_ROOT_DISTANCE: i64 = 1_500_000_000;

/// What a datagram meant. Times are nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The server's clock.
    Time {
        /// When the request reached it.
        received: i64,
        /// When the answer left it.
        sent: i64,
        /// How far its own clock may be off, in nanoseconds.
        root_distance: i64,
    },
    /// "Kiss of death": the server asks for something, by its code.
    Kiss([u8; 4]),
    /// It speaks NTP and does not know the time.
    Unfit(&'static str),
}

/// A request. The cookie stands where the client's time would: the server returns it, which
/// proves that it saw the request, and it tells nobody what this clock shows.
pub(crate) fn request(cookie: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = 0b00_100_011; // no leap warning, version 4, client
    bytes[40..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// Reads what came back. `None` for anything that is no answer to the request with `cookie`;
/// `pivot` chooses the era: of all times that the 32 bits can mean, the nearest to it.
pub(crate) fn parse(bytes: &[u8], cookie: u64, pivot: i64) -> Option<Answer> {
    let (&[first, stratum, ..], true) = (bytes, bytes.len() >= LENGTH) else { return None };
    let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
    if mode != 4 || !(3..=4).contains(&version) || long(bytes, 24)? != cookie {
        return None;
    }
    if stratum == 0 {
        return Some(Answer::Kiss([bytes[12], bytes[13], bytes[14], bytes[15]]));
    }
    if leap == 3 || stratum >= 16 {
        return Some(Answer::Unfit("not synchronised"));
    }
    let (received, sent) = (long(bytes, 32)?, long(bytes, 40)?);
    if received == 0 || sent == 0 {
        return Some(Answer::Unfit("without a time"));
    }
    let (received, sent) = (unix_nanos(received, pivot)?, unix_nanos(sent, pivot)?);
    let root_distance = short_nanos(bytes, 4)? / 2 + short_nanos(bytes, 8)?;
    if root_distance > MOST_ROOT_DISTANCE {
        return Some(Answer::Unfit("too far from its reference"));
    }
    if sent < received {
        return Some(Answer::Unfit("answering before it was asked"));
    }
    Some(Answer::Time { received, sent, root_distance })
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The 16.16 fixed-point seconds of root delay and dispersion.
fn short_nanos(bytes: &[u8], at: usize) -> Option<i64> {
    let seconds = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
    Some((i64::from(seconds) * 1_000_000_000) >> 16)
}

fn unix_nanos(timestamp: u64, pivot: i64) -> Option<i64> {
    let in_era = ERA_0 + ((i128::from(timestamp) * NANOS) >> 32);
    let eras = (i128::from(pivot) - in_era + ERA / 2).div_euclid(ERA);
    i64::try_from(in_era + eras * ERA).ok()
}

/// A server's datagram, for tests on both sides of the wire.
#[cfg(test)]
pub(crate) fn server_answer(request: &[u8], stratum: u8, received: i64, sent: i64) -> Vec<u8> {
    let timestamp =
        |nanos: i64| ((((i128::from(nanos) - ERA_0) << 32) / NANOS) as u64).to_be_bytes();
    let mut bytes = vec![0; LENGTH];
    bytes[0] = 0b00_100_100;
    bytes[1] = stratum;
    bytes[4..8].copy_from_slice(&(1u32 << 10).to_be_bytes());
    bytes[24..32].copy_from_slice(&request[40..48]);
    bytes[32..40].copy_from_slice(&timestamp(received));
    bytes[40..48].copy_from_slice(&timestamp(sent));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_800_000_000_000_000_000; // 2027

    fn near(a: i64, b: i64) -> bool {
        (a - b).abs() <= 1
    }

    #[test]
    fn an_answer_gives_the_servers_times() {
        let bytes = server_answer(&request(7), 2, NOW, NOW + 1_000_000);
        let Some(Answer::Time { received, sent, root_distance }) = parse(&bytes, 7, 0) else {
            panic!("a time");
        };
        assert!(near(received, NOW) && near(sent, NOW + 1_000_000));
        assert_eq!(root_distance, 1_000_000_000 / 128);
    }

    #[test]
    fn the_era_after_2036_is_found_from_the_pivot() {
        let in_2040 = 2_208_988_800_000_000_000;
        let bytes = server_answer(&request(7), 2, in_2040, in_2040);
        let parsed = parse(&bytes, 7, NOW);
        assert!(matches!(parsed, Some(Answer::Time { sent, .. }) if near(sent, in_2040)));
    }

    #[test]
    fn an_answer_to_another_request_is_none() {
        assert_eq!(parse(&server_answer(&request(7), 2, NOW, NOW), 8, NOW), None);
        assert_eq!(parse(&request(7), 7, NOW), None);
        assert_eq!(parse(&server_answer(&request(7), 2, NOW, NOW)[..47], 7, NOW), None);
    }

    #[test]
    fn a_kiss_carries_its_code() {
        let mut bytes = server_answer(&request(7), 0, NOW, NOW);
        bytes[12..16].copy_from_slice(b"RATE");
        assert_eq!(parse(&bytes, 7, NOW), Some(Answer::Kiss(*b"RATE")));
    }

    #[test]
    fn a_server_without_the_time_is_unfit() {
        let unfit = |change: fn(&mut Vec<u8>)| {
            let mut bytes = server_answer(&request(7), 2, NOW, NOW);
            change(&mut bytes);
            matches!(parse(&bytes, 7, NOW), Some(Answer::Unfit(_)))
        };
        assert!(unfit(|bytes| bytes[0] |= 0b11_000_000));
        assert!(unfit(|bytes| bytes[1] = 16));
        assert!(unfit(|bytes| bytes[40..48].fill(0)));
        assert!(unfit(|bytes| bytes[8..12].copy_from_slice(&(2u32 << 16).to_be_bytes())));
        assert!(unfit(|bytes| bytes[40] -= 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..80), cookie: u64, pivot: i64) {
            parse(&bytes, cookie, pivot);
        }

        #[test]
        fn any_time_near_the_pivot_comes_back(pivot in 0..4_000_000_000i64, away in -2_000_000_000..2_000_000_000i64) {
            let time = (pivot + away) * 1_000_000_000;
            let bytes = server_answer(&request(7), 1, time, time);
            let parsed = parse(&bytes, 7, pivot * 1_000_000_000);
            let came_back = matches!(parsed, Some(Answer::Time { sent, .. }) if near(sent, time));
            // Zero stands for "no time" on the wire.
            prop_assert!(came_back || matches!(parsed, Some(Answer::Unfit(_))));
        }
    }
}
