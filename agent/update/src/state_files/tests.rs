//! What a torn write, a lost file and a boot do to the two state files.

use proptest::prelude::*;

use super::*;

fn every_trial() -> Vec<Option<Trial>> {
    let mut all = vec![None];
    for slot in [Slot::A, Slot::B] {
        all.extend((0..=MOST_TRIES).map(|tries| Some(Trial { slot, tries })));
    }
    all
}

fn every_state() -> Vec<State> {
    let mut all = Vec::new();
    for sequence in (0..10).map(Sequence) {
        for slot in [Slot::A, Slot::B] {
            let of = |trial| State { sequence, slot, trial };
            all.extend(every_trial().into_iter().map(of));
        }
    }
    all
}

/// A file as U-Boot's `env export -c -s 200` writes it, of these keys.
fn file(text: &[u8]) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    bytes[4..4 + text.len()].copy_from_slice(text);
    let checksum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn every_state_survives_its_file() {
    for state in every_state() {
        assert_eq!(State::decode(&state.encode()), Ok(state), "{state:?}");
    }
}

#[test]
fn file_is_an_environment_of_uboot() {
    let state = State {
        sequence: Sequence(7),
        slot: Slot::A,
        trial: Some(Trial { slot: Slot::B, tries: 3 }),
    };
    let bytes = state.encode();
    assert_eq!(bytes, file(b"seq=7\0slot=a\0trial=b\0tries=3\0"));
    // What Python's zlib.crc32 says of the 508 bytes.
    assert_eq!(bytes[..4], CHECKSUM_OF_EXAMPLE.to_le_bytes());
}

const CHECKSUM_OF_EXAMPLE: u32 = 0x154770ba;

#[test]
fn uboot_may_sort_keys_leave_empty_ones_out_and_add_others() {
    let without_trial = State { sequence: Sequence(2), slot: Slot::B, trial: None };
    for text in [
        &b"seq=2\0slot=b\0"[..],
        b"slot=b\0seq=2\0",
        b"slot=b\0tries=4\0seq=2\0",
        b"slot=b\0trial=\0tries=\0seq=2\0",
        b"board=nano\0slot=a\0slot=b\0seq=2\0",
        b"seq=2\0slot=b\0trial=c\0tries=1\0",
        b"seq=2\0slot=b\0trial=a\0tries=10\0",
        b"seq=2\0slot=b\0trial=a\0",
        b"seq=2\0slot=b\0\xff\xfe=1\0",
        // What follows the empty entry does not count.
        b"seq=2\0slot=b\0\0trial=a\0tries=1\0",
    ] {
        let shown = String::from_utf8_lossy(text);
        assert_eq!(State::decode(&file(text)), Ok(without_trial), "{shown:?}");
    }
}

#[test]
fn unusable_file_says_why() {
    for (bytes, why) in [
        (vec![], "has 0 bytes instead of 512"),
        (State::INITIAL.encode()[..511].to_vec(), "has 511 bytes instead of 512"),
        (vec![0; 4096], "has 4096 bytes instead of 512"),
        (vec![0; SIZE], "does not match its checksum"),
        (vec![0xff; SIZE], "does not match its checksum"),
        (file(b"").to_vec(), "has no usable value for 'seq'"),
        (file(b"seq=10\0slot=a\0").to_vec(), "has no usable value for 'seq'"),
        (file(b"seq=1\0").to_vec(), "has no usable value for 'slot'"),
        (file(b"seq=1\0slot=A\0").to_vec(), "has no usable value for 'slot'"),
    ] {
        assert_eq!(State::decode(&bytes).unwrap_err().to_string(), why);
    }
}

#[test]
fn newer_file_counts_also_where_numbers_begin_again() {
    for older in (0..10).map(Sequence) {
        let of = |sequence, slot| State { sequence, slot, trial: None };
        let (old, new) = (of(older, Slot::A), of(older.next(), Slot::B));
        assert_eq!(current([&old.encode(), &new.encode()]), Some((1, new)));
        assert_eq!(current([&new.encode(), &old.encode()]), Some((0, new)));
    }
}

#[test]
fn first_file_counts_where_numbers_do_not_follow() {
    let of = |number, slot| State { sequence: Sequence(number), slot, trial: None }.encode();
    for (first, second) in [(0, 0), (3, 5), (5, 3), (9, 9)] {
        let found = current([&of(first, Slot::A), &of(second, Slot::B)]);
        assert_eq!(found.map(|(index, state)| (index, state.slot)), Some((0, Slot::A)));
    }
}

#[test]
fn image_without_a_valid_file_can_still_be_written() {
    let trial = Some(Trial { slot: Slot::B, tries: 3 });
    let (index, bytes) = write([&[], &[0; SIZE]], Slot::A, trial);
    assert_eq!(index, 0);
    assert_eq!(current([&bytes, &[0; SIZE]]).map(|(_, state)| state.trial), Some(trial));
}

#[test]
fn committed_slot_is_never_counted_down() {
    for state in every_state() {
        let boot = state.boot();
        match boot.writes {
            None => assert_eq!(boot.slot, state.slot, "{state:?}"),
            Some(written) => {
                assert_ne!(boot.slot, state.slot, "{state:?}");
                assert_eq!(written.slot, state.slot, "{state:?}");
            }
        }
    }
}

#[test]
fn trial_ends_in_the_committed_slot_after_its_tries() {
    let start = State { trial: Some(Trial { slot: Slot::B, tries: 3 }), ..State::INITIAL };
    let mut files = [start.encode(), State::INITIAL.encode()];
    let mut booted = Vec::new();
    for _ in 0..5 {
        let (index, state) = current([&files[0], &files[1]]).unwrap();
        let boot = state.boot();
        if let Some(written) = boot.writes {
            files[1 - index] = written.encode();
        }
        booted.push(boot.slot);
    }
    assert_eq!(booted, [Slot::B, Slot::B, Slot::B, Slot::A, Slot::A]);
}

#[test]
fn new_image_boots_slot_a_and_writes_nothing() {
    let bytes = State::INITIAL.encode();
    let (index, state) = current([&bytes, &bytes]).unwrap();
    assert_eq!((index, state), (0, State::INITIAL));
    assert_eq!(state.boot(), Boot { slot: Slot::A, writes: None });
}

/// Every write from every state, cut after every byte: either the old state counts or the new one.
#[test]
fn write_cut_at_any_byte_leaves_the_old_state_or_the_new() {
    for state in every_state() {
        // What the other file holds: the state before, or what an earlier cut left of it.
        let before = State { sequence: Sequence((state.sequence.0 + 9) % 10), ..state };
        for stale in [before.encode(), [0xff; SIZE]] {
            for current_index in [0, 1] {
                let mut files = [stale, stale];
                files[current_index] = state.encode();
                assert_eq!(current([&files[0], &files[1]]), Some((current_index, state)));
                let wanted = Some(Trial { slot: Slot::B, tries: 3 });
                let (index, bytes) = write([&files[0], &files[1]], Slot::A, wanted);
                assert_eq!(index, 1 - current_index);
                // Past the text both are NUL or 0xff alike: a cut there differs in nothing else.
                for cut in (0..=64).chain([200, 511, 512]) {
                    let mut torn = files;
                    torn[index][..cut].copy_from_slice(&bytes[..cut]);
                    let (_, found) = current([&torn[0], &torn[1]]).unwrap();
                    let is_new = found.slot == Slot::A && found.trial == wanted;
                    assert!(found == state || is_new, "cut at {cut}: {state:?} became {found:?}");
                    if cut == SIZE {
                        assert!(is_new, "{state:?}");
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = State::decode(&bytes);
        let _ = current([&bytes, &bytes]);
    }

    #[test]
    fn any_text_with_a_right_checksum_is_read_without_a_panic(
        text in prop::collection::vec(prop_oneof![Just(0u8), Just(b'='), any::<u8>()], 0..508)
    ) {
        let _ = State::decode(&file(&text));
    }

    #[test]
    fn one_changed_bit_is_noticed(byte in 0..SIZE, bit in 0..8u8) {
        let mut bytes = State::INITIAL.encode();
        bytes[byte] ^= 1 << bit;
        prop_assert_eq!(State::decode(&bytes), Err(InvalidState::Checksum));
    }
}
