//! Appends sections to a PE image, as the EFI stub expects to find them.
//! Must never change a byte of what the image held, beside its headers.
//! Format: https://learn.microsoft.com/windows/win32/debug/pe-format

/// A section to append.
#[derive(Debug, Clone, Copy)]
pub struct Section<'a> {
    /// At most eight ASCII characters.
    pub name: &'a str,
    /// Its bytes.
    pub content: &'a [u8],
}

/// Why a section cannot be appended.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stub is no PE image, or a cut one.
    #[error("the EFI stub is not a PE32+ image: {0}")]
    NotPe(&'static str),
    /// The header has no free place in its section table.
    #[error("the EFI stub's header has no room for the section {0}")]
    NoRoom(String),
    /// The stub is signed, and the signature would not fit the new content.
    #[error("the EFI stub carries a signature; an unsigned one is needed")]
    Signed,
    /// The name does not fit its field.
    #[error("section name {0:?} is longer than eight bytes")]
    Name(String),
    /// The image would exceed the 4 GiB that its fields can express.
    #[error("the image would exceed 4 GiB")]
    TooLarge,
}

const SECTION_HEADER: usize = 40;
/// Initialised data, readable.
const CHARACTERISTICS: u32 = 0x4000_0040;

/// Positions of the header's fields that matter here.
struct Layout {
    section_count: usize,
    size_of_initialized_data: usize,
    size_of_image: usize,
    section_table: usize,
    sections: usize,
    header_end: usize,
    section_alignment: u64,
    file_alignment: u64,
}

/// The image with `sections` behind its own ones, in order.
pub fn append(image: &[u8], sections: &[Section]) -> Result<Vec<u8>, Error> {
    let layout = read_layout(image)?;
    let mut out = image.to_vec();
    let mut address = end_of_sections(image, &layout)?;
    let mut count = layout.sections;
    let mut data = u64::from(u32_at(image, layout.size_of_initialized_data)?);
    for section in sections {
        let at = layout.section_table + count * SECTION_HEADER;
        let free = at + SECTION_HEADER <= layout.header_end
            && out[at..at + SECTION_HEADER].iter().all(|byte| *byte == 0);
        if !free {
            return Err(Error::NoRoom(section.name.to_owned()));
        }
        pad(&mut out, layout.file_alignment);
        let (start, size) = (out.len() as u64, section.content.len() as u64);
        out.extend_from_slice(section.content);
        pad(&mut out, layout.file_alignment);
        let raw_size = out.len() as u64 - start;

        let mut header = [0; SECTION_HEADER];
        let name = section.name.as_bytes();
        let field = header.get_mut(..name.len()).filter(|field| field.len() <= 8);
        field.ok_or_else(|| Error::Name(section.name.to_owned()))?.copy_from_slice(name);
        for (offset, value) in [(8, size), (12, address), (16, raw_size), (20, start)] {
            header[offset..offset + 4].copy_from_slice(&narrow(value)?.to_le_bytes());
        }
        header[36..].copy_from_slice(&CHARACTERISTICS.to_le_bytes());
        out[at..at + SECTION_HEADER].copy_from_slice(&header);

        address = (address + size).next_multiple_of(layout.section_alignment);
        data += raw_size;
        count += 1;
    }
    let count = u16::try_from(count).map_err(|_| Error::TooLarge)?;
    out[layout.section_count..layout.section_count + 2].copy_from_slice(&count.to_le_bytes());
    for (at, value) in [(layout.size_of_image, address), (layout.size_of_initialized_data, data)] {
        out[at..at + 4].copy_from_slice(&narrow(value)?.to_le_bytes());
    }
    Ok(out)
}

fn read_layout(image: &[u8]) -> Result<Layout, Error> {
    if image.get(..2) != Some(b"MZ") {
        return Err(Error::NotPe("no DOS header"));
    }
    let pe = u32_at(image, 0x3c)? as usize;
    if image.get(pe..pe.saturating_add(4)) != Some(b"PE\0\0") {
        return Err(Error::NotPe("no PE header"));
    }
    let optional = pe + 24;
    if u16_at(image, optional)? != 0x20b {
        return Err(Error::NotPe("not 64-bit"));
    }
    // The fifth data directory holds the place of an Authenticode signature.
    let signature = u32_at(image, optional + 112 + 4 * 8 + 4)?;
    if u32_at(image, optional + 108)? > 4 && signature != 0 {
        return Err(Error::Signed);
    }
    let alignment = |at| match u32_at(image, at)? {
        size if size.is_power_of_two() => Ok(u64::from(size)),
        _ => Err(Error::NotPe("an alignment is no power of two")),
    };
    let header_end = u32_at(image, optional + 60)? as usize;
    if header_end > image.len() {
        return Err(Error::NotPe("cut within its headers"));
    }
    Ok(Layout {
        section_count: pe + 6,
        size_of_initialized_data: optional + 8,
        size_of_image: optional + 56,
        section_table: optional + usize::from(u16_at(image, pe + 20)?),
        sections: usize::from(u16_at(image, pe + 6)?),
        header_end,
        section_alignment: alignment(optional + 32)?,
        file_alignment: alignment(optional + 36)?,
    })
}

/// The first free address behind the sections that are there.
fn end_of_sections(image: &[u8], layout: &Layout) -> Result<u64, Error> {
    let mut end = 0;
    for i in 0..layout.sections {
        let at = layout.section_table + i * SECTION_HEADER;
        let (size, address) = (u32_at(image, at + 8)?, u32_at(image, at + 12)?);
        end = end.max(u64::from(address) + u64::from(size));
    }
    Ok(end.next_multiple_of(layout.section_alignment))
}

fn pad(out: &mut Vec<u8>, alignment: u64) {
    let wanted = (out.len() as u64).next_multiple_of(alignment);
    out.resize(wanted as usize, 0);
}

fn narrow(value: u64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::TooLarge)
}

fn u16_at(image: &[u8], at: usize) -> Result<u16, Error> {
    let bytes = image.get(at..at.saturating_add(2)).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u16::from_le_bytes).ok_or(Error::NotPe("cut within its headers"))
}

fn u32_at(image: &[u8], at: usize) -> Result<u32, Error> {
    let bytes = image.get(at..at.saturating_add(4)).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_le_bytes).ok_or(Error::NotPe("cut within its headers"))
}

#[cfg(test)]
pub(super) mod tests {
    use object::read::pe::PeFile64;
    use object::{Object, ObjectSection};
    use proptest::prelude::*;

    use super::*;

    /// The smallest image that a PE reader accepts: headers of 1 KiB and one section.
    pub(in crate::uki) fn stub() -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[..2].copy_from_slice(b"MZ");
        image[0x3c] = 0x80;
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x80, b"PE\0\0");
        put(0x84, &0x8664_u16.to_le_bytes());
        put(0x86, &1_u16.to_le_bytes());
        put(0x94, &240_u16.to_le_bytes());
        put(0x98, &0x20b_u16.to_le_bytes());
        put(0x98 + 32, &0x1000_u32.to_le_bytes());
        put(0x98 + 36, &0x200_u32.to_le_bytes());
        put(0x98 + 56, &0x3000_u32.to_le_bytes());
        put(0x98 + 60, &0x400_u32.to_le_bytes());
        put(0x98 + 108, &16_u32.to_le_bytes());
        put(0x98 + 240, b".text\0\0\0");
        for (offset, value) in [(8, 0x1001_u32), (12, 0x1000), (16, 0x200), (20, 0x400)] {
            put(0x98 + 240 + offset, &value.to_le_bytes());
        }
        image.extend([0xcc; 0x200]);
        image
    }

    fn section<'a>(name: &'a str, content: &'a [u8]) -> Section<'a> {
        Section { name, content }
    }

    #[test]
    fn independent_reader_finds_appended_sections() {
        let image = stub();
        let out = append(&image, &[section(".cmdline", b"quiet"), section(".linux", &[7; 5000])]);
        let out = out.expect("the stub has room");
        let file = PeFile64::parse(&*out).expect("still a PE image");
        let linux = file.section_by_name(".linux").expect("appended");
        assert_eq!(linux.data().expect("in the file")[..5000], [7; 5000]);
        let line = file.section_by_name(".cmdline").expect("appended");
        assert_eq!(&line.data().expect("in the file")[..5], b"quiet");
        assert_eq!(line.address(), 0x3000, "after .text, at the section alignment");
        assert_eq!(linux.address(), 0x4000);
        assert_eq!(out[0x400..0x600], image[0x400..], "what was there is untouched");
        assert_eq!(u32_at(&out, 0x98 + 56), Ok(0x6000), "the image's size covers all sections");
    }

    #[test]
    fn full_header_is_refused() {
        let sections: Vec<Section> = (0..20).map(|_| section(".x", b"y")).collect();
        assert_eq!(append(&stub(), &sections), Err(Error::NoRoom(".x".into())));
    }

    #[test]
    fn signed_stub_is_refused() {
        let mut image = stub();
        image[0x98 + 112 + 36] = 8;
        assert_eq!(append(&image, &[]), Err(Error::Signed));
    }

    #[test]
    fn long_name_is_refused() {
        let error = append(&stub(), &[section(".ninechar", b"")]);
        assert_eq!(error, Err(Error::Name(".ninechar".into())));
    }

    proptest! {
        #[test]
        fn cut_or_damaged_stub_gives_an_error_and_never_a_panic(
            cut in 0_usize..0x600, at in 0_usize..0x400, byte: u8) {
            let mut image = stub();
            image[at] = byte;
            image.truncate(cut);
            let _ = append(&image, &[section(".linux", b"kernel")]);
        }
    }
}
