//! A pod's volumes: what has to be made and what is mounted where, and a thin executor.
//! Never removes anything that is mounted from elsewhere.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, UnmountFlags};

use super::files::Paths;
use super::spec::{ContainerSpec, HostPathType, Pod, Volume};
use crate::container::Mount;

/// Something to make before a pod's containers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A folder that everybody may write to, as Kubernetes has it; owned by the group.
    Folder {
        /// Where.
        path: PathBuf,
        /// `fsGroup`
        group: Option<u32>,
        /// Put a tmpfs there, with at most so many bytes.
        tmpfs: Option<Option<u64>>,
    },
    /// Check a path of the node, or make it.
    HostPath {
        /// Where.
        path: PathBuf,
        /// What it has to be.
        kind: HostPathType,
    },
}

/// A volume, or a part of one, in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The mount as the runtime takes it; its source is the volume's root.
    pub mount: Mount,
    /// The part of the volume, and where the node binds it first.
    pub part: Option<(PathBuf, PathBuf)>,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A folder or file could not be made.
    #[error("make {}", path.display())]
    Make {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The node has something else at that path, or nothing.
    #[error("{} is not {expected}", path.display())]
    Unexpected {
        /// Where.
        path: PathBuf,
        /// What the manifest asks for.
        expected: &'static str,
    },
    /// A part of a volume could not be bound.
    #[error("mount {} of volume {}", part.display(), root.display())]
    Part {
        /// The volume.
        root: PathBuf,
        /// The part.
        part: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The pod's folder could not be cleared.
    #[error("remove {}", path.display())]
    Remove {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// What has to be made for the whole pod.
pub fn plan(pod: &Pod, paths: &Paths) -> Vec<Step> {
    let step = |(name, volume): (&String, &Volume)| match volume {
        Volume::HostPath { path, kind } => Step::HostPath { path: path.clone(), kind: *kind },
        Volume::EmptyDir { memory, size_limit } => Step::Folder {
            path: paths.empty_dir(&pod.uid, name),
            group: pod.fs_group,
            tmpfs: memory.then_some(*size_limit),
        },
    };
    pod.volumes.iter().map(step).collect()
}

/// What a container mounts.
pub fn bindings(pod: &Pod, spec: &ContainerSpec, paths: &Paths) -> Vec<Binding> {
    let binding = |(index, mount): (usize, &super::spec::VolumeMount)| {
        let source = match pod.volumes.get(&mount.volume)? {
            Volume::HostPath { path, .. } => path.clone(),
            Volume::EmptyDir { .. } => paths.empty_dir(&pod.uid, &mount.volume),
        };
        let place = |part: &PathBuf| (part.clone(), paths.sub_path(&pod.uid, &spec.name, index));
        Some(Binding {
            mount: Mount {
                source,
                destination: mount.path.clone(),
                readonly: mount.readonly,
                fs_type: None,
                options: vec![mount.propagation.to_owned()],
            },
            part: mount.sub_path.as_ref().map(place),
        })
    };
    spec.mounts.iter().enumerate().filter_map(binding).collect()
}

/// Carries out `steps`. Twice is harmless.
pub fn make(steps: &[Step]) -> Result<(), VolumeError> {
    for step in steps {
        match step {
            Step::Folder { path, group, tmpfs } => make_folder(path, *group, *tmpfs)
                .map_err(|source| VolumeError::Make { path: path.clone(), source })?,
            Step::HostPath { path, kind } => check_host_path(path, *kind)?,
        }
    }
    Ok(())
}

fn make_folder(path: &Path, group: Option<u32>, tmpfs: Option<Option<u64>>) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if let Some(size) = tmpfs
        && !mount_points_below(path)?.iter().any(|mounted| mounted == path)
    {
        let size = size.map(|bytes| format!(",size={bytes}")).unwrap_or_default();
        let options = std::ffi::CString::new(format!("mode=0777{size}"))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str())?;
    }
    let mut mode = 0o777;
    if let Some(group) = group {
        let group = rustix::fs::Gid::from_raw(group);
        rustix::fs::chownat(CWD, path, None, Some(group), rustix::fs::AtFlags::empty())?;
        // Files in it belong to the group as well.
        mode |= 0o2000;
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn check_host_path(path: &Path, kind: HostPathType) -> Result<(), VolumeError> {
    let failed = |source| VolumeError::Make { path: path.to_owned(), source };
    let found = match fs::metadata(path) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    match (kind, found) {
        (HostPathType::Unset, Some(_)) => return Ok(()),
        (HostPathType::Unset | HostPathType::DirectoryOrCreate, None) => {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
            return made.map_err(failed);
        }
        (HostPathType::FileOrCreate, None) => {
            let made = OpenOptions::new().create_new(true).write(true).mode(0o644).open(path);
            return made.map(drop).map_err(failed);
        }
        _ => {}
    }
    let is = |test: fn(&fs::FileType) -> bool| found.as_ref().is_some_and(test);
    let (matches, expected) = match kind {
        HostPathType::Unset => (true, ""),
        HostPathType::DirectoryOrCreate | HostPathType::Directory => {
            (is(fs::FileType::is_dir), "a folder")
        }
        HostPathType::FileOrCreate | HostPathType::File => (is(fs::FileType::is_file), "a file"),
        HostPathType::Socket => (is(FileTypeExt::is_socket), "a socket"),
        HostPathType::CharDevice => (is(FileTypeExt::is_char_device), "a character device"),
        HostPathType::BlockDevice => (is(FileTypeExt::is_block_device), "a block device"),
    };
    if matches { Ok(()) } else { Err(VolumeError::Unexpected { path: path.to_owned(), expected }) }
}

/// Resolves what a container mounts. A part of a volume is looked up beneath the volume's root,
/// where no link that a container put there can lead out, and bound to a place of the node's: what
/// is mounted later is exactly what was looked up.
pub fn resolve(bindings: Vec<Binding>) -> Result<Vec<Mount>, VolumeError> {
    let resolve_one = |binding: Binding| {
        let Some((part, place)) = binding.part else { return Ok(binding.mount) };
        let root = binding.mount.source.clone();
        match bind_part(&root, &part, &place) {
            Ok(()) => Ok(Mount { source: place, ..binding.mount }),
            Err(source) => Err(VolumeError::Part { root, part, source }),
        }
    };
    bindings.into_iter().map(resolve_one).collect()
}

fn bind_part(root: &Path, part: &Path, place: &Path) -> io::Result<()> {
    // A place that an earlier instance used may show something else by now.
    unmount(place)?;
    let found = open_beneath(root, part)?;
    let is_folder = rustix::fs::fstat(&found)?.st_mode & 0o170_000 == 0o040_000;
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    remove_placeholder(place)?;
    if is_folder {
        fs::create_dir(place)?
    } else {
        File::create_new(place).map(drop)?
    }
    let found = format!("/proc/self/fd/{}", found.as_raw_fd());
    Ok(rustix::mount::mount_bind(found, place)?)
}

/// Opens `part` beneath `root`, and makes the folders of it that are missing.
fn open_beneath(root: &Path, part: &Path) -> io::Result<OwnedFd> {
    let root = rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let open = |path: &Path| {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat2(&root, path, flags, Mode::empty(), beneath)
    };
    let mut path = PathBuf::new();
    let mut parent: Option<OwnedFd> = None;
    for name in part {
        path.push(name);
        let found = match open(&path) {
            Err(rustix::io::Errno::NOENT) => {
                let folder = parent.as_ref().unwrap_or(&root);
                rustix::fs::mkdirat(folder, Path::new(name), Mode::from_raw_mode(0o755))?;
                open(&path)
            }
            other => other,
        };
        parent = Some(found?);
    }
    parent.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn unmount(path: &Path) -> io::Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes an empty folder or file that something was bound to.
fn remove_placeholder(place: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(place) {
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => fs::remove_dir(place),
        Ok(_) => fs::remove_file(place),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Unmounts everything below a pod's folder. Goes on after an error and returns the first.
pub fn unmount_all(folder: &Path) -> Result<(), VolumeError> {
    let failed = |source| VolumeError::Remove { path: folder.to_owned(), source };
    let mut mounted = mount_points_below(folder).map_err(failed)?;
    // What was mounted last lies deepest.
    mounted.reverse();
    let mut outcome = Ok(());
    for path in mounted {
        let unmounted = unmount(&path).map_err(|source| VolumeError::Remove { path, source });
        outcome = outcome.and(unmounted);
    }
    outcome
}

/// Removes a pod's folder with all that is in it, once nothing is mounted there any more.
pub fn remove(folder: &Path) -> Result<(), VolumeError> {
    unmount_all(folder)?;
    let failed = |source| VolumeError::Remove { path: folder.to_owned(), source };
    if let Some(path) = mount_points_below(folder).map_err(failed)?.into_iter().next() {
        let source = io::Error::new(io::ErrorKind::ResourceBusy, "still mounted");
        return Err(VolumeError::Remove { path, source });
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed),
    }
}

fn mount_points_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read("/proc/thread-self/mountinfo")?;
    let folder = match fs::canonicalize(folder) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(mount_points(&table).into_iter().filter(|path| path.starts_with(&folder)).collect())
}

/// The mount points in the text of `mountinfo`, in the order in which they were mounted.
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    let point = |line: &[u8]| {
        let field = line.split(|byte| *byte == b' ').nth(4)?;
        Some(PathBuf::from(OsStr::from_bytes(&unescape(field))))
    };
    table.split(|byte| *byte == b'\n').filter_map(point).collect()
}

/// `mountinfo` writes blanks and backslashes as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = &after[if code.is_some() { 3 } else { 0 }..];
    }
    bytes
}

#[cfg(test)]
mod tests;
