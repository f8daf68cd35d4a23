//! The last steps in the container's first process: is the program there, then become it.
//!
//! Runs between libcontainer's fork and the exec, confined already: root, user, capabilities and
//! seccomp filter are the container's.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use oci_spec::runtime::Spec;
use rustix::fs::Access;

use super::signals;

/// A shell's status for a program that exists and cannot be run.
const CANNOT_EXECUTE: i32 = 126;

/// Becomes the program of the specification.
#[derive(Clone)]
pub struct Payload {
    /// Takes the reason when the exec fails; closed by an exec that succeeds.
    failure: Rc<OwnedFd>,
}

impl Payload {
    /// `failure` must close on exec.
    pub fn new(failure: OwnedFd) -> Self {
        Payload { failure: Rc::new(failure) }
    }
}

impl Executor for Payload {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        // Without its shim nobody would read its output or learn how it ended.
        let with_shim = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(with_shim)
            .map_err(|error| ExecutorValidationError::ArgValidationError(error.to_string()))?;
        program(spec).map(drop).map_err(ExecutorValidationError::ArgValidationError)
    }

    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // The environment goes from the specification to the exec, in its order.
        Ok(())
    }

    #[allow(clippy::disallowed_methods, reason = "a forked copy of the shim: nothing to flush")]
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        signals::restore_default_sigpipe();
        let reason = become_program(spec);
        let _ = rustix::io::write(&*self.failure, reason.as_bytes());
        std::process::exit(CANNOT_EXECUTE);
    }
}

fn words(spec: &Spec) -> (&[String], &[String]) {
    let process = spec.process().as_ref();
    let args = process.and_then(|process| process.args().as_deref()).unwrap_or_default();
    let env = process.and_then(|process| process.env().as_deref()).unwrap_or_default();
    (args, env)
}

fn program(spec: &Spec) -> Result<PathBuf, String> {
    let (args, env) = words(spec);
    let path = env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or("");
    find_program(args.first().map_or("", String::as_str), path)
}

/// Returns only to say why it could not.
fn become_program(spec: &Spec) -> String {
    let (args, env) = words(spec);
    let file = match program(spec) {
        Ok(file) => file,
        Err(reason) => return reason,
    };
    let strings = |words: &[String]| -> Result<Vec<CString>, std::ffi::NulError> {
        words.iter().map(|word| CString::new(word.as_str())).collect()
    };
    let exec = || {
        let name = CString::new(file.as_os_str().as_bytes())?;
        // Not `execvp`, which would try a shell on what is no program.
        let Err(error) = nix::unistd::execve(&name, &strings(args)?, &strings(env)?);
        Err::<(), std::io::Error>(error.into())
    };
    match exec() {
        Ok(()) => String::new(),
        Err(error) => format!("program {:?}: {error}", file.display().to_string()),
    }
}

/// The file that `exec` would run, or why it could not.
fn find_program(program: &str, path: &str) -> Result<PathBuf, String> {
    if program.contains('/') {
        return executable(Path::new(program)).map_err(|why| format!("program {program:?} {why}"));
    }
    let mut reason = format!("is not in PATH ({path})");
    for folder in path.split(':') {
        match executable(&Path::new(folder).join(program)) {
            Ok(found) => return Ok(found),
            Err(why) if why != ABSENT => reason = format!("in {folder:?} {why}"),
            Err(_) => {}
        }
    }
    Err(format!("program {program:?} {reason}"))
}

const ABSENT: &str = "does not exist in the container";

fn executable(file: &Path) -> Result<PathBuf, String> {
    let metadata = std::fs::metadata(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => ABSENT.to_owned(),
        _ => format!("cannot be looked at: {error}"),
    })?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    rustix::fs::access(file, Access::EXEC_OK)
        .map_err(|_| "may not be executed by the container's user".to_owned())?;
    Ok(file.to_owned())
}

/// An error with all that is behind it. What a cause repeats of its effect is said once.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(dir: &Path, name: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, "#!/bin/true").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_program_is_searched_in_path_order() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = format!("/absent:{}:{}", one.path().display(), two.path().display());
        let second = file(two.path(), "tool", 0o755);
        assert_eq!(find_program("tool", &path), Ok(second));
        let first = file(one.path(), "tool", 0o700);
        assert_eq!(find_program("tool", &path), Ok(first));
    }

    #[test]
    fn each_reason_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        assert_eq!(
            find_program("tool", path),
            Err(format!("program \"tool\" is not in PATH ({path})"))
        );
        file(dir.path(), "tool", 0o644);
        let error = find_program("tool", path).unwrap_err();
        assert!(error.contains("may not be executed"), "{error}");
        let error = find_program("/absent/tool", path).unwrap_err();
        assert!(error.ends_with("does not exist in the container"), "{error}");
        let error = find_program(path, "").unwrap_err();
        assert!(error.ends_with("is not a file"), "{error}");
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{text}")]
        struct Link {
            text: &'static str,
            #[source]
            source: Option<Box<Link>>,
        }
        let inner = Link { text: "disk full", source: None };
        let middle = Link { text: "write: disk full", source: Some(Box::new(inner)) };
        let outer = Link { text: "create", source: Some(Box::new(middle)) };
        assert_eq!(error_chain(&outer), "create: write: disk full");
    }
}
