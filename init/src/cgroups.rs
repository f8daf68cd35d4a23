//! cgroup v2: one group for Holm's own services, and every controller passed
//! down so that the agent can limit pods. Writes to memory only.

use crate::service::launch::CGROUPS;
use crate::service::spec::NAMES;
use std::fs;
use std::io;
use std::path::Path;

const ROOT: &str = "/sys/fs/cgroup";

/// Makes the groups and passes the controllers down.
pub(crate) fn set_up() -> io::Result<()> {
    pass_down(Path::new(ROOT))?;
    fs::create_dir_all(format!("{CGROUPS}/init"))?;
    pass_down(Path::new(CGROUPS))?;
    for name in NAMES {
        fs::create_dir_all(format!("{CGROUPS}/{}", name.text()))?;
    }
    fs::write(format!("{CGROUPS}/init/cgroup.procs"), "1")
}

/// Passes each controller that `group` has down to its children: all at once,
/// for each write costs a grace period. One that the kernel refuses (cpu, while
/// real-time processes run) does not keep the others.
fn pass_down(group: &Path) -> io::Result<()> {
    let controllers = fs::read_to_string(group.join("cgroup.controllers"))?;
    let all: Vec<_> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    if fs::write(group.join("cgroup.subtree_control"), all.join(" ")).is_ok() {
        return Ok(());
    }
    let mut first_refusal = Ok(());
    for controller in all {
        let result = fs::write(group.join("cgroup.subtree_control"), controller);
        first_refusal = first_refusal.and(result);
    }
    first_refusal
}
