//! `holm logs`: a container's log without its CRI framing, and what is added to it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use holm_node::pod::watch::Watch;
use serde_json::Value;

use crate::{places, pods};

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Request {
    follow: bool,
    previous: bool,
    pod: String,
    container: Option<String>,
}

/// Prints the log.
pub fn main(args: &[OsString]) -> ExitCode {
    let Some(request) = parse(args) else {
        eprintln!("usage: holm logs [-f] [-p] POD [CONTAINER]");
        return ExitCode::from(2);
    };
    let outcome = pods::read().and_then(|list| {
        let path = find(&list, &request, &places::pods().logs)?;
        print(&path, request.follow).map_err(|error| format!("read {}: {error}", path.display()))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[OsString]) -> Option<Request> {
    let mut request = Request::default();
    let mut words = Vec::new();
    for arg in args {
        match arg.to_str()? {
            "-f" | "--follow" => request.follow = true,
            "-p" | "--previous" => request.previous = true,
            flag if flag.starts_with('-') => return None,
            word => words.push(word.to_owned()),
        }
    }
    let mut words = words.into_iter();
    request.pod = words.next()?;
    request.container = words.next();
    words.next().is_none().then_some(request)
}

/// The log file of the newest instance, or of the one before.
fn find(list: &Value, request: &Request, logs: &Path) -> Result<PathBuf, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    let named = |pod: &&Value| {
        let (namespace, name) =
            (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        request.pod == name || request.pod == format!("{namespace}/{name}")
    };
    let pod = all.iter().find(named).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|pod| text(&pod["metadata"]["name"])).collect();
        format!("there is no pod {:?}; there are: {}", request.pod, names.join(", "))
    })?;
    let statuses = |field: &str| pod["status"][field].as_array().cloned().unwrap_or_default();
    let mut containers = statuses("containerStatuses");
    containers.extend(statuses("initContainerStatuses"));
    let wanted = |container: &&Value| match &request.container {
        Some(name) => container["name"] == name.as_str(),
        None => true,
    };
    let container = containers.iter().find(wanted).ok_or_else(|| {
        let names: Vec<String> =
            containers.iter().map(|container| text(&container["name"])).collect();
        format!("the pod has no such container; it has: {}", names.join(", "))
    })?;
    let metadata = &pod["metadata"];
    let folder = format!(
        "{}_{}_{}",
        text(&metadata["namespace"]),
        text(&metadata["name"]),
        text(&metadata["uid"])
    );
    let folder = logs.join(folder).join(text(&container["name"]));
    let newest = attempts(&folder)
        .into_iter()
        .rev()
        .nth(usize::from(request.previous))
        .ok_or_else(|| format!("{} has no such log", folder.display()))?;
    Ok(folder.join(format!("{newest}.log")))
}

/// Numbers of the instances that have a log, in order.
fn attempts(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let number =
        |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok();
    let mut numbers: Vec<u32> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn print(path: &Path, follow: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !follow {
        return copy(&mut BufReader::new(File::open(path)?), &mut out).map(drop);
    }
    // The watch comes first, so that nothing is missed between the two.
    let mut watch = Watch::following(path)?;
    let mut reader = BufReader::new(File::open(path)?);
    loop {
        let read = copy(&mut reader, &mut out)?;
        out.flush()?;
        let file = reader.get_ref().metadata()?;
        let replaced = fs::metadata(path).is_ok_and(|now| now.ino() != file.ino());
        if replaced {
            copy(&mut reader, &mut out)?;
            reader = BufReader::new(File::open(path)?);
            continue;
        }
        if read == 0 {
            watch.wait()?;
        }
        // A line that is being written is read again as a whole.
        let position = reader.stream_position()?;
        reader.seek(SeekFrom::Start(position))?;
    }
}

/// Copies whole lines without their framing. Returns how many there were.
fn copy(from: &mut (impl BufRead + Seek), to: &mut impl Write) -> io::Result<usize> {
    let mut lines = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = from.read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(lines);
        }
        if !line.ends_with(b"\n") {
            from.seek_relative(-(length as i64))?;
            return Ok(lines);
        }
        lines += 1;
        to.write_all(unframe(&line))?;
        if is_whole(&line) {
            to.write_all(b"\n")?;
        }
    }
}

/// `2026-11-23T22:04:55.123456789Z stdout F text`: the text.
fn unframe(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.splitn(4, |byte| *byte == b' ').nth(3).unwrap_or(line)
}

/// The tag says whether the container's own line goes on.
fn is_whole(line: &[u8]) -> bool {
    line.splitn(4, |byte| *byte == b' ').nth(2) != Some(b"P")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::json;

    use super::*;

    #[test]
    fn framing_is_removed_and_parts_are_joined() {
        let log = b"2026-11-23T22:04:55Z stdout F one\n2026-11-23T22:04:55Z stderr P two \n\
                    2026-11-23T22:04:56Z stderr F parts\n2026-11-23T22:04:56Z stdout F \nodd\n2026-1";
        let (mut from, mut to) = (Cursor::new(&log[..]), Vec::new());
        assert_eq!(copy(&mut from, &mut to).unwrap(), 5);
        assert_eq!(String::from_utf8(to).unwrap(), "one\ntwo parts\n\nodd\n");
        assert_eq!(from.position() as usize, log.len() - 6, "half a line is left for later");
    }

    #[test]
    fn newest_and_previous_log_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("default_web-node_1/main");
        fs::create_dir_all(&folder).unwrap();
        for name in ["2.log", "10.log", "10.log.1", "x.log"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let list = json!({"items": [{
            "metadata": {"namespace": "default", "name": "web-node", "uid": "1"},
            "status": {"containerStatuses": [{"name": "main"}, {"name": "other"}]},
        }]});
        let request = |pod: &str, container: Option<&str>, previous| Request {
            pod: pod.into(),
            container: container.map(str::to_owned),
            previous,
            follow: false,
        };
        let found = |request: &Request| find(&list, request, dir.path());
        assert_eq!(found(&request("web-node", None, false)).unwrap(), folder.join("10.log"));
        assert_eq!(found(&request("default/web-node", None, true)).unwrap(), folder.join("2.log"));
        assert!(
            found(&request("web-node", Some("other"), false)).unwrap_err().contains("no such log")
        );
        assert!(
            found(&request("web-node", Some("none"), false)).unwrap_err().contains("main, other")
        );
        assert!(found(&request("db", None, false)).unwrap_err().contains("web-node"));
    }

    #[test]
    fn arguments_are_flags_a_pod_and_a_container() {
        let parsed = |words: &[&str]| parse(&words.iter().map(OsString::from).collect::<Vec<_>>());
        let request = parsed(&["-f", "web", "main", "-p"]).unwrap();
        assert!(request.follow && request.previous);
        assert_eq!((request.pod.as_str(), request.container.as_deref()), ("web", Some("main")));
        for bad in [&[][..], &["-x", "web"], &["a", "b", "c"]] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }
}
