//! The kernel module for the trial flag, compiled into a program with just enough of Linux and a
//! firmware that misbehaves on demand: `tryboot-module/check`.

use std::path::Path;
use std::process::Command;

#[test]
fn flag_is_said_to_be_up_only_when_the_firmware_says_so() {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tryboot-module");
    let folder = tempfile::tempdir().expect("temporary folder");
    // Each header that the module includes is the check's own.
    let source = std::fs::read_to_string(module.join("holm_tryboot.c")).expect("read");
    let headers =
        source.lines().filter_map(|line| line.strip_prefix("#include <")?.split('>').next());
    let mut count = 0;
    for header in headers {
        let path = folder.path().join(header);
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
        std::fs::write(path, "#include \"kernel.h\"\n").expect("written");
        count += 1;
    }
    assert!(count > 4, "the module's headers are found");
    let program = folder.path().join("check");
    let check = module.join("check");
    let compiled = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-o"])
        .arg(&program)
        .arg("-I")
        .arg(folder.path())
        .arg("-I")
        .arg(&check)
        .arg(check.join("check.c"))
        .output()
        .expect("cc runs");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let checked = Command::new(program).output().expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
