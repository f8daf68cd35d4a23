//! Ranges of keys: one key, all that begin alike, or from one key up to another. Pure.

/// The keys from `start` up to, but without, `end`. No `end` means all keys from `start` on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Exactly one key.
    #[must_use]
    pub fn key(key: &[u8]) -> Self {
        Self { start: key.to_vec(), end: Some(successor(key)) }
    }

    /// All keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { start: prefix.to_vec(), end: after_prefix(prefix) }
    }

    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self { start: Vec::new(), end: None }
    }

    /// The part of this range that comes after `key`: where a list that was cut goes on.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        let next = successor(key);
        let start = if next > self.start { next } else { self.start.clone() };
        Self { start, end: self.end.clone() }
    }

    /// First key that may be in the range.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// First key after the range.
    #[must_use]
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// Whether `key` is in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_slice() && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// Whether no key can be in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_deref().is_some_and(|end| end <= self.start.as_slice())
    }

    /// The key, where the range holds one and no other can be in it.
    #[must_use]
    pub fn only_key(&self) -> Option<&[u8]> {
        (self.end.as_deref() == Some(successor(&self.start).as_slice()))
            .then_some(self.start.as_slice())
    }

    /// Whether some key that begins with `prefix` is in the range.
    #[must_use]
    pub fn meets_prefix(&self, prefix: &[u8]) -> bool {
        let begins_before = match after_prefix(prefix) {
            Some(end) => self.start < end,
            None => true,
        };
        begins_before && self.end.as_deref().is_none_or(|end| end > prefix) && !self.is_empty()
    }
}

fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// The first key that comes after all that begin with `prefix`: its last byte counted up, and bytes
/// that cannot be counted up dropped.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends_where_its_last_byte_would_count_up() {
        let pods = KeyRange::prefix(b"/pods/");
        assert!(pods.contains(b"/pods/") && pods.contains(b"/pods/a\xff\xff"));
        assert!(!pods.contains(b"/pods0") && !pods.contains(b"/pod"));
    }

    #[test]
    fn prefix_of_the_highest_bytes_has_no_end() {
        let range = KeyRange::prefix(b"\xff\xff");
        assert_eq!(range.end(), None);
        assert!(range.contains(b"\xff\xff\x01") && !range.contains(b"\xff\xfe"));
        assert_eq!(KeyRange::prefix(b"a\xff").end(), Some(b"b".as_slice()));
    }

    #[test]
    fn one_key_is_told_from_a_prefix() {
        assert_eq!(KeyRange::key(b"a").only_key(), Some(b"a".as_slice()));
        assert_eq!(KeyRange::prefix(b"a").only_key(), None);
        assert!(!KeyRange::key(b"a").contains(b"a\0"));
    }

    #[test]
    fn what_comes_after_a_key_never_begins_before_the_range() {
        let range = KeyRange::prefix(b"b");
        assert_eq!(range.after(b"a"), range);
        assert!(!range.after(b"b1").contains(b"b1") && range.after(b"b1").contains(b"b10"));
        assert!(KeyRange::key(b"a").after(b"a").is_empty());
    }

    #[test]
    fn a_prefix_is_met_from_inside_and_from_outside() {
        let prefix = b"/leases/node/";
        assert!(KeyRange::all().meets_prefix(prefix));
        assert!(KeyRange::prefix(b"/leases/").meets_prefix(prefix));
        assert!(KeyRange::key(b"/leases/node/a").meets_prefix(prefix));
        assert!(!KeyRange::prefix(b"/leases/system/").meets_prefix(prefix));
        assert!(!KeyRange::key(b"/leases/node").meets_prefix(prefix));
        assert!(!KeyRange::prefix(b"/pods/").meets_prefix(prefix));
    }
}
