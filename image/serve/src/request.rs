//! A request: its head and its body, both bounded.

use std::io::{self, Read};

/// Bytes of a head.
const MOST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// Bytes of a report.
pub const MOST_BODY: usize = 64 << 10;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD` or `POST`; others as they came.
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the connection goes on afterwards.
    pub keep_alive: bool,
}

/// What is wrong with a request, as an HTTP status.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not HTTP.
    #[error("not a request")]
    Malformed,
    /// Head or body.
    #[error("too large")]
    TooLarge,
    /// The connection.
    #[error("the connection broke")]
    Io(#[from] io::Error),
}

/// Reads the next request; `None` when the other side is done. `left` are bytes that came before.
pub fn read(from: &mut impl Read, left: &mut Vec<u8>) -> Result<Option<Request>, RequestError> {
    let mut piece = [0; 4096];
    loop {
        if let Some((mut request, head, length)) = parse(left)? {
            while left.len() < head + length {
                let count = from.read(&mut piece)?;
                if count == 0 {
                    return Err(RequestError::Malformed);
                }
                left.extend_from_slice(&piece[..count]);
            }
            request.body = left[head..head + length].to_vec();
            left.drain(..head + length);
            return Ok(Some(request));
        }
        if left.len() > MOST_HEAD {
            return Err(RequestError::TooLarge);
        }
        match from.read(&mut piece)? {
            0 if left.is_empty() => return Ok(None),
            0 => return Err(RequestError::Malformed),
            count => left.extend_from_slice(&piece[..count]),
        }
    }
}

/// The request, the length of its head and of its body; `None` while the head is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize, usize)>, RequestError> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(RequestError::Malformed),
    };
    let header = |name: &str| {
        let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    // A body of unknown length is nothing that nodes send.
    if header("transfer-encoding").is_some() {
        return Err(RequestError::Malformed);
    }
    let length = header("content-length").map_or(Ok(0), str::parse::<usize>);
    let length = length.map_err(|_| RequestError::Malformed)?;
    if length > MOST_BODY {
        return Err(RequestError::TooLarge);
    }
    let path = parsed.path.unwrap_or_default();
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.split(['?', '#']).next().unwrap_or_default().to_owned(),
        range: header("range").map(str::to_owned),
        body: Vec::new(),
        keep_alive: parsed.version == Some(1)
            && !header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
    };
    Ok(Some((request, head, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_requests_on_one_connection_are_told_apart() {
        let mut bytes =
            &b"POST /report HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /x?y HTTP/1.1\r\n\
            Range: bytes=1-2\r\nConnection: close\r\n\r\n"[..];
        let mut left = Vec::new();
        let first = read(&mut bytes, &mut left).unwrap().unwrap();
        assert_eq!((&*first.method, &*first.path, &*first.body), ("POST", "/report", &b"abc"[..]));
        assert!(first.keep_alive);
        let second = read(&mut bytes, &mut left).unwrap().unwrap();
        assert_eq!((&*second.path, second.range.as_deref()), ("/x", Some("bytes=1-2")));
        assert!(!second.keep_alive);
        assert!(read(&mut bytes, &mut left).unwrap().is_none());
    }

    #[test]
    fn what_is_too_large_or_no_http_is_an_error() {
        let of = |text: &str| read(&mut text.as_bytes(), &mut Vec::new());
        assert!(matches!(of("hello\r\n\r\n"), Err(RequestError::Malformed)));
        assert!(matches!(of("GET / HTTP/1.1\r\n"), Err(RequestError::Malformed)));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(40 << 10));
        assert!(matches!(of(&long), Err(RequestError::TooLarge)));
        let body = "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n";
        assert!(matches!(of(body), Err(RequestError::TooLarge)));
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(matches!(of(chunked), Err(RequestError::Malformed)));
    }
}
