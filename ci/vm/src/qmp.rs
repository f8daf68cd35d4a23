//! QEMU's machine protocol: commands, and the events that say what the machine did.
//!
//! Must never guess at the machine's state: what QEMU did not say did not happen.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::deadline::Deadline;

/// A failed exchange with QEMU.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket could not be used.
    #[error("cannot send '{command}' to QEMU")]
    Send {
        /// The command.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// QEMU ended or was silent.
    #[error("QEMU gave no answer to '{command}'")]
    NoAnswer {
        /// The command.
        command: String,
    },
    /// QEMU refused the command.
    #[error("QEMU refused '{command}': {reason}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's own words.
        reason: String,
    },
    /// An event did not come in time.
    #[error("the machine sent no {event} event in time; it sent: {seen}")]
    NoEvent {
        /// The event's name.
        event: String,
        /// The names of the events that did come.
        seen: String,
    },
}

#[derive(Default)]
struct Received {
    answers: VecDeque<Value>,
    events: Vec<Value>,
    /// Index of the first event that no wait has passed yet.
    next_event: usize,
    ended: bool,
}

/// A session with one QEMU process.
pub struct Qmp {
    stream: UnixStream,
    received: Arc<(Mutex<Received>, Condvar)>,
}

const ANSWER_WAIT: Duration = Duration::from_secs(60);

impl Qmp {
    /// Negotiates over a connected socket.
    pub fn open(stream: UnixStream) -> Result<Self, QmpError> {
        let send = |source| QmpError::Send { command: "qmp_capabilities".to_owned(), source };
        let received: Arc<(Mutex<Received>, Condvar)> = Arc::default();
        let reader = BufReader::new(stream.try_clone().map_err(send)?);
        let sink = Arc::clone(&received);
        std::thread::spawn(move || {
            for line in reader.lines() {
                let Ok(line) = line else { break };
                let Ok(message) = serde_json::from_str(&line) else { continue };
                sort(&mut lock(&sink.0), message);
                sink.1.notify_all();
            }
            lock(&sink.0).ended = true;
            sink.1.notify_all();
        });
        let mut qmp = Self { stream, received };
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns what it returns.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let text = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.stream
            .write_all(text.as_bytes())
            .map_err(|source| QmpError::Send { command: command.to_owned(), source })?;
        let answer = self
            .wait(ANSWER_WAIT, |received| received.answers.pop_front())
            .ok_or_else(|| QmpError::NoAnswer { command: command.to_owned() })?;
        match answer.get("error") {
            Some(error) => Err(QmpError::Refused {
                command: command.to_owned(),
                reason: error["desc"].as_str().unwrap_or_default().to_owned(),
            }),
            None => Ok(answer["return"].clone()),
        }
    }

    /// Runs a command of the human monitor, for what has no command of its own.
    pub fn monitor(&mut self, line: &str) -> Result<String, QmpError> {
        let answer = self.execute("human-monitor-command", json!({"command-line": line}))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Waits for the next event of that name and returns its data; later calls look only behind it.
    pub fn wait_event(&self, name: &str, wait: Duration) -> Result<Value, QmpError> {
        let found = self.wait(wait, |received| {
            while let Some(event) = received.events.get(received.next_event) {
                received.next_event += 1;
                if event["event"] == name {
                    return Some(event["data"].clone());
                }
            }
            None
        });
        found.ok_or_else(|| QmpError::NoEvent { event: name.to_owned(), seen: self.seen() })
    }

    fn seen(&self) -> String {
        let received = lock(&self.received.0);
        let names = received.events.iter().filter_map(|event| event["event"].as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    fn wait<T>(
        &self,
        wait: Duration,
        mut take: impl FnMut(&mut Received) -> Option<T>,
    ) -> Option<T> {
        let deadline = Deadline::after(wait);
        let mut received = lock(&self.received.0);
        loop {
            if let Some(taken) = take(&mut received) {
                return Some(taken);
            }
            if received.ended || deadline.has_passed() {
                return None;
            }
            received = self
                .received
                .1
                .wait_timeout(received, deadline.remaining())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

fn lock(mutex: &Mutex<Received>) -> MutexGuard<'_, Received> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Events and answers share the stream; the greeting is neither.
fn sort(received: &mut Received, message: Value) {
    if message.get("event").is_some() {
        received.events.push(message);
    } else if message.get("QMP").is_none() {
        received.answers.push_back(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that says the given lines, one batch for each command it reads.
    fn scripted(batches: &'static [&'static str]) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut commands = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut theirs = theirs;
            writeln!(theirs, r#"{{"QMP": {{"version": {{}}}}}}"#).unwrap();
            for batch in batches {
                if commands.next().is_none() {
                    return;
                }
                writeln!(theirs, "{batch}").unwrap();
            }
        });
        ours
    }

    #[test]
    fn an_event_between_command_and_answer_is_kept_for_its_waiter() {
        let mut qmp = Qmp::open(scripted(&[
            r#"{"return": {}}"#,
            "{\"event\": \"RESET\", \"data\": {\"guest\": true}}\n{\"return\": 7}",
        ]))
        .unwrap();
        assert_eq!(qmp.execute("query", json!({})).unwrap(), json!(7));
        let data = qmp.wait_event("RESET", Duration::from_secs(5)).unwrap();
        assert_eq!(data, json!({"guest": true}));
    }

    #[test]
    fn a_refused_command_carries_qemus_reason() {
        let mut qmp = Qmp::open(scripted(&[
            r#"{"return": {}}"#,
            r#"{"error": {"class": "GenericError", "desc": "no such link"}}"#,
        ]))
        .unwrap();
        let error = qmp.execute("set_link", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused 'set_link': no such link");
    }

    #[test]
    fn a_missing_event_names_those_that_came() {
        let qmp = Qmp::open(scripted(&["{\"return\": {}}\n{\"event\": \"SHUTDOWN\"}"])).unwrap();
        let error = qmp.wait_event("RESET", Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains("SHUTDOWN"), "{error}");
    }
}
