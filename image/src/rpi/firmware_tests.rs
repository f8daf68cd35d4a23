use std::collections::BTreeMap;

use super::super::{autoboot_text, config_text};
use super::*;
use crate::uki::Slot;

#[derive(Clone, Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Partition for Files {
    fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).cloned()
    }

    fn size(&self, name: &str) -> Option<u64> {
        self.0.get(name).map(|content| content.len() as u64)
    }
}

struct Card(BTreeMap<u32, Files>);

impl Card {
    /// A card whose two slots differ in their command lines.
    fn new() -> Self {
        let config = config_text(&["arm_64bit=1".into(), "upstream_kernel=1".into()]);
        let slot = |letter: &str| {
            let files = [
                ("config.txt", config.as_str()),
                ("cmdline.txt", letter),
                ("vmlinuz", "kernel"),
                ("initramfs", "initramfs"),
                ("start4.elf", "firmware"),
                ("fixup4.dat", "firmware"),
                ("bcm2711-rpi-4-b.dtb", "tree"),
            ];
            files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        };
        let select = [
            ("autoboot.txt".to_owned(), autoboot_text(Slot::A)),
            ("bootcode.bin".to_owned(), b"rom".to_vec()),
        ];
        Self(BTreeMap::from([
            (1, Files(select.into())),
            (2, Files(slot("holm.slot=a\n").into())),
            (3, Files(slot("holm.slot=b").into())),
        ]))
    }

    fn put(mut self, partition: u32, file: &str, content: &str) -> Self {
        let files = self.0.entry(partition).or_default();
        files.0.insert(file.to_owned(), content.as_bytes().to_vec());
        self
    }

    fn without(mut self, partition: u32, file: &str) -> Self {
        self.0.entry(partition).or_default().0.remove(file);
        self
    }

    fn boot(&self, tryboot: bool) -> Result<Chosen, Error> {
        let rom = ["bootcode.bin".to_owned()];
        boot(&|number| self.0.get(&number).cloned(), &model(), &rom, tryboot)
    }

    fn error(&self) -> String {
        self.boot(false).expect_err("it must not boot").to_string()
    }
}

fn model() -> Model {
    Model {
        name: "Raspberry Pi 4 Model B".into(),
        filters: vec!["pi4".into()],
        firmware: vec!["start4.elf".into(), "fixup4.dat".into()],
        device_tree: "broadcom/bcm2711-rpi-4-b.dtb".into(),
        asks_for: vec![],
    }
}

const AUTOBOOT_A_TRY_B: &str =
    "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";

#[test]
fn fresh_card_boots_its_first_slot_with_and_without_the_flag() {
    let card = Card::new();
    for tryboot in [false, true] {
        let chosen = card.boot(tryboot).expect("it boots");
        assert_eq!(
            chosen,
            Chosen {
                partition: 2,
                kernel: "vmlinuz".into(),
                initramfs: "initramfs".into(),
                device_tree: "bcm2711-rpi-4-b.dtb".into(),
                command_line: "holm.slot=a".into(),
            }
        );
    }
}

#[test]
fn armed_slot_is_taken_with_the_flag_and_only_then() {
    let card = Card::new().put(1, "autoboot.txt", AUTOBOOT_A_TRY_B);
    assert_eq!(card.boot(false).expect("it boots").command_line, "holm.slot=a");
    assert_eq!(card.boot(true).expect("it boots").command_line, "holm.slot=b");
}

#[test]
fn settings_of_another_model_do_not_reach_this_one() {
    let config = config_text(&["arm_64bit=1".into(), "upstream_kernel=1".into()]);
    let card = Card::new().put(2, "config.txt", &format!("{config}[pi5]\nkernel=other\n"));
    assert_eq!(card.boot(false).expect("it boots").kernel, "vmlinuz");
    let card = Card::new().put(2, "config.txt", &format!("{config}[pi4]\nkernel=other\n"));
    assert_eq!(card.error(), "partition 2 has no other, which Raspberry Pi 4 Model B loads");
}

#[test]
fn every_file_that_the_model_loads_must_be_there() {
    for file in
        ["config.txt", "cmdline.txt", "vmlinuz", "initramfs", "fixup4.dat", "bcm2711-rpi-4-b.dtb"]
    {
        let error = Card::new().without(2, file).error();
        assert!(error.starts_with(&format!("partition 2 has no {file}")), "{error}");
    }
    assert!(Card::new().put(2, "vmlinuz", "").error().contains("no vmlinuz"), "empty is missing");
    for file in ["autoboot.txt", "bootcode.bin"] {
        let error = Card::new().without(1, file).error();
        assert!(error.starts_with(&format!("partition 1 has no {file}")), "{error}");
    }
}

#[test]
fn autoboot_that_would_be_misread_is_refused() {
    let with = |text: &str| Card::new().put(1, "autoboot.txt", text).error();
    assert!(with("boot_partition=2\n").contains("tryboot_a_b=1"));
    assert!(with("tryboot_a_b=1\n").contains("boot_partition=NUMBER"));
    assert!(with("tryboot_a_b=1\nboot_partition=1\n").contains("of a slot"), "itself for ever");
    assert_eq!(
        with("tryboot_a_b=1\nboot_partition=7\n"),
        "autoboot.txt names partition 7, which is not there or no FAT file system"
    );
    assert!(with(&"#".repeat(513)).contains("513 bytes"));
}

#[test]
fn config_that_would_start_another_kind_of_kernel_is_refused() {
    let with = |text: &str| Card::new().put(2, "config.txt", text).error();
    let files = "kernel=vmlinuz\ninitramfs initramfs followkernel\n";
    assert!(with(files).contains("arm_64bit=1"));
    assert!(with(&format!("{files}arm_64bit=1\n")).contains("upstream_kernel=1"));
    let two_lines = Card::new().put(2, "cmdline.txt", "a\nb\n").error();
    assert!(two_lines.contains("one line"), "{two_lines}");
}

#[test]
fn firmware_on_the_first_partition_is_refused() {
    let error = Card::new().put(1, "start4.elf", "x").error();
    assert!(error.contains("holds start4.elf"), "{error}");
}
