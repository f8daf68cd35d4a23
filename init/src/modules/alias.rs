//! Matches a device's alias against the patterns of `modules.alias`.
//! Pure; never allocates, for it runs some thousand times in a boot.

/// Whether `pattern` matches all of `text`. Patterns are those of fnmatch(3)
/// without flags: `*`, `?`, `[a-z]`, `[!a-z]` and `\`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star did not match.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        if let Some((next, true)) = text.get(t).and_then(|&byte| step(pattern, p, byte)) {
            p = next;
            t += 1;
            continue;
        }
        match retry {
            Some((after_star, from)) if from < text.len() => {
                retry = Some((after_star, from + 1));
                p = after_star;
                t = from + 1;
            }
            _ => return false,
        }
    }
}

/// The index after the pattern element at `p`, and whether it takes `byte`.
fn step(pattern: &[u8], p: usize, byte: u8) -> Option<(usize, bool)> {
    match *pattern.get(p)? {
        b'?' => Some((p + 1, true)),
        b'[' => Some(class(pattern, p, byte).unwrap_or((p + 1, byte == b'['))),
        b'\\' if p + 1 < pattern.len() => Some((p + 2, pattern[p + 1] == byte)),
        literal => Some((p + 1, literal == byte)),
    }
}

/// A bracket expression at `p`; none when its closing bracket is missing.
fn class(pattern: &[u8], p: usize, byte: u8) -> Option<(usize, bool)> {
    let mut i = p + 1;
    let negated = matches!(pattern.get(i), Some(b'!' | b'^'));
    if negated {
        i += 1;
    }
    let first = i;
    let mut found = false;
    loop {
        let low = *pattern.get(i)?;
        if low == b']' && i > first {
            return Some((i + 1, found != negated));
        }
        match (pattern.get(i + 1), pattern.get(i + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                found |= (low..=high).contains(&byte);
                i += 3;
            }
            _ => {
                found |= low == byte;
                i += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pci_alias_matches_by_vendor_and_device() {
        let device = "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00";
        assert!(matches("pci:v00001AF4d*sv*sd*bc*sc*i*", device));
        assert!(matches("pci:v*d*sv*sd*bc01sc*i*", device));
        assert!(!matches("pci:v00008086d*sv*sd*bc*sc*i*", device));
        assert!(!matches("pci:v00001AF4", device));
    }

    #[test]
    fn classes_and_escapes_are_understood() {
        assert!(matches("usb:v[0-9]p?", "usb:v3p9"));
        assert!(!matches("usb:v[!0-9]p?", "usb:v3p9"));
        assert!(matches("a[]x]b", "a]b"));
        assert!(matches("a[-x]b", "a-b"));
        assert!(matches(r"a\*", "a*"));
        assert!(!matches(r"a\*", "ab"));
    }

    #[test]
    fn unclosed_bracket_is_a_plain_letter() {
        assert!(matches("a[b", "a[b"));
        assert!(!matches("a[b", "ab"));
    }

    #[test]
    fn stars_try_every_split() {
        assert!(matches("*ab*ab", "abababab"));
        assert!(matches("**", ""));
        assert!(!matches("", "a"));
        assert!(!matches("*b", "ba"));
    }

    /// What the iterative matcher must agree with, written to be obviously right.
    fn simple(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => simple(rest, text),
            (Some((b'*', rest)), Some((_, tail))) => simple(rest, text) || simple(pattern, tail),
            (Some((b'?', rest)), Some((_, tail))) => simple(rest, tail),
            (Some((p, rest)), Some((t, tail))) => p == t && simple(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(matches(&pattern, &text), simple(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_pattern_comes_to_an_end(pattern in ".{0,20}", text in ".{0,20}") {
            matches(&pattern, &text);
        }
    }
}
