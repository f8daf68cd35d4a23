//! A file tree that exists only as a plan, then becomes a cpio archive or a staged folder.
//! Everything in it belongs to root; times are set where it is written out.

mod cpio;
mod staging;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use cpio::write_cpio;
pub use staging::{Error, stage};

use crate::digest::{Digest, Key};

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder {
        /// Permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Its bytes.
        content: Content,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: String,
    },
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Here.
    Bytes(Vec<u8>),
    /// In a file of the build machine, with the digest it had when it was planned.
    File {
        /// The file.
        path: PathBuf,
        /// Its digest.
        digest: Digest,
    },
}

impl Content {
    /// A file of the build machine.
    pub fn of_file(path: PathBuf) -> std::io::Result<Self> {
        let digest = Digest::of_file(&path)?;
        Ok(Self::File { path, digest })
    }
}

/// Paths without a leading slash, in sorted order; parents exist before their children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Adds a folder; its parents are made with mode 755.
    pub fn folder(&mut self, path: &str, mode: u32) -> &mut Self {
        self.insert(path, Node::Folder { mode })
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, content: Content) -> &mut Self {
        self.insert(path, Node::File { mode, content })
    }

    /// Adds a file with mode 644 from text.
    pub fn text(&mut self, path: &str, text: impl Into<String>) -> &mut Self {
        self.file(path, 0o644, Content::Bytes(text.into().into_bytes()))
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.insert(path, Node::Link { target: target.to_owned() })
    }

    fn insert(&mut self, path: &str, node: Node) -> &mut Self {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            self.nodes.entry(path[..at].to_owned()).or_insert(Node::Folder { mode: 0o755 });
        }
        self.nodes.insert(path.to_owned(), node);
        self
    }

    /// All paths and what is there, parents first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// What is at a path.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// A digest over every path, mode, link and byte.
    pub fn digest(&self) -> Digest {
        let key = self.iter().fold(Key::new("tree"), |key, (path, node)| {
            let key = key.field("path", path);
            match node {
                Node::Folder { mode } => key.field("folder", mode.to_le_bytes()),
                Node::Link { target } => key.field("link", target),
                Node::File { mode, content } => {
                    let digest = match content {
                        Content::Bytes(bytes) => Digest::of(bytes),
                        Content::File { digest, .. } => *digest,
                    };
                    key.field("file", mode.to_le_bytes()).input("content", digest)
                }
            }
        });
        key.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_appear_before_children() {
        let mut tree = Tree::default();
        tree.text("etc/ssl/certs/ca.crt", "x").folder("etc/ssl", 0o700);
        let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca.crt"]);
        assert_eq!(tree.get("etc/ssl"), Some(&Node::Folder { mode: 0o700 }), "the later one wins");
    }

    #[test]
    fn digest_sees_every_attribute() {
        let digest = |path: &str, node: Node| {
            let mut tree = Tree::default();
            tree.insert(path, node);
            tree.digest()
        };
        let file =
            |mode, text: &str| Node::File { mode, content: Content::Bytes(text.as_bytes().into()) };
        let variants = [
            digest("a", file(0o644, "x")),
            digest("a", file(0o644, "y")),
            digest("b", file(0o644, "x")),
            digest("a", file(0o755, "x")),
            digest("a", Node::Link { target: "x".to_owned() }),
            digest("a", Node::Folder { mode: 0o755 }),
        ];
        for (i, one) in variants.iter().enumerate() {
            assert!(!variants[i + 1..].contains(one), "variant {i} is seen twice");
        }
    }

    #[test]
    fn content_in_a_file_and_in_memory_have_the_same_digest() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), "x").expect("written");
        let (mut one, mut two) = (Tree::default(), Tree::default());
        one.text("a", "x");
        two.file("a", 0o644, Content::of_file(file.path().to_owned()).expect("read"));
        assert_eq!(one.digest(), two.digest());
    }
}
