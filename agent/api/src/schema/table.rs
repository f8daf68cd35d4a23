//! The embedded table, read in place. `agent/api/generator` writes it and documents its form.

use crate::Gvk;
use flate2::read::ZlibDecoder;
use std::io::Read;
use std::sync::LazyLock;

static COMPRESSED: &[u8] = include_bytes!("table.bin");
static TABLE: LazyLock<Table> = LazyLock::new(Table::open);

const NONE: u16 = u16::MAX;
const FIRST_TYPE: u16 = 32;
const TYPE_ROW: usize = 8;
const KIND_ROW: usize = 8;
const KEYS_ROW: usize = 8;
const FIELD_ROW: usize = 14;

/// The table without compression: one text, and rows of numbers.
struct Table {
    texts: String,
    ends: Vec<u8>,
    types: Vec<u8>,
    kinds: Vec<u8>,
    keys: Vec<u8>,
    fields: Vec<u8>,
}

impl Table {
    /// The table is part of the program and a test reads all of it; were it damaged nonetheless, it
    /// would be empty, and no kind known.
    fn open() -> Self {
        let mut bytes = Vec::new();
        let read = ZlibDecoder::new(COMPRESSED).read_to_end(&mut bytes);
        debug_assert!(read.is_ok());
        Self::split(&bytes).unwrap_or_else(|| Self {
            texts: String::new(),
            ends: vec![],
            types: vec![],
            kinds: vec![],
            keys: vec![],
            fields: vec![],
        })
    }

    fn split(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"HOLMAPI1")?;
        let (sizes, rest) = rest.split_at_checked(10)?;
        let size = |at: usize| usize::from(u16_at(sizes, at * 2));
        let (ends, rest) = rest.split_at_checked(size(0) * 4)?;
        let length = ends.last_chunk::<4>().map_or(0, |end| u32::from_le_bytes(*end));
        let (texts, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let (types, rest) = rest.split_at_checked(size(1) * TYPE_ROW)?;
        let (kinds, rest) = rest.split_at_checked(size(2) * KIND_ROW)?;
        let (keys, rest) = rest.split_at_checked(size(3) * KEYS_ROW)?;
        let (fields, rest) = rest.split_at_checked(size(4) * FIELD_ROW)?;
        rest.is_empty().then_some(())?;
        Some(Self {
            texts: std::str::from_utf8(texts).ok()?.to_owned(),
            ends: ends.to_vec(),
            types: types.to_vec(),
            kinds: kinds.to_vec(),
            keys: keys.to_vec(),
            fields: fields.to_vec(),
        })
    }

    fn text(&self, number: u16) -> &str {
        let end = |at: usize| {
            let bytes = self.ends.get(at * 4..at * 4 + 4).and_then(|end| end.first_chunk::<4>());
            bytes.map_or(0, |end| u32::from_le_bytes(*end) as usize)
        };
        let at = usize::from(number);
        let start = if at == 0 { 0 } else { end(at - 1) };
        self.texts.get(start..end(at)).unwrap_or_default()
    }

    fn find_text(&self, text: &str) -> Option<u16> {
        let count = u16::try_from(self.ends.len() / 4).ok()?;
        search(count, |at| self.text(at).cmp(text))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .and_then(|two| two.first_chunk())
        .map_or(NONE, |two| u16::from_le_bytes(*two))
}

/// Binary search over `count` rows.
fn search(count: u16, compare: impl Fn(u16) -> std::cmp::Ordering) -> Option<u16> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match compare(middle) {
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

fn text(number: u16) -> &'static str {
    TABLE.text(number)
}

fn optional_text(number: u16) -> Option<&'static str> {
    (number != NONE).then(|| text(number))
}

/// The table's own copy of a name, which lives as long as the program.
pub fn known_name(name: &str) -> Option<&'static str> {
    // Longer names are those of types, which objects do not have as members.
    if name.len() > 64 {
        return None;
    }
    TABLE.find_text(name).map(text)
}

/// A type of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(u16);

/// Every type, in the order of their names.
pub fn all_types() -> impl Iterator<Item = TypeId> {
    (0..TABLE.types.len() / TYPE_ROW).filter_map(|at| u16::try_from(at).ok()).map(TypeId)
}

impl TypeId {
    fn number(self, column: usize) -> u16 {
        u16_at(&TABLE.types, usize::from(self.0) * TYPE_ROW + column * 2)
    }

    /// The type of a kind.
    pub fn of_kind(gvk: &Gvk) -> Option<Self> {
        let wanted = (&*gvk.group, &*gvk.version, &*gvk.kind);
        let count = u16::try_from(TABLE.kinds.len() / KIND_ROW).ok()?;
        let row =
            |at: u16, column: usize| u16_at(&TABLE.kinds, usize::from(at) * KIND_ROW + column * 2);
        search(count, |at| (text(row(at, 0)), text(row(at, 1)), text(row(at, 2))).cmp(&wanted))
            .map(|at| Self(row(at, 3)))
    }

    /// The type with this full name, such as `io.k8s.api.core.v1.Pod`.
    pub fn of_name(name: &str) -> Option<Self> {
        let count = u16::try_from(TABLE.types.len() / TYPE_ROW).ok()?;
        search(count, |at| Self(at).name().cmp(name)).map(Self)
    }

    /// Group, version and kind of each kind that this type is.
    pub fn kinds(self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        TABLE
            .kinds
            .chunks_exact(KIND_ROW)
            .filter(move |row| u16_at(row, 6) == self.0)
            .map(|row| (text(u16_at(row, 0)), text(u16_at(row, 2)), text(u16_at(row, 4))))
    }

    /// The full name.
    pub fn name(self) -> &'static str {
        text(self.number(0))
    }

    /// The last part of the name, which is the Go type's.
    pub fn short_name(self) -> &'static str {
        self.name().rsplit('.').next().unwrap_or_default()
    }

    /// Whether writers own a value of this type as a whole.
    pub fn is_atomic(self) -> bool {
        self.number(3) & 1 != 0
    }

    /// The fields, in the order of their names.
    pub fn fields(self) -> impl ExactSizeIterator<Item = FieldId> {
        let first = self.number(1);
        (first..first + self.number(2)).map(FieldId)
    }

    /// The field with this name.
    pub fn field(self, name: &str) -> Option<FieldId> {
        let first = self.number(1);
        search(self.number(2), |at| FieldId(first + at).name().cmp(name))
            .map(|at| FieldId(first + at))
    }
}

/// What holds a field's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// The element itself.
    Single,
    /// A list of elements.
    List,
    /// A map from texts to elements.
    Map,
}

/// What an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// One of the shapes that need no row.
    Scalar(u16),
    /// A type with fields.
    Type(TypeId),
}

/// A field of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldId(u16);

impl FieldId {
    fn row(self) -> &'static [u8] {
        let start = usize::from(self.0) * FIELD_ROW;
        TABLE.fields.get(start..start + FIELD_ROW).unwrap_or(&[])
    }

    fn flags(self) -> u16 {
        u16_at(self.row(), 8)
    }

    fn flag(self, bit: u16) -> bool {
        self.flags() & (1 << bit) != 0
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        text(u16_at(self.row(), 0))
    }

    /// What an element is.
    pub fn element(self) -> Element {
        match u16_at(self.row(), 2) {
            number @ FIRST_TYPE.. => Element::Type(TypeId(number - FIRST_TYPE)),
            number => Element::Scalar(number),
        }
    }

    /// What holds the elements.
    pub fn container(self) -> Container {
        match self.flags() & 3 {
            0 => Container::Single,
            1 => Container::List,
            _ => Container::Map,
        }
    }

    /// Numbers in protobuf, outermost first: those of the structs that stand in line around the
    /// field (0 where there is none), then its own (0 when protobuf does not have it).
    pub fn numbers(self) -> [u8; 3] {
        self.row().get(4..7).and_then(|three| three.first_chunk()).copied().unwrap_or_default()
    }

    /// The list type: 0 unsaid, 1 atomic, 2 set, 3 map.
    pub fn list_type(self) -> u16 {
        (self.flags() >> 2) & 3
    }

    /// Whether a document must have it, as the published schema says.
    pub fn is_required(self) -> bool {
        self.flag(4)
    }

    /// Whether absent and zero differ.
    pub fn is_pointer(self) -> bool {
        self.flag(5)
    }

    /// Whether Go leaves the zero value out of JSON.
    pub fn omits_empty(self) -> bool {
        self.flag(6)
    }

    /// Whether writers own the map as a whole.
    pub fn is_atomic_map(self) -> bool {
        self.flag(7)
    }

    /// Whether a strategic merge patch merges the list.
    pub fn patch_merges(self) -> bool {
        self.flag(8)
    }

    /// Whether a strategic merge patch may drop members that it does not name.
    pub fn patch_retains_keys(self) -> bool {
        self.flag(9)
    }

    /// The fields that tell a list's elements apart.
    pub fn keys(self) -> impl Iterator<Item = &'static str> {
        let list = self.row().get(7).copied().filter(|list| *list != u8::MAX);
        let row = list.map_or(&[][..], |list| {
            let start = usize::from(list) * KEYS_ROW;
            TABLE.keys.get(start..start + KEYS_ROW).unwrap_or(&[])
        });
        row.chunks_exact(2).filter_map(|key| optional_text(u16_at(key, 0)))
    }

    /// The published default, as JSON.
    pub fn default_json(self) -> Option<&'static str> {
        optional_text(u16_at(self.row(), 10))
    }

    /// The field by which a strategic merge patch tells elements apart.
    pub fn merge_key(self) -> Option<&'static str> {
        optional_text(u16_at(self.row(), 12))
    }
}
