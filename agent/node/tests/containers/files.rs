//! The root of a container, its mounts and its log.

use holm_node::container::{Mount, Runtime};

use crate::fixture::{Node, chain};

pub const TESTS: &[(&str, fn())] = &[
    ("layers_are_stacked_in_order", layers_are_stacked_in_order),
    ("mounts_are_made_in_order", mounts_are_made_in_order),
    ("long_and_unfinished_lines_are_logged", long_and_unfinished_lines_are_logged),
    ("a_log_rotates_and_is_bounded", a_log_rotates_and_is_bounded),
    ("a_full_disk_does_not_stop_a_container", a_full_disk_does_not_stop_a_container),
    ("a_terminal_is_logged", a_terminal_is_logged),
];

fn layers_are_stacked_in_order() {
    let node = Node::new("lay");
    let mut config = node.config("a", &["cat", "/which"]);
    // Longer together than the page that mount(2) would take.
    for number in 0..60 {
        let layer = node.base.join(format!("{number:0>100}"));
        std::fs::create_dir_all(&layer).unwrap();
        std::fs::write(layer.join("which"), format!("{number}")).unwrap();
        config.layers.push(layer);
    }
    assert_eq!(node.output(&config).trim(), "59");
    config.layers = vec![node.base.join("layer"), node.base.join("gone")];
    let error = chain(&node.runtime.create(&config).unwrap_err());
    assert!(error.contains("gone"), "{error}");
}

fn mounts_are_made_in_order() {
    let node = Node::new("mnt");
    let volume = node.base.join("volume");
    std::fs::create_dir_all(volume.join("sub")).unwrap();
    std::fs::write(volume.join("file"), "from the node").unwrap();
    let bind = |destination: &str, readonly| Mount {
        source: volume.clone(),
        destination: destination.into(),
        readonly,
        fs_type: None,
        options: vec![],
    };
    let tmpfs = Mount {
        source: "tmpfs".into(),
        destination: "/v/sub".into(),
        readonly: false,
        fs_type: Some("tmpfs".into()),
        options: vec!["size=64k".into(), "mode=700".into()],
    };
    let with = |args: &[&str]| {
        let mut config = node.config("a", args);
        // The deeper one first: order is not the caller's duty.
        config.mounts.extend([tmpfs.clone(), bind("/v", false), bind("/ro", true)]);
        node.output(&config)
    };
    assert_eq!(with(&["cat", "/v/file"]).trim(), "from the node");
    assert_eq!(with(&["write", "/ro/new"]), "error 30\n");
    assert_eq!(with(&["write", "/v/new"]), "ok\n");
    assert!(volume.join("new").exists());
    assert_eq!(with(&["write", "/v/sub/hidden"]), "ok\n");
    assert!(!volume.join("sub/hidden").exists());
    let mut config = node.config("a", &["exit", "0"]);
    config.mounts.push(Mount { source: "/absent".into(), ..bind("/x", false) });
    let error = chain(&node.runtime.create(&config).unwrap_err());
    assert!(error.contains("No such file"), "{error}");
}

fn long_and_unfinished_lines_are_logged() {
    let node = Node::new("log");
    let config = node.config("a", &["partial"]);
    let (_, text) = node.run(&config);
    let bytes = std::fs::read_to_string(node.log_path("a")).unwrap();
    let tags: Vec<(&str, &str, usize)> = bytes
        .lines()
        .map(|line| {
            let parts: Vec<&str> = line.splitn(4, ' ').collect();
            assert!(parts[0].parse::<jiff::Timestamp>().is_ok() && parts[0].len() == 30, "{line}");
            (parts[1], parts[2], parts[3].len())
        })
        .collect();
    let stdout: Vec<_> = tags.iter().filter(|tag| tag.0 == "stdout").collect();
    assert_eq!(stdout, [&("stdout", "P", 16_384), &("stdout", "F", 3616), &("stdout", "F", 19)]);
    assert!(tags.contains(&("stderr", "F", 9)));
    assert!(text.contains("end without newline\n"));
}

fn a_log_rotates_and_is_bounded() {
    let node = Node::new("rot");
    let mut config = node.config("a", &["lines", "2000", "60"]);
    config.log_max_bytes = 20_000;
    config.log_max_files = 3;
    node.run(&config);
    let files = std::fs::read_dir(node.base.join("log")).unwrap();
    let mut sizes: Vec<u64> = files.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|size| *size <= 20_000), "{sizes:?}");
    assert!(node.log("a").ends_with("1999\n"), "the newest lines are in the newest file");
}

fn a_full_disk_does_not_stop_a_container() {
    let node = Node::new("full");
    let disk = node.base.join("log");
    std::fs::create_dir_all(&disk).unwrap();
    let size = Some(c"size=64k");
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", &disk, "tmpfs", flags, size).unwrap();
    let mut config = node.config("a", &["lines", "5000", "80"]);
    config.log_max_bytes = 1 << 20;
    let (exit, _) = node.run(&config);
    assert_eq!(exit.code, 0);
    let text = std::fs::read_to_string(node.log_path("a")).unwrap();
    assert!(text.ends_with('\n'), "no line is cut in half");
    rustix::mount::unmount(&disk, rustix::mount::UnmountFlags::empty()).unwrap();
}

fn a_terminal_is_logged() {
    let node = Node::new("tty");
    let mut config = node.config("a", &["terminal"]);
    config.process.terminal = true;
    assert_eq!(node.output(&config), "tty 1 1 1\r\n");
    assert_eq!(node.output(&node.config("b", &["terminal"])), "tty 0 0 0\n");
}
