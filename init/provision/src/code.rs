//! The one-time code in the page's address: only who sees the console knows it.

/// Letters that nobody takes for one another, and that a QR code packs tightly.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Fifty bits.
const LENGTH: usize = 10;

/// A code.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// Of random bytes.
    pub fn of(random: [u8; LENGTH]) -> Self {
        Self(random.iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect())
    }

    /// As it stands in the address.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether `text` is this code. Takes as long for a near miss as for a far one.
    pub fn is(&self, text: &str) -> bool {
        let text = text.to_ascii_uppercase();
        let pairs = self.0.bytes().zip(text.bytes());
        let differences = pairs.fold(0, |found, (own, other)| found | (own ^ other));
        differences == 0 && text.len() == self.0.len()
    }
}

/// Not in any log.
impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_code_is_it() {
        let code = Code::of([0, 1, 2, 3, 4, 5, 6, 7, 8, 255]);
        assert_eq!(code.text(), "ABCDEFGHJ9");
        assert!(code.is("ABCDEFGHJ9") && code.is("abcdefghj9"));
        for other in ["", "ABCDEFGHJ", "ABCDEFGHJ99", "BBCDEFGHJ9"] {
            assert!(!code.is(other), "{other}");
        }
        assert_eq!(format!("{code:?}"), "Code(…)");
    }
}
