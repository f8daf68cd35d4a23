//! The real `kubectl`, through all that `ci/api/kubectl` has it do.

use std::process::Command;

#[test]
fn kubectl_finds_a_cluster() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ci/api/kubectl");
    let server = env!("CARGO_BIN_EXE_holm-apiserver");
    let output = Command::new(script).arg(server).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
