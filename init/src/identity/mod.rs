//! Who this node is: machine id and host name, and what it needs to keep secrets:
//! the random seed, and a clock that is not before its time. Runs in a child of
//! PID 1.

pub(crate) mod machine_id;
pub(crate) mod seed;

use crate::kmsg;
use crate::syscalls::loopback;
use crate::time::{SAVED, SystemClock, floor};
use std::fs;
use std::path::Path;

/// Where the machine id is kept.
const KEPT_ID: &str = "/state/machine-id";
/// Where everybody reads it.
const SHOWN_ID: &str = "/run/holm/machine-id";
/// Where everybody reads the host name.
const SHOWN_HOSTNAME: &str = "/run/holm/hostname";

/// Sets the identity up. Every part is tried; what failed is the error.
pub(crate) fn set_up() -> Result<(), String> {
    let mut failures = Vec::new();
    let mut check = |what: &str, result: std::io::Result<()>| {
        if let Err(error) = result {
            failures.push(format!("{what}: {error}"));
        }
    };
    check("loopback link", loopback::up());
    // Before the machine id, which may have to be made of random numbers.
    check("random seed", seed::use_up_and_renew());
    // Before anybody looks at a certificate.
    // The battery-backed clock may have no driver yet; the service `time` looks at it.
    match floor::lift(&mut SystemClock, Path::new(floor::OS_RELEASE), Path::new(SAVED), None) {
        Ok(Some(lifted)) => kmsg::announce(&lifted.to_string()),
        Ok(None) => {}
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_default();
            check("clock", Err(std::io::Error::other(format!("{error}: {cause}"))));
        }
    }
    match machine_id::keep(Path::new(KEPT_ID)) {
        Ok(id) => {
            check(SHOWN_ID, fs::write(SHOWN_ID, format!("{id}\n")));
            check("host name", set_hostname(&machine_id::hostname(&id)));
        }
        Err(error) => check(KEPT_ID, Err(error)),
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// Gives the node its host name.
pub(crate) fn set_hostname(name: &str) -> std::io::Result<()> {
    rustix::system::sethostname(name.as_bytes())?;
    fs::write(SHOWN_HOSTNAME, format!("{name}\n"))
}
