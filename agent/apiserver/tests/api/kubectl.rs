//! The real `kubectl`, of the server's version and of an older one that Debian has, through all that
//! `ci/api/kubectl` has it do.

use std::process::{Command, Output};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ci/api");

fn check(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn drive(suite: &str) {
    let folder = format!("{}/kubectl-{suite}", env!("CARGO_TARGET_TMPDIR"));
    let fetched = Command::new(format!("{SCRIPTS}/fetch-kubectl")).args([suite, &folder]).output();
    let fetched = fetched.unwrap();
    check(&fetched);
    let kubectl = String::from_utf8(fetched.stdout).unwrap();
    let mut script = Command::new(format!("{SCRIPTS}/kubectl"));
    check(&script.arg(env!("CARGO_BIN_EXE_holm-apiserver")).arg(kubectl.trim()).output().unwrap());
}

#[test]
fn kubectl_of_the_servers_version_finds_a_cluster() {
    drive("sid");
}

#[test]
fn an_older_kubectl_finds_a_cluster() {
    drive("trixie");
}
