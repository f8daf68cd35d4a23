//! A buffer whose first byte lies on a page border, as direct access to a device asks for.

use std::ops::{Deref, DerefMut};

/// Size of a full piece: what is read, written and checked at once.
pub const PIECE: usize = 4 << 20;

/// What every device and memory accepts as alignment for direct access.
pub const ALIGNMENT: usize = 4096;

/// Bytes on a page border.
#[derive(Debug)]
pub struct Piece {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Piece {
    /// A piece of `length` zeros; it can be cut shorter, and grown again up to this length.
    pub fn zeroed(length: usize) -> Self {
        let bytes = vec![0; length + ALIGNMENT];
        // The vector is never resized, so that its bytes stay where they are.
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, start, length }
    }

    /// Sets how many bytes count, at most as many as the piece was made with.
    pub fn set_length(&mut self, length: usize) {
        self.length = length.min(self.bytes.len() - ALIGNMENT);
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

/// Whether there is nothing but zeros. Compares with zeros in one go, which is fast in every build.
pub fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|part| part == &ZEROS[..part.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_start_on_a_page_border_and_keep_their_bytes() {
        for length in [0, 1, 512, 4096, 10_000] {
            let mut piece = Piece::zeroed(length);
            assert_eq!(piece.as_ptr().align_offset(ALIGNMENT), 0);
            assert!(piece.len() == length && is_zero(&piece));
            piece.fill(7);
            piece.set_length(length / 2);
            assert_eq!(piece.len(), length / 2);
            piece.set_length(usize::MAX);
            assert!(piece.len() == length && piece.iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn single_byte_is_seen_wherever_it_is() {
        for at in [0, 4095, 4096, 9_999] {
            let mut bytes = vec![0; 10_000];
            assert!(is_zero(&bytes));
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "{at}");
        }
        assert!(is_zero(&[]));
    }
}
