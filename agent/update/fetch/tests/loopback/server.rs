//! A web server of a test: files in memory, and a misbehaviour where the test wants one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How a file is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As it should be.
    Good,
    /// Ranges are ignored.
    NoRanges,
    /// The connection ends after so many bytes of an answer.
    CutAfter(usize),
    /// As [`Self::CutAfter`], on the first requests only.
    CutAfterAtFirst(usize, usize),
    /// One byte of each answer is wrong.
    Corrupt,
    /// The answer never ends, and says nothing of its length.
    Endless,
    /// A byte now and then.
    Drip,
    /// Nothing comes at all.
    Silent,
    /// A redirect to itself.
    RedirectLoop,
    /// A redirect to where it is.
    Redirect,
    /// Another range than the one that was asked for.
    WrongRange,
    /// An error of the server.
    Status(u16),
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub range: Option<(usize, usize)>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    manners: Vec<(String, Manner)>,
    asked: Vec<Asked>,
}

pub struct Server {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Server {
    pub fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let over = Arc::new(AtomicBool::new(false));
        let (shared, end) = (state.clone(), over.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let (shared, end) = (shared.clone(), end.clone());
                thread::spawn(move || talk(stream, &shared, &end));
            }
        });
        Self { state, address, over }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set_files(&self, files: BTreeMap<String, Vec<u8>>) {
        self.state.lock().unwrap().files = files;
    }

    /// Serves each file whose path holds `part` in that manner.
    pub fn misbehave(&self, part: &str, manner: Manner) {
        self.state.lock().unwrap().manners.insert(0, (part.to_owned(), manner));
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Requests for paths that hold `part`.
    pub fn asked_for(&self, part: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path.contains(part)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn talk(stream: TcpStream, state: &Mutex<State>, over: &AtomicBool) {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        if answer(&stream, &head, state, over).is_none() {
            return;
        }
    }
}

/// `None` when the connection is to be closed.
fn answer(
    mut out: &TcpStream,
    head: &[String],
    state: &Mutex<State>,
    over: &AtomicBool,
) -> Option<()> {
    let target = head.first()?.split(' ').nth(1)?.to_owned();
    // A proxy is asked for a whole URL.
    let path =
        target.strip_prefix("http://").map_or(&*target, |rest| &rest[rest.find('/').unwrap()..]);
    let range = head.iter().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned)
    });
    let range = range.and_then(|range| {
        let (first, last) = range.split_once('-')?;
        Some((first.parse().ok()?, last.parse::<usize>().ok()? + 1))
    });
    let (file, manner) = {
        let mut state = state.lock().unwrap();
        let earlier = state.asked.iter().filter(|asked| asked.path == path).count();
        state.asked.push(Asked { path: path.to_owned(), range });
        let manner = state.manners.iter().find(|(part, _)| path.contains(&**part));
        let manner = match manner.map_or(Manner::Good, |(_, manner)| *manner) {
            Manner::CutAfterAtFirst(bytes, times) if earlier < times => Manner::CutAfter(bytes),
            Manner::CutAfterAtFirst(..) => Manner::Good,
            other => other,
        };
        (state.files.get(path.trim_start_matches("/moved")).cloned(), manner)
    };
    match manner {
        Manner::Status(status) => {
            write!(out, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").ok()?;
            return Some(());
        }
        Manner::RedirectLoop => {
            write!(out, "HTTP/1.1 302 X\r\nLocation: {path}\r\nContent-Length: 0\r\n\r\n").ok()?;
            return Some(());
        }
        Manner::Redirect if !path.starts_with("/moved") => {
            write!(out, "HTTP/1.1 302 X\r\nLocation: /moved{path}\r\nContent-Length: 0\r\n\r\n")
                .ok()?;
            return Some(());
        }
        Manner::Endless => {
            write!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok()?;
            while !over.load(Ordering::Relaxed) {
                out.write_all(&[b' '; 4096]).ok()?;
            }
            return None;
        }
        Manner::Drip => {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").ok()?;
            while !over.load(Ordering::Relaxed) {
                out.write_all(b" ").ok()?;
                thread::sleep(Duration::from_millis(20));
            }
            return None;
        }
        Manner::Silent => {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
            return None;
        }
        _ => {}
    }
    let Some(mut file) = file else {
        write!(out, "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n").ok()?;
        return Some(());
    };
    if manner == Manner::Corrupt && !file.is_empty() {
        let middle = range.map_or(file.len() / 2, |(first, last)| usize::midpoint(first, last));
        let at = middle.min(file.len() - 1);
        file[at] ^= 1;
    }
    let total = file.len();
    let body = match range.filter(|_| manner != Manner::NoRanges) {
        Some((first, last)) => {
            let last = last.min(total);
            let said = if manner == Manner::WrongRange { first + 1 } else { first };
            write!(out, "HTTP/1.1 206 X\r\nContent-Range: bytes {said}-{}/{total}\r\n", last - 1)
                .ok()?;
            &file[first..last]
        }
        None => {
            write!(out, "HTTP/1.1 200 OK\r\n").ok()?;
            &file[..]
        }
    };
    write!(out, "Content-Length: {}\r\n\r\n", body.len()).ok()?;
    match manner {
        Manner::CutAfter(bytes) if bytes < body.len() => {
            out.write_all(&body[..bytes]).ok()?;
            None
        }
        _ => out.write_all(body).ok(),
    }
}
