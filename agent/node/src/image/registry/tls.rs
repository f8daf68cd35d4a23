//! TLS towards registries: which certificates are trusted.
//!
//! Certificates are read for each pull and dropped after it: they would take more memory than the
//! rest of an idle agent's image store.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::endpoint::Endpoint;
use super::{Registries, RegistryError};

/// A bundle of all public authorities has about 230 KB.
const BUNDLE_LIMIT: u64 = 4 << 20;

pub(super) fn config(
    endpoint: &Endpoint,
    registries: &Registries,
) -> Result<TlsConfig, RegistryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .disable_verification(endpoint.insecure);
    if endpoint.insecure || endpoint.base.starts_with("http://") {
        return Ok(builder.root_certs(RootCerts::new_with_certs(&[])).build());
    }
    let mut certificates = Vec::new();
    for path in &endpoint.ca {
        read(&registries.folder.join(path), &mut certificates)?;
    }
    match read(&registries.roots, &mut certificates) {
        // A node with its own authority only needs no public ones.
        Err(_) if !certificates.is_empty() => {}
        other => other?,
    }
    Ok(builder.root_certs(RootCerts::new_with_certs(&certificates)).build())
}

fn read(path: &Path, into: &mut Vec<Certificate<'static>>) -> Result<(), RegistryError> {
    let error = |source| RegistryError::Certificates { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(error)?.len();
    if length > BUNDLE_LIMIT {
        return Err(error(io::Error::other(format!("larger than {BUNDLE_LIMIT} bytes"))));
    }
    let pem = fs::read(path).map_err(error)?;
    let before = into.len();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| error(io::Error::other(e)))? {
            into.push(certificate);
        }
    }
    if into.len() == before {
        return Err(error(io::Error::other("no PEM certificate in it")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_without_certificates_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, "not a certificate").unwrap();
        let error = read(&path, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("ca.pem"));
        assert!(read(Path::new("/nonexistent"), &mut Vec::new()).is_err());
    }
}
