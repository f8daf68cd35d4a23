//! Against files of the host in place of partitions.

use std::cell::Cell;

use super::*;
use crate::slot::Slot;
use crate::verity::tests::superblock;

/// A payload in memory.
struct Memory {
    payload: Payload,
    root: Vec<u8>,
    kernel: Vec<u8>,
    /// Bytes after which the source fails.
    fails_after: usize,
}

impl Source for Memory {
    fn payload(&self, _: Slot) -> io::Result<Payload> {
        Ok(self.payload.clone())
    }

    fn open<'a>(&'a self, part: &Part, offset: u64) -> io::Result<Box<dyn Read + 'a>> {
        let content = match part.kind {
            PartKind::Root => &self.root,
            PartKind::Kernel => &self.kernel,
        };
        let rest = &content[offset as usize..];
        let (good, bad) = rest.split_at(rest.len().min(self.fails_after));
        if bad.is_empty() { Ok(Box::new(good)) } else { Ok(Box::new(good.chain(Broken))) }
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

fn part(kind: PartKind, content: &[u8]) -> Part {
    let sha256 = Sha256::digest(content).into();
    Part { kind, name: String::new(), size: content.len() as u64, sha256 }
}

fn payload(seed: u8) -> Memory {
    const DATA_BLOCKS: usize = 300;
    let mut root = Vec::new();
    let mut tree = Tree::new(b"salt".to_vec());
    for index in 0..DATA_BLOCKS {
        let block = vec![(index as u8).wrapping_mul(seed); verity::BLOCK];
        tree.add(&block);
        root.extend(block);
    }
    let root_hash = tree.finish().unwrap().map(|byte| format!("{byte:02x}")).concat();
    let hash_offset = root.len() as u64;
    root.extend(superblock(DATA_BLOCKS as u64, b"salt"));
    root.resize(hash_offset as usize + 4 * verity::BLOCK, 0);
    let kernel = vec![seed; 300_001];
    let parts = vec![part(PartKind::Root, &root), part(PartKind::Kernel, &kernel)];
    let (version, board) = ("2".to_owned(), "x86-64".to_owned());
    let payload = Payload { version, board, root_hash, hash_offset, parts };
    Memory { payload, root, kernel, fails_after: usize::MAX }
}

struct Node {
    _folder: tempfile::TempDir,
    target: Target,
}

/// A disk with an old system in the slot.
fn node() -> Node {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root-b");
    std::fs::write(&root, vec![0xee; 2 << 20]).unwrap();
    let kernel = folder.path().join("b.new");
    std::fs::write(&kernel, vec![0xee; 400_000]).unwrap();
    Node { target: Target { board: "x86-64".into(), root, kernel }, _folder: folder }
}

fn run(source: &Memory, node: &Node) -> Result<Written, InstallError> {
    install(source, &source.payload, &node.target, &mut |_| true)
}

#[test]
fn slot_holds_the_payload_and_nothing_is_written_twice() {
    let (source, node) = (payload(3), node());
    let first = run(&source, &node).unwrap();
    let root = std::fs::read(&node.target.root).unwrap();
    assert_eq!(root[..source.root.len()], source.root);
    assert_eq!(std::fs::read(&node.target.kernel).unwrap(), source.kernel);
    assert_eq!(first.total, (source.root.len() + source.kernel.len()) as u64);
    assert!(first.written * 100 <= first.total * 105, "{first:?}");
    assert_eq!(run(&source, &node).unwrap().written, 0);
}

#[test]
fn only_the_blocks_that_differ_are_written() {
    let (mut source, node) = (payload(3), node());
    run(&source, &node).unwrap();
    source.kernel[0] ^= 1;
    source.payload.parts[1] = part(PartKind::Kernel, &source.kernel);
    assert_eq!(run(&source, &node).unwrap().written, BLOCK as u64);
}

#[test]
fn content_that_was_not_signed_is_refused() {
    let (node, good) = (node(), payload(3));
    let what = |source: &Memory| match run(source, &node).unwrap_err() {
        InstallError::Content { part, what } => format!("{part}: {what}"),
        other => panic!("{other:?}"),
    };
    let mut flipped = payload(3);
    flipped.root[5000] ^= 1;
    assert_eq!(what(&flipped), "root: its SHA-256 differs");
    let mut short = payload(3);
    short.root.truncate(10_000);
    assert_eq!(what(&short), "root: it is too short");
    let mut long = payload(3);
    long.kernel.push(0);
    assert_eq!(what(&long), "kernel: it is too long");
    assert!(run(&good, &node).is_ok());
}

#[test]
fn root_that_does_not_match_its_hash_is_refused() {
    let (mut source, node) = (payload(3), node());
    source.payload.root_hash = "00".repeat(32);
    let error = run(&source, &node).unwrap_err().to_string();
    assert!(error.ends_with("does not hold what was written: its verity root hash"), "{error}");
    source.payload.hash_offset = 0;
    assert!(matches!(run(&source, &node), Err(InstallError::Verity(VerityError::Missing))));
}

#[test]
fn what_cannot_fit_or_is_foreign_is_refused_before_the_first_write() {
    let (mut source, node) = (payload(3), node());
    let before = std::fs::read(&node.target.root).unwrap();
    source.payload.board = "rpi".into();
    let error = run(&source, &node).unwrap_err().to_string();
    assert_eq!(error, "the payload is for board rpi; this node is x86-64");
    source = payload(3);
    source.payload.parts[0].size = 3 << 20;
    let error = run(&source, &node).unwrap_err().to_string();
    assert_eq!(error, "root has 3145728 bytes; there is room for 2097152");
    source = payload(3);
    source.payload.parts.pop();
    assert_eq!(run(&source, &node).unwrap_err().to_string(), "the payload has no kernel");
    source.payload.parts = vec![source.payload.parts[0].clone(); 2];
    assert_eq!(run(&source, &node).unwrap_err().to_string(), "the payload has more than one root");
    source = payload(3);
    source.payload.parts[1].size = u64::MAX;
    assert!(matches!(run(&source, &node), Err(InstallError::Room { .. })));
    assert_eq!(std::fs::read(&node.target.root).unwrap(), before);
}

#[test]
fn broken_connection_is_an_error_and_the_next_try_goes_on() {
    let (mut source, node) = (payload(3), node());
    source.fails_after = 600_000;
    let error = run(&source, &node).unwrap_err();
    assert!(matches!(error, InstallError::Source { .. }), "{error:?}");
    source.fails_after = usize::MAX;
    let written = run(&source, &node).unwrap();
    assert!(written.written < written.total, "{written:?}");
}

#[test]
fn interruption_ends_it_between_two_blocks() {
    let (source, node) = (payload(3), node());
    let asked = Cell::new(0);
    let mut go_on = |_| {
        asked.set(asked.get() + 1);
        asked.get() < 3
    };
    let ended = install(&source, &source.payload, &node.target, &mut go_on);
    assert!(matches!(ended, Err(InstallError::Interrupted)));
}
