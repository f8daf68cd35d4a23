//! Plans the initramfs: PID 1, and the modules that it needs to reach the root.
//! Must never hold a thing that only the second stage needs.

use crate::tree::{Content, Tree};

/// The initramfs' tree. `modules` have paths below the release's folder.
pub fn initramfs_tree(
    init: &Content,
    os_release: &str,
    kernel_release: &str,
    modules: &[(String, Content)],
    load: &[String],
) -> Tree {
    let mut tree = Tree::default();
    for path in ["dev", "proc", "run", "sys", "sysroot"] {
        tree.folder(path, 0o755);
    }
    tree.file("init", 0o755, init.clone())
        .link("usr/sbin/modprobe", "../../init")
        .link("sbin", "usr/sbin")
        .link("lib", "usr/lib")
        // Tells PID 1 that this is stage one.
        .text("etc/holm-initramfs", "")
        .text("etc/modules-load", load.iter().map(|name| format!("{name}\n")).collect::<String>())
        .text("etc/os-release", os_release);
    for (path, content) in modules {
        let path = format!("usr/lib/modules/{kernel_release}/{path}");
        tree.file(&path, 0o644, content.clone());
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    #[test]
    fn stage_one_finds_its_marker_modules_and_order() {
        let init = Content::Bytes(b"init".to_vec());
        let modules = [("modules.dep".to_owned(), Content::Bytes(b"a.ko:\n".to_vec()))];
        let load = ["dm_verity".to_owned(), "i6300esb".to_owned()];
        let tree = initramfs_tree(&init, "ID=holm\n", "6.12", &modules, &load);
        assert_eq!(tree.get("init"), Some(&Node::File { mode: 0o755, content: init }));
        assert!(tree.get("etc/holm-initramfs").is_some());
        assert!(tree.get("usr/lib/modules/6.12/modules.dep").is_some());
        let list = Content::Bytes(b"dm_verity\ni6300esb\n".to_vec());
        assert_eq!(tree.get("etc/modules-load"), Some(&Node::File { mode: 0o644, content: list }));
    }
}
