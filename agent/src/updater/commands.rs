//! `holm update`: commands of a person, and the socket on which the service takes them. One JSON
//! object a line in, one out. Root only, by the socket's mode.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::node::REPORT;

const SOCKET: &str = "/run/holm/update.sock";
const LONGEST_REQUEST: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(5);

const USAGE: &str = "\
usage: holm update COMMAND
  status [--json]           what runs, what is under way, how the last updates ended
  check                     look for a new version
  stage [VERSION]           install it into the other slot
  apply [VERSION]           install it if need be, and reboot into its trial
  rollback                  reboot into the version before
  abandon                   give up what is being installed or is staged
  hold | resume             nothing happens by itself | it does again
with stage and apply:
  --from PLACE              a repository other than the node document's: a URL, a
                            folder, or usb for a stick
  --force                   an older version too";

/// What a client may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// Look for a new version.
    Check {},
    /// Install a version.
    Stage {
        /// Its name; unset: what the channel offers.
        version: Option<String>,
        /// Another place.
        from: Option<String>,
        /// Whether it may be older.
        #[serde(default)]
        force: bool,
    },
    /// Try it.
    Apply {
        /// Its name; unset: what is staged, or what the channel offers.
        version: Option<String>,
        /// Another place.
        from: Option<String>,
        /// Whether it may be older.
        #[serde(default)]
        force: bool,
    },
    /// Go back.
    Rollback {},
    /// Give up.
    Abandon {},
    /// Hold or resume.
    Hold {
        /// Which.
        held: bool,
    },
}

/// The socket.
pub(super) struct Listener {
    socket: UnixListener,
}

/// The way back to a client.
pub(super) struct Answer(UnixStream);

impl Answer {
    /// Sends what came of the request; a client that has left hears nothing.
    pub(super) fn send(mut self, outcome: Result<String, String>) {
        let answer = match outcome {
            Ok(text) => json!({ "ok": text }),
            Err(text) => json!({ "error": text }),
        };
        let _ = writeln!(self.0, "{answer}");
    }
}

impl Listener {
    pub(super) fn open() -> io::Result<Self> {
        let _ = fs::remove_file(SOCKET);
        let socket = UnixListener::bind(SOCKET)?;
        fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Waits for requests, at most for `pause`.
    pub(super) fn wait(&self, pause: Duration) -> Vec<(Request, Answer)> {
        let timeout = Timespec::try_from(pause).ok();
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
        let _ = poll(&mut fds, timeout.as_ref());
        let mut requests = Vec::new();
        while let Ok((stream, _)) = self.socket.accept() {
            match read(&stream) {
                Ok(Ok(request)) => requests.push((request, Answer(stream))),
                Ok(Err(wrong)) => Answer(stream).send(Err(wrong)),
                // Gone, or too slow.
                Err(_) => {}
            }
        }
        requests
    }
}

fn read(stream: &UnixStream) -> io::Result<Result<Request, String>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_REQUEST)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line).map_err(|error| format!("cannot read the request: {error}")))
}

/// Carries out one command.
pub fn main(args: &[OsString]) -> ExitCode {
    let words: Vec<String> = args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["status"] => report().map(|report| show(&report)),
        ["status", "--json"] => report().map(|report| format!("{report:#}")),
        words => match request(words) {
            None => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
            Some(request) => ask(&request),
        },
    };
    match outcome {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("holm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn request(words: &[&str]) -> Option<Request> {
    let (command, mut rest) = words.split_first()?;
    let (mut version, mut from, mut force) = (None, None, false);
    while let Some((word, more)) = rest.split_first() {
        rest = more;
        match *word {
            "--force" => force = true,
            "--from" => {
                let (place, more) = rest.split_first()?;
                from = Some((*place).to_owned());
                rest = more;
            }
            word if !word.starts_with('-') && version.is_none() => version = Some(word.to_owned()),
            _ => return None,
        }
    }
    let plain = version.is_none() && from.is_none() && !force;
    Some(match *command {
        "stage" => Request::Stage { version, from, force },
        "apply" => Request::Apply { version, from, force },
        "check" if plain => Request::Check {},
        "rollback" if plain => Request::Rollback {},
        "abandon" if plain => Request::Abandon {},
        "hold" if plain => Request::Hold { held: true },
        "resume" if plain => Request::Hold { held: false },
        _ => return None,
    })
}

fn ask(request: &Request) -> Result<String, String> {
    let failed = |error: io::Error| format!("ask the update service at {SOCKET}: {error}");
    let mut stream = UnixStream::connect(SOCKET).map_err(failed)?;
    let text = serde_json::to_string(request).map_err(|error| error.to_string())?;
    writeln!(stream, "{text}").map_err(failed)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(failed)?;
    let answer: Value = serde_json::from_str(&line)
        .map_err(|_| "the update service ended before it answered".to_owned())?;
    match (answer["ok"].as_str(), answer["error"].as_str()) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, error) => Err(error.unwrap_or("no answer").to_owned()),
    }
}

fn report() -> Result<Value, String> {
    let text = fs::read(REPORT)
        .map_err(|error| format!("read {REPORT} (does the update service run?): {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("read {REPORT}: {error}"))
}

/// The report for a person.
fn show(report: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, slot) = (text(&report["version"]), text(&report["slot"]));
    let state = match (report["on-trial"] == true, report["committed"] == true) {
        (true, _) => "on trial",
        (false, true) => "committed",
        (false, false) => "not committed",
    };
    let mut lines = vec![format!("version {version} in slot {slot}, {state}")];
    if let Some(waiting) = report["waiting-for"].as_str() {
        lines.push(format!("  waits for {waiting}"));
    }
    let update = &report["update"];
    if update["held"] == true {
        lines.push("held: nothing is installed or tried by itself".to_owned());
    }
    if let Some(spare) = update["spare"].as_str() {
        lines.push(format!("version {spare} can be gone back to"));
    }
    let attempt = &update["attempt"];
    if attempt.is_object() {
        let (version, stage) = (text(&attempt["version"]), text(&attempt["stage"]));
        lines.push(format!(
            "update to {version} under way: {stage}, armed {} times",
            attempt["arms"]
        ));
    }
    let outcomes = update["outcomes"].as_array().cloned().unwrap_or_default();
    for outcome in outcomes.iter().rev() {
        let verdict = &outcome["verdict"];
        lines.push(format!(
            "update from {} to {}: {} ({}: {})",
            text(&outcome["from"]),
            text(&outcome["version"]),
            text(&verdict["code"]),
            text(&verdict["check"]),
            text(&verdict["reason"]),
        ));
        let log = text(&verdict["kernel-log"]);
        lines.extend(
            log.lines()
                .rev()
                .take(10)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .map(|line| format!("    {line}")),
        );
    }
    for outcome in update["barred"].as_array().cloned().unwrap_or_default() {
        lines.push(format!("version {} is barred", text(&outcome["version"])));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_requests() {
        let version = |text: &str| Some(text.to_owned());
        assert_eq!(request(&["check"]), Some(Request::Check {}));
        assert_eq!(request(&["hold"]), Some(Request::Hold { held: true }));
        assert_eq!(request(&["resume"]), Some(Request::Hold { held: false }));
        let stage = Request::Stage { version: version("2.0.0"), from: None, force: true };
        assert_eq!(request(&["stage", "2.0.0", "--force"]), Some(stage));
        let apply = Request::Apply { version: None, from: version("/usb"), force: false };
        assert_eq!(request(&["apply", "--from", "/usb"]), Some(apply));
        for wrong in [&["apply", "--from"][..], &["check", "2"], &["stage", "1", "2"], &["go"], &[]]
        {
            assert_eq!(request(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn status_says_what_runs_and_why() {
        let verdict = json!({ "code": "check-failed", "check": "network", "reason": "no gateway",
            "kernel-log": "one\ntwo" });
        let outcome = json!({ "version": "2", "from": "1", "verdict": verdict });
        let text =
            show(&json!({ "version": "1", "slot": "a", "committed": true, "on-trial": false,
            "waiting-for": null, "update": { "held": true, "spare": null, "attempt": null,
            "outcomes": [outcome], "barred": [outcome] } }));
        assert!(text.starts_with("version 1 in slot a, committed\nheld"), "{text}");
        assert!(
            text.contains("from 1 to 2: check-failed (network: no gateway)\n    one"),
            "{text}"
        );
        assert!(text.ends_with("version 2 is barred"), "{text}");
    }
}
