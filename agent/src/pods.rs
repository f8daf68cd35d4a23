//! `holm pods`: the list that the agent keeps, as a table or as it is.

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::Value;

use crate::places;

/// Prints the list.
pub fn main(args: &[OsString]) -> ExitCode {
    let json = match args {
        [] => false,
        [flag] if flag == "--json" => true,
        _ => {
            eprintln!("usage: holm pods [--json]");
            return ExitCode::from(2);
        }
    };
    match read() {
        Ok(list) if json => println!("{list:#}"),
        Ok(list) => print!("{}", table(&list, Timestamp::now())),
        Err(error) => {
            eprintln!("holm: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The agent's list of pods.
pub fn read() -> Result<Value, String> {
    let text = fs::read(places::PODS)
        .map_err(|error| format!("read {} (does the agent run?): {error}", places::PODS))?;
    serde_json::from_slice(&text).map_err(|error| format!("read {}: {error}", places::PODS))
}

/// One row for each pod, as `kubectl get pods` has it.
fn table(list: &Value, now: Timestamp) -> String {
    let header = ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(list["items"].as_array().into_iter().flatten().map(|pod| row(pod, now)));
    let widths: Vec<usize> = (0..header.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn row(pod: &Value, now: Timestamp) -> [String; 7] {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = &pod["status"];
    let containers = status["containerStatuses"].as_array().map_or(&[][..], Vec::as_slice);
    let init = status["initContainerStatuses"].as_array().map_or(&[][..], Vec::as_slice);
    let ready = containers.iter().filter(|container| container["ready"] == true).count();
    let restarts: u64 =
        containers.iter().filter_map(|container| container["restartCount"].as_u64()).sum();
    // What holds a pod up says more than its phase.
    let held_up = init.iter().chain(containers).find_map(|container| {
        container["state"]["waiting"]["reason"]
            .as_str()
            .filter(|reason| *reason != "PodInitializing")
    });
    let reason = held_up.or(status["reason"].as_str());
    [
        text(&pod["metadata"]["namespace"]),
        text(&pod["metadata"]["name"]),
        format!("{ready}/{}", containers.len()),
        reason.map_or_else(|| text(&status["phase"]), str::to_owned),
        restarts.to_string(),
        age(status["startTime"].as_str(), now),
        status["podIP"].as_str().unwrap_or("-").to_owned(),
    ]
}

/// Two units at most, the way people say it.
fn age(start: Option<&str>, now: Timestamp) -> String {
    let Some(start) = start.and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "-".to_owned();
    };
    let seconds = now.duration_since(start).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if minutes < 2 => format!("{seconds}s"),
        () if hours < 2 => format!("{minutes}m"),
        () if days < 2 => format!("{hours}h"),
        () => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table_tells_what_holds_a_pod_up() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let list = json!({"items": [
            {
                "metadata": {"namespace": "default", "name": "web-node"},
                "status": {
                    "phase": "Running", "podIP": "10.42.0.2",
                    "startTime": "2026-11-23T09:00:00Z",
                    "containerStatuses": [
                        {"ready": true, "restartCount": 2, "state": {"running": {}}},
                        {"ready": false, "restartCount": 3,
                         "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                    ],
                },
            },
            {
                "metadata": {"namespace": "default", "name": "job-node"},
                "status": {"phase": "Succeeded", "containerStatuses": [
                    {"ready": false, "restartCount": 0, "state": {"terminated": {}}}]},
            },
        ]});
        assert_eq!(
            table(&list, now),
            "NAMESPACE   NAME       READY   STATUS             RESTARTS   AGE   IP\n\
             default     web-node   1/2     CrashLoopBackOff   5          3h    10.42.0.2\n\
             default     job-node   0/1     Succeeded          0          -     -\n"
        );
    }

    #[test]
    fn list_without_pods_is_a_header() {
        assert_eq!(table(&json!({"items": []}), Timestamp::UNIX_EPOCH).lines().count(), 1);
        assert_eq!(table(&Value::Null, Timestamp::UNIX_EPOCH).lines().count(), 1);
    }
}
