//! The boot script in a real U-Boot, Debian's for QEMU, with real files on a FAT disk: which slot
//! it boots and what it writes is what the agent's model of it says. Needs the packages
//! `u-boot-qemu` and `qemu-system-arm`, so it is not among the unit tests.

mod machine;

use holm_update::Slot;
use holm_update::state_files::{self, State, Trial};

use machine::{Card, Slots};

const SIZE: usize = state_files::SIZE;

fn state(seq: u8, slot: Slot, trial: Option<(Slot, u8)>) -> [u8; SIZE] {
    let trial = trial.map(|(slot, tries)| Trial { slot, tries });
    let sequence = (0..seq).fold(state_files::Sequence::FIRST, |seq, _| seq.next());
    State { sequence, slot, trial }.encode()
}

/// What the model says of one boot: the slot, and both files after it.
fn model(files: [[u8; SIZE]; 2]) -> (Slot, [[u8; SIZE]; 2]) {
    let Some((index, state)) = state_files::current([&files[0], &files[1]]) else {
        return (Slot::A, files);
    };
    let boot = state.boot();
    let mut after = files;
    if let Some(written) = boot.writes {
        after[1 - index] = written.encode();
    }
    (boot.slot, after)
}

/// The same state, whatever the order of keys that U-Boot writes.
fn meaning(files: [[u8; SIZE]; 2]) -> [Result<State, state_files::InvalidState>; 2] {
    files.map(|bytes| State::decode(&bytes))
}

#[test]
#[ignore = "boots U-Boot in QEMU"]
fn uboot_boots_what_the_model_says_and_writes_the_same() {
    use Slot::{A, B};
    let broken = {
        let mut bytes = state(5, B, None);
        bytes[20] ^= 1;
        bytes
    };
    let cases = [
        ("new image", [state(0, A, None), state(0, A, None)]),
        ("second file is newer", [state(1, A, None), state(2, B, None)]),
        ("first file is newer", [state(2, B, None), state(1, A, None)]),
        ("numbers begin again", [state(9, A, None), state(0, B, None)]),
        ("numbers do not follow", [state(3, A, None), state(5, B, None)]),
        ("trial with three tries", [state(3, A, Some((B, 3))), state(2, A, None)]),
        ("trial in the second file", [state(8, B, None), state(9, B, Some((A, 1)))]),
        ("trial without tries", [state(3, A, Some((B, 0))), state(2, A, Some((B, 1)))]),
        ("trial of the committed slot", [state(3, B, Some((B, 3))), state(2, B, None)]),
        ("torn second file", [state(4, A, Some((B, 2))), broken]),
        ("torn first file", [broken, state(4, B, None)]),
        ("both broken", [broken, [0xff; SIZE]]),
    ];
    for (what, files) in cases {
        let card = Card::new(&files, Slots::Both);
        let (booted, written) = (card.boot(), card.state_files());
        let (slot, after) = model(files);
        assert_eq!(booted.first().copied(), Some(slot), "{what}");
        assert_eq!(meaning(written), meaning(after), "{what}");
    }
}

#[test]
#[ignore = "boots U-Boot in QEMU"]
fn slot_that_cannot_be_loaded_gives_way_to_the_other() {
    let trial = [state(3, Slot::A, Some((Slot::B, 3))), state(2, Slot::A, None)];
    let card = Card::new(&trial, Slots::Only(Slot::A));
    assert_eq!(card.boot(), [Slot::A], "the committed slot instead of a trial that is not there");
    let committed = [state(1, Slot::A, None), state(0, Slot::A, None)];
    let card = Card::new(&committed, Slots::Only(Slot::B));
    assert_eq!(card.boot(), [Slot::B], "what is left when the committed slot is not there");
    assert_eq!(meaning(card.state_files()), meaning(committed));
}

#[test]
#[ignore = "boots U-Boot in QEMU"]
fn trial_gets_its_tries_and_no_more() {
    let card = Card::new(&[state(0, Slot::A, Some((Slot::B, 2))), [0; SIZE]], Slots::Both);
    let boots = || card.boot()[0];
    assert_eq!([boots(), boots(), boots()], [Slot::B, Slot::B, Slot::A]);
}
