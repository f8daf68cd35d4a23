//! One place of a repository: a web server, or a folder such as a USB stick. Both are distrusted
//! alike: what comes from either is verified by who asks.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::http::Http;
use crate::pace::{Pace, TooSlow};
use crate::settings::{Settings, SettingsError, Traffic};

/// Why a file could not be had from a place.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The request, or its answer, failed on the way.
    #[error("cannot get {url}")]
    Transport {
        /// What was asked for.
        url: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// The server says no.
    #[error("cannot get {url}: the server answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The place has no such file.
    #[error("there is no {0}")]
    Missing(String),
    /// The answer is not the range that was asked for.
    #[error("cannot get {url}: bytes from {wanted} were asked for, the answer is {found:?}")]
    Range {
        /// What was asked for.
        url: String,
        /// The first byte that was wanted.
        wanted: u64,
        /// What the answer says.
        found: String,
    },
    /// The transfer broke, or was broken off.
    #[error("the transfer of {url} broke")]
    Broken {
        /// What was asked for.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// It ended early.
    #[error("{0} ended too early")]
    Short(String),
    /// More came than there may be.
    #[error("{url} is longer than {limit} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// What came is not what was signed.
    #[error("{0} is not what was signed")]
    Digest(String),
}

/// A file's bytes on their way.
pub struct Body {
    /// What was asked for, for errors.
    pub url: String,
    /// Where in the file the first byte lies: before what was asked for, where the place knows no
    /// ranges.
    pub begin: u64,
    /// Whether a range was given as asked.
    pub is_range: bool,
    reader: Box<dyn Read + Send>,
    pace: Pace,
    started: Instant,
    traffic: Traffic,
}

impl Body {
    pub(crate) fn new(
        url: String,
        begin: u64,
        is_range: bool,
        reader: Box<dyn Read + Send>,
        pace: Pace,
        traffic: Traffic,
    ) -> Self {
        Self { url, begin, is_range, reader, pace, started: Instant::now(), traffic }
    }

    /// All of it, which is at most `limit` bytes.
    pub fn collect(mut self, limit: u64) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        let read = (&mut self).take(limit.saturating_add(1)).read_to_end(&mut bytes);
        let url = self.url;
        read.map_err(|source| FetchError::Broken { url: url.clone(), source })?;
        if bytes.len() as u64 > limit {
            return Err(FetchError::TooLong { url, limit });
        }
        Ok(bytes)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Small pieces, so that a limit waits often and briefly.
        let end = buffer.len().min(16 << 10);
        let count = self.reader.read(&mut buffer[..end])?;
        self.traffic.add_received(count as u64);
        let slow = |error: TooSlow| io::Error::new(io::ErrorKind::TimedOut, error);
        let wait = self.pace.after(count as u64, self.started.elapsed()).map_err(slow)?;
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        Ok(count)
    }
}

/// A place.
pub enum Place {
    /// A web server, an object store, a CDN.
    Web(Http),
    /// A folder.
    Folder {
        /// Where it is.
        path: PathBuf,
        /// Counts as well: reports tell the two ways apart by the place.
        traffic: Traffic,
    },
}

impl Place {
    /// All places of `settings`.
    pub fn all(settings: &Settings, traffic: &Traffic) -> Result<Vec<Self>, SettingsError> {
        if settings.places.is_empty() {
            return Err(SettingsError::NoPlace);
        }
        let make = |place: &String| {
            if place.starts_with("https://") || place.starts_with("http://") {
                Http::new(place, settings, traffic.clone()).map(Self::Web)
            } else if place.starts_with('/') {
                Ok(Self::Folder { path: PathBuf::from(place), traffic: traffic.clone() })
            } else {
                Err(SettingsError::Place(place.clone()))
            }
        };
        settings.places.iter().map(make).collect()
    }

    /// The place, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Web(http) => http.base().to_owned(),
            Self::Folder { path, .. } => path.display().to_string(),
        }
    }

    /// Begins to get `file`, whose path is relative and safe; all of it, or from the begin of
    /// `range` on to its end at least.
    pub fn get(&self, file: &str, range: Option<Range<u64>>) -> Result<Body, FetchError> {
        match self {
            Self::Web(http) => http.get(file, range),
            Self::Folder { path, traffic } => open(path, file, range, traffic),
        }
    }
}

fn open(
    folder: &Path,
    file: &str,
    range: Option<Range<u64>>,
    traffic: &Traffic,
) -> Result<Body, FetchError> {
    let path = folder.join(file);
    let url = path.display().to_string();
    let broken = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FetchError::Missing(url.clone()),
        _ => FetchError::Broken { url: url.clone(), source },
    };
    let mut opened = File::open(&path).map_err(broken)?;
    if !opened.metadata().map_err(broken)?.is_file() {
        return Err(FetchError::Missing(url));
    }
    traffic.add_request();
    let begin = range.as_ref().map_or(0, |range| range.start);
    opened.seek(SeekFrom::Start(begin)).map_err(broken)?;
    let length = range.map_or(u64::MAX, |range| range.end.saturating_sub(range.start));
    let pace = Pace::new(None, 0, std::time::Duration::MAX);
    Ok(Body::new(url, begin, true, Box::new(opened.take(length)), pace, traffic.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Place, Traffic) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), b"0123456789").unwrap();
        let traffic = Traffic::default();
        let place = Place::Folder { path: folder.path().to_owned(), traffic: traffic.clone() };
        (folder, place, traffic)
    }

    #[test]
    fn folder_gives_files_and_ranges_and_says_what_it_lacks() {
        let (_folder, place, traffic) = folder();
        assert_eq!(place.get("file", None).unwrap().collect(10).unwrap(), b"0123456789");
        let body = place.get("file", Some(3..6)).unwrap();
        assert_eq!(body.begin, 3);
        assert_eq!(body.collect(10).unwrap(), b"345");
        assert_eq!((traffic.received(), traffic.requests()), (13, 2));
        assert!(matches!(place.get("other", None), Err(FetchError::Missing(_))));
        assert!(matches!(place.get(".", None), Err(FetchError::Missing(_))));
    }

    #[test]
    fn more_than_the_limit_is_an_error() {
        let (_folder, place, _) = folder();
        let error = place.get("file", None).unwrap().collect(9).unwrap_err();
        assert!(matches!(error, FetchError::TooLong { limit: 9, .. }), "{error}");
    }

    #[test]
    fn place_is_a_url_or_an_absolute_folder() {
        let places = |names: &[&str]| {
            let places = names.iter().map(|name| (*name).to_owned()).collect();
            Place::all(&Settings { places, ..Settings::default() }, &Traffic::default())
        };
        assert!(matches!(places(&[]), Err(SettingsError::NoPlace)));
        for bad in ["ftp://x", "updates", "", "HTTPS//x"] {
            assert!(matches!(places(&[bad]), Err(SettingsError::Place(_))), "{bad}");
        }
        let names: Vec<_> =
            places(&["http://x/y/", "/mnt/usb"]).unwrap().iter().map(Place::name).collect();
        assert_eq!(names, ["http://x/y", "/mnt/usb"]);
    }
}
