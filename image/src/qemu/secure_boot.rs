//! Enrols the owner's keys into a copy of OVMF's empty variable store: Secure Boot is on from the
//! machine's first start. Must never change a variable that is there.
//! Format: MdeModulePkg/Include/Guid/VariableFormat.h of EDK II.

use crate::keys::{ATTRIBUTES, EfiTime, GLOBAL, SECURITY_DATABASE};

/// Why keys cannot be put into a variable store.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file is no variable store with authenticated variables.
    #[error("this is no UEFI variable store: {0}")]
    Format(&'static str),
    /// No room is left.
    #[error("the UEFI variable store is full")]
    Full,
    /// A key is there already.
    #[error("the UEFI variable store holds keys already")]
    Enrolled,
}

/// The vendor of authenticated variable stores.
const AUTHENTICATED: [u8; 16] = [
    0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92,
];
/// The vendor of the switch that turns Secure Boot on.
const SECURE_BOOT_SWITCH: [u8; 16] = [
    0xf0, 0xa3, 0x0b, 0xf0, 0x97, 0x4f, 0xc4, 0x4e, 0x8c, 0x32, 0x93, 0x45, 0x9f, 0x54, 0xf0, 0x14,
];
/// `gEfiCustomModeEnableGuid`: standard mode, in which PK rules.
const HEADER: usize = 60;
const START: u16 = 0x55aa;
const ADDED: u8 = 0x3f;

struct Variable<'a> {
    name: &'a str,
    vendor: [u8; 16],
    attributes: u32,
    time: [u8; 16],
    data: &'a [u8],
}

/// The store with PK, KEK and db, each an `EFI_SIGNATURE_LIST`, and Secure Boot turned on.
pub fn enrol(store: &[u8], [pk, kek, db]: [&[u8]; 3]) -> Result<Vec<u8>, Error> {
    let mut store = store.to_vec();
    let (start, end) = area(&store)?;
    let mut at = free(&store, start, end)?;
    let time = EfiTime::at(0).bytes();
    let key = |name, vendor, data| Variable { name, vendor, attributes: ATTRIBUTES, time, data };
    let on = Variable {
        name: "SecureBootEnable",
        vendor: SECURE_BOOT_SWITCH,
        attributes: 3,
        time: [0; 16],
        data: &[1],
    };
    // PK last, as it ends setup mode.
    for variable in
        [on, key("db", SECURITY_DATABASE, db), key("KEK", GLOBAL, kek), key("PK", GLOBAL, pk)]
    {
        let bytes = variable.bytes();
        let room = store.get_mut(at..at + bytes.len()).filter(|_| at + bytes.len() <= end);
        room.ok_or(Error::Full)?.copy_from_slice(&bytes);
        at = (at + bytes.len()).next_multiple_of(4);
    }
    Ok(store)
}

impl Variable<'_> {
    fn bytes(&self) -> Vec<u8> {
        let name: Vec<u8> =
            self.name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let mut bytes = START.to_le_bytes().to_vec();
        bytes.extend([ADDED, 0]);
        bytes.extend(self.attributes.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(self.time);
        bytes.extend([0; 4]);
        for size in [name.len(), self.data.len()] {
            bytes.extend((size as u32).to_le_bytes());
        }
        bytes.extend(self.vendor);
        bytes.extend(name);
        bytes.extend(self.data);
        bytes
    }
}

/// Where the variables start and must end.
fn area(store: &[u8]) -> Result<(usize, usize), Error> {
    if store.get(40..44) != Some(b"_FVH") {
        return Err(Error::Format("no firmware volume"));
    }
    let header = usize::from(u16_at(store, 48)?);
    if store.get(header..header + 16) != Some(&AUTHENTICATED) {
        return Err(Error::Format("its variables are not authenticated"));
    }
    let size = u32_at(store, header + 16)? as usize;
    let end = header.saturating_add(size);
    if size < 28 || end > store.len() {
        return Err(Error::Format("its size is wrong"));
    }
    Ok((header + 28, end))
}

/// The first free place behind the variables that are there.
fn free(store: &[u8], start: usize, end: usize) -> Result<usize, Error> {
    let mut at = start;
    while at + HEADER <= end && u16_at(store, at)? == START {
        let (name, data) = (u32_at(store, at + 36)? as usize, u32_at(store, at + 40)? as usize);
        let is_there = store[at + 2] == ADDED;
        let name_at = at + HEADER;
        if is_there && store.get(name_at..name_at + 6) == Some(b"P\0K\0\0\0") {
            return Err(Error::Enrolled);
        }
        at = name_at.saturating_add(name).saturating_add(data).next_multiple_of(4);
    }
    if at > end { Err(Error::Format("a variable is cut")) } else { Ok(at) }
}

fn u16_at(store: &[u8], at: usize) -> Result<u16, Error> {
    let bytes = store.get(at..at.saturating_add(2)).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u16::from_le_bytes).ok_or(Error::Format("it is cut"))
}

fn u32_at(store: &[u8], at: usize) -> Result<u32, Error> {
    let bytes = store.get(at..at.saturating_add(4)).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_le_bytes).ok_or(Error::Format("it is cut"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn empty(size: u32) -> Vec<u8> {
        let mut store = vec![0; 72];
        store[40..44].copy_from_slice(b"_FVH");
        store[48] = 72;
        store.extend(AUTHENTICATED);
        store.extend(size.to_le_bytes());
        store.extend([0x5a, 0xfe, 0, 0, 0, 0, 0, 0]);
        store.resize(72 + size as usize + 512, 0xff);
        store
    }

    const KEYS: [&[u8]; 3] = [b"platform", b"exchange!", b"database"];

    #[test]
    fn keys_and_the_switch_follow_each_other_aligned() {
        let store = enrol(&empty(4096), KEYS).expect("there is room");
        let names: Vec<String> = {
            let mut at = 100;
            let mut names = Vec::new();
            while u16_at(&store, at) == Ok(START) {
                assert_eq!(at % 4, 0);
                let (name, data) = (
                    u32_at(&store, at + 36).expect("in the store") as usize,
                    u32_at(&store, at + 40).expect("in the store") as usize,
                );
                let text = store[at + 60..at + 60 + name].iter().step_by(2).copied();
                names.push(String::from_utf8(text.collect()).expect("ASCII"));
                at = (at + 60 + name + data).next_multiple_of(4);
            }
            names
        };
        assert_eq!(names, ["SecureBootEnable\0", "db\0", "KEK\0", "PK\0"]);
    }

    #[test]
    fn store_with_keys_is_refused() {
        let store = enrol(&empty(4096), KEYS).expect("there is room");
        assert_eq!(enrol(&store, KEYS), Err(Error::Enrolled));
    }

    #[test]
    fn full_store_is_refused() {
        assert_eq!(enrol(&empty(200), KEYS), Err(Error::Full));
    }

    proptest! {
        #[test]
        fn damaged_store_gives_an_error_and_never_a_panic(at in 0_usize..300, byte: u8, cut in 0_usize..4700) {
            let mut store = enrol(&empty(4096), KEYS).expect("there is room");
            store[at] = byte;
            store.truncate(cut);
            let _ = enrol(&store, KEYS);
        }
    }
}
