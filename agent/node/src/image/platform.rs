//! Which platform this node is, and which manifest of an index fits it.
//!
//! Pure.

use super::manifest::Descriptor;

/// Operating system, CPU architecture and its variant, in OCI words.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform that this program was built for.
    pub fn of_this_node() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Whether an image for `other` runs here. A higher x86-64 level or Arm version may not.
    pub fn runs(&self, other: &Self) -> bool {
        let variant = other.variant.as_deref().unwrap_or("");
        let baseline = match other.architecture.as_str() {
            "amd64" => matches!(variant, "" | "v1"),
            "arm64" => matches!(variant, "" | "v8"),
            _ => true,
        };
        self.os == other.os && self.architecture == other.architecture && baseline
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// The first manifest that runs here; one without a platform is the last resort.
pub(crate) fn choose<'a>(manifests: &'a [Descriptor], node: &Platform) -> Option<&'a Descriptor> {
    let fits = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| node.runs(p));
    let unnamed = |d: &&Descriptor| d.platform.is_none() && d.is_manifest();
    manifests.iter().find(fits).or_else(|| manifests.iter().find(unnamed))
}

#[cfg(test)]
mod tests {
    use super::super::digest::Digest;
    use super::*;

    fn platform(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
        Platform {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.map(Into::into),
        }
    }

    fn descriptor(name: &str, platform: Option<Platform>) -> Descriptor {
        Descriptor {
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            digest: Digest::of(name.as_bytes()),
            size: 1,
            platform,
            annotations: Default::default(),
        }
    }

    #[test]
    fn index_yields_the_manifest_for_this_node() {
        let node = platform("linux", "arm64", None);
        let list = [
            descriptor("attestation", Some(platform("unknown", "unknown", None))),
            descriptor("amd64", Some(platform("linux", "amd64", None))),
            descriptor("windows", Some(platform("windows", "arm64", None))),
            descriptor("v9", Some(platform("linux", "arm64", Some("v9")))),
            descriptor("v8", Some(platform("linux", "arm64", Some("v8")))),
        ];
        assert_eq!(choose(&list, &node).unwrap().digest, Digest::of(b"v8"));
        assert_eq!(choose(&list, &platform("linux", "riscv64", None)), None);
    }

    #[test]
    fn x86_levels_above_the_baseline_are_passed_over() {
        let node = platform("linux", "amd64", None);
        let list = [
            descriptor("v3", Some(platform("linux", "amd64", Some("v3")))),
            descriptor("base", Some(platform("linux", "amd64", None))),
        ];
        assert_eq!(choose(&list, &node).unwrap().digest, Digest::of(b"base"));
    }

    #[test]
    fn manifest_without_platform_is_the_last_resort() {
        let node = platform("linux", "amd64", None);
        let list = [
            descriptor("unnamed", None),
            descriptor("named", Some(platform("linux", "amd64", None))),
        ];
        assert_eq!(choose(&list, &node).unwrap().digest, Digest::of(b"named"));
        assert_eq!(choose(&list[..1], &node).unwrap().digest, Digest::of(b"unnamed"));
    }

    #[test]
    fn this_node_has_an_oci_architecture() {
        let node = Platform::of_this_node();
        assert!(node.runs(&node));
        assert!(!["x86_64", "aarch64"].contains(&node.architecture.as_str()));
    }
}
