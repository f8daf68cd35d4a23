//! A disk whose programs a test machine runs as root in place of the agent, and their report.
//!
//! The machine is an image built with init's feature `payload`; a released one ignores such disks.
//! The report comes over the second serial port. Must never take a missing report for a good one.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::console::Line;
use crate::scenario::{Scenario, ScenarioError, static_busybox};

/// The file system label by which init finds the disk.
const LABEL: &str = "payload";

/// Programs to run, one after the other, whatever comes of them.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    /// Files to bring: from where, and their paths on the disk.
    pub files: Vec<(PathBuf, String)>,
    /// Shell commands, run in `/run/payload`.
    pub commands: Vec<String>,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The command.
    pub command: String,
    /// Its exit code.
    pub status: i32,
    /// What it wrote.
    pub output: Vec<String>,
}

impl Payload {
    /// Boots the scenario's machine with the disk and returns the report of each command.
    /// `wait` is the time that all of them together may take.
    pub fn run(
        &self,
        scenario: &mut Scenario,
        wait: Duration,
    ) -> Result<Vec<Report>, ScenarioError> {
        let disk = self.write_disk(scenario.folder())?;
        scenario.machine.disks.push(disk);
        scenario.machine.append = format!("holm.payload={LABEL}");
        let vm = scenario.start()?;
        let report = vm.second_console()?;
        let done = report.expect(DONE, wait);
        let reports = parse(&report.lines());
        match done {
            Ok(_) => {
                vm.wait_power_off(Duration::from_secs(60))?;
                Ok(reports)
            }
            // A machine that never came so far says why on its console, not in the report.
            Err(error) if reports.is_empty() => {
                vm.console.expect("holm: payload exit", Duration::ZERO)?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn write_disk(&self, folder: &Path) -> Result<PathBuf, ScenarioError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| ScenarioError::File { what, path, source }
        };
        let tree = folder.join("payload");
        let mut bytes = 0;
        let busybox = static_busybox()?;
        for (path, content) in [("bin/busybox", busybox), ("run", self.script().into_bytes())] {
            let to = tree.join(path);
            std::fs::create_dir_all(to.parent().unwrap_or(&tree)).map_err(failed("make", &to))?;
            std::fs::write(&to, &content).map_err(failed("write", &to))?;
            let executable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&to, executable).map_err(failed("write", &to))?;
            bytes += content.len() as u64;
        }
        for (from, path) in &self.files {
            let to = tree.join(path);
            std::fs::create_dir_all(to.parent().unwrap_or(&tree)).map_err(failed("make", &to))?;
            bytes += std::fs::copy(from, &to).map_err(failed("copy", from))?;
        }
        let disk = folder.join("payload.ext4");
        // Room for what the programs write, beside what they are.
        let size = format!("{}M", bytes / (1 << 20) * 5 / 4 + 256);
        let made = Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-L", LABEL, "-d"])
            .args([&tree, &disk])
            .arg(size)
            .output()
            .map_err(failed("make", &disk))?;
        if made.status.success() {
            return Ok(disk);
        }
        let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
        Err(failed("make", &disk)(io::Error::other(said)))
    }

    fn script(&self) -> String {
        let mut script = PROLOGUE.to_owned();
        for (index, command) in self.commands.iter().enumerate() {
            let _ = write!(
                script,
                "echo '{BEGIN} {index} {command}'\n( {command}\n)\necho \"{END} $?\"\n"
            );
        }
        let _ = writeln!(script, "echo '{DONE}'");
        script
    }
}

/// What runs before the commands: the report goes to the virtio port, busybox into the path.
const PROLOGUE: &str = "#!/run/payload/bin/busybox sh
for port in /dev/vport*p1; do exec </dev/null >$port 2>&1; done
/run/payload/bin/busybox mkdir -p /tmp/bin
/run/payload/bin/busybox --install -s /tmp/bin
export PATH=/tmp/bin:$PATH
cd /run/payload
";
const BEGIN: &str = "@payload begin";
const END: &str = "@payload end";
const DONE: &str = "@payload done";

/// The reports of the commands that ended.
fn parse(lines: &[Line]) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut current: Option<Report> = None;
    for line in lines {
        if let Some(begun) = line.text.strip_prefix(BEGIN) {
            let command = begun.trim_start().split_once(' ').map_or("", |(_, command)| command);
            current = Some(Report { command: command.to_owned(), status: 0, output: Vec::new() });
        } else if let Some(status) = line.text.strip_prefix(END) {
            if let (Some(mut report), Ok(status)) = (current.take(), status.trim().parse()) {
                report.status = status;
                reports.push(report);
            }
        } else if let Some(report) = &mut current {
            report.output.push(line.text.clone());
        }
    }
    reports
}

impl Report {
    /// The output as one text.
    pub fn text(&self) -> String {
        self.output.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn lines(text: &str) -> Vec<Line> {
        text.lines().map(|text| Line { at: Instant::now(), text: text.to_owned() }).collect()
    }

    #[test]
    fn reports_carry_command_status_and_output() {
        let reports = parse(&lines(
            "noise\n@payload begin 0 tests/init --ignored\nrunning 2 tests\nok\n@payload end 0\n\
             @payload begin 1 false\n@payload end 1\n@payload done",
        ));
        let text: Vec<_> = reports.iter().map(Report::text).collect();
        assert_eq!(text, ["running 2 tests\nok", ""]);
        assert_eq!(reports[0].command, "tests/init --ignored");
        assert_eq!((reports[0].status, reports[1].status), (0, 1));
    }

    #[test]
    fn a_command_that_did_not_end_has_no_report() {
        assert_eq!(parse(&lines("@payload begin 0 hang\nstill here")), []);
    }

    #[test]
    fn the_script_runs_every_command_whatever_comes_of_them() {
        let payload =
            Payload { files: Vec::new(), commands: vec!["exit 3".into(), "echo two".into()] };
        let script = payload.script();
        // Only the part that needs no machine: run here by the host's shell.
        let body: Vec<_> = script.lines().skip_while(|line| !line.contains(BEGIN)).collect();
        let output = Command::new("sh").args(["-c", &body.join("\n")]).output().unwrap();
        let reports = parse(&lines(&String::from_utf8_lossy(&output.stdout)));
        let short: Vec<_> = reports.iter().map(|r| (r.status, r.text())).collect();
        assert_eq!(short, [(3, String::new()), (0, "two".to_owned())]);
    }

    #[test]
    fn the_disk_holds_the_programs_and_has_the_label() {
        let folder = std::env::temp_dir().join(format!("holm-payload-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = std::env::current_exe().unwrap();
        let payload =
            Payload { files: vec![(program, "tests/this".into())], commands: vec!["true".into()] };
        let disk = payload.write_disk(&folder).unwrap();
        let shown = Command::new("debugfs").args(["-R", "ls -p /tests"]).arg(&disk).output();
        let label = Command::new("debugfs").args(["-R", "stats -h"]).arg(&disk).output();
        std::fs::remove_dir_all(&folder).unwrap();
        let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
        assert!(shown.contains("/100755/0/0/this/"), "{shown}");
        assert!(String::from_utf8(label.unwrap().stdout).unwrap().contains("payload"));
    }
}
