//! Times as objects carry them: RFC 3339, to the second or to the microsecond.

use jiff::Timestamp;

/// Reads an RFC 3339 time.
pub fn parse(text: &str) -> Option<Timestamp> {
    // RFC 3339 knows only this form; jiff would also take others.
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 20 && bytes[10] == b'T' && !text.contains(['[', ',', 'z']);
    if shaped { text.parse().ok() } else { None }
}

/// `2006-01-02T15:04:05Z`: metav1.Time.
pub fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2006-01-02T15:04:05.000000Z`: metav1.MicroTime.
pub fn micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// An age as kubectl's tables show it: `5s`, `3m20s`, `2d3h`, `400d`.
pub fn age(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |large: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => two(days, "d", hours % 24, "h"),
        () if days < 730 => format!("{days}d"),
        () if days < 2920 => two(days / 365, "y", days % 365, "d"),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_in_utc() {
        let time = parse("2026-01-02T03:04:05.678901+01:00").unwrap();
        assert_eq!(seconds(time), "2026-01-02T02:04:05Z");
        assert_eq!(micros(time), "2026-01-02T02:04:05.678901Z");
        for text in ["", "2026-01-02", "2026-01-02 03:04:05Z", "2026-13-02T03:04:05Z", "now"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn ages_lose_precision_as_they_grow() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (600, "10m"),
            (3 * 3600 + 60, "3h1m"),
            (9 * 3600 + 60, "9h"),
            (50 * 3600, "2d2h"),
            (400 * 86400, "400d"),
            (800 * 86400, "2y70d"),
            (3000 * 86400, "8y"),
        ] {
            assert_eq!(age(seconds), expected, "{seconds}");
        }
    }
}
