//! Measures an image, area by area; prints a table and writes flat JSON.
//!
//! Must never lose what was measured: an area that fails is named, the others are reported.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use holm_vm::bench::metric::Metrics;
use holm_vm::bench::{boot, memory, pod};
use holm_vm::scenario::ScenarioError;

/// As many as make a median worth its name, on a machine that emulates.
const RUNS: usize = 5;

type Area = (&'static str, fn(&Path) -> Result<Metrics, ScenarioError>);

const AREAS: [Area; 4] = [
    ("boot", |image| boot::measure(image, RUNS)),
    ("memory", memory::measure),
    ("pod", |image| pod::measure(image, RUNS)),
    ("smallest-ram", memory::smallest_ram_that_serves),
];

fn main() -> ExitCode {
    let Some((image, json, wanted)) = parse(std::env::args().skip(1)) else {
        let names: Vec<_> = AREAS.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: bench IMAGE [--json FILE] [AREA…]; areas: {}", names.join(" "));
        return ExitCode::FAILURE;
    };
    let mut metrics = Metrics::default();
    let mut failed = false;
    for (name, measure) in AREAS {
        if !wanted.is_empty() && !wanted.iter().any(|area| area == name) {
            continue;
        }
        eprintln!("bench: {name}");
        match measure(&image) {
            Ok(measured) => metrics.merge(measured),
            Err(error) => {
                failed = true;
                eprintln!("bench: {name} failed: {error:?}");
            }
        }
    }
    print!("{}", metrics.table());
    if let Some(Err(error)) = json.as_ref().map(|file| std::fs::write(file, metrics.json())) {
        failed = true;
        eprintln!("bench: cannot write the JSON file: {error}");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The image, the JSON file and the areas; `None` if they make no sense.
fn parse(
    mut arguments: impl Iterator<Item = String>,
) -> Option<(PathBuf, Option<PathBuf>, Vec<String>)> {
    let image = PathBuf::from(arguments.next()?);
    let (mut json, mut wanted) = (None, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = Some(PathBuf::from(arguments.next()?)),
            area if AREAS.iter().any(|(name, _)| *name == area) => wanted.push(argument),
            _ => return None,
        }
    }
    Some((image, json, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<(PathBuf, Option<PathBuf>, Vec<String>)> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn image_json_and_areas_are_told_apart() {
        let expected =
            ("i.img".into(), Some("o.json".into()), vec!["boot".to_owned(), "pod".to_owned()]);
        assert_eq!(parsed("i.img boot --json o.json pod"), Some(expected));
        assert_eq!(parsed("i.img"), Some(("i.img".into(), None, Vec::new())));
    }

    #[test]
    fn unknown_areas_and_missing_values_are_refused() {
        for line in ["", "i.img boto", "i.img --json"] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }
}
