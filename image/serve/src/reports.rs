//! What each node said last, in SQLite: what it runs, what it wants, and why it went back.
//! Must never believe a report for more than text: anybody can send one.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

/// More nodes than this are no fleet of a small server, but somebody who fills the disk.
const MOST_NODES: u64 = 100_000;
const MOST_NAME: usize = 64;
const MOST_TEXT: usize = 4 << 10;

/// Why a report was not kept.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is no report.
    #[error("the report is no JSON object")]
    NotJson,
    /// A field.
    #[error("the report lacks a usable {0}")]
    Field(&'static str),
    /// There are too many nodes.
    #[error("more than {MOST_NODES} nodes")]
    TooMany,
    /// SQLite.
    #[error("the reports cannot be kept")]
    Database(#[from] rusqlite::Error),
}

/// What a node said last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its board.
    pub board: String,
    /// The channel that it follows.
    pub channel: String,
    /// The version that it runs.
    pub version: String,
    /// `committed`, `on-trial`, or `not-committed`.
    pub state: String,
    /// The version that it is on its way to.
    pub wanted: String,
    /// The version that failed last.
    pub failed: String,
    /// Why: code, check and reason.
    pub why: String,
    /// The end of the kernel log of that failure.
    pub log: String,
    /// When it spoke, in seconds since 1970.
    pub seen: i64,
}

/// The reports.
#[derive(Debug)]
pub struct Reports {
    connection: Mutex<Connection>,
}

impl Reports {
    /// Keeps reports in the file at `path`.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        Self::with(Connection::open(path)?)
    }

    fn with(connection: Connection) -> Result<Self, ReportError> {
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS nodes (
                name TEXT PRIMARY KEY, board TEXT NOT NULL, channel TEXT NOT NULL,
                version TEXT NOT NULL, state TEXT NOT NULL, wanted TEXT NOT NULL,
                failed TEXT NOT NULL, why TEXT NOT NULL, log TEXT NOT NULL, seen INTEGER NOT NULL
            ) STRICT;",
        )?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Keeps a report that came at `now`, in place of the node's last one.
    pub fn keep(&self, body: &[u8], now: Timestamp) -> Result<(), ReportError> {
        let node = parse(body, now)?;
        let connection = self.lock();
        let known = connection
            .query_row("SELECT 1 FROM nodes WHERE name = ?1", [&node.name], |_| Ok(()))
            .optional()?;
        if known.is_none() {
            let count: i64 =
                connection.query_row("SELECT count(*) FROM nodes", [], |row| row.get(0))?;
            if u64::try_from(count).unwrap_or_default() >= MOST_NODES {
                return Err(ReportError::TooMany);
            }
        }
        connection.execute(
            "INSERT OR REPLACE INTO nodes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                node.name,
                node.board,
                node.channel,
                node.version,
                node.state,
                node.wanted,
                node.failed,
                node.why,
                node.log,
                node.seen
            ],
        )?;
        Ok(())
    }

    /// All nodes by name.
    pub fn nodes(&self) -> Result<Vec<Node>, ReportError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT * FROM nodes ORDER BY name")?;
        let nodes = statement.query_map([], |row| {
            Ok(Node {
                name: row.get(0)?,
                board: row.get(1)?,
                channel: row.get(2)?,
                version: row.get(3)?,
                state: row.get(4)?,
                wanted: row.get(5)?,
                failed: row.get(6)?,
                why: row.get(7)?,
                log: row.get(8)?,
                seen: row.get(9)?,
            })
        })?;
        Ok(nodes.collect::<Result<_, _>>()?)
    }

    /// How many nodes run which version in which state.
    pub fn versions(&self) -> Result<Vec<(String, String, u64)>, ReportError> {
        let connection = self.lock();
        let query = "SELECT version, state, count(*) FROM nodes GROUP BY 1, 2 ORDER BY 1, 2";
        let mut statement = connection.prepare(query)?;
        let rows = statement.query_map([], |row| {
            let count: i64 = row.get(2)?;
            Ok((row.get(0)?, row.get(1)?, u64::try_from(count).unwrap_or_default()))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A thread that panicked left SQLite's own transaction undone, which is harmless.
        self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reads what `holm update status --json` shows, with the node's name, board and channel added.
fn parse(body: &[u8], now: Timestamp) -> Result<Node, ReportError> {
    let report: Value = serde_json::from_slice(body).map_err(|_| ReportError::NotJson)?;
    let name = |field: &'static str| {
        let text = report[field].as_str().filter(|text| is_name(text));
        text.map(str::to_owned).ok_or(ReportError::Field(field))
    };
    let state = match (report["on-trial"] == true, report["committed"] == true) {
        (true, _) => "on-trial",
        (false, true) => "committed",
        (false, false) => "not-committed",
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let update = &report["update"];
    let outcomes = update["outcomes"].as_array().map_or(&[][..], Vec::as_slice);
    let is_failure = |outcome: &&Value| outcome["verdict"].is_object();
    let failure = outcomes.iter().rev().find(is_failure).unwrap_or(&Value::Null);
    let verdict = &failure["verdict"];
    let why = ["code", "check", "reason"].map(|field| text(&verdict[field]));
    let why = why.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    Ok(Node {
        name: name("node")?,
        board: name("board")?,
        channel: name("channel")?,
        version: name("version")?,
        state: state.to_owned(),
        wanted: shortened(text(&update["attempt"]["version"]), MOST_NAME),
        failed: shortened(text(&failure["version"]), MOST_NAME),
        why: shortened(why, MOST_TEXT),
        log: tail(&text(&verdict["kernel-log"]), MOST_TEXT),
        seen: now.as_second(),
    })
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+~:".contains(&byte);
    !text.is_empty() && text.len() <= MOST_NAME && text.bytes().all(allowed)
}

fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn tail(text: &str, most: usize) -> String {
    let begin = text.len().saturating_sub(most);
    let begin = (begin..=text.len()).find(|begin| text.is_char_boundary(*begin)).unwrap_or(0);
    text[begin..].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1000).unwrap()
    }

    fn report(node: &str, version: &str) -> Value {
        json!({
            "node": node, "board": "x86-64", "channel": "stable", "version": version,
            "slot": "a", "committed": true, "on-trial": false,
            "update": {"attempt": {"version": "1.2.0", "stage": "written"}, "outcomes": [
                {"from": "1.0.0", "version": "1.1.0", "verdict": {"code": "check",
                    "check": "network", "reason": "no route", "kernel-log": "oops"}}]},
        })
    }

    fn keep(reports: &Reports, report: &Value) -> Result<(), ReportError> {
        reports.keep(report.to_string().as_bytes(), now())
    }

    #[test]
    fn last_report_of_each_node_is_kept_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.db");
        let reports = Reports::open(&path).unwrap();
        for (node, version) in [("b", "1.0.0"), ("a", "1.0.0"), ("b", "1.0.1")] {
            keep(&reports, &report(node, version)).unwrap();
        }
        drop(reports);
        let reports = Reports::open(&path).unwrap();
        let nodes = reports.nodes().unwrap();
        let names: Vec<_> = nodes.iter().map(|node| (&*node.name, &*node.version)).collect();
        assert_eq!(names, [("a", "1.0.0"), ("b", "1.0.1")]);
        let Node { state, wanted, failed, why, log, .. } = &nodes[0];
        assert_eq!(
            [state, wanted, failed, why, log],
            ["committed", "1.2.0", "1.1.0", "check: network: no route", "oops"]
        );
        let versions = reports.versions().unwrap();
        assert_eq!(versions[0], ("1.0.0".to_owned(), "committed".to_owned(), 1));
    }

    #[test]
    fn what_is_no_report_is_refused_by_its_field() {
        let reports = Reports::with(Connection::open_in_memory().unwrap()).unwrap();
        assert!(matches!(reports.keep(b"{", now()), Err(ReportError::NotJson)));
        assert!(matches!(reports.keep(b"[]", now()), Err(ReportError::Field("node"))));
        for (field, value) in [
            ("node", json!("<script>")),
            ("board", json!("x".repeat(65))),
            ("version", json!("1\"} 9")),
            ("channel", json!(7)),
        ] {
            let mut report = report("n", "1.0.0");
            report[field] = value;
            let error = keep(&reports, &report).unwrap_err();
            assert!(matches!(error, ReportError::Field(found) if found == field), "{error}");
        }
        assert!(reports.nodes().unwrap().is_empty());
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let reports = Reports::with(Connection::open_in_memory().unwrap()).unwrap();
        let mut report = report("n", "1.0.0");
        report["update"]["outcomes"][0]["verdict"]["kernel-log"] = json!("é".repeat(5000));
        report["update"]["outcomes"][0]["verdict"]["reason"] = json!("é".repeat(5000));
        keep(&reports, &report).unwrap();
        let node = &reports.nodes().unwrap()[0];
        assert!(node.log.len() <= MOST_TEXT && node.why.len() <= MOST_TEXT);
        assert!(node.log.ends_with('é'));
    }
}
