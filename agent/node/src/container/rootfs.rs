//! The root of a container: its image's layers and a folder of its own, stacked by overlayfs.
//!
//! Mounted in the shim's own mount namespace: when the shim and the container are gone, the mount
//! is gone, whatever killed them. Must never mount anything that the node would see.

use std::ffi::OsStr;
use std::io::Error;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
};

/// Gives this process a mount namespace of its own. What the node unmounts later goes here too, so
/// that a shim keeps no file system busy; nothing goes the other way.
///
/// # Errors
/// Not permitted, mostly.
pub fn leave_node_mounts() -> std::io::Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", flags)?)
}

/// Mounts `layers` (lowest first) with `upper` and `work` below `dir` on `target`.
///
/// Each layer is its own option of the new mount interface, so that their number is not bounded by
/// a page. `nodev`: a device node in an image is of no use. `volatile`: a container's root does not
/// outlive its container, so nothing of it needs to be flushed to a card that wears.
///
/// # Errors
/// A layer is missing, or the file system of `dir` cannot be an upper folder; the kernel's reason is
/// in the error.
pub fn mount(layers: &[PathBuf], dir: &Path, target: &Path) -> std::io::Result<()> {
    let (upper, work) = (dir.join("upper"), dir.join("work"));
    make_upper(&upper, layers.last())?;
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&work)?;
    std::fs::create_dir_all(target)?;
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
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())?;
    let open = |path: &OsStr| {
        rustix::fs::openat2(
            &root,
            path,
            flags,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

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
    fn a_missing_layer_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = make_upper(&dir.path().join("u"), Some(&dir.path().join("gone"))).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }
}
