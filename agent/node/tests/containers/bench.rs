//! What a container costs: printed, and held against a bound that only a mistake exceeds.

use std::time::{Duration, Instant};

use holm_node::container::{ContainerState, Runtime};

use crate::fixture::Node;

pub const TESTS: &[(&str, fn())] =
    &[("bench_create_start", bench_create_start), ("bench_shim_memory", bench_shim_memory)];

const RUNS: usize = 5;

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
    let maps = std::fs::read_to_string(format!("/proc/{parent}/smaps")).unwrap();
    // What belongs to the program's file is shared by all shims and the agent, or is written by
    // relocation alone, which depends on how the tests are linked.
    let (mut rss, mut own, mut of_file) = (0, 0, false);
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["Rss:", size, _] => rss += size.parse::<u64>().unwrap(),
            ["Anonymous:", size, _] if !of_file => own += size.parse::<u64>().unwrap(),
            [range, ..] if !range.ends_with(':') => of_file = line.contains('/'),
            _ => {}
        }
    }
    println!("bench: shim: resident {rss} KiB, of its own {own} KiB");
    assert!(rss > 0 && own > 0 && own <= 1024, "{maps}");
}
