//! What the updater asks of the node around it: PID 1, the kernel's log, partitions, its own
//! release. Thin.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_fetch::Seed;
use holm_update::boot_count::{self, BootCount};
use holm_update::install::Target;
use holm_update::ledger::{Ledger, Outcome};
use holm_update::{RebootFlag, Slot};
use serde_json::{Value, json};

use crate::places;

const CONTROL: &str = "/run/holm/control.sock";
/// What `holm update status` reads.
pub(super) const REPORT: &str = "/run/holm/update.json";
/// Bytes of the kernel's log that are kept with a verdict.
const MOST_LOG: usize = 4 << 10;

/// What this system is.
pub(super) struct Release {
    pub(super) version: String,
    pub(super) board: String,
}

impl Release {
    pub(super) fn read() -> Result<Self, String> {
        let text = fs::read_to_string("/etc/os-release")
            .map_err(|error| format!("read /etc/os-release: {error}"))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value = |key: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            let found = found.map(|value| value.trim_matches('"').to_owned());
            found.ok_or(format!("/etc/os-release lacks {key}"))
        };
        Ok(Self { version: value("IMAGE_VERSION")?, board: value("VARIANT_ID")? })
    }
}

/// PID 1, by its control socket.
pub(super) struct Init;

impl Init {
    fn ask(&self, request: &Value) -> io::Result<Value> {
        let mut stream = UnixStream::connect(CONTROL)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        writeln!(stream, "{request}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// What keeps the node from being ready.
    pub(super) fn not_ready(&self) -> Vec<String> {
        match self.ask(&json!({ "op": "status" })) {
            Ok(status) => not_ready(&status),
            Err(error) => vec![format!("PID 1 does not answer: {error}")],
        }
    }

    /// Starts the node again.
    pub(super) fn reboot(&self, trial: bool) -> Result<(), String> {
        let request = if trial {
            json!({ "op": "reboot", "trial": true })
        } else {
            json!({ "op": "reboot" })
        };
        let answer = self.ask(&request).map_err(|error| error.to_string())?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(()),
        }
    }
}

/// Services that the node cannot do without; the log writer and this very service are not.
const NEEDED: [&str; 3] = ["network", "time", "agent"];

fn not_ready(status: &Value) -> Vec<String> {
    let list = |key: &str| status[key].as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let mut missing: Vec<String> =
        list("failed-phases").iter().map(|phase| format!("phase {}", name(phase))).collect();
    let services = list("services");
    let waiting = services
        .iter()
        .filter(|service| NEEDED.contains(&&*name(service)) && service["state"] != "ready");
    missing.extend(waiting.map(|service| format!("service {}", name(service))));
    if missing.is_empty() && status["ready-ms"].is_null() {
        missing.push("the boot is not over".to_owned());
    }
    missing
}

/// PID 1 raises the firmware's flag, and reads it back, as the last thing of a reboot into a trial.
pub(super) struct FlagOfInit;

impl RebootFlag for FlagOfInit {
    fn raise(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Says something on every console.
pub(super) fn announce(text: &str) {
    tracing::info!("{text}");
    // Level 3 of the facility "user" passes `quiet`, as PID 1's own words do.
    let line = format!("<11>holm: {text}\n");
    let written = fs::OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .and_then(|mut kmsg| kmsg.write_all(line.as_bytes()));
    drop(written);
}

/// The end of the kernel's log of this boot.
pub(super) fn kernel_log() -> String {
    let mut lines = Vec::new();
    let opened = rustix::fs::open(
        "/dev/kmsg",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK,
        rustix::fs::Mode::empty(),
    );
    if let Ok(descriptor) = opened {
        let mut kmsg = fs::File::from(descriptor);
        let mut record = [0; 8192];
        while let Ok(length @ 1..) = kmsg.read(&mut record) {
            let text = String::from_utf8_lossy(&record[..length]);
            let words = text.split_once(';').map_or(&*text, |(_, words)| words);
            lines.push(words.lines().next().unwrap_or_default().to_owned());
        }
    }
    tail(&lines.join("\n"), MOST_LOG)
}

/// The end of a text, from the begin of a line where there is one.
pub(super) fn tail(text: &str, most: usize) -> String {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let end = &text[start..];
    match end.split_once('\n') {
        Some((_, rest)) if start > 0 => rest.to_owned(),
        _ => end.to_owned(),
    }
}

/// The partition of a slot's root, on the disk that the running root is on.
pub(super) fn root_device(slot: Slot) -> Result<PathBuf, String> {
    let label = format!("root-{slot}");
    let disk = root_disk().map_err(|error| format!("find the disk of the root: {error}"))?;
    let entries = fs::read_dir(&disk).map_err(|error| format!("{}: {error}", disk.display()))?;
    for entry in entries.flatten() {
        let Ok(uevent) = fs::read_to_string(entry.path().join("uevent")) else { continue };
        let value = |key: &str| uevent.lines().find_map(|line| line.strip_prefix(key));
        let number = value("PARTN=").and_then(|number| number.parse().ok());
        let is_it = match value("PARTNAME=") {
            Some(name) => name == label,
            // A table without names, as the Raspberry Pi needs.
            None => number == Some(mbr_number(slot)),
        };
        if let (true, Some(device)) = (is_it, value("DEVNAME=")) {
            return Ok(Path::new("/dev").join(device));
        }
    }
    Err(format!("no partition {label} on {}", disk.display()))
}

/// The number of a slot's root where partitions have no names.
fn mbr_number(slot: Slot) -> u32 {
    match slot {
        Slot::A => 5,
        Slot::B => 6,
    }
}

/// The folder in sysfs of the disk below the verity device that `/` is on.
pub(super) fn root_disk() -> io::Result<PathBuf> {
    let device = fs::metadata("/")?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let slaves = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/slaves"));
    let partition = fs::read_dir(slaves)?.next().ok_or(io::ErrorKind::NotFound)??.path();
    let partition = fs::canonicalize(partition)?;
    Ok(partition.parent().ok_or(io::ErrorKind::NotFound)?.to_owned())
}

/// Where parts of a new version may lie already: what runs, and what an interrupted attempt has
/// written.
pub(super) fn seeds(running: Slot, target: &Target) -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |path: PathBuf| seeds.push(Seed { path, length: None });
    if let Ok(root) = root_device(running) {
        add(root);
    }
    let folder = Path::new(places::BOOT).join(boot_count::FOLDER);
    let names = fs::read_dir(&folder).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let medium = BootCount { names };
    for (name, _) in medium.entries().iter().filter(|(_, entry)| entry.slot == running) {
        add(folder.join(name));
    }
    add(target.root.clone());
    if target.kernel.exists() {
        add(target.kernel.clone());
    }
    seeds
}

/// A place in waves, drawn once for a node.
pub(super) fn random_seed() -> u16 {
    let mut bytes = [0; 2];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        tracing::warn!("no random numbers: this node is in the first wave");
    }
    u16::from_le_bytes(bytes) % 2048
}

/// What `holm update status` shows.
pub(super) struct Report<'a> {
    pub(super) version: &'a str,
    pub(super) slot: Slot,
    pub(super) committed: bool,
    pub(super) on_trial: bool,
    pub(super) waiting: Option<&'a str>,
    pub(super) ledger: &'a Ledger,
}

impl Report<'_> {
    /// One line for the console; empty when there is nothing to say.
    fn summary(&self) -> String {
        if self.on_trial {
            return match self.waiting {
                Some(waiting) => format!("on trial, waits for {waiting}"),
                None => "on trial".to_owned(),
            };
        }
        if let Some(attempt) = &self.ledger.attempt {
            return format!("to {} under way", attempt.version);
        }
        match self.ledger.outcomes.last() {
            Some(Outcome { version, verdict, .. }) if version != self.version => {
                format!("back from {version} ({}: {})", verdict.check, verdict.reason)
            }
            _ if self.ledger.held => "held".to_owned(),
            _ => String::new(),
        }
    }

    pub(super) fn write(&self) -> io::Result<()> {
        let report = json!({
            "summary": self.summary(),
            "version": self.version,
            "slot": self.slot,
            "committed": self.committed,
            "on-trial": self.on_trial,
            "waiting-for": self.waiting,
            "update": self.ledger,
        });
        let text = serde_json::to_vec(&report)?;
        if fs::read(REPORT).is_ok_and(|present| present == text) {
            return Ok(());
        }
        let new = format!("{REPORT}.new");
        fs::write(&new, text)?;
        fs::rename(new, REPORT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_is_read_and_a_missing_field_is_named() {
        let text = "NAME=Holm\nIMAGE_VERSION=1.2.3\nVARIANT_ID=\"x86-64\"\n";
        let release = Release::parse(text).unwrap();
        assert_eq!((&*release.version, &*release.board), ("1.2.3", "x86-64"));
        let error = Release::parse("IMAGE_VERSION=1\n").err().unwrap();
        assert_eq!(error, "/etc/os-release lacks VARIANT_ID");
    }

    #[test]
    fn failed_phase_and_missing_service_keep_a_node_from_being_ready() {
        let service = |name: &str, state: &str| json!({ "name": name, "state": state });
        let status = |services: Value, failed: Value, ready: Value| {
            not_ready(&json!({ "services": services, "failed-phases": failed, "ready-ms": ready }))
        };
        let good = json!([service("agent", "ready"), service("update", "starting")]);
        assert!(status(good.clone(), json!([]), json!(900)).is_empty());
        assert_eq!(status(good.clone(), json!([]), Value::Null), ["the boot is not over"]);
        let failed = json!([{ "name": "storage", "reason": "x" }]);
        assert_eq!(status(good, failed, json!(900)), ["phase storage"]);
        let bad = json!([service("agent", "waiting")]);
        assert_eq!(status(bad, json!([]), Value::Null), ["service agent"]);
    }

    #[test]
    fn console_is_told_of_a_trial_and_of_its_failure_but_not_of_success() {
        use holm_update::ledger::{Code, Verdict};
        let summary = |ledger: &Ledger, on_trial: bool, waiting| {
            let (version, slot, committed) = ("1.0.0", Slot::A, !on_trial);
            Report { version, slot, committed, on_trial, waiting, ledger }.summary()
        };
        let mut ledger = Ledger::default();
        assert_eq!(summary(&ledger, false, None), "");
        assert_eq!(summary(&ledger, true, Some("the network")), "on trial, waits for the network");
        let verdict = Verdict {
            code: Code::CheckFailed,
            check: "network".to_owned(),
            reason: "no gateway".to_owned(),
            kernel_log: String::new(),
        };
        let outcome = |version: &str| Outcome {
            version: version.to_owned(),
            from: "1.0.0".to_owned(),
            verdict: verdict.clone(),
        };
        ledger.outcomes = vec![outcome("2.0.0")];
        assert_eq!(summary(&ledger, false, None), "back from 2.0.0 (network: no gateway)");
        ledger.outcomes.push(outcome("1.0.0"));
        assert_eq!(summary(&ledger, false, None), "");
        ledger.held = true;
        assert_eq!(summary(&ledger, false, None), "held");
    }

    #[test]
    fn tail_of_a_text_begins_with_a_line() {
        assert_eq!(tail("one\ntwo\nthree", 9), "three");
        assert_eq!(tail("one", 9), "one");
        assert_eq!(tail("\u{e4}\u{e4}\u{e4}", 3), "\u{e4}");
    }
}
