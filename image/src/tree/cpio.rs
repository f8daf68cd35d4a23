//! Writes a tree as the "newc" cpio archive that the kernel unpacks as initramfs.
//! Format: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.

use std::io::{self, Read, Write};

use super::{Content, Node, Tree};

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// What changes from one version to the next goes to the end: packed, the archive then begins with
/// the same bytes, and an update need not fetch them again.
const LAST: [&str; 2] = ["init", "etc/os-release"];

/// Writes the archive. Inode numbers count up from 1, owners are root, every time is `epoch`
/// (seconds since 1970), so equal trees give equal bytes.
pub fn write_cpio(tree: &Tree, epoch: u32, out: &mut impl Write) -> io::Result<()> {
    let mut inode = 0;
    // Stable: parents stay before their children.
    let mut nodes: Vec<_> = tree.iter().collect();
    nodes.sort_by_key(|(path, _)| LAST.iter().position(|last| last == path).map_or(0, |n| n + 1));
    for (path, node) in nodes {
        inode += 1;
        let (mode, links, content) = match node {
            Node::Folder { mode } => (FOLDER | mode, 2, Vec::new()),
            Node::File { mode, content } => (FILE | mode, 1, bytes(content)?),
            Node::Link { target } => (LINK | 0o777, 1, target.clone().into_bytes()),
        };
        entry(out, [inode, mode, links, epoch], path, &content)?;
    }
    entry(out, [0, 0, 1, 0], "TRAILER!!!", &[])
}

fn entry(
    out: &mut impl Write,
    [inode, mode, links, time]: [u32; 4],
    name: &str,
    content: &[u8],
) -> io::Result<()> {
    let too_large = |_| io::Error::other(format!("{name} is too large for cpio"));
    let size = u32::try_from(content.len()).map_err(too_large)?;
    let name_size = u32::try_from(name.len() + 1).map_err(too_large)?;
    write!(out, "070701")?;
    // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name size, check
    for field in [inode, mode, 0, 0, links, time, size, 0, 0, 0, 0, name_size, 0] {
        write!(out, "{field:08x}")?;
    }
    out.write_all(name.as_bytes())?;
    out.write_all(&[0])?;
    // The header has 110 bytes; name and content each end at a multiple of 4.
    pad(out, 110 + name.len() + 1)?;
    out.write_all(content)?;
    pad(out, content.len())
}

fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..written.next_multiple_of(4) - written])
}

fn bytes(content: &Content) -> io::Result<Vec<u8>> {
    match content {
        Content::Bytes(bytes) => Ok(bytes.clone()),
        Content::File { path, .. } => {
            let mut bytes = Vec::new();
            std::fs::File::open(path)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn archive(tree: &Tree) -> Vec<u8> {
        let mut out = Vec::new();
        write_cpio(tree, 0x1234, &mut out).expect("writes to memory");
        out
    }

    /// A reader written from the format's description: (name, mode, time, content).
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut taken = 0;
        let mut take = |bytes: &mut &[u8], n: usize| {
            let (head, rest) = bytes.split_at(n);
            *bytes = rest;
            taken += n;
            (head.to_vec(), taken)
        };
        loop {
            let (header, _) = take(&mut bytes, 110);
            assert_eq!(&header[..6], b"070701");
            let field = |i: usize| {
                let text = std::str::from_utf8(&header[6 + 8 * i..14 + 8 * i]).expect("hex");
                u32::from_str_radix(text, 16).expect("hex")
            };
            let (mut name, at) = take(&mut bytes, field(11) as usize);
            take(&mut bytes, at.next_multiple_of(4) - at);
            let (content, at) = take(&mut bytes, field(6) as usize);
            take(&mut bytes, at.next_multiple_of(4) - at);
            assert_eq!(name.pop(), Some(0));
            let name = String::from_utf8(name).expect("test names are text");
            if name == "TRAILER!!!" {
                assert!(bytes.is_empty());
                return entries;
            }
            entries.push((name, field(1), field(5), content));
        }
    }

    #[test]
    fn folders_files_and_links_keep_their_type_and_mode() {
        let mut tree = Tree::default();
        tree.file("bin/init", 0o755, Content::Bytes(b"binary".to_vec())).link("init", "bin/init");
        let entries = read(&archive(&tree));
        assert_eq!(
            entries,
            [
                ("bin".into(), 0o040_755, 0x1234, vec![]),
                ("bin/init".into(), 0o100_755, 0x1234, b"binary".to_vec()),
                ("init".into(), 0o120_777, 0x1234, b"bin/init".to_vec()),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_tree_reads_back(files in proptest::collection::btree_map(
            "[a-z]{1,9}", proptest::collection::vec(any::<u8>(), 0..20), 0..8)) {
            let mut tree = Tree::default();
            for (name, content) in &files {
                tree.file(name, 0o644, Content::Bytes(content.clone()));
            }
            let bytes = archive(&tree);
            prop_assert_eq!(bytes.len() % 4, 0);
            let entries: Vec<_> = read(&bytes).into_iter().map(|e| (e.0, e.3)).collect();
            prop_assert_eq!(entries, files.into_iter().collect::<Vec<_>>());
        }
    }
}
