use super::*;
use proptest::prelude::*;

fn texts() -> Texts {
    Texts {
        dep: "kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/libcrc32c.ko.xz\n\
              kernel/fs/jbd2/jbd2.ko.xz:\n\
              kernel/lib/libcrc32c.ko.xz:\n\
              kernel/arch/crc32c-intel.ko.xz:\n\
              kernel/drivers/md/dm-verity.ko: kernel/drivers/md/dm-mod.ko\n\
              kernel/drivers/md/dm-mod.ko:\n\
              kernel/drivers/virtio_net.ko.xz: kernel/net/failover.ko.xz\n\
              kernel/net/failover.ko.xz:\n\
              not a line\n"
            .into(),
        alias: "# a comment\n\
                alias fs-ext4 ext4\n\
                alias virtio:d00000001v* virtio_net\n\
                alias crc32c crc32c_intel\n\
                alias crypto-x gone\n"
            .into(),
        softdep: "softdep libcrc32c pre: crc32c post: nothing\n".into(),
        builtin: "kernel/fs/fuse/fuse.ko\nkernel/drivers/virtio/virtio-pci.ko\n".into(),
    }
}

fn names(request: &str, loaded: &[&str]) -> Vec<String> {
    let texts = texts();
    let loaded = loaded.iter().map(|name| (*name).to_owned()).collect();
    let plan = Index::parse(&texts).plan([request], &loaded);
    plan.into_iter().map(|load| load.name).collect()
}

#[test]
fn needs_come_before_the_needy() {
    assert_eq!(names("dm_verity", &[]), ["dm_mod", "dm_verity"]);
}

#[test]
fn soft_needs_are_loaded_first() {
    assert_eq!(names("fs-ext4", &[]), ["crc32c_intel", "libcrc32c", "jbd2", "ext4"]);
}

#[test]
fn loaded_modules_are_left_out() {
    assert_eq!(names("ext4", &["libcrc32c", "jbd2"]), ["ext4"]);
    assert!(names("ext4", &["ext4"]).is_empty());
}

#[test]
fn device_alias_finds_its_driver() {
    assert_eq!(names("virtio:d00000001v00001AF4", &[]), ["failover", "virtio_net"]);
    assert!(names("virtio:d00000002v00001AF4", &[]).is_empty());
}

#[test]
fn one_of_several_modules_that_do_the_same_is_enough() {
    let mut texts = texts();
    texts.dep.push_str("kernel/crypto/crc32c_generic.ko:\n");
    texts.alias.push_str("alias crc32c crc32c_generic\n");
    let plan = |loaded: &[&str]| {
        let loaded = loaded.iter().map(|name| (*name).to_owned()).collect();
        let plan = Index::parse(&texts).plan(["libcrc32c"], &loaded);
        plan.into_iter().map(|load| load.name).collect::<Vec<_>>()
    };
    assert_eq!(plan(&["crc32c_intel"]), ["libcrc32c"]);
    assert_eq!(plan(&[]), ["crc32c_intel", "crc32c_generic", "libcrc32c"]);
}

#[test]
fn driver_is_of_use_where_its_device_is() {
    let texts = texts();
    let index = Index::parse(&texts);
    let present = |alias: &str| BTreeSet::from([alias.to_owned()]);
    assert!(index.is_of_use("virtio-net", &present("virtio:d00000001v00001AF4")));
    assert!(!index.is_of_use("virtio_net", &present("virtio:d00000002v00001AF4")));
    // No device's driver.
    assert!(index.is_of_use("ext4", &BTreeSet::new()));
    assert!(index.is_of_use("dm-verity", &BTreeSet::new()));
}

#[test]
fn alias_of_a_module_that_is_not_shipped_finds_nothing() {
    assert!(names("crypto-x", &[]).is_empty());
}

#[test]
fn builtin_modules_are_known_under_either_spelling() {
    let texts = texts();
    let index = Index::parse(&texts);
    assert!(index.is_builtin("virtio_pci"));
    assert!(index.knows("virtio-pci"));
    assert!(index.knows("fs-ext4"));
    assert!(!index.knows("absent"));
}

#[test]
fn several_requests_share_what_they_need() {
    let texts = texts();
    let plan = Index::parse(&texts).plan(["fs-ext4", "libcrc32c", "jbd2"], &HashSet::new());
    let names: Vec<_> = plan.iter().map(|load| load.name.as_str()).collect();
    assert_eq!(names, ["crc32c_intel", "libcrc32c", "jbd2", "ext4"]);
    assert_eq!(plan[0].after, Vec::<String>::new());
    assert_eq!(plan[1].after, ["crc32c_intel"]);
    assert_eq!(plan[3].after, ["libcrc32c", "jbd2"]);
}

#[test]
fn path_is_kept_as_the_index_has_it() {
    let texts = texts();
    let plan = Index::parse(&texts).plan(["dm-verity"], &HashSet::new());
    assert_eq!(plan[1].path, "kernel/drivers/md/dm-verity.ko");
}

proptest! {
    /// Any graph, with cycles: every plan ends, holds no module twice, and puts
    /// each need first wherever the graph has no cycle.
    #[test]
    fn plan_is_in_order_and_without_repeats(edges in prop::collection::vec((0u8..12, 0u8..12), 0..40)) {
        let mut dep = String::new();
        for module in 0..12u8 {
            let needs: Vec<_> = edges.iter().filter(|(from, to)| *from == module && to < from)
                .map(|(_, to)| format!("m{to}.ko")).collect();
            dep.push_str(&format!("m{module}.ko: {}\n", needs.join(" ")));
        }
        let texts = Texts { dep, ..Texts::default() };
        let plan = Index::parse(&texts).plan(["m11"], &HashSet::new());
        let position = |wanted: &str| plan.iter().position(|load| load.name == wanted);
        for (from, to) in edges.iter().filter(|(from, to)| to < from) {
            if let Some(at) = position(&format!("m{from}")) {
                let need = position(&format!("m{to}"));
                prop_assert!(need.is_some_and(|need| need < at));
            }
        }
        let unique: HashSet<_> = plan.iter().map(|load| &load.name).collect();
        prop_assert_eq!(unique.len(), plan.len());
    }

    #[test]
    fn cyclic_needs_still_end(edges in prop::collection::vec((0u8..6, 0u8..6), 0..20)) {
        let dep = edges.iter().map(|(a, b)| format!("m{a}.ko: m{b}.ko\n")).collect();
        let texts = Texts { dep, ..Texts::default() };
        let plan = Index::parse(&texts).plan(["m0"], &HashSet::new());
        prop_assert!(plan.len() <= 6);
    }
}
