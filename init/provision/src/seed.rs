//! The `user-data` of a cloud's seed: <https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html>.
//! Holm takes one that is a node document, and says so of what is not.

/// Why a `user-data` is no node document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeedError {
    /// It is for cloud-init: what its first line says.
    Foreign(String),
    /// It is compressed.
    Compressed,
    /// It is not text.
    NotText,
}

impl std::fmt::Display for SeedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let right = "write a node document (holm.toml) in its place";
        match self {
            Self::Foreign(first) => write!(f, "user-data begins with {first:?}; {right}"),
            Self::Compressed => write!(f, "user-data is compressed; {right}"),
            Self::NotText => write!(f, "user-data is not UTF-8; {right}"),
        }
    }
}

impl std::error::Error for SeedError {}

/// The first words of what cloud-init knows and Holm does not.
const FOREIGN: [&str; 9] = [
    "#cloud-config",
    "#cloud-boothook",
    "#include",
    "#part-handler",
    "#!",
    "## template:",
    "Content-Type:",
    "MIME-Version:",
    "Content-type:",
];

/// The document in a `user-data`; none when it is empty, as where a cloud has to
/// give one and has nothing to say.
///
/// # Errors
/// It is something else.
pub fn user_data(bytes: &[u8]) -> Result<Option<String>, SeedError> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(SeedError::Compressed);
    }
    let text = str::from_utf8(bytes).map_err(|_| SeedError::NotText)?;
    let first = text.lines().next().unwrap_or_default().trim();
    if FOREIGN.iter().any(|word| first.starts_with(word)) {
        return Err(SeedError::Foreign(first.chars().take(40).collect()));
    }
    let is_empty =
        text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    Ok((!is_empty).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_document_is_taken_and_what_is_for_others_is_refused() {
        let document = "[node]\nhostname = \"edge-1\"\n";
        assert_eq!(user_data(document.as_bytes()), Ok(Some(document.to_owned())));
        let with_comment = format!("# by our cloud\n{document}");
        assert_eq!(user_data(with_comment.as_bytes()), Ok(Some(with_comment.clone())));
        for foreign in
            ["#cloud-config\nusers: []\n", "#!/bin/sh\nid\n", "Content-Type: multipart/mixed"]
        {
            let error = user_data(foreign.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("write a node document"), "{error}");
        }
        assert_eq!(user_data(&[0x1f, 0x8b, 8]), Err(SeedError::Compressed));
        assert_eq!(user_data(&[0xff, 0xfe]), Err(SeedError::NotText));
    }

    #[test]
    fn empty_seed_is_none() {
        assert_eq!(user_data(b""), Ok(None));
        assert_eq!(user_data(b"# nothing\n\n"), Ok(None));
    }
}
