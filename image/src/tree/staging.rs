//! Lays a tree out in an empty folder, for file-system makers that read one.
//! Ownership is theirs to set: this needs no root.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{Content, Node, Tree};

/// Why a tree could not be laid out.
#[derive(Debug, thiserror::Error)]
#[error("cannot stage {path}")]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Writes the tree below `folder`, which exists and is empty.
pub fn stage(tree: &Tree, folder: &Path) -> Result<(), Error> {
    for (path, node) in tree.iter() {
        let path = folder.join(path);
        place(&path, node).map_err(|source| Error { path, source })?;
    }
    // Last and innermost first: a folder that nobody may write to must be filled before.
    let mut folders: Vec<_> = tree.iter().collect();
    folders.reverse();
    for (path, node) in folders {
        if let Node::Folder { mode } = node {
            let path = folder.join(path);
            set_mode(&path, *mode).map_err(|source| Error { path, source })?;
        }
    }
    Ok(())
}

fn place(path: &Path, node: &Node) -> io::Result<()> {
    match node {
        Node::Folder { .. } => fs::create_dir(path),
        Node::Link { target } => symlink(target, path),
        Node::File { mode, content } => {
            match content {
                Content::Bytes(bytes) => fs::write(path, bytes)?,
                Content::File { path: from, .. } => drop(fs::copy(from, path)?),
            }
            set_mode(path, *mode)
        }
    }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_folder_has_contents_modes_and_links() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut tree = Tree::default();
        tree.file("usr/bin/tool", 0o755, Content::Bytes(b"x".to_vec()))
            .folder("tmp", 0o1777)
            .folder("closed", 0o555)
            .text("closed/file", "y")
            .link("bin", "usr/bin");
        stage(&tree, folder.path()).expect("staged");
        let mode = |path: &str| {
            let meta = fs::symlink_metadata(folder.path().join(path)).expect("exists");
            meta.permissions().mode() & 0o7777
        };
        assert_eq!(mode("usr/bin/tool"), 0o755);
        assert_eq!(mode("tmp"), 0o1777);
        assert_eq!(mode("closed"), 0o555);
        assert_eq!(mode("closed/file"), 0o644);
        let link = fs::read_link(folder.path().join("bin")).expect("a link");
        assert_eq!(link, Path::new("usr/bin"));
    }
}
