//! The owner's keys for updates: several for root, of which a threshold has to sign, one for each
//! other role; and the first root of trust, which images carry.
//! Must never overwrite a key.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use holm_tuf::metadata::{RoleKeys, SPEC_VERSION};
use holm_tuf::{Envelope, Role, Root};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::sign::{Days, sign};
use super::signer::{self, Entry, KeySigner};
use super::{Error, file};

/// The list of keys, for people to edit where a command signs.
const LIST: &str = "signers.json";
/// The newest root of trust.
const ROOT: &str = "root.json";

/// Who signs for one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSigners {
    /// How many of the keys have to sign.
    pub threshold: u32,
    /// The keys.
    pub keys: Vec<Entry>,
}

/// A folder with the keys for updates.
#[derive(Debug, Clone)]
pub struct UpdateKeys {
    folder: PathBuf,
    roles: BTreeMap<String, RoleSigners>,
}

impl UpdateKeys {
    /// Uses the keys in `folder`.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(LIST);
        if !path.is_file() {
            return Err(Error::NoKeys(folder.to_owned()));
        }
        let text = fs::read(&path).map_err(file("read", &path))?;
        let roles = serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })?;
        Ok(Self { folder: folder.to_owned(), roles })
    }

    /// Makes `count` root keys of which `threshold` have to sign, a key for each other role, and
    /// the first root, in `folder`, which holds none yet.
    pub fn create(
        folder: &Path,
        count: u32,
        threshold: u32,
        now: Timestamp,
        days: Days,
    ) -> Result<Self, Error> {
        if threshold == 0 || threshold > count {
            return Err(Error::Threshold { threshold, count });
        }
        if folder.join(LIST).exists() {
            return Err(Error::KeysExist(folder.to_owned()));
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(file("make", folder))?;
        let mut keys = Self { folder: folder.to_owned(), roles: BTreeMap::new() };
        for role in Role::ALL {
            let (count, threshold) = if role == Role::Root { (count, threshold) } else { (1, 1) };
            let entries =
                (0..count).map(|_| keys.create_key(role)).collect::<Result<Vec<_>, Error>>()?;
            keys.roles.insert(role.name().to_owned(), RoleSigners { threshold, keys: entries });
        }
        let root = keys.root(1, now, days)?;
        let signers = keys.signers(Role::Root)?;
        keys.write_root(&sign(&root, &signers)?.to_bytes()?)?;
        // Last: a folder without the list is no set of keys.
        keys.write_list()?;
        Ok(keys)
    }

    /// The newest root of trust, for images.
    pub fn root_file(&self) -> Result<Vec<u8>, Error> {
        let path = self.folder.join(ROOT);
        fs::read(&path).map_err(file("read", &path))
    }

    /// What the list says of a role.
    pub fn role(&self, role: Role) -> Result<&RoleSigners, Error> {
        self.roles.get(role.name()).ok_or_else(|| Error::NoKeys(self.folder.clone()))
    }

    /// The keys of a role that can be reached.
    pub fn signers(&self, role: Role) -> Result<Vec<KeySigner>, Error> {
        let all = self.role(role)?.keys.iter().map(|entry| entry.signer(&self.folder));
        all.filter_map(Result::transpose).collect()
    }

    /// Root metadata that say what the list says.
    pub fn root(&self, version: u64, now: Timestamp, days: Days) -> Result<Root, Error> {
        let (mut keys, mut roles) = (BTreeMap::new(), BTreeMap::new());
        for role in Role::ALL {
            let RoleSigners { threshold, keys: entries } = self.role(role)?;
            let mut keyids = Vec::new();
            for entry in entries {
                let key = entry.key()?;
                let id = key.id().unwrap_or_default();
                keyids.push(id.clone());
                keys.insert(id, key);
            }
            let threshold = *threshold;
            roles.insert(role.name().to_owned(), RoleKeys { keyids, threshold, extra: Map::new() });
        }
        Ok(Root {
            spec_version: SPEC_VERSION.to_owned(),
            version,
            expires: days.expires(Role::Root, now),
            consistent_snapshot: true,
            keys,
            roles,
            extra: Map::new(),
        })
    }

    /// A new key for a role, in a file of its own. It signs nothing before the list names it.
    pub fn create_key(&self, role: Role) -> Result<Entry, Error> {
        let name = (1..)
            .map(|n: u32| format!("{role}-{n}.key"))
            .find(|name| !self.folder.join(name).exists())
            .unwrap_or_default();
        let key = signer::create(&self.folder.join(&name))?;
        let public = key.keyval.get("public").and_then(|public| public.as_str());
        let public = public.unwrap_or_default().to_owned();
        Ok(Entry { public, file: Some(name), command: None })
    }

    /// The same with another list for one role; nothing is written.
    pub fn with(&self, role: Role, signers: RoleSigners) -> Self {
        let mut changed = self.clone();
        changed.roles.insert(role.name().to_owned(), signers);
        changed
    }

    /// Writes the list, and the root that goes with it.
    pub fn keep(&self, root: &[u8]) -> Result<(), Error> {
        self.write_root(root)?;
        self.write_list()
    }

    fn write_root(&self, bytes: &[u8]) -> Result<(), Error> {
        // A root that nobody could use must not get into an image.
        let envelope = Envelope::parse("root", bytes)?;
        let root: Root = envelope.open("root")?;
        envelope.verify_by_root("root", &root)?;
        self.write(ROOT, bytes)
    }

    fn write_list(&self) -> Result<(), Error> {
        let path = self.folder.join(LIST);
        let text = serde_json::to_vec_pretty(&self.roles);
        self.write(LIST, &text.map_err(|source| Error::Json { path, source })?)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let (path, fresh) = (self.folder.join(name), self.folder.join(format!(".{name}.new")));
        fs::write(&fresh, bytes).map_err(file("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(file("replace", &path))
    }
}
