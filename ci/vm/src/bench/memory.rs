//! Resident memory of each process of Holm and of the whole system, idle with one pod; and the
//! least memory with which a node serves its page.

use std::path::Path;
use std::time::Duration;

use super::BenchError;
use super::metric::Metrics;
use crate::http;
use crate::scenario::{BOOT_WAIT, READY, Scenario, ScenarioError};

const PAGE_WAIT: Duration = Duration::from_secs(60);

const PROCESSES: [(&str, &str); 4] = [
    ("memory.agent_rss", "/usr/bin/holm agent"),
    ("memory.network_rss", "/usr/sbin/holm-init network"),
    ("memory.time_rss", "/usr/sbin/holm-init time"),
    // As the agent spawns it.
    ("memory.shim_rss", "/proc/self/exe shim"),
];

/// What Holm promises to run in, MiB.
const PROMISED: u32 = 128;

/// Reads the memory of a node that runs the shell's pod and nothing else, then looks for the least
/// memory with which one serves its page.
pub fn measure(image: &Path) -> Result<Metrics, BenchError> {
    let mut metrics = idle(image)?;
    metrics.merge(smallest_ram_that_serves(image)?);
    Ok(metrics)
}

fn idle(image: &Path) -> Result<Metrics, ScenarioError> {
    let mut scenario = Scenario::with_image("bench-memory", image)?;
    scenario.add_shell()?;
    // Firmware asks for more memory than a node does.
    scenario.boot_without_firmware()?;
    scenario.machine.memory_mib = PROMISED;
    let (_vm, mut shell) = scenario.boot_with_shell()?;
    let mut metrics = Metrics::default();
    let mut processes = vec![("memory.pid1_rss", "1".to_owned())];
    for (name, command) in PROCESSES {
        processes.push((name, shell.process(command)?));
    }
    for (name, process) in processes {
        let status = shell.succeed(&format!("cat /proc/{process}/status"))?;
        metrics.add(name, "MiB", &Vec::from_iter(kib(&status, "VmRSS").map(mib)));
    }
    let system = shell.succeed("cat /proc/meminfo")?;
    if let (Some(total), Some(free)) = (kib(&system, "MemTotal"), kib(&system, "MemAvailable")) {
        metrics.add("memory.system_total", "MiB", &[mib(total)]);
        metrics.add("memory.system_used", "MiB", &[mib(total.saturating_sub(free))]);
    }
    Ok(metrics)
}

/// Halves the interval until it is a step wide: real boots, each of which must serve the page.
fn smallest_ram_that_serves(image: &Path) -> Result<Metrics, ScenarioError> {
    let smallest = bisect(64, 192, 4, |memory_mib| {
        let works = serves(image, memory_mib)?;
        eprintln!("bench: {memory_mib} MiB {}", if works { "serve the page" } else { "do not" });
        Ok::<_, ScenarioError>(works)
    })?;
    let mut metrics = Metrics::default();
    if let Some(smallest) = smallest {
        metrics.add("memory.smallest_ram_that_serves", "MiB", &[f64::from(smallest)]);
    }
    Ok(metrics)
}

/// True if a node with that memory serves its page, and the kernel killed nothing for want of
/// memory. A node too small to start is no failure here.
fn serves(image: &Path, memory_mib: u32) -> Result<bool, ScenarioError> {
    let mut scenario = Scenario::with_image("bench-smallest", image)?;
    scenario.add_page()?;
    scenario.boot_without_firmware()?;
    scenario.machine.memory_mib = memory_mib;
    let mut vm = scenario.start()?;
    let verdict = vm.console.expect_any("ready or the lack of memory", BOOT_WAIT, |line| {
        if lacks_memory(line) { Some(false) } else { line.contains(READY).then_some(true) }
    });
    if !verdict.is_ok_and(|(_, ready)| ready) {
        return Ok(false);
    }
    let address = vm.forwarded(8080)?;
    let served = http::fetch(address, "/", PAGE_WAIT).is_ok();
    Ok(served && !vm.console.lines().iter().any(|line| lacks_memory(&line.text)))
}

/// True for what the kernel says when there is too little memory for it or for a process, and when
/// an initramfs that did not fit leaves it without an init.
fn lacks_memory(line: &str) -> bool {
    ["Out of memory", "System is deadlocked on memory", "Kernel panic"]
        .iter()
        .any(|sign| line.contains(sign))
}

/// The least value on the grid from `low` in steps of `step` that works, where `high` is the
/// largest tried; `None` if not even that works.
fn bisect<E>(
    low: u32,
    high: u32,
    step: u32,
    mut works: impl FnMut(u32) -> Result<bool, E>,
) -> Result<Option<u32>, E> {
    if !works(high)? {
        return Ok(None);
    }
    // Invariant: high works, everything below low does not.
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low + (high - low) / 2 / step * step;
        if works(middle)? {
            high = middle;
        } else {
            low = middle + step;
        }
    }
    Ok(Some(high))
}

/// The number of KiB in a line such as `VmRSS:     1234 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bisection_finds_the_least_that_works_in_few_trials() {
        for smallest in (64..=256).step_by(4) {
            let mut trials = 0;
            let found = bisect::<()>(64, 256, 4, |memory| {
                trials += 1;
                Ok(memory >= smallest)
            });
            assert_eq!(found, Ok(Some(smallest)));
            assert!(trials <= 8, "{trials} trials for {smallest}");
        }
        assert_eq!(bisect::<()>(64, 256, 4, |_| Ok(false)), Ok(None));
    }

    #[test]
    fn a_kernel_that_ran_out_of_memory_is_told_from_one_that_works() {
        assert!(lacks_memory("[  9.1] Out of memory: Killed process 77 (holm)"));
        assert!(lacks_memory("[  0.9] Kernel panic - not syncing: No working init found."));
        assert!(!lacks_memory("holm: ready 2941 ms after kernel start"));
    }

    #[test]
    fn memory_is_read_by_its_whole_name() {
        let status = "VmRSS:\t    1536 kB\nVmRSSx:\t 9 kB\n";
        assert_eq!(kib(status, "VmRSS").map(mib), Some(1.5));
        assert_eq!(kib(status, "VmHWM"), None);
    }
}
