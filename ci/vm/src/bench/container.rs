//! From the order to create a container to its running program: Holm's shim beside Debian's runc
//! and crun, in turns in one machine, with the same root file system, program and limits.
//!
//! Holm's time includes what the peers leave to their callers or are not asked for: its root is an
//! overlay that it mounts, its output is logged, and its system calls are filtered.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_image::build::{self, Place};

use super::BenchError;
use super::metric::Metrics;
use crate::payload::{Payload, Report};
use crate::scenario::{Scenario, ScenarioError};

const BOARD: &str = "x86-64";
const PEERS: [&str; 2] = ["runc", "crun"];
const PROGRAM: &str = "holm-bench-containers";
const WAIT: Duration = Duration::from_secs(20 * 60);

/// Makes a root of the peers and what they need, and runs the program given there: linked libraries
/// are found, and nothing of the node's own root has to change. A mere chroot would not do: the
/// shim goes back to the root of its mount namespace.
const SCRIPT: &str = "\
set -e
mount --make-rprivate /
mount -o bind root root
cd root
ln -s usr/bin bin; ln -s usr/sbin sbin; ln -s usr/lib lib; ln -s usr/lib64 lib64
mkdir -p proc sys dev run tmp node bench/rootfs/bin
for kernel in proc sys dev; do mount -o rbind /$kernel $kernel; done
mount -t tmpfs tmpfs run
cp /usr/bin/holm usr/bin/holm
cp /run/payload/bin/busybox bench/rootfs/bin/busybox
pivot_root . node
cd /
exec \"$@\"
";

/// Runs the comparison in a machine of the image that `HOLM_PAYLOAD_IMAGE` names.
pub fn measure(runs: usize) -> Result<Metrics, BenchError> {
    let image = std::env::var_os("HOLM_PAYLOAD_IMAGE").ok_or(BenchError::NoPayloadImage)?;
    // `ci/bench` runs this at the repository's root.
    let workspace =
        PathBuf::from(".").canonicalize().map_err(|source| failed("find", ".", source))?;
    let place = Place::of_environment(&workspace, false);
    let program = build::program(&workspace, &place, BOARD, PROGRAM)?;
    let peers = build::unpack(&workspace, &place, BOARD, &PEERS)?;
    let mut files = peer_files(&peers).map_err(|source| failed("list", &peers, source))?;
    files.push((program, format!("root/usr/bin/{PROGRAM}")));
    let mut scenario = Scenario::with_image("bench-container", Path::new(&image))?;
    scenario.machine.memory_mib = 512;
    files.push((scenario.write_file("compare", SCRIPT.as_bytes())?, "compare".to_owned()));
    let commands = vec![format!("unshare -m sh compare /usr/bin/{PROGRAM} {runs} /bench")];
    let reports = Payload { files, commands }.run(&mut scenario, WAIT)?;
    let times = times(&reports, runs).map_err(BenchError::Comparison)?;
    let mut metrics = Metrics::default();
    for (runtime, times) in times {
        let name = match runtime.as_str() {
            "holm" => "container.create_start".to_owned(),
            peer => format!("container.create_start.{peer}"),
        };
        metrics.add(&name, "ms", &times);
    }
    Ok(metrics)
}

/// The peers' programs, and every library that their packages and those they depend on have.
fn peer_files(peers: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for folder in ["usr/bin", "usr/sbin", "usr/lib64", "usr/lib/x86_64-linux-gnu"] {
        let wanted = |name: &str| match folder.starts_with("usr/lib") {
            true => name.contains(".so"),
            false => PEERS.contains(&name),
        };
        let entries = match std::fs::read_dir(peers.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // A link stands for the file that it leads to.
            if wanted(&name) && entry.path().is_file() {
                files.push((entry.path(), format!("root/{folder}/{name}")));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Milliseconds by runtime; an error unless every runtime has all its runs.
fn times(reports: &[Report], runs: usize) -> Result<BTreeMap<String, Vec<f64>>, String> {
    if let Some(report) = reports.iter().find(|report| report.status != 0) {
        return Err(report.text());
    }
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let lines = reports.iter().flat_map(|report| &report.output);
    for (runtime, time) in lines.filter_map(|line| parse(line)) {
        times.entry(runtime.to_owned()).or_default().push(time);
    }
    let complete = ["holm"]
        .iter()
        .chain(&PEERS)
        .all(|name| times.get(*name).is_some_and(|times| times.len() == runs));
    if complete { Ok(times) } else { Err(format!("not {runs} runs of each: {times:?}")) }
}

/// Reads `create_start <runtime> <milliseconds>`.
fn parse(line: &str) -> Option<(&str, f64)> {
    let (runtime, time) = line.strip_prefix("create_start ")?.split_once(' ')?;
    Some((runtime, time.parse().ok()?))
}

fn failed(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> BenchError {
    ScenarioError::File { what, path: path.into(), source }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: i32, output: &[&str]) -> Report {
        let output = output.iter().map(|line| (*line).to_owned()).collect();
        Report { command: String::new(), status, output }
    }

    #[test]
    fn times_are_sorted_by_runtime() {
        let lines =
            ["create_start holm 1.5", "noise", "create_start runc 2", "create_start crun 3"];
        let times = times(&[report(0, &[]), report(0, &lines)], 1).unwrap();
        assert_eq!(times["holm"], [1.5]);
        assert_eq!((&*times["runc"], &*times["crun"]), (&[2.0][..], &[3.0][..]));
    }

    #[test]
    fn a_failure_and_missing_runs_are_errors_and_no_figures() {
        let lines = ["create_start holm 1.5", "runc: sorry"];
        assert_eq!(times(&[report(1, &lines)], 1), Err(lines.join("\n")));
        assert!(times(&[report(0, &lines)], 1).unwrap_err().starts_with("not 1 runs of each"));
    }

    #[test]
    fn libraries_and_programs_are_taken_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("holm-peers-{}", std::process::id()));
        let libraries = folder.join("usr/lib/x86_64-linux-gnu");
        std::fs::create_dir_all(libraries.join("gconv")).unwrap();
        std::fs::create_dir_all(folder.join("usr/bin")).unwrap();
        for name in ["usr/bin/crun", "usr/bin/ldd", "usr/lib/x86_64-linux-gnu/libx.so.1.2"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("libx.so.1.2", libraries.join("libx.so.1")).unwrap();
        let files = peer_files(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        let places: Vec<_> = files.unwrap().into_iter().map(|(_, place)| place).collect();
        assert_eq!(
            places,
            [
                "root/usr/bin/crun",
                "root/usr/lib/x86_64-linux-gnu/libx.so.1",
                "root/usr/lib/x86_64-linux-gnu/libx.so.1.2"
            ]
        );
    }
}
