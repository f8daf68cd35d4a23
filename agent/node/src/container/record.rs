//! What is kept of a container in files, and what follows from it.
//!
//! `<containers>/<id>/container.json` is the configuration, `<shims>/<id>/state.json` what the shim
//! has done, `exit.json` (in both folders) how it ended, `<shims>/<id>.lock` the shim's sign of life.
//! Every file is replaced by a rename, so that no reader ever sees half of one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ContainerState, Exit};

/// Configuration, in the container's own folder.
pub const CONFIG: &str = "container.json";
/// [`Exit`], in the container's own folder and in the shim's.
pub const EXIT: &str = "exit.json";

/// How far the shim has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The first process, once it is there.
    pub pid: Option<i32>,
    /// When it was started.
    pub started_at: Option<jiff::Timestamp>,
    /// Inode of the cgroup's folder: paths are used again, inodes are not.
    pub cgroup_inode: u64,
}

/// The state that follows from the files.
///
/// `alive` must have been looked up before the files were read: a shim that is gone by then has
/// written all that it will ever write.
pub fn state(alive: bool, record: Option<&Record>, exit: Option<Exit>) -> ContainerState {
    if let Some(exit) = exit {
        return ContainerState::Exited(exit);
    }
    match record {
        Some(Record { pid: Some(pid), started_at, .. }) if alive => match started_at {
            Some(started_at) => ContainerState::Running { pid: *pid, started_at: *started_at },
            None => ContainerState::Created { pid: *pid },
        },
        _ => ContainerState::Unknown,
    }
}

/// Where the files of one shim are.
#[derive(Debug, Clone)]
pub struct ShimDir(PathBuf);

impl ShimDir {
    /// The shim of container `id`.
    pub fn new(shims: &Path, id: &str) -> Self {
        ShimDir(shims.join(id))
    }

    /// As given on the shim's command line.
    pub fn at(path: PathBuf) -> Self {
        ShimDir(path)
    }

    /// The folder; also the OCI bundle while the container is made.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The lock that the shim holds while it lives. Beside the folder, so that one watch on the
    /// folder of all shims sees each of them end. An id has no dot.
    pub fn lock(&self) -> PathBuf {
        self.0.with_extension("lock")
    }

    /// [`Record`].
    pub fn record(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// [`Exit`].
    pub fn exit(&self) -> PathBuf {
        self.0.join(EXIT)
    }

    /// Link to the container's own folder.
    pub fn container(&self) -> PathBuf {
        self.0.join("container")
    }

    /// Where the shim listens.
    pub fn control(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// Where a terminal arrives.
    pub fn console(&self) -> PathBuf {
        self.0.join("console.sock")
    }

    /// The shim's own complaints.
    pub fn log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    /// Mount point of the root, seen by the shim and the container only.
    pub fn rootfs(&self) -> PathBuf {
        self.0.join("rootfs")
    }

    /// libcontainer's own state, needed from create to start.
    pub fn runtime_state(&self) -> PathBuf {
        self.0.join("libcontainer")
    }
}

/// Replaces `path` by `value` as JSON.
///
/// # Errors
/// The folder cannot be written, or the disk is full.
pub fn write<T: Serialize>(path: &Path, value: &T) -> std::io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path)).inspect_err(
        |_| {
            let _ = std::fs::remove_file(&temporary);
        },
    )
}

/// Reads what [`write`] wrote; `None` when it is absent, or damaged (a power cut): a record that
/// cannot be read tells as little as none.
///
/// # Errors
/// The file exists and cannot be read.
pub fn read<T: DeserializeOwned>(path: &Path) -> std::io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

    fn exit() -> Exit {
        Exit { code: 3, signal: None, oom_killed: false, started_at: None, finished_at: TIME }
    }

    fn record(pid: Option<i32>, started: bool) -> Record {
        Record { pid, started_at: started.then_some(TIME), cgroup_inode: 1 }
    }

    #[test]
    fn an_exit_record_wins_over_everything() {
        for alive in [true, false] {
            for record in [None, Some(record(Some(7), true))] {
                assert_eq!(
                    state(alive, record.as_ref(), Some(exit())),
                    ContainerState::Exited(exit())
                );
            }
        }
    }

    #[test]
    fn a_live_shim_says_how_far_it_has_come() {
        assert_eq!(state(true, None, None), ContainerState::Unknown);
        assert_eq!(state(true, Some(&record(None, false)), None), ContainerState::Unknown);
        assert_eq!(
            state(true, Some(&record(Some(7), false)), None),
            ContainerState::Created { pid: 7 }
        );
        assert_eq!(
            state(true, Some(&record(Some(7), true)), None),
            ContainerState::Running { pid: 7, started_at: TIME }
        );
    }

    #[test]
    fn a_dead_shim_without_exit_record_leaves_it_unknown() {
        assert_eq!(state(false, Some(&record(Some(7), true)), None), ContainerState::Unknown);
        assert_eq!(state(false, None, None), ContainerState::Unknown);
    }

    #[test]
    fn records_come_back_and_damaged_ones_read_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        assert_eq!(read::<Record>(&path).unwrap(), None);
        write(&path, &record(Some(1), true)).unwrap();
        assert_eq!(read(&path).unwrap(), Some(record(Some(1), true)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::write(&path, "").unwrap();
        assert_eq!(read::<Record>(&path).unwrap(), None);
        assert_eq!(read::<Record>(&path.join("below/a/file")).unwrap(), None);
    }

    #[test]
    fn a_failed_write_leaves_the_old_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        write(&path, &record(Some(1), false)).unwrap();
        std::fs::create_dir(dir.path().join("state.tmp")).unwrap();
        assert!(write(&path, &record(Some(2), false)).is_err());
        assert_eq!(read(&path).unwrap(), Some(record(Some(1), false)));
    }

    #[test]
    fn the_lock_lies_beside_the_folder() {
        let shim = ShimDir::new(Path::new("/run/holm/shims"), "abc-1");
        assert_eq!(shim.lock(), Path::new("/run/holm/shims/abc-1.lock"));
        assert_eq!(shim.exit(), Path::new("/run/holm/shims/abc-1/exit.json"));
    }
}
