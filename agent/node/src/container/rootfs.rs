//! The root of a container: its image's layers and a folder of its own, stacked by overlayfs.
//!
//! Mounted in a namespace that only the shim, while it creates, and the container are in: when the
//! container is gone the mount is gone, whatever killed it. Must never mount what the node would see.

use std::ffi::OsStr;
use std::io::Error;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use rustix::process::Gid;
use rustix::thread::CapabilitySet;

use super::Mount;

/// Gives this process a mount namespace of its own, and returns the node's for the way back.
///
/// # Errors
/// Not permitted, mostly.
pub fn leave_node_mounts() -> std::io::Result<OwnedFd> {
    let node = std::fs::File::open("/proc/self/ns/mnt")?;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags)?;
    Ok(node.into())
}

/// Cuts this namespace off from mounts that the node makes later, but for those that ask to follow
/// them by `rslave`: they get a copy below `place`, which still follows, as their source.
/// libcontainer 0.7 takes propagation options and does nothing with them, so that the copies it
/// makes are like their sources.
///
/// # Errors
/// A source is missing; the error names it.
pub fn follow_node_mounts(mounts: &mut [Mount], place: &Path) -> std::io::Result<()> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let mut followers = Vec::new();
    for mount in mounts.iter_mut().filter(|mount| follows(mount)) {
        let tree = rustix::mount::open_tree(rustix::fs::CWD, &mount.source, clone)
            .map_err(|error| explain(error, mount.source.display()))?;
        followers.push((mount, tree));
    }
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags)?;
    for (index, (mount, tree)) in followers.into_iter().enumerate() {
        let target = place.join(index.to_string());
        std::fs::create_dir_all(place)?;
        if std::fs::metadata(&mount.source)?.is_dir() {
            std::fs::create_dir(&target)?;
        } else {
            std::fs::File::create_new(&target)?;
        }
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&tree, "", rustix::fs::CWD, &target, flags)
            .map_err(|error| explain(error, target.display()))?;
        mount.source = target;
    }
    Ok(())
}

fn follows(mount: &Mount) -> bool {
    mount.fs_type.is_none() && mount.options.iter().any(|option| option == "rslave")
}

/// Goes back to the node's mounts. The namespace that is left ends with that, while the container,
/// which has a copy, keeps its root. A shim that stayed would keep every file system busy that was
/// mounted when it started.
///
/// # Errors
/// Not permitted, mostly.
pub fn return_to_node_mounts(node: OwnedFd) -> std::io::Result<()> {
    nix::sched::setns(node, CloneFlags::CLONE_NEWNS)?;
    std::env::set_current_dir("/")
}

/// The group that may use the reserved blocks of the data disk, by init's mount option `resgid`. No
/// process is in it but a shim for a moment; pods cannot ask for numbers above 2147483647.
const RESERVE_GROUP: u32 = 4_294_967_294;

/// What a container's root has to offer before a mount can go there.
#[derive(Debug, PartialEq, Eq)]
pub enum MountPoint {
    /// A folder.
    Folder(PathBuf),
    /// A file, for a bind mount of one.
    File(PathBuf),
}

/// Mounts `layers` (lowest first) with `upper` and `work` below `dir` on `target`, and makes the
/// places for its mounts.
///
/// overlayfs writes with the identity of whoever mounted it, less `CAP_SYS_RESOURCE`. So the places
/// are made through a first mount, by a process in the group that may use the blocks which the data
/// disk reserves: a container starts on a full disk. The second one, the container's, is mounted
/// without the group, so that no container fills the disk to the last block.
///
/// # Errors
/// A layer is missing, the file system of `dir` cannot be an upper folder (the kernel's reason is
/// in the error), or something is in the way of a mount.
pub fn mount(
    layers: &[PathBuf],
    dir: &Path,
    target: &Path,
    points: &[MountPoint],
) -> std::io::Result<()> {
    let (upper, work) = (dir.join("upper"), dir.join("work"));
    make_upper(&upper, layers.last())?;
    let make_work = || std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&work);
    make_work()?;
    std::fs::create_dir_all(target)?;
    let groups = rustix::process::getgroups()?;
    rustix::thread::set_thread_groups(&[Gid::from_raw(RESERVE_GROUP)])?;
    let prepared = overlay(layers, dir, target);
    rustix::thread::set_thread_groups(&groups)?;
    prepared?;
    for point in points {
        match point {
            MountPoint::Folder(path) => make_folder(target, path)?,
            MountPoint::File(path) => make_file(target, path)?,
        }
    }
    rustix::mount::unmount(target, UnmountFlags::empty())?;
    // It bears the mark of a volatile mount, which no second one takes over.
    std::fs::remove_dir_all(&work)?;
    make_work()?;
    overlay(layers, dir, target)
}

/// Gives up, for good, the right to the blocks that the data disk reserves: what a container writes
/// to its log must not take them.
///
/// # Errors
/// The kernel's.
pub fn renounce_reserve() -> std::io::Result<()> {
    let mut sets = rustix::thread::capabilities(None)?;
    sets.effective.remove(CapabilitySet::SYS_RESOURCE);
    sets.permitted.remove(CapabilitySet::SYS_RESOURCE);
    sets.inheritable.remove(CapabilitySet::SYS_RESOURCE);
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Each layer is its own option of the new mount interface, so that their number is not bounded by
/// a page. `nodev`: a device node in an image is of no use. `volatile`: a container's root does not
/// outlive its container, so nothing of it needs to be flushed to a card that wears.
fn overlay(layers: &[PathBuf], dir: &Path, target: &Path) -> std::io::Result<()> {
    let (upper, work) = (dir.join("upper"), dir.join("work"));
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|error| explain(error, "overlay file system"))?;
    for layer in layers.iter().rev() {
        rustix::mount::fsconfig_set_string(&context, "lowerdir+", layer)
            .map_err(|error| explain(error, format!("layer {}", layer.display())))?;
    }
    rustix::mount::fsconfig_set_string(&context, "upperdir", &upper)?;
    rustix::mount::fsconfig_set_string(&context, "workdir", &work)?;
    rustix::mount::fsconfig_set_flag(&context, "volatile")?;
    rustix::mount::fsconfig_create(&context).map_err(|error| {
        let said = messages(&context);
        explain(error, format!("overlay on {}: {said}", dir.display()))
    })?;
    let mounted = rustix::mount::fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NODEV,
    )?;
    rustix::mount::move_mount(
        &mounted,
        "",
        rustix::fs::CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .map_err(|error| explain(error, target.display()))
}

/// The merged root looks like the upper folder, so that one looks like the topmost layer.
fn make_upper(upper: &Path, top: Option<&PathBuf>) -> std::io::Result<()> {
    std::fs::create_dir_all(upper)?;
    let Some(top) = top else { return Ok(()) };
    let like = std::fs::metadata(top).map_err(|error| explain(error, top.display()))?;
    std::os::unix::fs::chown(upper, Some(like.uid()), Some(like.gid()))?;
    let mode = like.mode() & 0o7777;
    std::fs::set_permissions(upper, std::fs::Permissions::from_mode(mode))
}

fn explain(error: impl Into<Error>, subject: impl std::fmt::Display) -> Error {
    let error = error.into();
    Error::new(error.kind(), format!("{subject}: {error}"))
}

/// What the kernel has to say about a failed mount, one message for each read.
fn messages(context: impl std::os::fd::AsFd) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(length) = rustix::io::read(&context, &mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned();
        if text.is_empty() || said.len() == 8 {
            break;
        }
        said.push(text);
    }
    said.join("; ")
}

/// Makes the folder `path` below `root` and those above it, following links as the container would:
/// none leads out of `root`.
///
/// # Errors
/// Something else than a folder is in the way.
pub fn make_folder(root: &Path, path: &Path) -> std::io::Result<()> {
    let root = open_root(root)?;
    let open = |path: &OsStr| open_below(&root, path, OFlags::PATH | OFlags::DIRECTORY);
    let mut so_far = PathBuf::from("/");
    let mut parent = open(so_far.as_os_str())?;
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        so_far.push(name);
        parent = match open(so_far.as_os_str()) {
            Ok(folder) => folder,
            Err(rustix::io::Errno::NOENT) => {
                match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) => {}
                    // A link to nowhere.
                    Err(error) => return Err(explain(error, so_far.display())),
                }
                open(so_far.as_os_str()).map_err(|error| explain(error, so_far.display()))?
            }
            Err(error) => return Err(explain(error, so_far.display())),
        };
    }
    Ok(())
}

/// Makes an empty file `path` below `root`, and the folders above it, where nothing is. Links are
/// followed as the container would.
///
/// # Errors
/// Something is in the way.
fn make_file(root: &Path, path: &Path) -> std::io::Result<()> {
    let below = open_root(root)?;
    if open_below(&below, path.as_os_str(), OFlags::PATH).is_ok() {
        return Ok(());
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    make_folder(root, folder)?;
    let folder = open_below(&below, folder.as_os_str(), OFlags::PATH | OFlags::DIRECTORY)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o644)) {
        Ok(_) => Ok(()),
        // A link to nowhere.
        Err(error) => Err(explain(error, path.display())),
    }
}

fn open_root(root: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// No link leads out of `root`.
fn open_below(root: &OwnedFd, path: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_place_for_a_file_is_made_once_and_below_the_root_only() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        make_file(root.path(), Path::new("/etc/hosts")).unwrap();
        std::fs::write(root.path().join("etc/hosts"), "kept").unwrap();
        make_file(root.path(), Path::new("/etc/hosts")).unwrap();
        assert_eq!(std::fs::read(root.path().join("etc/hosts")).unwrap(), b"kept");
        symlink(outside.path(), root.path().join("evil")).unwrap();
        assert!(make_file(root.path(), Path::new("/evil/x")).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn folders_are_made_below_the_root_only() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        make_folder(root.path(), Path::new("/a/b/c")).unwrap();
        assert!(root.path().join("a/b/c").is_dir());
        symlink("/a", root.path().join("link")).unwrap();
        make_folder(root.path(), Path::new("/link/d")).unwrap();
        assert!(root.path().join("a/d").is_dir());
        symlink(outside.path(), root.path().join("evil")).unwrap();
        assert!(make_folder(root.path(), Path::new("/evil/x")).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        make_folder(root.path(), Path::new("/")).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        let error = make_folder(root.path(), Path::new("/file/x")).unwrap_err();
        assert!(error.to_string().contains("/file"), "{error}");
    }

    #[test]
    fn the_upper_folder_takes_after_the_topmost_layer() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir(&top).unwrap();
        std::fs::set_permissions(&top, std::fs::Permissions::from_mode(0o751)).unwrap();
        let upper = dir.path().join("upper");
        make_upper(&upper, Some(&top)).unwrap();
        assert_eq!(std::fs::metadata(&upper).unwrap().mode() & 0o7777, 0o751);
    }

    #[test]
    fn only_binds_that_ask_for_it_follow_the_node() {
        let mount = |fs_type: Option<&str>, option: &str| Mount {
            source: "/data".into(),
            destination: "/data".into(),
            readonly: false,
            fs_type: fs_type.map(str::to_owned),
            options: vec![option.to_owned()],
        };
        assert!(follows(&mount(None, "rslave")));
        assert!(!follows(&mount(None, "rprivate")));
        assert!(!follows(&mount(Some("tmpfs"), "rslave")));
    }

    #[test]
    fn a_missing_layer_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = make_upper(&dir.path().join("u"), Some(&dir.path().join("gone"))).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }
}
