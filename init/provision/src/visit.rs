//! One request to the page: read from bytes that come in parts, within bounds.

use std::fmt;

/// A document has 64 KiB at most, and a form writes each byte with three.
const LONGEST_BODY: usize = 200 << 10;
const LONGEST_HEAD: usize = 8 << 10;
const MOST_HEADERS: usize = 64;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// The path, without its question mark and what follows.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a request is no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisitError {
    /// It is not HTTP.
    Malformed,
    /// It is too long.
    TooLong,
}

impl fmt::Display for VisitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the request is not HTTP",
            Self::TooLong => "the request is too long",
        })
    }
}

impl std::error::Error for VisitError {}

impl Visit {
    /// Reads the request that `bytes` begin with; none while more must come.
    ///
    /// # Errors
    /// No more bytes would make it one.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, VisitError> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(bytes).map_err(|error| match error {
            httparse::Error::TooManyHeaders => VisitError::TooLong,
            _ => VisitError::Malformed,
        })?;
        let httparse::Status::Complete(head) = parsed else {
            let is_bounded = bytes.len() <= LONGEST_HEAD;
            return if is_bounded { Ok(None) } else { Err(VisitError::TooLong) };
        };
        let mut length = 0;
        for header in request.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                let text = str::from_utf8(header.value).map_err(|_| VisitError::Malformed)?;
                length = text.trim().parse().map_err(|_| VisitError::Malformed)?;
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                // No browser sends a form in chunks.
                return Err(VisitError::Malformed);
            }
        }
        if length > LONGEST_BODY || head > LONGEST_HEAD {
            return Err(VisitError::TooLong);
        }
        let Some(body) = bytes.get(head..head + length) else {
            return Ok(None);
        };
        let target = request.path.unwrap_or("/");
        Ok(Some(Self {
            method: request.method.unwrap_or_default().to_owned(),
            path: target.split('?').next().unwrap_or("/").to_owned(),
            body: body.to_vec(),
        }))
    }

    /// A field of the form in the body: `application/x-www-form-urlencoded`.
    pub fn field(&self, name: &str) -> Option<String> {
        let body = str::from_utf8(&self.body).ok()?;
        let value = body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        decode(value)
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORM: &[u8] =
        b"POST /CODE HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\ndocument=a+%3D+1%";

    #[test]
    fn form_is_read_when_all_of_it_is_there() {
        for end in 0..FORM.len() {
            assert_eq!(Visit::read(&FORM[..end]), Ok(None), "{end}");
        }
        let visit = Visit::read(FORM).unwrap().unwrap();
        assert_eq!((visit.method.as_str(), visit.path.as_str()), ("POST", "/CODE"));
        assert_eq!(visit.field("document"), None, "half an escape is none");
        let visit = Visit { body: b"x=1&document=a+%3D+%22%C3%A4%22%0D%0A".to_vec(), ..visit };
        assert_eq!(visit.field("document").as_deref(), Some("a = \"ä\"\r\n"));
        assert_eq!(visit.field("missing"), None);
    }

    #[test]
    fn what_is_too_long_or_no_http_is_refused_before_it_is_kept() {
        let long = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", LONGEST_BODY + 1);
        assert_eq!(Visit::read(long.as_bytes()), Err(VisitError::TooLong));
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(LONGEST_HEAD));
        assert_eq!(Visit::read(endless.as_bytes()), Err(VisitError::TooLong));
        assert_eq!(Visit::read(b"\x16\x03\x01\x02\x00"), Err(VisitError::Malformed));
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(Visit::read(chunked), Err(VisitError::Malformed));
        let negative = b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n";
        assert_eq!(Visit::read(negative), Err(VisitError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            if let Ok(Some(visit)) = Visit::read(&bytes) {
                visit.field("document");
            }
        }
    }
}
