//! The text form of a block map. The file carries a SHA-256 of itself, in which its own digits
//! count as zeros. Must never return a map whose numbers do not fit each other.

use std::fmt::Write;

use roxmltree::{Document, Node};

use super::BlockMap;
use crate::digest::Digest;

/// Why a text is no block map.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no XML.
    #[error("it is no XML")]
    Xml(#[source] roxmltree::Error),
    /// It has another version.
    #[error("its version is {0:?}, and only 2.0 is known")]
    Version(String),
    /// An element is missing, or is not what it should be.
    #[error("its element {0} is missing or wrong")]
    Element(&'static str),
    /// It was changed after it was made.
    #[error("it was changed after it was made: its own SHA-256 is another")]
    Changed,
}

const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

pub(super) fn write(map: &BlockMap) -> String {
    let mapped: u64 = map.ranges.iter().map(|(blocks, _)| blocks.end - blocks.start).sum();
    let mut text = format!(
        "<?xml version=\"1.0\" ?>\n\
         <!-- Blocks of a disk image that must be written, be they zeros; all others may hold\n     \
         anything afterwards. -->\n\
         <bmap version=\"2.0\">\n    \
         <ImageSize> {} </ImageSize>\n    \
         <BlockSize> {} </BlockSize>\n    \
         <BlocksCount> {} </BlocksCount>\n    \
         <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    \
         <ChecksumType> sha256 </ChecksumType>\n    \
         <BmapFileChecksum> {NO_DIGEST} </BmapFileChecksum>\n    \
         <BlockMap>\n",
        map.image_size,
        map.block_size,
        map.image_size.div_ceil(map.block_size),
    );
    for (blocks, digest) in &map.ranges {
        let (first, last) = (blocks.start, blocks.end - 1);
        // Writing to a text never fails.
        let _ = match first == last {
            true => writeln!(text, "        <Range chksum=\"{digest}\"> {first} </Range>"),
            false => writeln!(text, "        <Range chksum=\"{digest}\"> {first}-{last} </Range>"),
        };
    }
    text.push_str("    </BlockMap>\n</bmap>\n");
    let own = Digest::of(text.as_bytes());
    text.replacen(NO_DIGEST, &own.to_string(), 1)
}

pub(super) fn parse(text: &str) -> Result<BlockMap, Error> {
    let document = Document::parse(text).map_err(Error::Xml)?;
    let root = document.root_element();
    if root.tag_name().name() != "bmap" {
        return Err(Error::Element("bmap"));
    }
    let version = root.attribute("version").unwrap_or_default();
    if version != "2.0" {
        return Err(Error::Version(version.to_owned()));
    }
    let own = element(root, "BmapFileChecksum")?;
    let digest = Digest::parse(own).ok_or(Error::Element("BmapFileChecksum"))?;
    if Digest::of(text.replacen(own, NO_DIGEST, 1).as_bytes()) != digest {
        return Err(Error::Changed);
    }
    if element(root, "ChecksumType")? != "sha256" {
        return Err(Error::Element("ChecksumType"));
    }
    let number = |name| element(root, name)?.parse::<u64>().map_err(|_| Error::Element(name));
    let (image_size, block_size) = (number("ImageSize")?, number("BlockSize")?);
    if !block_size.is_power_of_two() || !(512..=1 << 26).contains(&block_size) {
        return Err(Error::Element("BlockSize"));
    }
    let count = image_size.div_ceil(block_size);
    if number("BlocksCount")? != count || image_size > 1 << 62 {
        return Err(Error::Element("BlocksCount"));
    }
    let mut map = BlockMap { image_size, block_size, ranges: Vec::new() };
    let block_map = child(root, "BlockMap")?;
    let mut next = 0;
    for node in block_map.children().filter(|node| node.has_tag_name("Range")) {
        let range = range(node).filter(|(blocks, _)| blocks.start >= next && blocks.end <= count);
        let range = range.ok_or(Error::Element("Range"))?;
        next = range.0.end;
        map.ranges.push(range);
    }
    let mapped: u64 = map.ranges.iter().map(|(blocks, _)| blocks.end - blocks.start).sum();
    if number("MappedBlocksCount")? != mapped {
        return Err(Error::Element("MappedBlocksCount"));
    }
    Ok(map)
}

fn child<'a, 'i>(root: Node<'a, 'i>, name: &'static str) -> Result<Node<'a, 'i>, Error> {
    root.children().find(|node| node.has_tag_name(name)).ok_or(Error::Element(name))
}

fn element<'a>(root: Node<'a, '_>, name: &'static str) -> Result<&'a str, Error> {
    Ok(child(root, name)?.text().unwrap_or_default().trim())
}

/// ` 12 ` or ` 12-34 `, the last block included.
fn range(node: Node) -> Option<(std::ops::Range<u64>, Digest)> {
    let digest = Digest::parse(node.attribute("chksum")?)?;
    let text = node.text()?.trim();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    let end = last.checked_add(1).filter(|end| first < *end)?;
    Some((first..end, digest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map() -> impl Strategy<Value = BlockMap> {
        let ranges = proptest::collection::vec((1_u64..9, 1_u64..9), 0..20);
        (ranges, 9_u32..13, 1_u64..5000).prop_map(|(steps, power, more)| {
            let mut at = 0;
            let mut ranges = Vec::new();
            for (gap, length) in steps {
                ranges.push((at + gap..at + gap + length, Digest::of(&[gap as u8])));
                at += gap + length;
            }
            BlockMap { image_size: (at << power) + more, block_size: 1 << power, ranges }
        })
    }

    proptest! {
        #[test]
        fn text_parses_to_the_same_map(map in map()) {
            prop_assert_eq!(parse(&map.text()).expect("valid"), map);
        }

        #[test]
        fn changed_text_is_never_taken_for_a_map(map in map(), at in 0.0_f64..1.0, bit in 0_u8..7) {
            let mut text = map.text().into_bytes();
            let at = (text.len() as f64 * at) as usize;
            text[at] ^= 1_u8 << bit;
            let Ok(text) = String::from_utf8(text) else { return Ok(()) };
            // A digest's letters may be of either case: that changes nothing.
            prop_assert!(parse(&text).ok().is_none_or(|found| found == map));
        }
    }

    #[test]
    fn text_has_the_documented_form() {
        let digest = Digest::of(b"x");
        let ranges = vec![(0..2, digest), (5..6, digest)];
        let text = BlockMap { image_size: 821_752, block_size: 4096, ranges }.text();
        for line in [
            "<?xml version=\"1.0\" ?>".to_owned(),
            "<bmap version=\"2.0\">".to_owned(),
            "    <ImageSize> 821752 </ImageSize>".to_owned(),
            "    <BlocksCount> 201 </BlocksCount>".to_owned(),
            "    <MappedBlocksCount> 3 </MappedBlocksCount>".to_owned(),
            format!("        <Range chksum=\"{digest}\"> 0-1 </Range>"),
            format!("        <Range chksum=\"{digest}\"> 5 </Range>"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let map = BlockMap { image_size: 8192, block_size: 4096, ranges: vec![] };
        let text = map.text();
        let other = text.replace("version=\"2.0\"", "version=\"1.2\"");
        assert!(matches!(parse(&other), Err(Error::Version(version)) if version == "1.2"));
        assert!(matches!(parse(&text.replace("8192", "8193")), Err(Error::Changed)));
        assert!(matches!(parse("<bmap"), Err(Error::Xml(_))));
        assert!(matches!(parse("<html/>"), Err(Error::Element("bmap"))));
        assert!(matches!(parse(&text.replace("BmapFile", "X")), Err(Error::Element(_))));
    }
}
