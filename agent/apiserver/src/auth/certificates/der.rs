//! The subject of an X.509 certificate: enough of DER for that. Pure, and never reads past the end.

/// Whom a certificate is for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub common_name: Option<String>,
    pub organizations: Vec<String>,
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const OBJECT_ID: u8 = 0x06;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// A tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn enter(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    element(bytes).filter(|(tag, ..)| *tag == wanted).map(|(_, content, _)| content)
}

fn skip(bytes: &[u8]) -> Option<&[u8]> {
    element(bytes).map(|(_, _, rest)| rest)
}

/// Reads the subject: the sixth part of what is signed (RFC 5280, 4.1), the version left out in old
/// certificates.
pub(super) fn subject(certificate: &[u8]) -> Option<Subject> {
    let mut part = enter(enter(certificate, SEQUENCE)?, SEQUENCE)?;
    if element(part)?.0 == VERSION {
        part = skip(part)?;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        part = skip(part)?;
    }
    read_name(enter(part, SEQUENCE)?)
}

/// Reads a distinguished name: sets of pairs of an identifier and a text.
pub(super) fn read_name(mut names: &[u8]) -> Option<Subject> {
    let mut subject = Subject::default();
    while let Some((_, mut set, rest)) = element(names) {
        names = rest;
        while let Some((_, pair, rest)) = element(set) {
            set = rest;
            let (tag, id, value) = element(pair)?;
            let (_, text, _) = element(value)?;
            if tag != OBJECT_ID {
                return None;
            }
            let text = std::str::from_utf8(text).ok()?.to_owned();
            match id {
                COMMON_NAME => subject.common_name = Some(text),
                ORGANIZATION => subject.organizations.push(text),
                _ => {}
            }
        }
    }
    Some(subject)
}
