//! Plans the root file system's tree. Must never read a file: contents are named, not copied.

use crate::tree::{Content, Tree};

/// What the build has gathered for the root.
#[derive(Debug, Clone)]
pub struct Contents {
    /// `os-release`.
    pub os_release: String,
    /// `holm-init`.
    pub init: Content,
    /// `holm`.
    pub agent: Content,
    /// The static e2fsck.
    pub repair: Content,
    /// All certificates, in PEM.
    pub certificates: Vec<u8>,
    /// The root of trust for updates, as `holm-image keys` makes it. Without, a node takes none.
    pub update_root: Option<Vec<u8>>,
    /// `uname -r` of the kernel.
    pub kernel_release: String,
    /// Modules and their index, with paths below the release's folder.
    pub modules: Vec<(String, Content)>,
    /// Firmware, with paths below `/usr/lib/firmware`.
    pub firmware: Vec<(String, Content)>,
    /// Programs and the libraries they need, with paths below the root.
    pub programs: Vec<(String, Content)>,
}

/// Folders that something is mounted on, and links into what is writable.
const MOUNT_POINTS: [&str; 8] = ["boot", "data", "dev", "mnt", "run", "state", "usr/local", "root"];

const PASSWD: &str = "\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
";

const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

const HOSTS: &str = "\
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
";

const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// `/etc/os-release`; also the boot loader's source for an entry's title and order.
pub fn os_release(version: &str, build: Option<&str>, board: &str) -> String {
    let build = build.map(|id| format!("BUILD_ID={id}\n")).unwrap_or_default();
    format!(
        "NAME=Holm\nID=holm\nPRETTY_NAME=\"Holm {version}\"\nVERSION_ID={version}\n\
         IMAGE_ID=holm\nIMAGE_VERSION={version}\n{build}VARIANT_ID={board}\n"
    )
}

/// The tree of the root file system.
pub fn root_tree(contents: &Contents) -> Tree {
    let mut tree = Tree::default();
    for path in MOUNT_POINTS {
        tree.folder(path, 0o755);
    }
    tree.folder("proc", 0o555).folder("sys", 0o555).folder("tmp", 0o1777);
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
        ("lib", "usr/lib"),
        ("var", "data/var"),
        ("etc/resolv.conf", "../run/holm/resolv.conf"),
        ("etc/machine-id", "../run/holm/machine-id"),
        ("etc/hostname", "../run/holm/hostname"),
        ("etc/os-release", "../usr/lib/os-release"),
        ("etc/mtab", "../proc/self/mounts"),
        ("usr/sbin/init", "holm-init"),
        // The kernel asks for modules by this path.
        ("usr/sbin/modprobe", "holm-init"),
        // And for the end by this one, when it is too hot.
        ("usr/sbin/poweroff", "holm-init"),
    ] {
        tree.link(link, target);
    }
    tree.file("usr/sbin/holm-init", 0o755, contents.init.clone())
        .file("usr/bin/holm", 0o755, contents.agent.clone())
        .file("usr/sbin/e2fsck", 0o755, contents.repair.clone())
        .text("usr/lib/os-release", &*contents.os_release)
        .text("etc/passwd", PASSWD)
        .text("etc/group", GROUP)
        .text("etc/hosts", HOSTS)
        .text("etc/nsswitch.conf", NSSWITCH);
    for (path, content) in &contents.programs {
        tree.file(path, 0o755, content.clone());
    }
    // The loader of x86-64 programs is known by this name.
    if contents.programs.iter().any(|(path, _)| path.starts_with("usr/lib64/")) {
        tree.link("lib64", "usr/lib64");
    }
    let certificates = Content::Bytes(contents.certificates.clone());
    tree.file("etc/ssl/certs/ca-certificates.crt", 0o644, certificates);
    if let Some(root) = &contents.update_root {
        let path = "usr/lib/holm/update/root.json";
        tree.file(path, 0o644, Content::Bytes(root.clone()));
    }
    let modules = format!("usr/lib/modules/{}", contents.kernel_release);
    for (path, content) in &contents.modules {
        tree.file(&format!("{modules}/{path}"), 0o644, content.clone());
    }
    tree.folder("usr/lib/firmware", 0o755);
    for (path, content) in &contents.firmware {
        tree.file(&format!("usr/lib/firmware/{path}"), 0o644, content.clone());
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    fn contents() -> Contents {
        let bytes = |text: &str| Content::Bytes(text.as_bytes().to_vec());
        Contents {
            os_release: os_release("1.2.3", Some("abc"), "x86-64"),
            init: bytes("init"),
            agent: bytes("agent"),
            repair: bytes("e2fsck"),
            certificates: b"pem".to_vec(),
            update_root: Some(b"{}".to_vec()),
            kernel_release: "6.12".into(),
            modules: vec![("kernel/fs/ext4.ko".into(), bytes("ext4"))],
            firmware: vec![("rtl_nic/a.fw".into(), bytes("fw"))],
            programs: Vec::new(),
        }
    }

    #[test]
    fn programs_are_where_the_contract_says() {
        let tree = root_tree(&contents());
        for (path, text) in [
            ("usr/sbin/holm-init", "init"),
            ("usr/bin/holm", "agent"),
            ("usr/sbin/e2fsck", "e2fsck"),
        ] {
            let content = Content::Bytes(text.as_bytes().to_vec());
            assert_eq!(tree.get(path), Some(&Node::File { mode: 0o755, content }));
        }
        let link = |target: &str| Some(Node::Link { target: target.to_owned() });
        assert_eq!(tree.get("usr/sbin/init").cloned(), link("holm-init"));
        assert_eq!(tree.get("usr/sbin/modprobe").cloned(), link("holm-init"));
        assert_eq!(tree.get("usr/sbin/poweroff").cloned(), link("holm-init"));
        assert_eq!(tree.get("sbin").cloned(), link("usr/sbin"));
    }

    #[test]
    fn programs_of_a_board_find_their_loader() {
        let bytes = |text: &str| Content::Bytes(text.as_bytes().to_vec());
        let programs = vec![
            ("usr/sbin/wpa_supplicant".to_owned(), bytes("program")),
            ("usr/lib64/ld-linux-x86-64.so.2".to_owned(), bytes("loader")),
        ];
        let tree = root_tree(&Contents { programs, ..contents() });
        let file = Node::File { mode: 0o755, content: bytes("program") };
        assert_eq!(tree.get("usr/sbin/wpa_supplicant"), Some(&file));
        assert_eq!(tree.get("lib64"), Some(&Node::Link { target: "usr/lib64".to_owned() }));
        assert_eq!(root_tree(&contents()).get("lib64"), None);
    }

    #[test]
    fn links_inside_of_etc_stay_inside_of_any_root() {
        let tree = root_tree(&contents());
        for (path, node) in tree.iter() {
            if let Node::Link { target } = node {
                assert!(!target.starts_with('/'), "{path} would leave a root that is not /");
            }
        }
    }

    #[test]
    fn every_mount_of_a_node_has_its_folder() {
        let tree = root_tree(&contents());
        for path in ["boot", "state", "data", "run", "tmp", "proc", "sys", "dev"] {
            assert!(matches!(tree.get(path), Some(Node::Folder { .. })), "{path}");
        }
    }

    #[test]
    fn modules_and_firmware_land_below_their_release() {
        let tree = root_tree(&contents());
        assert!(tree.get("usr/lib/modules/6.12/kernel/fs/ext4.ko").is_some());
        assert!(tree.get("usr/lib/firmware/rtl_nic/a.fw").is_some());
    }

    #[test]
    fn os_release_lines_are_assignments() {
        for line in contents().os_release.lines() {
            let (key, value) = line.split_once('=').expect("an assignment");
            assert!(key.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{line}");
            assert!(value.starts_with('"') || !value.contains(' '), "{line}");
        }
    }
}
