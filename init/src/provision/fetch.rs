//! Gets the document at a URL, and takes it only when it proves itself. The agent's
//! program fetches: it has TLS and the trusted authorities already.

use holm_provision::Pin;
use std::process::{Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = "/usr/bin/holm";
/// The pauses between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// The document at `url`.
pub(crate) fn fetch(url: &str, pin: &Pin) -> Result<String, String> {
    fetch_by(&|url| run(PROGRAM, url), url, pin)
}

type Get<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

fn fetch_by(get: Get<'_>, url: &str, pin: &Pin) -> Result<String, String> {
    let document = get(url)?;
    let signature = if pin.needs_signature() {
        let signature = get(&format!("{url}.minisig"))?;
        String::from_utf8(signature).map_err(|_| "its signature is not text".to_owned())?
    } else {
        String::new()
    };
    pin.check(&document, &signature).map_err(|error| error.to_string())?;
    let text = String::from_utf8(document).map_err(|_| "it is not UTF-8".to_owned())?;
    // One that is not right would only replace the one that leads to it.
    match holm_config::parse(&text, "holm.toml") {
        Ok(_) => Ok(text),
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Err(format!("it has {} problems, the first: {first}", problems.len()))
        }
    }
}

fn run(program: &str, url: &str) -> Result<Vec<u8>, String> {
    let mut command = Command::new(program);
    command.args(["fetch", url]).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(reason.lines().last().unwrap_or("no reason given").to_owned())
}

/// How long to wait after the given number of failures.
pub(crate) fn pause(failures: u32) -> Duration {
    PAUSES.0.saturating_mul(1 << failures.min(8)).min(PAUSES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Pin {
        let mut command = Command::new("sha256sum");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        Pin::Hash(String::from_utf8_lossy(&output.stdout[..64]).into_owned())
    }

    #[test]
    fn document_is_taken_when_it_is_the_pinned_one_and_right() {
        let text = "[node]\nhostname = \"edge-7\"\n";
        let get = |url: &str| match url {
            "http://a/good" => Ok(text.as_bytes().to_vec()),
            "http://a/broken" => Ok(b"[nod]\n".to_vec()),
            _ => Err("404".to_owned()),
        };
        assert_eq!(fetch_by(&get, "http://a/good", &hash(text)), Ok(text.to_owned()));
        let error = fetch_by(&get, "http://a/good", &hash("other")).unwrap_err();
        assert!(error.contains("is pinned"), "{error}");
        let error = fetch_by(&get, "http://a/broken", &hash("[nod]\n")).unwrap_err();
        assert!(error.starts_with("it has 1 problems"), "{error}");
        let key = Pin::Key("RW".into());
        assert_eq!(fetch_by(&get, "http://a/good", &key), Err("404".into()), "no signature");
    }

    #[test]
    fn words_of_the_program_are_the_reason() {
        let error = run("false", "x").unwrap_err();
        assert_eq!(error, "no reason given");
        assert!(run("/nonexistent", "x").unwrap_err().contains("cannot be run"));
        assert_eq!(run("echo", "http://a/"), Ok(b"fetch http://a/\n".to_vec()));
    }

    #[test]
    fn attempts_become_rarer() {
        assert_eq!([0, 1, 9].map(|n| pause(n).as_secs()), [10, 20, 300]);
    }
}
