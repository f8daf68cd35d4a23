//! Decodes base64, for the one kernel argument that holds a document. Pure.
//! RFC 4648, both alphabets; padding may be left out.

/// Why a text is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// A letter outside the alphabet.
    #[error("character {0} is not of the base64 alphabet")]
    Letter(usize),
    /// A lone last letter.
    #[error("the base64 text is cut off")]
    CutOff,
}

/// The bytes that `text` stands for.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Error> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for (at, letter) in text.bytes().enumerate() {
        bits = (bits << 6) | value(letter).ok_or(Error::Letter(at + 1))?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    if held == 6 { Err(Error::CutOff) } else { Ok(bytes) }
}

fn value(letter: u8) -> Option<u32> {
    Some(u32::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn vectors_of_the_specification_are_decoded() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode("-_8=").unwrap(), decode("+/8=").unwrap());
    }

    #[test]
    fn other_text_is_refused_with_the_place() {
        assert_eq!(decode("Zm9*"), Err(Error::Letter(4)));
        assert_eq!(decode("Zm9vY"), Err(Error::CutOff));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".*") {
            let _ = decode(&text);
        }
    }
}
