use super::*;
use proptest::prelude::*;

fn header() -> Header {
    Header {
        own: 1,
        alternate: 99,
        first_usable: 34,
        last_usable: 66,
        disk_id: [3; 16],
        entries_at: 2,
        entry_count: 128,
        entries_checksum: crc32fast::hash(&[0; 128 * ENTRY_SIZE]),
    }
}

#[test]
fn header_is_read_as_written() {
    let bytes = header().encode(512);
    assert_eq!(bytes.len(), 512);
    assert_eq!(Header::decode(&bytes, 1), Ok(header()));
}

#[test]
fn any_changed_bit_is_noticed() {
    let bytes = header().encode(512);
    for at in 0..HEADER_SIZE {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Header::decode(&changed, 1).is_err(), "byte {at}");
    }
}

#[test]
fn header_in_the_wrong_block_is_refused() {
    assert_eq!(Header::decode(&header().encode(512), 5), Err(Error::Field("own block", 1)));
    assert_eq!(Header::decode(&[0; 512], 1), Err(Error::NoHeader));
    assert_eq!(Header::decode(&[], 1), Err(Error::NoHeader));
}

#[test]
fn entries_are_checked_whole() {
    let right = [0; 128 * ENTRY_SIZE];
    assert_eq!(header().check_entries(&right), Ok(()));
    assert!(header().check_entries(&right[1..]).is_err());
}

#[test]
fn entry_is_read_with_its_id_in_the_usual_form() {
    let mut bytes = vec![0; 2 * ENTRY_SIZE];
    let entry = &mut bytes[ENTRY_SIZE..];
    entry[..16].fill(1);
    let id: Vec<u8> = (0..16).collect();
    entry[16..32].copy_from_slice(&id);
    entry[32] = 8;
    entry[40] = 9;
    entry[56..60].copy_from_slice(&[b'a', 0, b'b', 0]);
    let expected = Entry {
        index: 1,
        id: "03020100-0504-0706-0809-0a0b0c0d0e0f".into(),
        first: 8,
        last: 9,
        label: "ab".into(),
    };
    assert_eq!(entries(&bytes), [expected]);
}

#[test]
fn last_block_is_set_in_the_right_entry() {
    let mut bytes = vec![1; 2 * ENTRY_SIZE];
    set_last(&mut bytes, 1, 0x1234);
    assert_eq!(entries(&bytes)[1].last, 0x1234);
    let before = bytes.clone();
    set_last(&mut bytes, 2, 5);
    assert_eq!(bytes, before);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600), block: u64) {
        let _ = Header::decode(&bytes, block);
        let _ = entries(&bytes);
    }
}
