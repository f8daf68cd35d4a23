//! What a container costs: printed, and held against a bound that only a mistake exceeds.

use std::time::{Duration, Instant};

use holm_node::container::{ContainerState, Runtime};

use crate::fixture::Node;

pub const TESTS: &[(&str, fn())] =
    &[("bench_create_start", bench_create_start), ("bench_shim_memory", bench_shim_memory)];

const RUNS: usize = 20;

fn bench_create_start() {
    let node = Node::new("bench");
    for seccomp in [false, true] {
        let mut times: Vec<(Duration, Duration)> = (0..RUNS)
            .map(|run| {
                let mut config = node.config(&format!("r{run}"), &["pause"]);
                config.seccomp = seccomp;
                let begin = Instant::now();
                node.runtime.create(&config).unwrap();
                let created = begin.elapsed();
                node.runtime.start(&config.id).unwrap();
                let started = begin.elapsed();
                node.runtime.delete(&config.id).unwrap();
                (started, created)
            })
            .collect();
        times.sort();
        let (median, least, most) = (times[RUNS / 2], times[0], times[RUNS - 1]);
        println!(
            "bench: create_start seccomp={seccomp}: median {:?} (create {:?}), min {:?}, max {:?}",
            median.0, median.1, least.0, most.0
        );
        assert!(median.0 < Duration::from_secs(5));
    }
}

fn bench_shim_memory() {
    let node = Node::new("mem");
    node.launch(&node.config("a", &["pause"]));
    node.wait_log("a", "ready");
    let Some(ContainerState::Running { pid, .. }) = node.state("a") else { panic!("not running") };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
    let rollup = std::fs::read_to_string(format!("/proc/{parent}/smaps_rollup")).unwrap();
    let kib = |name: &str| -> u64 {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    // The rest are pages of the program's file, which all shims and the agent share.
    let (rss, own) = (kib("Rss:"), kib("Anonymous:"));
    println!("bench: shim: resident {rss} KiB, of its own {own} KiB");
    // This program is not optimised and has relocations of its own; the released one takes a fifth.
    assert!(own <= 2048, "{rollup}");
}
