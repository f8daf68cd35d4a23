//! Build steps whose results are kept under the digest of everything that went in.
//! Must never hand out a result that its step did not finish.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::digest::Digest;

/// How many results of one step stay: the current one, and those that a person switches between.
const KEPT: usize = 4;

/// Why a step's result could not be kept or found.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}")]
pub struct Error {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The folder of finished steps.
pub struct Steps {
    folder: PathBuf,
}

impl Steps {
    /// Uses `folder`, which is made when the first step runs.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder holding the result of step `name` for the inputs that `key` stands for.
    /// `work` fills an empty folder, and only when no earlier build finished the same step.
    pub fn run<E: From<Error>>(
        &self,
        name: &str,
        key: Digest,
        work: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let done = self.place(name, key);
        if done.is_dir() {
            // Marks it as used, so that the oldest results go first. Failing costs a rebuild later.
            let _ = fs::File::open(&done).and_then(|dir| dir.set_modified(SystemTime::now()));
            return Ok(done);
        }
        let fresh = self.folder.join(format!(".{name}-unfinished"));
        discard(&fresh)?;
        fs::create_dir_all(&fresh).map_err(failed("make", &fresh))?;
        work(&fresh)?;
        fs::rename(&fresh, &done).map_err(failed("finish", &done))?;
        self.discard_oldest(name, &done)?;
        Ok(done)
    }

    /// The result of step `name` for `key`, where it was finished before.
    pub fn find(&self, name: &str, key: Digest) -> Option<PathBuf> {
        Some(self.place(name, key)).filter(|done| done.is_dir())
    }

    fn place(&self, name: &str, key: Digest) -> PathBuf {
        self.folder.join(format!("{name}-{}", &key.to_string()[..24]))
    }

    fn discard_oldest(&self, name: &str, current: &Path) -> Result<(), Error> {
        let entries = fs::read_dir(&self.folder).map_err(failed("list", &self.folder))?;
        let mut others: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter(|entry| is_result_of(name, &entry.file_name().to_string_lossy()))
            .filter(|entry| entry.path() != current)
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        others.sort();
        let surplus = (others.len() + 1).saturating_sub(KEPT);
        others.iter().take(surplus).try_for_each(|(_, path)| discard(path))
    }
}

/// Whether a folder name is `name`, a dash and a key: `root` must not discard `root-tree`'s.
fn is_result_of(name: &str, file_name: &str) -> bool {
    let key = file_name.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    key.is_some_and(|key| key.len() == 24 && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn discard(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_once(steps: &Steps, key: &str, content: &str) -> (PathBuf, bool) {
        let mut ran = false;
        let work = |folder: &Path| {
            ran = true;
            fs::write(folder.join("out"), content).map_err(failed("write", folder))
        };
        let path = steps.run("step", Digest::of(key.as_bytes()), work).expect("step works");
        (path, ran)
    }

    #[test]
    fn same_inputs_run_once_and_other_inputs_run_again() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let steps = Steps::in_folder(folder.path().join("steps"));
        let (first, ran) = write_once(&steps, "a", "1");
        assert!(ran);
        assert_eq!(write_once(&steps, "a", "2"), (first.clone(), false));
        assert_eq!(fs::read_to_string(first.join("out")).expect("kept"), "1");
        let (second, ran) = write_once(&steps, "b", "2");
        assert!(ran && second != first);
    }

    #[test]
    fn failed_step_leaves_no_result_behind() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let steps = Steps::in_folder(folder.path().join("steps"));
        let fail = |folder: &Path| {
            fs::write(folder.join("half"), "x").map_err(failed("write", folder))?;
            Err(failed("write", folder)(io::Error::other("disk full")))
        };
        assert!(steps.run("step", Digest::of(b"a"), fail).is_err());
        let (path, ran) = write_once(&steps, "a", "1");
        assert!(ran && !path.join("half").exists());
    }

    #[test]
    fn results_of_one_step_do_not_pile_up() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let steps = Steps::in_folder(folder.path().to_owned());
        for i in 0..10 {
            write_once(&steps, &i.to_string(), "x");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), KEPT);
        assert!(!write_once(&steps, "9", "x").1, "the newest stays");
    }

    #[test]
    fn steps_whose_names_share_a_start_do_not_discard_each_other() {
        let key = &Digest::of(b"a").to_string()[..24];
        assert!(is_result_of("root", &format!("root-{key}")));
        assert!(!is_result_of("root", &format!("root-tree-{key}")));
    }
}
