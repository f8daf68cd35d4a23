//! The superblock that `veritysetup` puts before a hash tree, and the
//! device-mapper table that follows from it and from the root hash. Pure.
//! Format: <https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity>.

/// The superblock's size on disk.
pub(crate) const SIZE: usize = 512;
const SECTOR: u64 = 512;

/// Why a superblock is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// There is none where the command line says.
    #[error("no verity superblock at byte {0} of the root partition")]
    Missing(u64),
    /// A field has a value that the kernel would refuse.
    #[error("verity superblock has the unusable {0} {1}")]
    Field(&'static str, u64),
    /// The root hash is not hexadecimal, or not of the algorithm's length.
    #[error("root hash on the kernel command line is not {0} hexadecimal digits")]
    RootHash(usize),
    /// An algorithm that Holm does not use.
    #[error("verity hash algorithm is {0:?}, not sha256")]
    Algorithm(String),
}

/// What the superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    hash_type: u32,
    uuid: [u8; 16],
    data_block: u32,
    hash_block: u32,
    data_blocks: u64,
    salt: Vec<u8>,
    /// Where the superblock is, in bytes.
    offset: u64,
}

impl Superblock {
    /// Reads the superblock found at byte `offset`.
    pub(crate) fn decode(bytes: &[u8], offset: u64) -> Result<Self, Error> {
        let bytes = bytes.get(..SIZE).ok_or(Error::Missing(offset))?;
        if &bytes[..8] != b"verity\0\0" || word(bytes, 8) != 1 {
            return Err(Error::Missing(offset));
        }
        let algorithm: Vec<u8> = bytes[32..64].iter().copied().take_while(|&b| b != 0).collect();
        if algorithm != b"sha256" {
            return Err(Error::Algorithm(String::from_utf8_lossy(&algorithm).into_owned()));
        }
        let block = |at: usize, field| {
            let size = word(bytes, at);
            let usable = size.is_power_of_two() && (512..=65536).contains(&size);
            usable.then_some(size).ok_or(Error::Field(field, u64::from(size)))
        };
        let salt_size = u16::from_le_bytes([bytes[80], bytes[81]]);
        let salt = bytes.get(88..88 + usize::from(salt_size));
        let salt = salt.ok_or(Error::Field("salt size", u64::from(salt_size)))?.to_vec();
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        let mut data_blocks = [0; 8];
        data_blocks.copy_from_slice(&bytes[72..80]);
        let found = Self {
            hash_type: word(bytes, 12),
            uuid,
            data_block: block(64, "data block size")?,
            hash_block: block(68, "hash block size")?,
            data_blocks: u64::from_le_bytes(data_blocks),
            salt,
            offset,
        };
        if found.data_blocks == 0 || found.data_blocks > offset / u64::from(found.data_block) {
            return Err(Error::Field("data block count", found.data_blocks));
        }
        if !offset.is_multiple_of(u64::from(found.hash_block)) {
            return Err(Error::Field("hash offset", offset));
        }
        Ok(found)
    }

    /// The device's length in sectors.
    pub(crate) fn sectors(&self) -> u64 {
        self.data_blocks * u64::from(self.data_block) / SECTOR
    }

    /// The device-mapper id, in cryptsetup's form, so that its tools know it.
    pub(crate) fn mapper_id(&self, name: &str) -> String {
        format!("CRYPT-VERITY-{}-{name}", hex(&self.uuid))
    }

    /// The table's parameters for the target `verity`:
    /// <https://docs.kernel.org/admin-guide/device-mapper/verity.html>.
    /// `device` is `major:minor` or a path. On corruption the kernel panics: so
    /// the reason reaches the console and pstore, and a trial boot falls back.
    pub(crate) fn table(&self, device: &str, root_hash: &str) -> Result<String, Error> {
        let digits = 64;
        if root_hash.len() != digits || !root_hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::RootHash(digits));
        }
        // The tree begins in the block after the superblock's.
        let tree = (self.offset + SIZE as u64).div_ceil(u64::from(self.hash_block));
        let salt = if self.salt.is_empty() { "-".to_owned() } else { hex(&self.salt) };
        Ok(format!(
            "{} {device} {device} {} {} {} {tree} sha256 {} {salt} 1 panic_on_corruption",
            self.hash_type,
            self.data_block,
            self.hash_block,
            self.data_blocks,
            root_hash.to_ascii_lowercase(),
        ))
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn bytes() -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        bytes[..8].copy_from_slice(b"verity\0\0");
        bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&1u32.to_le_bytes());
        bytes[16..32].fill(0xab);
        bytes[32..38].copy_from_slice(b"sha256");
        bytes[64..68].copy_from_slice(&4096u32.to_le_bytes());
        bytes[68..72].copy_from_slice(&4096u32.to_le_bytes());
        bytes[72..80].copy_from_slice(&16u64.to_le_bytes());
        bytes[80..82].copy_from_slice(&2u16.to_le_bytes());
        bytes[88..90].copy_from_slice(&[0xca, 0xfe]);
        bytes
    }

    #[test]
    fn table_follows_from_superblock_and_root_hash() {
        let superblock = Superblock::decode(&bytes(), 65536).unwrap();
        assert_eq!(superblock.sectors(), 128);
        assert_eq!(
            superblock.table("254:2", HASH).unwrap(),
            format!("1 254:2 254:2 4096 4096 16 17 sha256 {HASH} cafe 1 panic_on_corruption")
        );
        assert_eq!(superblock.mapper_id("root"), format!("CRYPT-VERITY-{}-root", "ab".repeat(16)));
    }

    #[test]
    fn empty_salt_is_a_dash() {
        let mut bytes = bytes();
        bytes[80] = 0;
        let table = Superblock::decode(&bytes, 65536).unwrap().table("d", HASH).unwrap();
        assert!(table.contains(&format!("{HASH} - 1")));
    }

    #[test]
    fn wrong_superblocks_are_refused_with_the_reason() {
        assert_eq!(Superblock::decode(&[0; SIZE], 4096), Err(Error::Missing(4096)));
        let mut odd = bytes();
        odd[64] = 1;
        assert_eq!(Superblock::decode(&odd, 65536), Err(Error::Field("data block size", 4097)));
        let mut long = bytes();
        long[81] = 0xff;
        assert!(matches!(Superblock::decode(&long, 65536), Err(Error::Field("salt size", _))));
        let mut sha1 = bytes();
        sha1[32..38].copy_from_slice(b"sha1\0\0");
        assert_eq!(Superblock::decode(&sha1, 65536), Err(Error::Algorithm("sha1".into())));
        // The tree must lie behind the data.
        assert_eq!(Superblock::decode(&bytes(), 4096), Err(Error::Field("data block count", 16)));
    }

    #[test]
    fn root_hash_must_be_hexadecimal() {
        let superblock = Superblock::decode(&bytes(), 65536).unwrap();
        assert_eq!(superblock.table("d", "12"), Err(Error::RootHash(64)));
        assert_eq!(superblock.table("d", &"g".repeat(64)), Err(Error::RootHash(64)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(noise in prop::collection::vec(any::<u8>(), SIZE), offset: u64) {
            let mut noisy = noise;
            noisy[..12].copy_from_slice(&bytes()[..12]);
            noisy[32..64].copy_from_slice(&bytes()[32..64]);
            let _ = Superblock::decode(&noisy, offset);
        }
    }
}
