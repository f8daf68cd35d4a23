//! The post-image script, run over a made-up result of Buildroot with a stand-in for `holm-image`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{list, not_checked, overlay, read, workspace};

/// A result of Buildroot in a temporary folder.
struct Result {
    folder: tempfile::TempDir,
}

impl Result {
    fn complete(config: &str) -> Self {
        let result = Self { folder: tempfile::tempdir().expect("temporary folder") };
        for path in [
            "images/bzImage",
            "target/lib/modules/6.12.91/modules.builtin",
            "target/usr/sbin/holm-init",
            "target/usr/sbin/e2fsck.static",
            "target/usr/bin/holm",
        ] {
            result.write(path, path);
        }
        result.write(".config", config);
        result.write(
            "bin/holm-image",
            "#!/bin/sh\npwd\necho \"$CARGO_HOME$SOURCE_DATE_EPOCH\"\necho \"$@\"\n",
        );
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(result.path("bin/holm-image"), mode).expect("executable");
        result
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn run(&self) -> Output {
        let root = overlay().root;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut script = Command::new(root.join("board/post-image.sh"));
        script.arg(self.path("images")).env("BR2_CONFIG", self.path(".config"));
        script.env("PATH", format!("{}:{path}", self.path("bin").display()));
        script.env("TARGET_DIR", self.path("target")).env("BUILD_DIR", self.path("build"));
        script
            .env("SOURCE_DATE_EPOCH", "1")
            .env("BR2_DL_DIR", "/dl")
            .env("BR2_EXTERNAL_HOLM_PATH", &root);
        script.output().expect("the script starts")
    }

    fn said(&self) -> String {
        let output = self.run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn refused(&self) -> String {
        let output = self.run();
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    }
}

const BOARD: &str = "BR2_PACKAGE_HOST_HOLM_IMAGE_BOARD=\"x86-64\"\n";

#[test]
fn script_hands_everything_to_holm_image() {
    let more = "BR2_PACKAGE_HOST_HOLM_IMAGE_KEYS=\"\"\n";
    let result = Result::complete(&format!("{BOARD}{more}"));
    let said = result.said();
    let mut lines = said.lines();
    let folder = lines.next().map(PathBuf::from).expect("the folder");
    assert_eq!(folder.canonicalize().expect("there"), workspace().canonicalize().expect("there"));
    assert_eq!(lines.next(), Some("/dl/br-cargo-home"));
    let at = |name: &str| result.path(name).display().to_string();
    let wanted = format!(
        "build --board x86-64 --output {} --binaries {} --kernel {} --modules {} --repair {}",
        at("images/holm-x86-64.img"),
        at("build/holm-binaries"),
        at("images/bzImage"),
        at("target/lib/modules/6.12.91"),
        at("target/usr/sbin/e2fsck.static"),
    );
    assert_eq!(lines.next(), Some(&wanted[..]));
    for (name, from) in
        [("holm", "target/usr/bin/holm"), ("holm-init", "target/usr/sbin/holm-init")]
    {
        assert_eq!(read(&result.path("build/holm-binaries").join(name)), from);
    }
}

#[test]
fn holm_image_knows_every_option_that_the_script_uses() {
    let help = Command::new(env!("CARGO_BIN_EXE_holm-image")).args(["build", "--help"]).output();
    let help = String::from_utf8(help.expect("it starts").stdout).expect("text");
    let script = read(&overlay().root.join("board/post-image.sh"));
    let words = script.split(|c: char| c != '-' && !c.is_ascii_lowercase());
    let options: Vec<&str> =
        words.filter(|word| word.starts_with("--") && word.len() > 2).collect();
    assert!(options.len() >= 9, "{options:?}");
    for option in options {
        assert!(help.contains(&format!(" {option} <")), "holm-image build has no {option}");
    }
}

#[test]
fn device_trees_keys_and_document_are_handed_on_where_they_are() {
    let options = "BR2_PACKAGE_HOST_HOLM_IMAGE_KEYS=\"/my keys\"\n\
                   BR2_PACKAGE_HOST_HOLM_IMAGE_DOCUMENT=\"/holm.toml\"\n";
    let result = Result::complete(&format!("{BOARD}{options}"));
    result.write("images/broadcom/bcm2711-rpi-4-b.dtb", "");
    let images = result.path("images").display().to_string();
    let end = format!("--device-trees {images} --keys /my keys --config /holm.toml\n");
    assert!(result.said().ends_with(&end));
}

#[test]
fn missing_results_and_a_missing_board_are_named() {
    assert!(Result::complete("").refused().contains("BR2_PACKAGE_HOST_HOLM_IMAGE_BOARD"));
    for (path, what) in [
        ("images/bzImage", "one kernel, found 0"),
        ("target/lib", "one folder of kernel modules, found 0"),
        ("target/usr/bin/holm", "one holm, found 0"),
        ("target/usr/sbin/e2fsck.static", "one static e2fsck, found 0"),
    ] {
        let result = Result::complete(BOARD);
        let path = result.path(path);
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.expect("removed");
        let said = result.refused();
        assert!(said.contains(what), "{said}");
    }
    let result = Result::complete(BOARD);
    result.write("target/lib/modules/6.12.90/modules.builtin", "");
    assert!(result.refused().contains("found 2"), "a folder of an earlier kernel is left");
}

/// What shellcheck says about a script; none when there is no shellcheck.
fn shellcheck(script: &Path) -> Option<String> {
    match Command::new("shellcheck").arg(script).output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(_) => {
            not_checked("the scripts: there is no shellcheck on this machine");
            None
        }
    }
}

#[test]
fn shellcheck_finds_nothing_in_the_scripts_and_something_in_a_broken_one() {
    let scripts = list(&overlay().root.join("board"));
    assert!(!scripts.is_empty());
    for script in scripts {
        let mode = fs::metadata(&script).expect("there").permissions().mode();
        assert_ne!(mode & 0o111, 0, "{} is not executable", script.display());
        let Some(said) = shellcheck(&script) else { return };
        assert_eq!(said, "", "{}", script.display());
    }
    let broken = tempfile::NamedTempFile::new().expect("temporary file");
    fs::write(broken.path(), "#!/bin/sh\nrm $1/*\nif true; then\n").expect("written");
    assert_ne!(shellcheck(broken.path()), Some(String::new()));
}
