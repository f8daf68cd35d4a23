//! Plans the partition table: pure arithmetic over the board's sizes.
//! Partition names are what PID 1 looks for; they must never change.

use crate::board::{Architecture, Board};
use crate::budget::MIB;
use crate::digest::Key;

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The EFI system partition.
    Boot,
    /// The first root slot.
    RootA,
    /// The second root slot.
    RootB,
    /// Identity and configuration.
    State,
    /// Everything else; last, so that it can grow.
    Data,
}

/// All partitions, in their order on the disk.
const ROLES: [Role; 5] = [Role::Boot, Role::RootA, Role::RootB, Role::State, Role::Data];

impl Role {
    /// The name in the partition table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
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
    /// Its GUID.
    pub guid: [u8; 16],
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// For the type GUID of the root slots.
    pub architecture: Architecture,
    /// The disk's GUID.
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
}

/// Plans the disk: everything at whole MiB, one MiB at either end for the two tables.
/// `preload` is the size in bytes of files that the data partition brings, `size` the wanted size
/// in MiB of the image. GUIDs follow from the board's name, so that they are the same each time.
pub fn plan(board: &Board, preload: u64, size: Option<u64>) -> Result<Layout, Error> {
    let sizes = &board.partitions;
    // A quarter more than the files: metadata, and room to unpack the first of them.
    let preload = (preload + preload / 4).div_ceil(MIB);
    let smallest = sizes.data + preload;
    let fixed = 1 + sizes.boot + 2 * sizes.root + sizes.state + 1;
    let needed = fixed + smallest;
    let total = size.unwrap_or(needed);
    if total < needed {
        return Err(Error::TooSmall { wanted: total, needed });
    }
    let guid = |what: &str| Key::new("gpt").field("board", &board.name).field("of", what).digest();
    let mut start = MIB;
    let partitions = ROLES.map(|role| {
        let size = MIB
            * match role {
                Role::Boot => sizes.boot,
                Role::RootA | Role::RootB => sizes.root,
                Role::State => sizes.state,
                Role::Data => total - fixed,
            };
        let partition = Partition { role, start, size, guid: guid(role.name()).guid() };
        start += size;
        partition
    });
    Ok(Layout {
        architecture: board.architecture,
        guid: guid("disk").guid(),
        size: total * MIB,
        partitions: partitions.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn board() -> Board {
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        crate::board::read(&boards, "x86-64").expect("the board is valid")
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
