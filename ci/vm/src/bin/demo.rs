//! Boots an image, shows its boot phases as they pass and fetches a page that a pod serves.
//!
//! Must never say that something works which it did not see.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use holm_vm::http;
use holm_vm::phases;
use holm_vm::scenario::{BOOT_WAIT, Scenario};

const PAGE_WAIT: Duration = Duration::from_secs(120);
const PORT: u16 = 8080;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (image, keep) = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(image), None, None) => (PathBuf::from(image), false),
        (Some(image), Some(keep), None) if keep == "--keep" => (PathBuf::from(image), true),
        _ => {
            eprintln!("usage: demo IMAGE [--keep]");
            return ExitCode::FAILURE;
        }
    };
    match run(&image, keep) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(image: &Path, keep: bool) -> Result<(), Box<dyn Error>> {
    let scenario = Scenario::with_image("demo", image)?;
    let started = Instant::now();
    let mut vm = scenario.start()?;
    println!("QEMU runs a copy of the image with {} MiB", scenario.machine.memory_mib);
    let (_, ready) = vm.console.expect_any("the node's ready", BOOT_WAIT, |line| {
        if let Some(phase) = phases::parse_phase(line) {
            match phase.failure {
                None => println!("  {:14}{:6} ms", phase.name, phase.took.as_millis()),
                Some(why) => println!("  {:14}failed: {why}", phase.name),
            }
        }
        phases::parse_ready(line)
    })?;
    println!("  {:14}{:6} ms after the kernel's start", "ready", ready.as_millis());

    let address = vm.forwarded(PORT)?;
    let page = http::fetch(address, "/", PAGE_WAIT)?;
    let elapsed = started.elapsed().as_secs_f64();
    println!("http://{address}/ answers {elapsed:.1} s after power-on:");
    for line in String::from_utf8_lossy(&page).lines() {
        println!("  | {line}");
    }
    if keep {
        let process = vm.detach();
        let folder = scenario.keep();
        let folder = folder.display();
        println!("the node stays up:");
        println!("  page     curl http://{address}/");
        println!("  console  tail -f {folder}/console.log");
        println!("  stop     kill {process} && rm -r {folder}");
    }
    Ok(())
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
