//! Reads apt's source lists, both formats, and picks the Debian mirror the host uses.
//! Must never name a host of its own.

use std::collections::BTreeMap;

/// One archive that the host takes packages from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Where it is.
    pub uris: Vec<String>,
    /// Releases.
    pub suites: Vec<String>,
    /// Components.
    pub components: Vec<String>,
    /// The keyring named by it.
    pub signed_by: Option<String>,
}

/// Where the archives of Debian are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// The main archive.
    pub archive: String,
    /// Security updates, where the host has them.
    pub security: Option<String>,
    /// The keyring that the host verifies the archive with.
    pub keyring: Option<String>,
}

/// Parses a `.sources` file: paragraphs of `Key: value`, with continued lines and comments.
/// Sources that are disabled or have no binary packages are left out.
pub fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            sources.extend(source_of(&fields));
            fields.clear();
        } else if line.starts_with('#') {
            // A comment does not end a paragraph.
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = fields.get_mut(&last) {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            last = key.trim().to_ascii_lowercase();
            fields.insert(last.clone(), value.trim().to_owned());
        }
    }
    sources
}

fn source_of(fields: &BTreeMap<String, String>) -> Option<Source> {
    let words = |key: &str| -> Vec<String> {
        let value = fields.get(key).map(String::as_str).unwrap_or_default();
        value.split_whitespace().map(str::to_owned).collect()
    };
    let enabled = fields.get("enabled").is_none_or(|value| {
        !["no", "false", "off", "0"].contains(&value.to_ascii_lowercase().as_str())
    });
    if !enabled || !words("types").iter().any(|kind| kind == "deb") {
        return None;
    }
    let signed_by = fields.get("signed-by").filter(|value| value.starts_with('/')).cloned();
    Some(Source {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by,
    })
}

/// Parses a `sources.list`: `deb [options] uri suite component…`, one for each line.
pub fn parse_one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim().strip_prefix("deb")?;
    let mut rest = line.strip_prefix([' ', '\t'])?.trim();
    let mut signed_by = None;
    if let Some(inner) = rest.strip_prefix('[') {
        let (options, after) = inner.split_once(']')?;
        rest = after.trim();
        let option = |word: &str| word.strip_prefix("signed-by=").map(str::to_owned);
        signed_by = options.split_whitespace().find_map(option).filter(|key| key.starts_with('/'));
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by,
    })
}

/// The Debian archive among the host's sources, known by the names of Debian's releases.
/// `None` when the host is no Debian.
pub fn pick_mirrors(sources: &[Source]) -> Option<Mirrors> {
    let main = |source: &&Source| source.components.iter().any(|name| name == "main");
    let with = |is: fn(&str) -> bool| {
        sources.iter().filter(main).find(|source| source.suites.iter().any(|suite| is(suite)))
    };
    let archive = with(is_debian_release)?;
    let uri = |source: &Source| source.uris.first().map(|uri| uri.trim_end_matches('/').to_owned());
    Some(Mirrors {
        archive: uri(archive)?,
        security: with(is_security_suite).and_then(uri),
        keyring: archive.signed_by.clone(),
    })
}

/// Debian's releases and their aliases; other distributions' archives must not be mistaken for it.
const RELEASES: [&str; 11] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

fn is_debian_release(suite: &str) -> bool {
    let base = suite.strip_suffix("-updates").unwrap_or(suite);
    RELEASES.contains(&base)
}

fn is_security_suite(suite: &str) -> bool {
    let base = suite.strip_suffix("-security").or_else(|| suite.strip_suffix("/updates"));
    base.is_some_and(|base| RELEASES.contains(&base))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
Types: deb deb-src
# a comment inside of a paragraph
URIs: https://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: https://disabled.example/debian
Suites: trixie
Components: main
";

    #[test]
    fn deb822_paragraphs_are_read_with_continued_lines() {
        let sources = parse_deb822(DEB822);
        assert_eq!(sources.len(), 2, "the disabled one is left out");
        assert_eq!(sources[0].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(sources[0].components, ["main", "contrib"]);
        assert_eq!(sources[0].signed_by.as_deref(), Some("/usr/share/keyrings/debian.gpg"));
    }

    #[test]
    fn embedded_key_is_not_taken_for_a_file() {
        let text = "Types: deb\nURIs: u\nSuites: s\nSigned-By:\n -----BEGIN PGP\n .\n xyz\n";
        assert_eq!(parse_deb822(text)[0].signed_by, None);
    }

    #[test]
    fn one_line_sources_are_read_with_options_and_comments() {
        let text = "\
# deb https://old.example/debian buster main
deb-src https://mirror.example/debian trixie main
deb [arch=amd64 signed-by=/k.gpg] https://mirror.example/debian trixie main contrib # ours
deb\thttps://two.example/debian sid main";
        let sources = parse_one_line(text);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].signed_by.as_deref(), Some("/k.gpg"));
        assert_eq!(sources[0].components, ["main", "contrib"]);
        assert_eq!(sources[1].uris, ["https://two.example/debian"]);
    }

    #[test]
    fn debian_archive_and_security_are_told_apart() {
        let mirrors = pick_mirrors(&parse_deb822(DEB822)).expect("a Debian mirror is there");
        assert_eq!(mirrors.archive, "https://mirror.example/debian");
        assert_eq!(mirrors.security.as_deref(), Some("https://mirror.example/debian-security"));
        assert_eq!(mirrors.keyring.as_deref(), Some("/usr/share/keyrings/debian.gpg"));
    }

    #[test]
    fn third_party_archives_are_never_picked() {
        let text = "deb https://packages.example/apt sdk-bookworm main\n\
                    deb https://ubuntu.example/ubuntu noble main\n";
        assert_eq!(pick_mirrors(&parse_one_line(text)), None);
    }

    #[test]
    fn garbage_is_no_source() {
        assert!(parse_one_line("deb\ndeb [x\ndeb http://only-uri\ndebian x y").is_empty());
        assert!(parse_deb822(": :\n x\nTypes deb\n\n\n").is_empty());
    }
}
