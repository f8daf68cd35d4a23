//! Fetches a page from a node, again and again until it answers or the deadline passes.
//!
//! Must never follow, retry or accept anything silently: one request, one judged answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::deadline::Deadline;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nothing answered as it should.
    #[error("http://{address}{path} gave no page in time; last: {last}")]
    NoPage {
        /// Where.
        address: SocketAddr,
        /// Which page.
        path: String,
        /// What the last attempt met.
        last: String,
    },
}

/// Fetches a page until its status is 200, at most `wait`; returns its body.
pub fn fetch(address: SocketAddr, path: &str, wait: Duration) -> Result<Vec<u8>, HttpError> {
    let mut last = "nothing".to_owned();
    let deadline = Deadline::after(wait);
    deadline
        .poll(Duration::from_millis(20), || match request(address, path) {
            Ok(body) => Some(body),
            Err(why) => {
                last = why;
                None
            }
        })
        .ok_or_else(|| HttpError::NoPage { address, path: path.to_owned(), last: last.clone() })
}

/// Sends a form once, and returns the body of an answer with status 200.
pub fn post(
    address: SocketAddr,
    path: &str,
    form: &str,
    wait: Duration,
) -> Result<Vec<u8>, HttpError> {
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: node\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{form}",
        form.len()
    );
    let sent = send(address, &head, wait);
    sent.map_err(|last| HttpError::NoPage { address, path: path.to_owned(), last })
}

fn request(address: SocketAddr, path: &str) -> Result<Vec<u8>, String> {
    let head = format!("GET {path} HTTP/1.0\r\nHost: node\r\nConnection: close\r\n\r\n");
    send(address, &head, Duration::from_secs(5))
}

fn send(address: SocketAddr, request: &str, wait: Duration) -> Result<Vec<u8>, String> {
    let mut stream = TcpStream::connect_timeout(&address, wait).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(wait)).map_err(|e| e.to_string())?;
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(|e| e.to_string())?;
    body_of(&answer)
}

/// The body of an answer with status 200; otherwise what was wrong with it.
fn body_of(answer: &[u8]) -> Result<Vec<u8>, String> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else {
        return Err(format!("an answer of {} bytes without headers", answer.len()));
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        Ok(answer[end + 4..].to_vec())
    } else {
        Err(status.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_page_comes_once_the_server_stops_hanging_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            drop(listener.accept());
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /page HTTP/1.0\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhello").unwrap();
        });
        let page = fetch(address, "/page", Duration::from_secs(20)).unwrap();
        assert_eq!(page, b"hello");
    }

    #[test]
    fn any_other_status_is_an_error_in_the_servers_words() {
        assert_eq!(
            body_of(b"HTTP/1.0 404 Not Found\r\n\r\n").unwrap_err(),
            "HTTP/1.0 404 Not Found"
        );
        assert!(body_of(b"").is_err());
    }

    #[test]
    fn no_server_is_an_error_that_names_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = fetch(address, "/", Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
