//! From a request to an answer.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use holm_payload::{Release, releases};
use holm_tuf::metadata::{Snapshot, Targets, Timestamp as TimestampRole};
use holm_tuf::{Envelope, file_name};
use jiff::Timestamp;

use crate::metrics::Metrics;
use crate::page;
use crate::range::{Part, part};
use crate::reports::{ReportError, Reports};
use crate::request::Request;

/// What is served.
#[derive(Debug)]
pub struct Site {
    repository: PathBuf,
    reports: Reports,
    /// Counters.
    pub metrics: Metrics,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, beside the length.
    pub headers: Vec<(&'static str, String)>,
    /// What follows.
    pub body: Body,
}

/// A body.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Text(String),
    /// So many bytes of a file, from where it stands.
    File(File, u64),
}

impl Site {
    /// Serves the repository in `folder` and keeps `reports`.
    pub fn new(folder: &Path, reports: Reports) -> Self {
        Self { repository: folder.to_owned(), reports, metrics: Metrics::default() }
    }

    /// Answers.
    pub fn answer(&self, request: &Request, now: Timestamp) -> Answer {
        match (&*request.method, &*request.path) {
            ("GET" | "HEAD", "/") => self.page(now),
            ("GET" | "HEAD", "/metrics") => match self.reports.versions() {
                Ok(fleet) => text(200, "text/plain; version=0.0.4", self.metrics.text(&fleet)),
                Err(error) => text(500, "text/plain", format!("{error}\n")),
            },
            ("GET" | "HEAD", path) => self.file(path, request.range.as_deref()),
            ("POST", "/report") => match self.reports.keep(&request.body, now) {
                Ok(()) => {
                    self.metrics.count_report();
                    text(200, "text/plain", "kept\n".to_owned())
                }
                Err(error) => {
                    let status = match error {
                        ReportError::NotJson | ReportError::Field(_) => 400,
                        ReportError::TooMany => 429,
                        ReportError::Database(_) => 500,
                    };
                    text(status, "text/plain", format!("{error}\n"))
                }
            },
            _ => text(405, "text/plain", "GET, HEAD, or POST /report\n".to_owned()),
        }
    }

    fn page(&self, now: Timestamp) -> Answer {
        match self.reports.nodes() {
            Ok(nodes) => {
                let page = page::fleet(&nodes, &self.releases(), now);
                text(200, "text/html; charset=utf-8", page)
            }
            Err(error) => text(500, "text/plain", format!("{error}\n")),
        }
    }

    /// For the page only; a repository that cannot be read has no releases to show.
    fn releases(&self) -> Vec<Release> {
        self.targets()
            .map(|targets| releases(&targets).0.into_values().collect())
            .unwrap_or_default()
    }

    fn targets(&self) -> Option<Targets> {
        let read = |name: String| {
            let bytes = std::fs::read(self.repository.join("metadata").join(name)).ok()?;
            Envelope::parse("", &bytes).ok()
        };
        let timestamp: TimestampRole = read("timestamp.json".to_owned())?.open("").ok()?;
        let version = timestamp.snapshot()?.version;
        let snapshot: Snapshot =
            read(file_name::metadata("snapshot", Some(version)))?.open("").ok()?;
        let version = snapshot.meta.get("targets.json")?.version;
        read(file_name::metadata("targets", Some(version)))?.open("").ok()
    }

    fn file(&self, path: &str, range: Option<&str>) -> Answer {
        let missing = || text(404, "text/plain", "there is no such file\n".to_owned());
        let path = path.trim_start_matches('/');
        // Only what a repository has: nothing hidden, nothing above.
        let is_ours = ["metadata/", "targets/"].iter().any(|folder| path.starts_with(folder))
            && file_name::is_safe_path(path)
            && path.split('/').all(|part| !part.starts_with('.'));
        if !is_ours {
            return missing();
        }
        let opened = File::open(self.repository.join(path));
        let Ok((mut file, facts)) =
            opened.and_then(|file| file.metadata().map(|facts| (file, facts)))
        else {
            return missing();
        };
        if !facts.is_file() {
            return missing();
        }
        let length = facts.len();
        // The newest timestamp is asked for again and again; everything else never changes.
        let cache = match path.ends_with("/timestamp.json") {
            true => "no-cache",
            false => "public, max-age=31536000, immutable",
        };
        let mut headers = vec![
            ("Content-Type", "application/octet-stream".to_owned()),
            ("Accept-Ranges", "bytes".to_owned()),
            ("Cache-Control", cache.to_owned()),
        ];
        match part(range, length) {
            Part::Whole => Answer { status: 200, headers, body: Body::File(file, length) },
            Part::Outside => {
                headers.push(("Content-Range", format!("bytes */{length}")));
                Answer { status: 416, headers, body: Body::Text(String::new()) }
            }
            Part::Bytes(first, end) => {
                if file.seek(SeekFrom::Start(first)).is_err() {
                    return missing();
                }
                headers.push(("Content-Range", format!("bytes {first}-{}/{length}", end - 1)));
                Answer { status: 206, headers, body: Body::File(file, end - first) }
            }
        }
    }
}

fn text(status: u16, kind: &str, text: String) -> Answer {
    let headers = vec![("Content-Type", kind.to_owned())];
    Answer { status, headers, body: Body::Text(text) }
}
