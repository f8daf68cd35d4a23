//! The API server on this machine, without a virtual one: its program starts with an empty store on
//! loopback, and `holm-apiserver-bench` measures it as its clients meet it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::BenchError;
use super::metric::Metrics;

/// Crates whose production lines are counted.
const CRATES: [&str; 3] = ["api", "store", "apiserver"];
const UNITS: [&str; 4] = ["1/s", "ms", "s", "MiB"];

/// Runs the benchmark; `HOLM_API_BENCH` is the folder with both programs.
pub fn measure() -> Result<Metrics, BenchError> {
    let folder = std::env::var_os("HOLM_API_BENCH").ok_or_else(|| {
        BenchError::Comparison("HOLM_API_BENCH names no folder; 'ci/bench api' does".to_owned())
    })?;
    let folder = PathBuf::from(folder);
    let output = Command::new(folder.join("holm-apiserver-bench"))
        .arg(folder.join("holm-apiserver"))
        .output()
        .map_err(|error| BenchError::Comparison(error.to_string()))?;
    let mut metrics = read(&String::from_utf8_lossy(&output.stdout));
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(BenchError::Comparison(why));
    }
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent");
    let lines: usize = CRATES.iter().map(|name| lines_below(&agent.join(name).join("src"))).sum();
    metrics.add("api.lines", "lines", &[lines as f64]);
    Ok(metrics)
}

/// Lines of a name, a number and a unit.
fn read(text: &str) -> Metrics {
    let mut metrics = Metrics::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, number, unit] = words.as_slice() else { continue };
        let unit = UNITS.into_iter().find(|it| it == unit);
        if let (Ok(number), Some(unit)) = (number.parse(), unit) {
            metrics.add(name, unit, &[number]);
        }
    }
    metrics
}

/// Production lines of the Rust files below a folder: without tests.
fn lines_below(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                return lines_below(&path);
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_test = name == "tests.rs" || name.ends_with("_tests.rs") || name == "bench.rs";
            match std::fs::read_to_string(&path) {
                Ok(text) if name.ends_with(".rs") && !is_test => production_lines(&text),
                _ => 0,
            }
        })
        .sum()
}

fn production_lines(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_and_other_lines_are_not() {
        let metrics = read("api.idle_rss 12.50 MiB\nnoise\napi.x many ms\napi.y 1 parsecs\n");
        assert_eq!(metrics.get("api.idle_rss").map(|it| it.value), Some(12.5));
        assert!(metrics.get("api.x").is_none() && metrics.get("api.y").is_none());
    }

    #[test]
    fn lines_end_where_tests_begin() {
        assert_eq!(production_lines("a\n\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    }
}
