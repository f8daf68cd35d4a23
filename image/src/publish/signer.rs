//! Signs with an ed25519 key: one in a file, or one that a command of the owner's reaches, such as
//! a hardware token's. Must never write a secret anywhere but into a key's own file.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use holm_tuf::{Key, KeyPair, Signer, hex};
use serde::{Deserialize, Serialize};

use super::{Error, file};
use crate::process;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A key of the owner's: its public half, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The public key, 64 hex digits.
    pub public: String,
    /// A PKCS #8 file (PEM), relative to the folder of keys. It may be away: then others sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A program with its arguments. It gets the message on its standard input and writes the
    /// signature to its standard output: 64 bytes, or 128 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

impl Entry {
    /// The public key; an error when the entry holds none.
    pub fn key(&self) -> Result<Key, Error> {
        let bytes = hex::decode(&self.public).filter(|bytes| bytes.len() == 32);
        let wrong = || Error::Sign {
            name: self.public.clone(),
            why: "it is no ed25519 key of 64 hex digits".to_owned(),
        };
        bytes.map(|bytes| Key::ed25519(&bytes)).ok_or_else(wrong)
    }

    /// Something that signs with this key; `None` when its file is away.
    pub fn signer(&self, folder: &Path) -> Result<Option<KeySigner>, Error> {
        let key = self.key()?;
        if let Some(command) = &self.command {
            return Ok(Some(KeySigner { key, how: How::Command(command.clone()) }));
        }
        let Some(path) = self.file.as_ref().map(|name| folder.join(name)) else { return Ok(None) };
        if !path.exists() {
            return Ok(None);
        }
        let pair = read(&path)?;
        if *pair.key() != key {
            let why = "the file holds another key than the list of keys says".to_owned();
            return Err(Error::Sign { name: path.display().to_string(), why });
        }
        Ok(Some(KeySigner { key, how: How::Pair(pair) }))
    }
}

/// A key that can be reached.
#[derive(Debug)]
pub struct KeySigner {
    key: Key,
    how: How,
}

#[derive(Debug)]
enum How {
    Pair(KeyPair),
    Command(Vec<String>),
}

impl Signer for KeySigner {
    type Error = Error;

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.how {
            How::Pair(pair) => pair.sign(message).map_err(|never| match never {}),
            How::Command(words) => by_command(words, message),
        }
    }
}

fn by_command(words: &[String], message: &[u8]) -> Result<Vec<u8>, Error> {
    let name = words.join(" ");
    let failed = |why: String| Error::Sign { name: name.clone(), why };
    let (program, arguments) =
        words.split_first().ok_or_else(|| failed("the command is empty".to_owned()))?;
    let output = process::run_with_input(Command::new(program).args(arguments), message)
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let decoded = hex::decode(text.trim()).filter(|bytes| bytes.len() == 64);
    let signature = decoded.or_else(|| Some(output.stdout).filter(|bytes| bytes.len() == 64));
    signature.ok_or_else(|| failed("it wrote neither 64 bytes nor 128 hex digits".to_owned()))
}

/// Makes a key and writes it to `path`, which is not there yet and which only its owner may read.
pub fn create(path: &Path) -> Result<Key, Error> {
    let (pair, der) = KeyPair::generate().map_err(|_| Error::NoRandomness)?;
    let text = format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(der));
    let opened = File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut opened = opened.map_err(file("make", path))?;
    let written = opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all());
    written.map_err(file("write", path))?;
    Ok(pair.key().clone())
}

fn read(path: &Path) -> Result<KeyPair, Error> {
    let text = fs::read_to_string(path).map_err(file("read", path))?;
    let inside = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    let packed: Option<String> =
        inside.map(|(inside, _)| inside.split_whitespace().collect::<Vec<_>>().concat());
    let der = packed.and_then(|packed| BASE64_STANDARD.decode(packed).ok());
    let pair = der.and_then(|der| KeyPair::from_pkcs8(&der).ok());
    pair.ok_or_else(|| Error::Sign {
        name: path.display().to_string(),
        why: "it is no ed25519 key in PEM (`openssl genpkey -algorithm ed25519` makes one)".into(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entry(key: &Key) -> Entry {
        let public = key.keyval["public"].as_str().unwrap().to_owned();
        Entry { public, file: None, command: None }
    }

    #[test]
    fn key_in_a_file_signs_is_secret_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        let key = create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&path).is_err());
        let entry = Entry { file: Some("a.key".into()), ..entry(&key) };
        let signer = entry.signer(folder.path()).unwrap().unwrap();
        let signature = signer.sign(b"message").unwrap();
        assert!(key.verifies(b"message", &hex::encode(&signature)));
        fs::remove_file(&path).unwrap();
        assert!(entry.signer(folder.path()).unwrap().is_none());
    }

    #[test]
    fn key_of_openssl_is_read_and_one_under_a_false_name_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.key");
        process::run(
            Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&path),
        )
        .unwrap();
        let key = read(&path).unwrap().key().clone();
        let right = Entry { file: Some("o.key".into()), ..entry(&key) };
        assert!(right.signer(folder.path()).unwrap().is_some());
        let other = Key::ed25519(&[7; 32]);
        let wrong = Entry { file: Some("o.key".into()), ..entry(&other) };
        assert!(wrong.signer(folder.path()).unwrap_err().to_string().contains("another key"));
    }

    #[test]
    fn command_signs_in_bytes_or_hex_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::ed25519(&[7; 32]);
        let by = |script: &str| {
            let command = Some(["sh", "-c", script].map(str::to_owned).to_vec());
            let signer = Entry { command, ..entry(&key) }.signer(folder.path()).unwrap().unwrap();
            signer.sign(b"message")
        };
        let hex = "ab".repeat(64);
        assert_eq!(by(&format!("cat >/dev/null; echo {hex}")).unwrap(), [0xab; 64]);
        assert_eq!(by("cat >/dev/null; head -c 64 /dev/zero").unwrap(), [0; 64]);
        assert_eq!(by("test $(cat) = message && head -c 64 /dev/zero").unwrap(), [0; 64]);
        assert!(by("echo no").unwrap_err().to_string().contains("neither 64 bytes"));
        assert!(
            by("echo token is away >&2; exit 1").unwrap_err().to_string().contains("token is away")
        );
    }
}
