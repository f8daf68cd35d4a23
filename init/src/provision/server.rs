//! Serves the page for entering a document: one descriptor at a time has its turn,
//! each is bounded in bytes and in time. What is answered, `holm_provision` says.

use crate::clock::{Moment, now};
use holm_provision::{Code, Page, Visit};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

const MOST_VISITORS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);

struct Visitor {
    stream: TcpStream,
    request: Vec<u8>,
    response: Vec<u8>,
    deadline: Moment,
    is_over: bool,
}

/// The page and who looks at it.
pub(crate) struct Server {
    listener: TcpListener,
    visitors: Vec<Visitor>,
    page: Page,
    hostname: String,
}

impl Server {
    /// Serves at the first of `addresses` that is free.
    pub(crate) fn open(addresses: &[SocketAddr], hostname: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(addresses)?;
        listener.set_nonblocking(true)?;
        let page = Page::new(hostname, random_code()?);
        Ok(Self { listener, visitors: Vec::new(), page, hostname: hostname.to_owned() })
    }

    /// The page's code.
    pub(crate) fn code(&self) -> &Code {
        self.page.code()
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().map_or(80, |address| address.port())
    }

    /// What to wait for, and whether it is room for bytes that is waited for.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        let visitors = self.visitors.iter();
        let visitors = visitors.map(|v| (v.stream.as_fd(), !v.response.is_empty()));
        [(self.listener.as_fd(), false)].into_iter().chain(visitors)
    }

    /// Gives everybody a turn. The document that somebody has entered.
    pub(crate) fn turn(&mut self) -> io::Result<Option<String>> {
        while self.visitors.len() < MOST_VISITORS {
            let Ok((stream, _)) = self.listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok() {
                let deadline = now() + PATIENCE;
                let (request, response) = (Vec::new(), Vec::new());
                self.visitors.push(Visitor { stream, request, response, deadline, is_over: false });
            }
        }
        let (mut entered, mut guessed) = (None, false);
        for visitor in &mut self.visitors {
            if let Some(visit) = visitor.listen() {
                let answer = self.page.answer(&visit);
                visitor.response = answer.response;
                entered = entered.or(answer.document);
                guessed |= answer.guessed;
            }
            visitor.speak();
            visitor.is_over |= now() >= visitor.deadline;
        }
        self.visitors.retain(|visitor| !visitor.is_over);
        if guessed {
            eprintln!("provision: somebody guesses the page's code: it has a new one");
            self.page = Page::new(&self.hostname, random_code()?);
        }
        Ok(entered)
    }

    /// Whether everybody has been answered.
    pub(crate) fn is_done(&self) -> bool {
        self.visitors.iter().all(|visitor| visitor.response.is_empty())
    }
}

impl Visitor {
    /// The request, once it is whole.
    fn listen(&mut self) -> Option<Visit> {
        if !self.response.is_empty() {
            return None;
        }
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.is_over = true,
                Ok(length) => {
                    self.request.extend_from_slice(&buffer[..length]);
                    match Visit::read(&self.request) {
                        Ok(None) => continue,
                        Ok(whole) => return whole,
                        Err(_) => self.is_over = true,
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.is_over = true,
            }
            return None;
        }
    }

    fn speak(&mut self) {
        while !self.response.is_empty() {
            match self.stream.write(&self.response) {
                Ok(length @ 1..) => drop(self.response.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                _ => self.response.clear(),
            }
            if self.response.is_empty() {
                let _ = self.stream.shutdown(Shutdown::Both);
                self.is_over = true;
            }
        }
    }
}

fn random_code() -> io::Result<Code> {
    let mut random = [0; 10];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(Code::of(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> (Server, SocketAddr) {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::open(&[any], "edge-1").unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
        (server, address)
    }

    fn ask(server: &mut Server, address: SocketAddr, parts: &[&str]) -> (String, Option<String>) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut entered = None;
        for part in parts {
            stream.write_all(part.as_bytes()).unwrap();
            for _ in 0..20 {
                entered = entered.or(server.turn().unwrap());
                let pause = crate::clock::timeout(Moment(2), Moment(0));
                rustix::event::poll(&mut [], Some(&pause)).unwrap();
            }
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer, entered)
    }

    #[test]
    fn document_comes_in_parts_and_is_answered() {
        let (mut server, address) = server();
        let path = server.code().text().to_owned();
        let (page, _) = ask(&mut server, address, &[&format!("GET /{path} HTTP/1.1\r\n\r\n")]);
        assert!(page.contains("<textarea"), "{page}");
        let head = format!("POST /{path} HTTP/1.1\r\nContent-Length: 22\r\n\r\n");
        let (page, entered) = ask(&mut server, address, &[&head, "document=%5B", "node%5D%0A"]);
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert_eq!(entered.as_deref(), Some("[node]\n"));
        assert!(server.is_done());
    }

    #[test]
    fn noise_and_crowds_hold_nobody_up() {
        let (mut server, address) = server();
        let crowd: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        server.turn().unwrap();
        assert_eq!(server.visitors.len(), MOST_VISITORS);
        drop(crowd);
        for _ in 0..5 {
            server.turn().unwrap();
        }
        let (answer, _) = ask(&mut server, address, &["\x16\x03\x01 no http\r\n\r\n"]);
        assert_eq!(answer, "");
    }
}
