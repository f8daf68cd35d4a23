//! Plans the partition table: pure arithmetic over the board's sizes.
//! Partition names are what PID 1 looks for; they must never change.

use crate::board::{Architecture, Board, BootPath};
use crate::budget::MIB;
use crate::digest::Key;

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The EFI system partition.
    Boot,
    /// Where the firmware of a Raspberry Pi learns which slot to boot.
    Select,
    /// What that firmware loads of the first slot.
    BootA,
    /// The same of the second.
    BootB,
    /// The first root slot.
    RootA,
    /// The second root slot.
    RootB,
    /// Identity and configuration.
    State,
    /// Everything else; last, so that it can grow.
    Data,
}

impl Role {
    /// The partitions that a boot path asks for, in their order on the disk.
    pub fn all(path: BootPath) -> &'static [Self] {
        match path {
            BootPath::Uefi | BootPath::UBoot => {
                &[Self::Boot, Self::RootA, Self::RootB, Self::State, Self::Data]
            }
            BootPath::Rpi => &[
                Self::Select,
                Self::BootA,
                Self::BootB,
                Self::RootA,
                Self::RootB,
                Self::State,
                Self::Data,
            ],
        }
    }

    /// Whether a master boot record has it in its extended partition.
    pub fn is_logical(self) -> bool {
        self.number() > 4
    }

    /// Its number where the table has no names: PID 1 and the updates know it by this.
    pub fn number(self) -> u32 {
        match self {
            Self::Boot | Self::Select => 1,
            Self::BootA => 2,
            Self::BootB => 3,
            Self::RootA => 5,
            Self::RootB => 6,
            Self::State => 7,
            Self::Data => 8,
        }
    }

    /// The name in the partition table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Select => "select",
            Self::BootA => "boot-a",
            Self::BootB => "boot-b",
            Self::RootA => "root-a",
            Self::RootB => "root-b",
            Self::State => "state",
            Self::Data => "data",
        }
    }
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub role: Role,
    /// Where it starts, in bytes.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Its GUID, where the table has such.
    pub guid: [u8; 16],
}

/// The kind of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With names and GUIDs.
    Gpt,
    /// The one that the ROM of a Raspberry Pi reads.
    Mbr,
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What kind.
    pub kind: Kind,
    /// For the type GUID of the root slots.
    pub architecture: Architecture,
    /// The disk's GUID, where the table has such.
    pub guid: [u8; 16],
    /// The disk's size in bytes.
    pub size: u64,
    /// In order of their place.
    pub partitions: Vec<Partition>,
}

impl Layout {
    /// Gives the disk and its partitions GUIDs of their own: `name` is what they are made of,
    /// beside what they were made of before.
    pub fn set_apart(&mut self, name: &str) {
        let other = |guid: &[u8; 16]| Key::new("gpt/apart").field("of", guid).field("name", name);
        self.guid = other(&self.guid).digest().guid();
        for partition in &mut self.partitions {
            partition.guid = other(&partition.guid).digest().guid();
        }
    }

    /// The partition for a role.
    pub fn partition(&self, role: Role) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.role == role)
    }
}

/// Why there is no layout.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The wanted image is smaller than what it has to hold.
    #[error("--size {wanted} MiB is too small; this image needs {needed} MiB")]
    TooSmall {
        /// Asked for, in MiB.
        wanted: u64,
        /// Needed, in MiB.
        needed: u64,
    },
    /// The table cannot say where so large a disk ends.
    #[error("{wanted} MiB are too much: this board's partition table ends at {} MiB", MBR_END / MIB)]
    TooLarge {
        /// Asked for, in MiB.
        wanted: u64,
    },
}

/// The end of what 32 bits of sectors reach.
const MBR_END: u64 = (1 << 32) * 512;

/// The room before a logical partition, for the record that says where it is.
pub const GAP: u64 = MIB;

/// Plans the disk: everything at whole MiB, the first of which is the table's.
/// `preload` is the size in bytes of files that the data partition brings, `size` the wanted size
/// in MiB of the image. GUIDs follow from the board's name, so that they are the same each time.
pub fn plan(board: &Board, preload: u64, size: Option<u64>) -> Result<Layout, Error> {
    let sizes = &board.partitions;
    // A quarter more than the files: metadata, and room to unpack the first of them.
    let preload = (preload + preload / 4).div_ceil(MIB);
    let smallest = sizes.data + preload;
    let kind = match board.boot.path {
        BootPath::Uefi | BootPath::UBoot => Kind::Gpt,
        BootPath::Rpi => Kind::Mbr,
    };
    let roles = Role::all(board.boot.path);
    let mib = |role: Role| match role {
        Role::Select => sizes.select,
        Role::Boot | Role::BootA | Role::BootB => sizes.boot,
        Role::RootA | Role::RootB => sizes.root,
        Role::State => sizes.state,
        Role::Data => 0,
    };
    let gap = |role: Role| if kind == Kind::Mbr && role.is_logical() { GAP / MIB } else { 0 };
    // At the end the second copy of a GPT.
    let tail = u64::from(kind == Kind::Gpt);
    let fixed = 1 + roles.iter().map(|role| gap(*role) + mib(*role)).sum::<u64>() + tail;
    let needed = fixed + smallest;
    let total = size.unwrap_or(needed);
    if total < needed {
        return Err(Error::TooSmall { wanted: total, needed });
    }
    if kind == Kind::Mbr && total > MBR_END / MIB {
        return Err(Error::TooLarge { wanted: total });
    }
    let guid = |what: &str| Key::new("gpt").field("board", &board.name).field("of", what).digest();
    let mut start = MIB;
    let mut partitions = Vec::new();
    for role in roles.iter().copied() {
        let size = MIB * if role == Role::Data { total - fixed } else { mib(role) };
        start += gap(role) * MIB;
        partitions.push(Partition { role, start, size, guid: guid(role.name()).guid() });
        start += size;
    }
    Ok(Layout {
        kind,
        architecture: board.architecture,
        guid: guid("disk").guid(),
        size: total * MIB,
        partitions,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn board() -> Board {
        named("x86-64")
    }

    fn named(name: &str) -> Board {
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        crate::board::read(&boards, name).expect("the board is valid")
    }

    #[test]
    fn raspberry_pi_has_its_partitions_in_the_numbers_that_firmware_and_init_know() {
        let layout = plan(&named("rpi"), 0, None).expect("planned");
        let names: Vec<_> = layout.partitions.iter().map(|p| p.role.name()).collect();
        assert_eq!(names, ["select", "boot-a", "boot-b", "root-a", "root-b", "state", "data"]);
        let numbers: Vec<_> = layout.partitions.iter().map(|p| p.role.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 5, 6, 7, 8]);
        let data = layout.partition(Role::Data).expect("planned");
        assert_eq!(data.start + data.size, layout.size, "no second table takes the end");
        let error = plan(&named("rpi"), 0, Some(3 << 20)).expect_err("3 TiB");
        assert!(error.to_string().contains("ends at 2097152 MiB"), "{error}");
    }

    #[test]
    fn slots_have_the_size_of_their_budget_and_data_is_last() {
        let layout = plan(&board(), 0, None).expect("planned");
        let names: Vec<_> = layout.partitions.iter().map(|p| p.role.name()).collect();
        assert_eq!(names, ["boot", "root-a", "root-b", "state", "data"]);
        for role in [Role::RootA, Role::RootB] {
            assert_eq!(layout.partition(role).map(|p| p.size), Some(64 * MIB));
        }
    }

    #[test]
    fn larger_image_gives_all_that_is_more_to_data() {
        let small = plan(&board(), 0, None).expect("planned");
        let large = plan(&board(), 0, Some(small.size / MIB + 100)).expect("planned");
        let data = |layout: &Layout| layout.partition(Role::Data).map_or(0, |p| p.size);
        assert_eq!(data(&large), data(&small) + 100 * MIB);
    }

    #[test]
    fn image_too_small_for_its_contents_is_refused_with_the_size_it_needs() {
        let needed = plan(&board(), 300 * MIB, None).expect("planned").size / MIB;
        let error = plan(&board(), 300 * MIB, Some(needed - 1));
        assert_eq!(error, Err(Error::TooSmall { wanted: needed - 1, needed }));
    }

    #[test]
    fn layout_set_apart_shares_no_guid_and_is_the_same_each_time() {
        let plain = plan(&board(), 0, None).expect("planned");
        let (mut one, mut two) = (plain.clone(), plain.clone());
        one.set_apart("installer");
        two.set_apart("installer");
        assert_eq!(one, two);
        let guids = |layout: &Layout| {
            let parts = layout.partitions.iter().map(|partition| partition.guid);
            parts.chain([layout.guid]).collect::<std::collections::BTreeSet<_>>()
        };
        assert!(guids(&one).is_disjoint(&guids(&plain)));
        assert_eq!(guids(&one).len(), 6);
    }

    proptest! {
        #[test]
        fn partitions_touch_but_never_overlap(preload in 0..1_u64 << 40, more in 0_u64..4096) {
            let board = board();
            let smallest = plan(&board, preload, None).expect("planned").size / MIB;
            let layout = plan(&board, preload, Some(smallest + more)).expect("planned");
            let mut end = MIB;
            for partition in &layout.partitions {
                prop_assert_eq!(partition.start, end);
                prop_assert_eq!(partition.size % MIB, 0);
                end += partition.size;
            }
            prop_assert_eq!(end + MIB, layout.size, "the second table has its place");
            prop_assert!(layout.partition(Role::Data).is_some_and(|data| data.size > preload));
        }
    }
}
