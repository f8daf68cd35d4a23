//! The cluster's own authority: made on first start, it signs what the server and its clients show.
//! Leaves are short-lived and renewed while the server runs, so that nobody waits for a restart.

mod der;

use super::User;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;

/// How long leaves are valid.
pub const LEAF_DAYS: i64 = 365;
/// How long the authority is.
const AUTHORITY_DAYS: i64 = 3650;
const NAME: &str = "holm-ca";

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// Something with a file.
    #[error("cannot use {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something with a key or a signature.
    #[error("cannot make a certificate")]
    Sign(#[from] rcgen::Error),
    /// The TLS library does not take it.
    #[error("cannot use a certificate")]
    Tls(#[from] rustls::Error),
}

/// A certificate with its key, as files carry them.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
    der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

/// What a leaf is for.
#[derive(Debug, Clone)]
pub enum Purpose<'a> {
    /// A server of these names and addresses.
    Server(&'a [String]),
    /// A client that is this user.
    Client(&'a User),
}

/// Who signs.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    der: CertificateDer<'static>,
}

impl Authority {
    /// Opens the authority in a folder, or makes one.
    ///
    /// # Errors
    /// When the folder cannot be used, or holds something else.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, CertificateError> {
        let file = |path: &Path| {
            let path = path.to_owned();
            |source| CertificateError::File { path, source }
        };
        std::fs::create_dir_all(folder).map_err(file(folder))?;
        let (key_path, path) = (folder.join("ca.key"), folder.join("ca.crt"));
        let key = if key_path.exists() {
            KeyPair::from_pem(&std::fs::read_to_string(&key_path).map_err(file(&key_path))?)?
        } else {
            let key = KeyPair::generate()?;
            write(&key_path, &key.serialize_pem(), 0o600).map_err(file(&key_path))?;
            key
        };
        // The key is the identity: a certificate that was lost is made anew.
        let params = authority_params(now);
        let certificate = match std::fs::read_to_string(&path) {
            Ok(certificate) => certificate,
            Err(_) => {
                let certificate = params.self_signed(&key)?.pem();
                write(&path, &certificate, 0o644).map_err(file(&path))?;
                certificate
            }
        };
        let der = read_pem(&certificate).ok_or_else(|| CertificateError::File {
            path,
            source: std::io::ErrorKind::InvalidData.into(),
        })?;
        Ok(Self { issuer: Issuer::new(params, key), certificate, der })
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The authority's certificate, DER.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Makes a key and signs it.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn leaf(&self, purpose: &Purpose<'_>, now: Timestamp) -> Result<Leaf, CertificateError> {
        let mut params = match purpose {
            Purpose::Server(names) => CertificateParams::new(names.to_vec())?,
            Purpose::Client(_) => CertificateParams::new(Vec::new())?,
        };
        let mut name = DistinguishedName::new();
        match purpose {
            Purpose::Server(_) => {
                name.push(DnType::CommonName, "kube-apiserver");
                params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            }
            Purpose::Client(user) => {
                name.push(DnType::CommonName, user.name.as_str());
                // Authentication adds the group of everyone by itself.
                for group in user.groups.iter().filter(|it| *it != super::AUTHENTICATED).take(1) {
                    name.push(DnType::OrganizationName, group.as_str());
                }
                params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
            }
        }
        params.distinguished_name = name;
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, LEAF_DAYS);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            certificate: certificate.pem(),
            der: certificate.der().clone(),
            key: key.serialize_pem(),
            key_der: key.serialize_der(),
        })
    }
}

fn authority_params(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    set_validity(&mut params, now, AUTHORITY_DAYS);
    params
}

/// From a day ago, for clocks that are a little behind, for so many days.
fn set_validity(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let day = |days: i64| {
        let at = now.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(now);
        let date = at.to_zoned(TimeZone::UTC).date();
        let part = |it: i8| it.unsigned_abs();
        rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    params.not_before = day(-1);
    params.not_after = day(days);
}

fn read_pem(text: &str) -> Option<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(text.as_bytes()).ok()
}

/// Writes a file so that it is whole or not there.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let unfinished = path.with_extension("tmp");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

/// The server's certificate, which is replaced while connections come in.
#[derive(Debug)]
pub struct Renewing(RwLock<Arc<CertifiedKey>>);

impl Renewing {
    /// Begins with a first certificate.
    ///
    /// # Errors
    /// Those of signing.
    pub fn new(
        authority: &Authority,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        Ok(Self(RwLock::new(Arc::new(certified(authority, names, now)?))))
    }

    /// Takes a new certificate for the connections to come.
    ///
    /// # Errors
    /// Those of signing; the certificate before stays.
    pub fn renew(
        &self,
        authority: &Authority,
        names: &[String],
        now: Timestamp,
    ) -> Result<(), CertificateError> {
        let new = Arc::new(certified(authority, names, now)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

impl ResolvesServerCert for Renewing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn certified(
    authority: &Authority,
    names: &[String],
    now: Timestamp,
) -> Result<CertifiedKey, CertificateError> {
    let leaf = authority.leaf(&Purpose::Server(names), now)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key_der));
    let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
    Ok(CertifiedKey::new(vec![leaf.der, authority.der.clone()], key))
}

/// Who shows this certificate: its common name, and its organisations as groups. The TLS library has
/// checked that the authority signed it.
#[must_use]
pub fn user_of(certificate: &[u8]) -> Option<User> {
    let subject = der::subject(certificate)?;
    let name = subject.common_name?;
    let groups: Vec<&str> = subject.organizations.iter().map(String::as_str).collect();
    Some(User::new(&name, &groups))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn a_client_is_whom_its_certificate_names() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), now()).unwrap();
        let user = User::new("system:node:é", &["system:nodes"]);
        let leaf = authority.leaf(&Purpose::Client(&user), now()).unwrap();
        assert_eq!(user_of(&leaf.der), Some(user));
        assert_eq!(user_of(b"no certificate"), None);
        for length in 0..leaf.der.len() {
            // Cut off anywhere, it is an error or still names the same.
            let _ = user_of(&leaf.der[..length]);
        }
    }

    #[test]
    fn the_authority_is_the_same_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path(), now()).unwrap();
        let second = Authority::open(folder.path(), now()).unwrap();
        assert_eq!(first.certificate(), second.certificate());
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(folder.path().join("ca.key")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
}
