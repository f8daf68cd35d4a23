//! Imports or pulls one image into a store and says what that took: for benchmarks.
//!
//! `images STORE import ARCHIVE` or `images STORE pull NAME`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use holm_node::image::{Cancel, ImageStore, Limits, Registries};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut source: Option<&dyn std::error::Error> = Some(&*error);
            while let Some(error) = source {
                eprintln!("{error}");
                source = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, verb, what] = &arguments[..] else {
        return Err("usage: images STORE import ARCHIVE | images STORE pull NAME".into());
    };
    let store = ImageStore::open(Path::new(root), Limits::default())?;
    let before = memory()?;
    let started = Instant::now();
    let names = match verb.as_str() {
        "import" => store.import(Path::new(what))?.into_iter().flat_map(|i| i.names).collect(),
        _ => store.pull(what, &Registries::default(), &Cancel::new())?.names,
    };
    let took = started.elapsed();
    println!(
        "{{\"names\": {names:?}, \"milliseconds\": {}, \"rss_before_kib\": {before}, \"rss_peak_kib\": {}}}",
        took.as_millis(),
        memory()?
    );
    Ok(())
}

/// Highest resident memory so far, KiB.
fn memory() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.ok_or("no VmHWM")?.trim().trim_end_matches(" kB").parse()?)
}
