//! Image names as Docker and Kubernetes write them, and their one full form.
//!
//! Pure. `busybox` is `docker.io/library/busybox:latest`. Grammar: the distribution project's
//! reference package.

use std::fmt;

use super::digest::Digest;

/// A full image name: registry host, repository, and a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A name that no image can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image name {name:?}: {why}")]
pub struct ReferenceError {
    /// The name as given, shortened.
    pub name: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl Reference {
    /// Reads a name and completes it.
    pub fn parse(name: &str) -> Result<Self, ReferenceError> {
        parse(name).map_err(|why| ReferenceError { name: name.chars().take(300).collect(), why })
    }

    /// Registry host with its port, as a configuration file names it: `docker.io`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Repository within the registry: `library/busybox`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Tag, unless a digest says what is meant.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Digest of the manifest that is meant.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What stands behind `/manifests/` in a request.
    pub(crate) fn manifest_key(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }

    /// The same repository at a digest.
    pub(crate) fn at(&self, digest: &Digest) -> Self {
        Self { tag: None, digest: Some(digest.clone()), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        match (&self.digest, &self.tag) {
            (Some(digest), _) => write!(f, "@{digest}"),
            (None, Some(tag)) => write!(f, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

fn parse(name: &str) -> Result<Reference, String> {
    let (rest, digest) = match name.split_once('@') {
        Some((rest, digest)) => (rest, Some(Digest::parse(digest).map_err(|e| e.to_string())?)),
        None => (name, None),
    };
    // A colon behind the last slash starts a tag; one before it is the port of the host.
    let tag_at = rest.rfind(':').filter(|&at| !rest[at..].contains('/'));
    let (path, tag) = match tag_at {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let (host, repository) = match path.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest.to_owned()),
        _ => ("docker.io", path.to_owned()),
    };
    check_host(host)?;
    let host = if host == "index.docker.io" { "docker.io" } else { host };
    let repository = match host {
        "docker.io" if !repository.contains('/') => format!("library/{repository}"),
        _ => repository,
    };
    check_repository(&repository)?;
    if digest.is_none() && tag.is_none() && is_identifier(path) {
        return Err("64 hexadecimal digits are an image's ID: write sha256:<ID>".to_owned());
    }
    // A digest says exactly what is meant, so a tag beside it is dropped, as containerd does.
    let tag = match (&digest, tag) {
        (Some(_), _) => None,
        (None, tag) => Some(tag.unwrap_or("latest").to_owned()),
    };
    Ok(Reference { host: host.to_owned(), repository, tag, digest })
}

fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase)
}

fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_tag(tag: &str) -> Result<(), String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let good = tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-');
    if good {
        Ok(())
    } else {
        Err(format!("tag {tag:?} must be 1 to 128 of A-Z a-z 0-9 _ . - and begin with none of . -"))
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let bad = || Err(format!("registry {host:?} must be a host name or address, with :port"));
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return bad();
            }
            ("ipv6", port.strip_prefix(':').or((!port.is_empty()).then_some("x")))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let port_good =
        port.is_none_or(|p| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok());
    if name.split('.').all(label) && port_good { Ok(()) } else { bad() }
}

fn check_repository(repository: &str) -> Result<(), String> {
    if repository.len() > 255 {
        return Err("repository is longer than 255 characters".to_owned());
    }
    match repository.split('/').find(|part| !is_path_component(part)) {
        None => Ok(()),
        Some("") => Err("a part of the name is empty".to_owned()),
        Some(part) if part.chars().any(|c| c.is_ascii_uppercase()) => {
            Err(format!("{part:?} must be in lower case"))
        }
        Some(part) => Err(format!(
            "{part:?} must be words of a-z 0-9 joined by one dot, one or two underscores or dashes"
        )),
    }
}

fn is_path_component(part: &str) -> bool {
    let alphanumeric = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    let bytes = part.as_bytes();
    let ends = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
    let joined = bytes.split(alphanumeric).all(|separator| {
        matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|&b| b == b'-')
    });
    ends && joined
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_are_completed_as_docker_does() {
        for (short, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.37", "docker.io/library/busybox:1.37"),
            ("library/busybox", "docker.io/library/busybox:latest"),
            ("grafana/grafana:11", "docker.io/grafana/grafana:11"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a/b/c:v1", "localhost:5000/a/b/c:v1"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("10.0.0.1/a", "10.0.0.1/a:latest"),
            ("ghcr.io/x/y__z/a-b--c:T_1.x-y", "ghcr.io/x/y__z/a-b--c:T_1.x-y"),
        ] {
            assert_eq!(Reference::parse(short).unwrap().to_string(), full, "{short}");
        }
    }

    #[test]
    fn digest_wins_over_tag() {
        let name = format!("busybox:1.37@sha256:{HEX}");
        let reference = Reference::parse(&name).unwrap();
        assert_eq!(reference.to_string(), format!("docker.io/library/busybox@sha256:{HEX}"));
        assert_eq!(reference.tag(), None);
        assert_eq!(reference.manifest_key(), format!("sha256:{HEX}"));
    }

    #[test]
    fn names_that_no_image_can_have_are_refused() {
        for bad in [
            "",
            ":latest",
            "a:",
            "a:-x",
            "a b",
            "Busybox",
            "ghcr.io/Upper/x",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a_",
            "a..b",
            "a___b",
            "../etc/passwd",
            "x.io/../y",
            "host:port/a",
            "host:99999/a",
            "[::1/a",
            "[::1]x/a",
            "a@sha256:1",
            "a@",
            HEX,
            "a:b:c",
            "a?b=c",
            "x.io/a%2e",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
        assert!(Reference::parse(&format!("x/{}", "a".repeat(256))).is_err());
        assert!(Reference::parse(&format!("a:{}", "1".repeat(129))).is_err());
    }

    #[test]
    fn full_form_is_a_fixed_point() {
        for name in ["a", "x.io/b:1", &format!("c@sha256:{HEX}")] {
            let once = Reference::parse(name).unwrap();
            assert_eq!(Reference::parse(&once.to_string()).unwrap(), once);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_every_accepted_name_is_a_fixed_point(name in ".{0,60}|[a-z./:@_-]{0,40}") {
            if let Ok(reference) = Reference::parse(&name) {
                assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
            }
        }
    }
}
