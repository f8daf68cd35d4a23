//! `holm-init ctl`: a client of the control socket, for a person and for scripts.

use crate::control::{Request, SOCKET, Status};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

const USAGE: &str =
    "usage: holm-init ctl status|reboot [trial]|poweroff|restart SERVICE|log [LINES]";

/// Carries out one command.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<_> = arguments.collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let Some(request) = request(&words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let answer = match ask(&request) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("holm-init: cannot ask PID 1 at {SOCKET}: {error}");
            return ExitCode::FAILURE;
        }
    };
    match show(&request, &answer) {
        Ok(text) => {
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("holm-init: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn request(words: &[&str]) -> Option<Request> {
    Some(match words {
        ["status"] => Request::Status {},
        ["reboot"] => Request::Reboot { trial: false },
        ["reboot", "trial"] => Request::Reboot { trial: true },
        ["poweroff"] => Request::Poweroff {},
        ["restart", service] => Request::Restart { service: (*service).to_owned() },
        ["log"] => Request::Log { lines: 50 },
        ["log", lines] => Request::Log { lines: lines.parse().ok()? },
        _ => return None,
    })
}

fn ask(request: &Request) -> io::Result<serde_json::Value> {
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    writeln!(stream, "{}", serde_json::to_string(request)?)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// The answer for a person to read.
fn show(request: &Request, answer: &serde_json::Value) -> Result<String, String> {
    if let Some(reason) = answer.get("error").and_then(|reason| reason.as_str()) {
        return Err(reason.to_owned());
    }
    match request {
        Request::Status {} => {
            let status = serde_json::from_value(answer.clone());
            status.map(|status| table(&status)).map_err(|error| error.to_string())
        }
        Request::Log { .. } => {
            let lines = answer.get("lines").and_then(|lines| lines.as_array());
            let lines = lines.into_iter().flatten().filter_map(|line| line.as_str());
            Ok(lines.map(|line| format!("{line}\n")).collect())
        }
        _ => Ok(String::new()),
    }
}

fn table(status: &Status) -> String {
    let mut text = match status.ready_ms {
        Some(after) => format!("ready {after} ms after kernel start\n"),
        None => "not ready\n".to_owned(),
    };
    for phase in &status.failed_phases {
        text.push_str(&format!("phase {} failed: {}\n", phase.name, phase.reason));
    }
    let armed = if status.watchdog { "armed" } else { "none" };
    text.push_str(&format!("up {} s, hardware watchdog: {armed}\n", status.uptime_ms / 1000));
    for service in &status.services {
        let pid = service.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let last = service.last_exit.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "{:<8} {:<9} pid {pid:<6} starts {:<3} last end: {last}  {}\n",
            service.name, service.state, service.starts, service.status,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commands_become_requests() {
        assert_eq!(request(&["status"]), Some(Request::Status {}));
        assert_eq!(request(&["log", "7"]), Some(Request::Log { lines: 7 }));
        assert_eq!(request(&["log", "all"]), None);
        assert_eq!(request(&["reboot", "trial"]), Some(Request::Reboot { trial: true }));
        assert_eq!(request(&["restart"]), None);
        assert_eq!(request(&[]), None);
    }

    #[test]
    fn refusal_is_an_error_with_its_reason() {
        let answer = json!({ "error": "no service is named \"x\"" });
        assert_eq!(
            show(&Request::Reboot { trial: false }, &answer),
            Err("no service is named \"x\"".into())
        );
    }

    #[test]
    fn log_is_shown_line_by_line() {
        let answer = json!({ "lines": ["one", "two"] });
        assert_eq!(show(&Request::Log { lines: 2 }, &answer), Ok("one\ntwo\n".into()));
    }

    #[test]
    fn status_is_shown_with_failures_and_services() {
        let answer = json!({
            "uptime-ms": 61000, "ready-ms": null, "watchdog": true, "shutting-down": false,
            "failed-phases": [{ "name": "storage", "reason": "no disk" }],
            "services": [{ "name": "agent", "state": "waiting", "pid": null, "starts": 3,
                "last-exit": "exited with status 1", "status": "" }],
        });
        let text = show(&Request::Status {}, &answer).unwrap();
        assert!(text.contains("not ready\nphase storage failed: no disk\nup 61 s"), "{text}");
        assert!(text.contains("last end: exited with status 1"), "{text}");
    }
}
