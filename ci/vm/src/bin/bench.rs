//! Measures an image, area by area; prints a table and the promises kept and missed, and writes
//! flat JSON.
//!
//! Must never lose what was measured: an area that fails is named, the others are reported. A
//! promise that is missed is a result, not a failure: only what could not be measured is one.

use std::error::Error;
use std::process::ExitCode;

use holm_vm::bench::metric::Metrics;
use holm_vm::bench::options::{self, Options};
use holm_vm::bench::{
    BenchError, boot, container, flash, host, image, memory, pod, power_cuts, targets,
};

/// As many as make a median worth its name, on a machine that emulates.
const BOOTS: usize = 5;
const FLASHES: usize = 5;
const PODS: usize = 5;
const CONTAINERS: usize = 20;

fn main() -> ExitCode {
    let power_cuts = std::env::var("HOLM_POWER_CUTS").ok();
    let options = match options::parse(std::env::args().skip(1), power_cuts.as_deref()) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("bench: {why}\n{}", options::usage());
            return ExitCode::from(2);
        }
    };
    let mut metrics = Metrics::default();
    let mut failed = Vec::new();
    let mut loads = Vec::new();
    let processors = std::thread::available_parallelism().map_or(1, |number| number.get());
    for area in options::AREAS.into_iter().filter(|area| options.areas.contains(area)) {
        eprintln!("bench: {area}");
        if let Some(load) = host::load() {
            loads.push(load);
            if let Some(warning) = host::warning(load, processors) {
                eprintln!("bench: {warning}");
            }
        }
        match measure(area, &options) {
            Ok(measured) => metrics.merge(measured),
            Err(error) => {
                eprintln!("bench: {area} failed: {}", chain(&error));
                failed.push(area);
            }
        }
    }
    metrics.add("host.load", "procs", &loads);
    print!("{}", metrics.table());
    for verdict in targets::verdicts(&metrics) {
        println!("{}", verdict.text);
    }
    if let Some(file) = &options.json
        && let Err(error) = std::fs::write(file, metrics.json())
    {
        eprintln!("bench: cannot write {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("not measured: {}", failed.join(" "));
    ExitCode::FAILURE
}

fn measure(area: &str, options: &Options) -> Result<Metrics, BenchError> {
    match area {
        "image" => image::measure(&options.image),
        "flash" => flash::measure(&options.image, FLASHES),
        "boot" => boot::measure(&options.image, BOOTS),
        "memory" => memory::measure(&options.image),
        "pod" => Ok(pod::measure(&options.image, PODS)?),
        "container" => container::measure(CONTAINERS),
        _ => power_cuts::measure(&options.image, options.power_cuts),
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
