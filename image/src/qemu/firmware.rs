//! Finds UEFI firmware for virtual machines where distributions put it.

use std::path::{Path, PathBuf};

use crate::board::Architecture;

/// Firmware in two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Code, read only.
    pub code: PathBuf,
    /// Empty variables, to be copied for each machine.
    pub variables: PathBuf,
}

/// No firmware.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no UEFI firmware for {architecture:?} found; install the package {package} (looked for: {looked})"
)]
pub struct Error {
    architecture: Architecture,
    package: &'static str,
    looked: String,
}

/// Debian's U-Boot for the machine `virt` of QEMU.
const U_BOOT: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";

/// No U-Boot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no U-Boot for QEMU found; install the package u-boot-qemu (looked for: {U_BOOT})")]
pub struct NoUBoot;

/// Finds the U-Boot that stands in for the one in a board's flash.
pub fn find_u_boot() -> Result<PathBuf, NoUBoot> {
    Some(PathBuf::from(U_BOOT)).filter(|path| path.is_file()).ok_or(NoUBoot)
}

/// (code, variables) below `/usr/share`: Debian, Fedora, Arch, openSUSE.
const PLAIN: [(&str, &str); 5] = [
    ("OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"),
    ("OVMF/OVMF_CODE.fd", "OVMF/OVMF_VARS.fd"),
    ("edk2/ovmf/OVMF_CODE.fd", "edk2/ovmf/OVMF_VARS.fd"),
    ("edk2/x64/OVMF_CODE.4m.fd", "edk2/x64/OVMF_VARS.4m.fd"),
    ("qemu/ovmf-x86_64-code.bin", "qemu/ovmf-x86_64-vars.bin"),
];
const SECURE: [(&str, &str); 4] = [
    ("OVMF/OVMF_CODE_4M.secboot.fd", "OVMF/OVMF_VARS_4M.fd"),
    ("OVMF/OVMF_CODE.secboot.fd", "OVMF/OVMF_VARS.fd"),
    ("edk2/ovmf/OVMF_CODE.secboot.fd", "edk2/ovmf/OVMF_VARS.fd"),
    ("edk2/x64/OVMF_CODE.secboot.4m.fd", "edk2/x64/OVMF_VARS.4m.fd"),
];
const ARM: [(&str, &str); 2] = [
    ("AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_VARS.fd"),
    ("edk2/aarch64/QEMU_EFI-pflash.raw", "edk2/aarch64/vars-template-pflash.raw"),
];

/// Finds firmware; `secure` asks for one that enforces Secure Boot.
pub fn find(architecture: Architecture, secure: bool) -> Result<Firmware, Error> {
    find_below(Path::new("/usr/share"), architecture, secure)
}

fn find_below(share: &Path, architecture: Architecture, secure: bool) -> Result<Firmware, Error> {
    let (candidates, package): (&[_], _) = match (architecture, secure) {
        (Architecture::X86_64, false) => (&PLAIN, "ovmf"),
        (Architecture::X86_64, true) => (&SECURE, "ovmf"),
        (Architecture::Aarch64, _) => (&ARM, "qemu-efi-aarch64"),
    };
    let pairs = candidates.iter().map(|(code, variables)| Firmware {
        code: share.join(code),
        variables: share.join(variables),
    });
    let found = pairs.clone().find(|pair| pair.code.is_file() && pair.variables.is_file());
    found.ok_or_else(|| {
        let looked: Vec<String> = pairs.map(|pair| pair.code.display().to_string()).collect();
        Error { architecture, package, looked: looked.join(", ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("temporary folder");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("has a parent")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        folder
    }

    #[test]
    fn code_without_variables_is_passed_over() {
        let folder = share(&["OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_CODE.fd", "OVMF/OVMF_VARS.fd"]);
        let found = find_below(folder.path(), Architecture::X86_64, false).expect("there");
        assert_eq!(found.code, folder.path().join("OVMF/OVMF_CODE.fd"));
    }

    #[test]
    fn plain_firmware_is_no_answer_to_secure_boot() {
        let folder = share(&["OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"]);
        let error = find_below(folder.path(), Architecture::X86_64, true).expect_err("not secure");
        assert!(error.to_string().contains("install the package ovmf"), "{error}");
    }
}
