//! Files with which `kubectl` and other clients find the server. Pure but for the signature.

use crate::auth::User;
use crate::auth::certificates::{CertificateError, Purpose};
use crate::server::Server;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// One for a server at `url`, as a user whose certificate is made for it.
///
/// # Errors
/// When the certificate cannot be made.
pub fn with_certificate(
    server: &Server,
    url: &str,
    user: &User,
) -> Result<String, CertificateError> {
    let leaf = server.authority.leaf(&Purpose::Client(user), server.now())?;
    let authority = BASE64.encode(server.authority.certificate());
    let credentials = format!(
        "client-certificate-data: {}\n    client-key-data: {}",
        BASE64.encode(&leaf.certificate),
        BASE64.encode(&leaf.key)
    );
    let cluster = format!("certificate-authority-data: {authority}\n    server: {url}");
    Ok(write(&cluster, &credentials))
}

/// One for a server without TLS.
#[must_use]
pub fn plain(url: &str) -> String {
    write(&format!("server: {url}"), "token: unused")
}

fn write(cluster: &str, credentials: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: holm
clusters:
- name: holm
  cluster:
    {cluster}
contexts:
- name: holm
  context:
    cluster: holm
    user: admin
users:
- name: admin
  user:
    {credentials}
"
    )
}
