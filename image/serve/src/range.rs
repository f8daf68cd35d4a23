//! Which bytes a `Range` header asks for. Pure. See RFC 9110, section 14.

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it: no range, several, or one that is not understood.
    Whole,
    /// From the first byte to the one after the last.
    Bytes(u64, u64),
    /// The range begins behind the end.
    Outside,
}

/// Reads the header for a file of `length` bytes.
pub fn part(header: Option<&str>, length: u64) -> Part {
    let Some(range) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    let Some((first, last)) = range.split_once('-').filter(|_| !range.contains(',')) else {
        return Part::Whole;
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), _) if first >= length => Part::Outside,
        (Ok(first), Ok(last)) if last >= first => {
            Part::Bytes(first, last.saturating_add(1).min(length))
        }
        (Ok(first), Err(_)) if last.trim().is_empty() => Part::Bytes(first, length),
        (Err(_), Ok(0)) if first.trim().is_empty() => Part::Outside,
        (Err(_), Ok(count)) if first.trim().is_empty() => {
            Part::Bytes(length.saturating_sub(count), length)
        }
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_understood_and_odd_ones_ignored() {
        for (header, expected) in [
            ("bytes=0-9", Part::Bytes(0, 10)),
            ("bytes=5-", Part::Bytes(5, 100)),
            ("bytes=-20", Part::Bytes(80, 100)),
            ("bytes=-200", Part::Bytes(0, 100)),
            ("bytes=90-1000", Part::Bytes(90, 100)),
            ("bytes=100-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=9-5", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=x-5", Part::Whole),
            ("items=0-5", Part::Whole),
            ("bytes=18446744073709551615-", Part::Outside),
            ("bytes=0-18446744073709551615", Part::Bytes(0, 100)),
        ] {
            assert_eq!(part(Some(header), 100), expected, "{header}");
        }
        assert_eq!(part(None, 100), Part::Whole);
    }
}
