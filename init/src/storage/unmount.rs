//! Keeps the random seed and unmounts every disk at the end of a shutdown; what
//! stays busy is made read-only. Goes on after a failure and names each.

use crate::identity::seed;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};

/// File systems that live in the kernel: nothing of them reaches a disk.
const IN_MEMORY: [&str; 18] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "securityfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Unmounts all that matters, the last mounted first.
pub(crate) fn all() -> Result<(), String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut failures = Vec::new();
    if let Err(error) = seed::renew() {
        failures.push(format!("random seed: {error}"));
    }
    for target in targets(&mounts) {
        if let Err(reason) = detach(&target) {
            failures.push(format!("{target}: {reason}"));
        }
    }
    rustix::fs::sync();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

fn detach(target: &str) -> Result<(), Errno> {
    match unmount(target, UnmountFlags::NOFOLLOW) {
        // Gone already, with another mount on the same place.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(_) => mount_remount(target, MountFlags::RDONLY, c""),
    }
}

/// The mount points to detach, in order. The root stays: it is read-only.
fn targets(mounts: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in mounts.lines().rev() {
        let mut words = line.split(' ').skip(1);
        if let (Some(target), Some(kind)) = (words.next(), words.next())
            && target != "/"
            && !IN_MEMORY.contains(&kind)
        {
            found.push(unescape(target));
        }
    }
    found
}

/// The kernel writes white space and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (code, letter)| text.replace(code, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_detached_the_last_mounted_first() {
        let mounts = "/dev/dm-0 / erofs ro 0 0\nproc /proc proc rw 0 0\n/dev/vda4 /state ext4 rw 0 0\n\
            /dev/vda5 /data ext4 rw 0 0\noverlay /data/pods/a\\040b overlay rw 0 0\ntmpfs /run tmpfs rw 0 0\n";
        assert_eq!(targets(mounts), ["/data/pods/a b", "/data", "/state"]);
    }

    #[test]
    fn odd_lines_are_passed_over() {
        assert!(targets("\nx\n").is_empty());
    }
}
