//! What grows is kept within bounds: logs are rotated, images that nobody needs give way.

use std::time::Duration;

use holm_vm::archive;
use holm_vm::scenario::{Scenario, ScenarioError, static_busybox};

const WAIT: Duration = Duration::from_secs(60);
const DOCUMENT: &str = "[node]\nhostname = \"edge-1\"\n\
    [pods]\nmanifests = [\"manifests\", \"/data/manifests\"]\nlog-max-size = \"64KiB\"\nlog-files = 3\n\
    [images]\ngc-high-percent = 2\ngc-low-percent = 1\ngc-min-age = \"0s\"\n";

fn pod(name: &str, image: &str, command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  \
         terminationGracePeriodSeconds: 0\n  containers:\n    \
         - {{name: main, image: '{image}', imagePullPolicy: Never, command: [sh, -c, '{command}']}}\n"
    )
}

#[test]
fn logs_and_images_stay_within_their_bounds() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("bounds")?;
    scenario.write_document(DOCUMENT)?;
    let mut busybox = static_busybox()?;
    for name in ["kept", "old"] {
        // Other bytes, so that the images share no layer.
        busybox.push(0);
        let reference = format!("localhost/{name}:1");
        scenario.preload(name, &archive::busybox(&reference, busybox.clone(), &[]))?;
    }
    let chatter = "i=0; while [ $i -lt 4000 ]; do echo line $i of a container that talks a lot; \
                   i=$((i+1)); done; exec sleep 1000005";
    scenario.add_manifest("chatter", &pod("chatter", "localhost/kept:1", chatter))?;
    let (_vm, mut shell) = scenario.boot_with_shell()?;

    // 4000 lines of 80 bytes, three files of 64 KiB: the newest are there, framed as CRI has it.
    let logs = "cd /host/data/var/log/pods/default_chatter-edge-1_*/main";
    let newest = format!("{logs} && tail -n 1 0.log");
    let last = shell.wait_until(&newest, WAIT, |last| last.text.contains("line 3999 "))?.text;
    let words: Vec<&str> = last.splitn(4, ' ').collect();
    assert_eq!(words[1..], ["stdout", "F", "line 3999 of a container that talks a lot"]);
    assert!(words[0].len() == 30 && words[0].ends_with('Z'), "{last}");
    let sizes = shell.succeed(&format!("{logs} && ls | wc -l && stat -c %s *"))?;
    let sizes: Vec<u64> = sizes.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(sizes.first(), Some(&3), "{sizes:?}");
    assert!(sizes[1..].iter().all(|size| *size <= 64 * 1024), "{sizes:?}");
    let lines = shell.succeed_on_host("/usr/bin/holm logs chatter-edge-1")?;
    assert!(lines.ends_with("line 3999 of a container that talks a lot"), "{lines}");

    // An image without a pod and without its archive goes; one that runs stays.
    let old = pod("old", "localhost/old:1", "exec sleep 1000006");
    shell.succeed(&format!(
        "mkdir -p /host/data/manifests && cat >/host/data/manifests/old.yaml <<'END'\n{old}\nEND"
    ))?;
    shell.wait_for_other_process("sleep 1000006", "", WAIT)?;
    let layers = "ls /host/data/images/layers | wc -l";
    let before: u32 = shell.succeed(layers)?.parse().unwrap_or(0);
    shell.succeed(
        "dd if=/dev/zero of=/host/data/filler bs=1M count=64 2>/dev/null && \
         rm /host/data/preload/old.tar /host/data/preload/kept.tar",
    )?;
    // Archives are looked for when the agent starts.
    let agent = shell.process("/usr/bin/holm agent")?;
    shell.succeed_on_host("/usr/sbin/holm-init ctl restart agent")?;
    shell.wait_for_other_process("/usr/bin/holm agent", &agent, WAIT)?;
    shell.succeed("rm /host/data/manifests/old.yaml")?;
    shell.wait_until(layers, WAIT, |now| now.text == (before - 1).to_string())?;
    let log = "grep 'removing unused image' /host/data/var/log/holm/agent.log";
    let log = shell.succeed(log)?;
    assert!(log.contains("localhost/old:1") && !log.contains("localhost/kept:1"), "{log}");
    shell.process("sleep 1000005")?;

    // It is missed when it is needed again, and says so.
    shell.succeed(&format!("cat >/host/data/manifests/old.yaml <<'END'\n{old}\nEND"))?;
    shell.wait_until("chroot /host /usr/bin/holm pods", WAIT, |list| {
        list.text.contains("ErrImageNeverPull")
    })?;
    Ok(())
}
