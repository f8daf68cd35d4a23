//! Runs inside a node: creates and starts the same container by Holm's shim, runc and crun, in
//! turns, and prints what each took as `create_start <runtime> <milliseconds>`.
//!
//! Must never time what is not part of a create or a start: set-up and deletion are outside.

mod container;
mod oci;
mod runtimes;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use runtimes::{Command, Contestant, Shim};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let runs = match arguments.as_slice() {
        [runs, folder] => runs.parse().ok().map(|runs: u32| (runs, Path::new(folder))),
        _ => None,
    };
    let Some((runs, folder)) = runs else {
        eprintln!("usage: holm-bench-containers RUNS FOLDER    FOLDER/rootfs is the container's");
        return ExitCode::from(2);
    };
    match measure(runs, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holm-bench-containers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(runs: u32, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut contestants: Vec<Box<dyn Contestant>> = vec![
        Box::new(Shim::open(folder)?),
        Box::new(Command::new("runc", folder)?),
        Box::new(Command::new("crun", folder)?),
    ];
    for run in 0..runs {
        for contestant in &mut contestants {
            let id = format!("{}-{run}", contestant.name());
            contestant.prepare(&id)?;
            let begin = Instant::now();
            let started = contestant.create_and_start(&id);
            let took = begin.elapsed();
            // Whatever came of it, the next one finds an empty node.
            let deleted = contestant.delete(&id);
            started?;
            deleted?;
            println!("create_start {} {:.3}", contestant.name(), took.as_secs_f64() * 1000.0);
        }
    }
    Ok(())
}
