//! From the file of a static pod to the first answer of its container, as a client sees it.

use std::path::Path;
use std::time::{Duration, Instant};

use super::metric::Metrics;
use crate::http;
use crate::scenario::{Scenario, ScenarioError, WEB_MANIFEST};

const WAIT: Duration = Duration::from_secs(60);

/// Puts the manifest in place and takes it away `runs` times.
pub fn measure(image: &Path, runs: usize) -> Result<Metrics, ScenarioError> {
    let scenario = Scenario::with_image("bench-pod", image)?;
    scenario.add_shell()?;
    scenario.preload_page()?;
    let (mut vm, mut shell) = scenario.boot_with_shell()?;
    let address = vm.forwarded(8080)?;
    shell.succeed("mount -o remount,rw /host/boot")?;
    shell.succeed(&format!("cat >/tmp/web.yaml <<'EOF'\n{WEB_MANIFEST}\nEOF"))?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        shell.succeed("cp /tmp/web.yaml /host/boot/manifests/web.yaml")?;
        http::fetch(address, "/", WAIT)?;
        times.push(started.elapsed().as_secs_f64());
        shell.succeed("rm /host/boot/manifests/web.yaml")?;
        shell.wait_until("wget -q -O /dev/null http://127.0.0.1:8080/", WAIT, |page| {
            page.status != 0
        })?;
    }
    let mut metrics = Metrics::default();
    metrics.add("pod.file_to_first_answer", "s", &times);
    Ok(metrics)
}
