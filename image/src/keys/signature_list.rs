//! UEFI's formats for keys: signature lists, and signed updates of the variables that hold them.
//! Specification: UEFI 2.10, sections 8.2.2 and 32.4.1. Must never do I/O.

/// The vendor of PK and KEK.
pub const GLOBAL: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];
/// The vendor of db.
pub const SECURITY_DATABASE: [u8; 16] = [
    0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f,
];
/// The type of a list of X.509 certificates.
const X509: [u8; 16] = [
    0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72,
];
/// The type of a PKCS #7 signature.
const PKCS7: [u8; 16] = [
    0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7,
];
/// Non-volatile, boot and run time access, changed only by signed updates with a newer time.
pub const ATTRIBUTES: u32 = 0x27;

/// `EFI_TIME`, always UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EfiTime([u8; 16]);

impl EfiTime {
    /// A time in seconds since 1970.
    pub fn at(seconds: u64) -> Self {
        let (days, second) = (seconds / 86400, seconds % 86400);
        let (year, month, day) = civil(days);
        let mut time = [0; 16];
        time[..2].copy_from_slice(&year.to_le_bytes());
        let parts = [month, day, second / 3600, second / 60 % 60, second % 60];
        for (byte, part) in time[2..].iter_mut().zip(parts) {
            *byte = part as u8;
        }
        Self(time)
    }

    /// The structure's bytes.
    pub fn bytes(&self) -> [u8; 16] {
        self.0
    }
}

/// Year, month and day of a number of days since 1970.
fn civil(mut days: u64) -> (u16, u64, u64) {
    let is_leap = |year: u16| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// An `EFI_SIGNATURE_LIST` with one certificate (DER).
pub fn signature_list(owner: &[u8; 16], certificate: &[u8]) -> Vec<u8> {
    let entry = 16 + certificate.len() as u32;
    let mut list = X509.to_vec();
    for number in [28 + entry, 0, entry] {
        list.extend(number.to_le_bytes());
    }
    list.extend(owner);
    list.extend(certificate);
    list
}

/// A new value for a variable that only takes signed ones.
pub(super) struct Update<'a> {
    pub(super) name: &'a str,
    pub(super) vendor: [u8; 16],
    pub(super) time: EfiTime,
    pub(super) list: &'a [u8],
}

impl Update<'_> {
    /// What the signature covers.
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.extend(self.vendor);
        bytes.extend(ATTRIBUTES.to_le_bytes());
        bytes.extend(self.time.0);
        bytes.extend(self.list);
        bytes
    }

    /// The `.auth` file: time, signature, value.
    pub(super) fn file(&self, signature: &[u8]) -> Vec<u8> {
        let mut file = self.time.0.to_vec();
        file.extend((24 + signature.len() as u32).to_le_bytes());
        file.extend(0x0200_u16.to_le_bytes());
        file.extend(0x0ef1_u16.to_le_bytes());
        file.extend(PKCS7);
        file.extend(signature);
        file.extend(self.list);
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_split_into_its_parts() {
        // 2028-02-29 23:59:58 UTC
        let time = EfiTime::at(1_835_481_598).bytes();
        assert_eq!(u16::from_le_bytes([time[0], time[1]]), 2028);
        assert_eq!(time[2..7], [2, 29, 23, 59, 58]);
        assert_eq!(time[7..], [0; 9], "the zone is UTC");
    }

    #[test]
    fn list_sizes_add_up() {
        let list = signature_list(&[9; 16], &[7; 100]);
        let number = |at: usize| u32::from_le_bytes(list[at..at + 4].try_into().expect("4 bytes"));
        assert_eq!(number(16) as usize, list.len());
        assert_eq!((number(20), number(24)), (0, 116));
        assert_eq!(list[28..44], [9; 16]);
    }

    #[test]
    fn update_file_holds_time_signature_and_value() {
        let (name, vendor, time) = ("db", SECURITY_DATABASE, EfiTime::at(0));
        let update = Update { name, vendor, time, list: b"list" };
        assert_eq!(&update.signed_bytes()[..4], b"d\0b\0");
        let file = update.file(b"signature");
        let length = u32::from_le_bytes(file[16..20].try_into().expect("4 bytes")) as usize;
        assert_eq!(&file[16 + length..], b"list", "the value follows the certificate");
        assert!(file[..16 + length].ends_with(b"signature"));
    }
}
