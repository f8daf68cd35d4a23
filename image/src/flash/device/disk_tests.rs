//! Machines as the kernel describes them, and what must be read out of that.

use proptest::prelude::*;

use super::*;

/// A block device from `name path key=value …`, a value with `_` for blanks.
fn block(line: &str) -> (String, Block) {
    let mut words = line.split(' ');
    let name = words.next().expect("a name").to_owned();
    let mut block = Block { path: words.next().expect("a path").to_owned(), ..Block::default() };
    for word in words {
        let (key, value) = word.split_once('=').expect("key=value");
        match key {
            "holder" => block.holders.push(value.to_owned()),
            key => _ = block.attributes.insert(key.to_owned(), value.replace('_', " ")),
        }
    }
    (name, block)
}

fn machine(blocks: &str, mounts: &str, swaps: &str) -> Snapshot {
    let lines = blocks.lines().map(str::trim).filter(|line| !line.is_empty());
    Snapshot {
        blocks: lines.map(block).collect(),
        mounts: mounts.to_owned(),
        swaps: format!("Filename Type Size Used Priority\n{swaps}"),
    }
}

const LAPTOP: &str = "
    nvme0n1 /sys/devices/pci/nvme0/nvme0n1 dev=259:0 size=1000215216 ro=0 removable=0 device/model=Fast_Disk
    nvme0n1p1 /sys/devices/pci/nvme0/nvme0n1/nvme0n1p1 dev=259:1 partition=1
    nvme0n1p2 /sys/devices/pci/nvme0/nvme0n1/nvme0n1p2 dev=259:2 partition=2 holder=dm-0
    dm-0 /sys/devices/virtual/block/dm-0 dev=253:0 size=1 ro=0 holder=dm-1
    dm-1 /sys/devices/virtual/block/dm-1 dev=253:1 size=1 ro=0
    sda /sys/devices/pci/usb1/1-2/host0/sda dev=8:0 size=62333952 ro=0 removable=1 device/vendor=SanDisk device/model=Ultra queue/logical_block_size=512
    sda1 /sys/devices/pci/usb1/1-2/host0/sda/sda1 dev=8:1 partition=1
    sdb /sys/devices/pci/usb1/1-3/host1/sdb dev=8:16 size=0 ro=0 removable=1 device/model=Card_Reader
    sdc /sys/devices/pci/ata1/sdc dev=8:32 size=4096 ro=1 removable=0 queue/logical_block_size=4096
    mmcblk0 /sys/devices/pci/mmc0/mmcblk0 dev=179:0 size=60000000 ro=0 removable=0 device/type=SD device/name=SU32G
    mmcblk1 /sys/devices/pci/mmc1/mmcblk1 dev=179:8 size=30000000 ro=0 removable=0 device/type=MMC
    mmcblk1boot0 /sys/devices/pci/mmc1/mmcblk1/mmcblk1boot0 dev=179:16 size=8192 ro=1
    zram0 /sys/devices/virtual/block/zram0 dev=254:0 size=8 ro=0
    loop0 /sys/devices/virtual/block/loop0 dev=7:0 size=8 ro=0
    sr0 /sys/devices/pci/ata2/sr0 dev=11:0 size=8 ro=0 removable=1
    nvme1c0n1 /sys/devices/pci/nvme1/nvme1c0n1 hidden=1
";

fn find(disks: &[Disk], name: &str) -> Disk {
    disks.iter().find(|disk| disk.name == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

fn uses(snapshot: &Snapshot, name: &str) -> Vec<Use> {
    find(&parse(snapshot), name).uses
}

#[test]
fn disks_are_listed_and_nothing_else() {
    let disks = parse(&machine(LAPTOP, "", ""));
    let names: Vec<_> = disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["loop0", "mmcblk0", "mmcblk1", "nvme0n1", "sda", "sdb", "sdc"]);
}

#[test]
fn stick_has_size_model_and_partitions() {
    let disk = find(&parse(&machine(LAPTOP, "", "")), "sda");
    assert_eq!(disk.path, Path::new("/dev/sda"));
    assert_eq!((disk.size, disk.sector), (31_914_983_424, 512));
    assert_eq!(disk.model, "SanDisk Ultra");
    assert_eq!((disk.connection, disk.is_removable), (Connection::Usb, true));
    assert_eq!((disk.partitions, disk.is_read_only), (1, false));
    assert_eq!(disk.uses, []);
}

#[test]
fn card_in_a_slot_is_removable_and_emmc_is_not() {
    let disks = parse(&machine(LAPTOP, "", ""));
    let (card, memory) = (find(&disks, "mmcblk0"), find(&disks, "mmcblk1"));
    assert_eq!((card.connection, card.is_removable), (Connection::SdCard, true));
    assert_eq!((memory.connection, memory.is_removable), (Connection::Emmc, false));
    assert_eq!(card.model, "SU32G");
}

#[test]
fn disk_without_the_attribute_counts_as_read_only() {
    let disks = parse(&machine("sda /sys/devices/usb1/sda size=8", "", ""));
    assert!(disks[0].is_read_only && disks[0].uses.is_empty());
}

#[test]
fn root_on_lvm_in_a_crypt_is_traced_to_its_disk() {
    let mounts = "36 1 253:1 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw\n";
    let uses = uses(&machine(LAPTOP, mounts, ""), "nvme0n1");
    let held = |name: &str| Use::Held(name.into());
    assert_eq!(uses, [Use::System("/".into()), held("dm-0"), held("dm-1")]);
}

#[test]
fn mounted_partition_names_its_place_with_blanks() {
    let mounts = "36 1 8:1 / /media/me/MY\\040STICK rw - vfat /dev/sda1 rw\n";
    let machine = machine(LAPTOP, mounts, "");
    assert_eq!(uses(&machine, "sda"), [Use::Mounted("/media/me/MY STICK".into())]);
    assert_eq!(uses(&machine, "mmcblk0"), []);
}

#[test]
fn file_system_with_a_number_of_its_own_is_found_by_its_source() {
    let mounts = "36 1 0:29 /@ /srv rw - btrfs /dev/sda1 rw\n";
    assert_eq!(uses(&machine(LAPTOP, mounts, ""), "sda"), [Use::Mounted("/srv".into())]);
}

#[test]
fn swap_is_a_use_on_partitions_and_above() {
    let swap = "/dev/sda1 partition 8 0 -2\n/dev/dm-1 partition 8 0 -3\n";
    let machine = machine(LAPTOP, "", swap);
    assert_eq!(uses(&machine, "sda"), [Use::Swap("/dev/sda1".into())]);
    assert!(uses(&machine, "nvme0n1").contains(&Use::Swap("/dev/dm-1".into())));
}

#[test]
fn loop_device_over_a_disk_holds_it() {
    let blocks = format!(
        "{LAPTOP}\nloop1 /sys/devices/virtual/block/loop1 dev=7:1 ro=0 loop/backing_file=/dev/sda"
    );
    let mounts = "36 1 7:1 / /mnt rw - ext4 /dev/loop1 rw\n";
    let uses = uses(&machine(&blocks, mounts, ""), "sda");
    assert_eq!(uses, [Use::Mounted("/mnt".into()), Use::Held("loop1".into())]);
}

#[test]
fn holders_in_a_circle_end() {
    let blocks = "
        sda /sys/devices/usb1/sda dev=8:0 size=8 ro=0 holder=dm-0
        dm-0 /sys/devices/virtual/block/dm-0 dev=253:0 holder=sda
    ";
    let found = uses(&machine(blocks, "", ""), "sda");
    assert_eq!(found, [Use::Held("dm-0".into()), Use::Held("sda".into())]);
}

proptest! {
    #[test]
    fn no_text_of_the_kernel_makes_it_panic(
        mounts in "([0-9: \\\\/a-z-]{0,40}\n){0,6}", swaps in "\\PC{0,40}", size in "\\PC{0,20}",
        name in "(sd|mmcblk|nvme|!)\\PC{0,6}", path in "[a-z/]{0,20}",
    ) {
        let block = Block {
            path,
            attributes: [("size".to_owned(), size)].into(),
            holders: vec![name.clone()],
        };
        let snapshot = Snapshot { blocks: [(name, block)].into(), mounts, swaps };
        prop_assert!(parse(&snapshot).len() <= 1);
    }
}
