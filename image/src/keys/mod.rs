//! The owner's Secure Boot keys: made once, kept outside of the repository, used to sign.
//! Must never overwrite a key: nodes in the field trust the old one.

mod signature_list;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

pub use signature_list::{ATTRIBUTES, EfiTime, GLOBAL, SECURITY_DATABASE, signature_list};

use crate::digest::{Digest, guid_text};
use crate::process;
use crate::toolbox::Toolbox;

/// UEFI's variables for keys: the name, who signs a change of it, and the variable's vendor.
const VARIABLES: [(&str, &str, [u8; 16]); 3] =
    [("PK", "PK", GLOBAL), ("KEK", "PK", GLOBAL), ("db", "KEK", SECURITY_DATABASE)];

/// Why keys could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are keys already.
    #[error("{0} holds keys already; nodes that trust them would refuse new ones")]
    Exists(PathBuf),
    /// A part is missing.
    #[error("{0} holds no complete set of keys; make one with `holm-image keys`")]
    Incomplete(PathBuf),
    /// A file failed.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// openssl or the signer failed.
    #[error("cannot {what}")]
    Tool {
        /// What was tried.
        what: String,
        /// What it said.
        source: process::Error,
    },
}

/// A folder with a complete set of keys.
#[derive(Debug, Clone)]
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// Uses the keys in `folder`.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let keys = Self { folder: folder.to_owned() };
        let complete = VARIABLES.iter().all(|(name, _, _)| {
            [".key", ".crt", ".esl", ".auth"].iter().all(|end| keys.path(name, end).is_file())
        });
        if complete { Ok(keys) } else { Err(Error::Incomplete(folder.to_owned())) }
    }

    /// Makes a set of keys in `folder`, which holds none yet.
    pub fn create(folder: &Path, tools: &Toolbox) -> Result<Self, Error> {
        let keys = Self { folder: folder.to_owned() };
        if VARIABLES.iter().any(|(name, _, _)| keys.path(name, ".key").exists()) {
            return Err(Error::Exists(folder.to_owned()));
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(file("make", folder))?;
        let configuration = keys.folder.join("openssl.cnf");
        write(&configuration, b"[req]\ndistinguished_name = name\n[name]\n")?;
        for (name, _, _) in VARIABLES {
            keys.create_pair(name, &configuration, tools)?;
        }
        fs::remove_file(&configuration).map_err(file("remove", &configuration))?;
        // Says whose signatures these are; any value does, as long as it stays.
        let owner = Digest::of(&keys.certificate("PK", tools)?).guid();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        for (name, signer, vendor) in VARIABLES {
            let list = signature_list(&owner, &keys.certificate(name, tools)?);
            write(&keys.path(name, ".esl"), &list)?;
            let update =
                signature_list::Update { name, vendor, time: EfiTime::at(now), list: &list };
            let signed = keys.sign_update(signer, &update.signed_bytes(), tools)?;
            write(&keys.path(name, ".auth"), &update.file(&signed))?;
        }
        write(&keys.folder.join("owner.guid"), guid_text(&owner).as_bytes())?;
        Ok(keys)
    }

    /// The path of a key's file; `end` is `.key`, `.crt`, `.esl` or `.auth`.
    pub fn path(&self, name: &str, end: &str) -> PathBuf {
        self.folder.join(format!("{name}{end}"))
    }

    /// The names of the variables, for those who enrol them.
    pub fn names() -> [&'static str; 3] {
        VARIABLES.map(|(name, _, _)| name)
    }

    /// A digest over what signs, so that other keys lead to other images.
    pub fn digest(&self) -> Result<Digest, Error> {
        let path = self.path("db", ".crt");
        Digest::of_file(&path).map_err(file("read", &path))
    }

    /// Signs a PE image with the key of `db`. The same input gives the same output: the time in
    /// the signature is `epoch`, and the algorithm (RSA, PKCS #1 v1.5) takes no randomness.
    pub fn sign(&self, image: &Path, out: &Path, epoch: u32, tools: &Toolbox) -> Result<(), Error> {
        let mut command = tools.command("bin/osslsigncode");
        command.args(["sign", "-h", "sha256", "-time", &epoch.to_string(), "-certs"]);
        command.arg(self.path("db", ".crt")).arg("-key").arg(self.path("db", ".key"));
        command.arg("-in").arg(image).arg("-out").arg(out);
        run(&mut command, || format!("sign {}", image.display()))
    }

    fn create_pair(&self, name: &str, conf: &Path, tools: &Toolbox) -> Result<(), Error> {
        let (key, certificate) = (self.path(name, ".key"), self.path(name, ".crt"));
        let mut command = tools.command("bin/openssl");
        // 2048 bits: what the specification asks every firmware to take.
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-noenc", "-sha256", "-batch"]);
        command.args(["-days", "7300", "-subj", &format!("/CN=Holm {name}/"), "-config"]).arg(conf);
        command.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        run(&mut command, || format!("make the key {name}"))?;
        let closed = fs::set_permissions(&key, fs::Permissions::from_mode(0o600));
        closed.map_err(file("protect", &key))
    }

    fn certificate(&self, name: &str, tools: &Toolbox) -> Result<Vec<u8>, Error> {
        let mut command = tools.command("bin/openssl");
        command.args(["x509", "-outform", "DER", "-in"]).arg(self.path(name, ".crt"));
        let output = process::run(&mut command);
        let tool = |source| Error::Tool { what: format!("read the certificate {name}"), source };
        output.map(|output| output.stdout).map_err(tool)
    }

    fn sign_update(&self, by: &str, bytes: &[u8], tools: &Toolbox) -> Result<Vec<u8>, Error> {
        let mut command = tools.command("bin/openssl");
        command.args(["cms", "-sign", "-binary", "-noattr", "-md", "sha256", "-outform", "DER"]);
        command.arg("-signer").arg(self.path(by, ".crt"));
        command.arg("-inkey").arg(self.path(by, ".key"));
        let output = process::run_with_input(&mut command, bytes);
        let tool = |source| Error::Tool { what: format!("sign with {by}"), source };
        output.map(|output| output.stdout).map_err(tool)
    }
}

fn run(command: &mut Command, what: impl FnOnce() -> String) -> Result<(), Error> {
    process::run(command).map(drop).map_err(|source| Error::Tool { what: what(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(file("write", path))
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_set_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::write(folder.path().join("db.key"), "x").expect("written");
        assert!(matches!(Keys::open(folder.path()), Err(Error::Incomplete(_))));
    }

    #[test]
    fn keys_are_never_overwritten() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for triplet in ["x86_64-linux-gnu", "aarch64-linux-gnu"] {
            let libraries = folder.path().join("usr/lib").join(triplet);
            fs::create_dir_all(&libraries).expect("made");
            fs::write(libraries.join("ld-linux-x.so.2"), "").expect("written");
        }
        let tools = Toolbox::in_folder(folder.path().to_owned()).expect("a loader is there");
        fs::write(folder.path().join("KEK.key"), "precious").expect("written");
        assert!(matches!(Keys::create(folder.path(), &tools), Err(Error::Exists(_))));
        assert_eq!(fs::read(folder.path().join("KEK.key")).expect("kept"), b"precious");
    }
}
