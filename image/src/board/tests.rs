use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::*;

fn repository_boards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards")
}

fn parse_files(files: &[(&str, &str)]) -> Result<Board, Error> {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let text = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        files.get(name).map(|text| (*text).to_owned()).ok_or(io::ErrorKind::NotFound.into())
    };
    parse(Path::new("boards/one.toml"), "one", &text)
}

fn base() -> String {
    std::fs::read_to_string(repository_boards().join("base.toml")).expect("base.toml is there")
}

fn one(more: &str) -> String {
    let text = std::fs::read_to_string(repository_boards().join("x86-64.toml")).expect("read");
    format!("{text}\n{more}")
}

fn table(text: &str) -> toml::Table {
    text.parse().expect("test writes valid TOML")
}

#[test]
fn every_board_of_the_repository_is_valid() {
    let names = names(&repository_boards());
    assert!(names.contains(&"x86-64".to_owned()));
    for name in names {
        let board = read(&repository_boards(), &name).expect("board is valid");
        assert_eq!(board.name, name);
    }
}

#[test]
fn x86_board_adds_to_the_lists_of_the_base() {
    let board = read(&repository_boards(), "x86-64").expect("board is valid");
    assert_eq!(board.debian.suite, "trixie");
    assert_eq!(
        board.kernel.arguments().join(" "),
        "panic=10 quiet loglevel=4 console=tty0 console=ttyS0,115200",
        "the base's arguments, then the consoles, its own last"
    );
    assert!(board.modules.initramfs.contains(&"dm_verity".to_owned()), "of the base");
    assert!(board.modules.initramfs.contains(&"i6300esb".to_owned()), "its own");
    assert_eq!((board.budgets.root, board.budgets.boot), (64, 32));
}

#[test]
fn stage_one_gets_the_file_system_of_the_root() {
    let other = base().replace("format = \"squashfs\"", "format = \"erofs\"");
    let board = parse_files(&[("one.toml", &one("")), ("base.toml", &other)]).expect("valid");
    assert!(board.modules.initramfs.contains(&"erofs".to_owned()));
    assert_eq!(board.modules.load.last().map(String::as_str), Some("erofs"));
}

#[test]
fn unknown_board_error_lists_the_known_ones() {
    let error = read(&repository_boards(), "toaster").expect_err("no such board").to_string();
    assert!(error.contains("x86-64") && !error.contains("base"), "{error}");
    assert!(read(&repository_boards(), "../boards/x86-64").is_err());
}

#[test]
fn tables_merge_lists_grow_and_values_are_replaced() {
    let below = table("a = 1\nl = ['x', 'y']\n[t]\nk = 'below'\nkept = true");
    let above = table("a = 2\nl = ['y', 'z']\n[t]\nk = 'above'");
    let merged = merge(below, above).expect("types agree");
    assert_eq!(merged, table("a = 2\nl = ['x', 'y', 'z']\n[t]\nk = 'above'\nkept = true"));
}

#[test]
fn value_of_another_type_is_refused_with_its_path() {
    let error = merge(table("[t]\nk = 1"), table("[t]\nk = 'text'")).expect_err("types differ");
    assert_eq!(error, "t.k");
}

#[test]
fn misspelt_key_is_refused() {
    let board = one("[budget]\nroot = 3");
    let error = parse_files(&[("one.toml", &board), ("base.toml", &base())]).expect_err("typo");
    assert!(error.to_string().contains("budget"), "{error}");
}

#[test]
fn syntax_error_names_file_and_line() {
    let error = parse_files(&[("one.toml", "base = 'base.toml'\n[packages\n")]).expect_err("bad");
    assert!(error.to_string().starts_with("boards/one.toml: line 2:"), "{error}");
}

#[test]
fn circle_of_bases_is_refused() {
    let error = parse_files(&[("one.toml", "base = 'one.toml'")]).expect_err("circle");
    assert!(matches!(error, Error::Circle { .. }));
}

#[test]
fn boot_partition_must_hold_three_kernels() {
    let small = base().replace("boot = 256", "boot = 64");
    let error = parse_files(&[("one.toml", &one("")), ("base.toml", &small)]).expect_err("small");
    assert!(error.to_string().contains("partitions.boot is 64 MiB"), "{error}");
}

#[test]
fn slot_is_as_large_as_its_budget() {
    let other = base().replace("root = 64", "root = 80");
    let error = parse_files(&[("one.toml", &one("")), ("base.toml", &other)]).expect_err("differs");
    assert!(error.to_string().contains("80 MiB"), "{error}");
}

#[test]
fn board_that_differs_in_packages_and_device_tree_is_a_page_of_toml() {
    for (file, most) in [("rpi5.toml", 30), ("arm64-uefi.toml", 30)] {
        let text = std::fs::read_to_string(repository_boards().join(file)).expect("read");
        assert!(text.lines().count() <= most, "{file} has {} lines", text.lines().count());
    }
    let board = read(&repository_boards(), "rpi5").expect("valid");
    assert_eq!(board.packages.kernel, "linux-image-arm64/trixie-backports");
    assert_eq!(board.other_suites(), ["sid", "trixie-backports"]);
    let names: Vec<_> = board.boot.models.iter().flat_map(Model::device_tree_names).collect();
    assert!(names.contains(&"bcm2712-rpi-5-b.dtb") && names.contains(&"bcm2712d0-rpi-5-b.dtb"));
    assert!(board.boot.rom.is_empty(), "all of its firmware is in flash");
}

fn card(more: &str, change: (&str, &str)) -> Result<Board, Error> {
    let read = |name| std::fs::read_to_string(repository_boards().join(name)).expect("read");
    let base_rpi = read("base-rpi.toml").replace(change.0, change.1);
    let text = format!("{}\n{more}", read("rpi.toml").replace(change.0, change.1));
    parse_files(&[("one.toml", &text), ("base-rpi.toml", &base_rpi), ("base.toml", &base())])
}

#[test]
fn card_that_could_not_boot_is_refused() {
    let refused = |change| card("", change).expect_err("refused").to_string();
    assert!(card("", ("", "")).is_ok());
    assert!(refused(("select = 48", "select = 8")).contains("partitions.select is 8 MiB"));
    assert!(refused(("boot = 64", "boot = 50")).contains("a slot of budgets.boot needs 52"));
    assert!(refused(("model = \"Rasp", "model = \"Banana")).contains("none of boot.models"));
    assert!(refused(("\"gpu_mem=32\"", "\"[pi4]\"")).contains("section [pi4]"));
}
