//! Writes the table: fixed rows over one pool of texts, read in place by `holm-api`'s `schema`.
//!
//! All numbers are little-endian. In order: `HOLMAPI1`; how many texts, types, kinds, key lists and
//! fields there are (u16 each); the texts' ends (u32 each) and bytes, sorted; types (name, first
//! field, fields, flags: u16); kinds sorted by group, version and kind (three texts, type: u16); key
//! lists (four texts, 0xffff for none); fields (see `write_field`), sorted by name in their type.

use crate::definitions::{Container, Element, Field, Type};
use crate::{GeneratorError, facts};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

const NONE: u16 = u16::MAX;
/// The first number that names a type; those below are scalars.
const FIRST_TYPE: u16 = 32;

/// The bytes of the table.
pub fn write(types: &[Type]) -> Result<Vec<u8>, GeneratorError> {
    let texts = Texts::collect(types);
    let keys: Vec<&Vec<String>> = types
        .iter()
        .flat_map(|one| &one.fields)
        .map(|field| &field.keys)
        .filter(|keys| !keys.is_empty())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let numbers: BTreeMap<&str, u16> =
        types.iter().zip(FIRST_TYPE..).map(|(one, number)| (one.name.as_str(), number)).collect();
    let mut kinds = Vec::new();
    let mut rows = Vec::new();
    let mut fields = Vec::new();
    let mut count = 0u16;
    for (one, index) in types.iter().zip(0u16..) {
        let mut sorted: Vec<&Field> = one.fields.iter().collect();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        let own = u16::try_from(sorted.len()).map_err(|_| facts(&one.name, "too many fields"))?;
        for number in [texts.number(&one.name), count, own, u16::from(one.atomic)] {
            push(&mut rows, number);
        }
        count += own;
        for field in sorted {
            write_field(field, &texts, &keys, &numbers, &mut fields)
                .map_err(|problem| facts(format!("{}.{}", one.name, field.name), problem))?;
        }
        for kind in &one.kinds {
            kinds.push((kind.each_ref().map(|text| texts.number(text)), index));
        }
    }
    kinds.sort_unstable();
    let mut out = b"HOLMAPI1".to_vec();
    for size in [texts.list.len(), types.len(), kinds.len(), keys.len(), usize::from(count)] {
        push(&mut out, u16::try_from(size).map_err(|_| facts("table", "more than 65535 rows"))?);
    }
    texts.write(&mut out);
    out.extend(rows);
    for (kind, index) in kinds {
        kind.into_iter().chain([index]).for_each(|number| push(&mut out, number));
    }
    for list in keys {
        for at in 0..4 {
            push(&mut out, list.get(at).map_or(NONE, |key| texts.number(key)));
        }
    }
    out.extend(fields);
    Ok(out)
}

/// name u16, element u16, numbers u8 × 3 (own last, 0 where there is none), key list u8 (0xff for
/// none), flags u16, default u16, merge key u16: 14 bytes.
fn write_field(
    field: &Field,
    texts: &Texts<'_>,
    keys: &[&Vec<String>],
    types: &BTreeMap<&str, u16>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    push(out, texts.number(&field.name));
    push(
        out,
        match &field.element {
            Element::Scalar(number) => *number,
            Element::Type(name) => {
                *types.get(name.as_str()).ok_or_else(|| format!("unknown type {name}"))?
            }
        },
    );
    let mut numbers = [0; 3];
    if field.numbers.len() > numbers.len() {
        return Err("more than two structs in line".to_owned());
    }
    numbers[3 - field.numbers.len()..].copy_from_slice(&field.numbers);
    out.extend(numbers);
    if field.keys.len() > 4 {
        return Err("more than four keys".to_owned());
    }
    let list = keys.iter().position(|list| **list == field.keys);
    out.push(match list {
        None => u8::MAX,
        Some(at) => u8::try_from(at).map_err(|_| "more than 255 key lists")?,
    });
    let bits = [field.required, field.pointer, field.omit_empty, field.atomic_map]
        .into_iter()
        .chain([field.patch_merge, field.patch_retain_keys]);
    let container = match field.container {
        Container::Single => 0,
        Container::List => 1,
        Container::Map => 2,
    };
    let flags =
        bits.zip(4..).fold(container | ((field.list_type as u16) << 2), |flags, (on, bit)| {
            flags | (u16::from(on) << bit)
        });
    push(out, flags);
    push(out, field.default.as_ref().map_or(NONE, |text| texts.number(text)));
    push(out, field.merge_key.as_ref().map_or(NONE, |text| texts.number(text)));
    Ok(())
}

fn push(out: &mut Vec<u8>, number: u16) {
    out.extend(number.to_le_bytes());
}

struct Texts<'a> {
    list: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    fn collect(types: &'a [Type]) -> Self {
        let mut texts: BTreeSet<&str> = BTreeSet::new();
        for one in types {
            texts.insert(&one.name);
            texts.extend(one.kinds.iter().flatten().map(String::as_str));
            for field in &one.fields {
                texts.insert(&field.name);
                texts.extend(field.keys.iter().map(String::as_str));
                texts.extend(field.merge_key.as_deref());
                texts.extend(field.default.as_deref());
            }
        }
        Self { list: texts.into_iter().collect() }
    }

    /// The number of a text that was collected.
    fn number(&self, text: &str) -> u16 {
        let at = self.list.binary_search(&text).unwrap_or(usize::MAX);
        u16::try_from(at).unwrap_or(NONE)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut end = 0u32;
        for text in &self.list {
            end += u32::try_from(text.len()).unwrap_or_default();
            out.extend(end.to_le_bytes());
        }
        out.extend(self.list.iter().flat_map(|text| text.as_bytes()));
    }
}

/// The table as it is kept.
pub fn compress(table: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let _ = encoder.write_all(table);
    encoder.finish().unwrap_or_default()
}

/// The table that is kept; `None` when that is none.
pub fn decompress(small: &[u8]) -> Option<Vec<u8>> {
    let mut table = Vec::new();
    ZlibDecoder::new(small).read_to_end(&mut table).ok()?;
    Some(table)
}
