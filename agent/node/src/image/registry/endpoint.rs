//! Where an image may be fetched from, in order: mirrors, then the registry itself.
//!
//! Pure.

use std::net::IpAddr;

use holm_config::Registry;

use super::Registries;

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Everything before the repository: `https://registry-1.docker.io/v2`.
    pub base: String,
    /// The registry that a mirror is asked for: `?ns=docker.io`.
    pub namespace: Option<String>,
    /// Do not check certificates.
    pub insecure: bool,
    /// Files of certificates beside the usual ones.
    pub ca: Vec<String>,
    pub credentials: Option<Credentials>,
}

/// A user of a registry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub username: String,
    pub password: holm_config::Secret,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// All endpoints for the images of `host`.
pub(crate) fn endpoints(host: &str, registries: &Registries) -> Vec<Endpoint> {
    let none = Registry::default();
    let registry = registries.hosts.get(host).unwrap_or(&none);
    let mirror = |url: &String| {
        let mirror_host = authority(url);
        let own = registries.hosts.get(mirror_host).unwrap_or(&none);
        Endpoint {
            base: base(url),
            namespace: (mirror_host != host).then(|| host.to_owned()),
            insecure: registry.insecure || own.insecure,
            ca: own.ca.iter().chain(&registry.ca).cloned().collect(),
            // A mirror gets the registry's own password only when it is the registry.
            credentials: if mirror_host == host { credentials(registry) } else { credentials(own) },
        }
    };
    let mut all: Vec<_> = registry.mirrors.iter().map(mirror).collect();

    let server = if host == "docker.io" { "registry-1.docker.io" } else { host };
    let itself = |scheme: &str, insecure| Endpoint {
        base: format!("{scheme}://{server}/v2"),
        namespace: None,
        insecure,
        ca: registry.ca.iter().cloned().collect(),
        credentials: credentials(registry),
    };
    all.push(itself("https", registry.insecure));
    if registry.insecure || is_loopback(host) {
        all.push(itself("http", true));
    }
    all
}

fn credentials(registry: &Registry) -> Option<Credentials> {
    let (username, password) = (registry.username.clone()?, registry.password.clone()?);
    Some(Credentials { username, password })
}

/// `/v2` follows the URL, unless it says itself where the API is (as Harbor's projects need it).
fn base(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split_once('/').map_or("", |(_, path)| path);
    if path.split('/').any(|part| part == "v2") { url.to_owned() } else { format!("{url}/v2") }
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(authority, _)| authority)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use holm_config::Secret;

    use super::*;

    fn registries(entries: &[(&str, Registry)]) -> Registries {
        let hosts = entries.iter().map(|(host, entry)| ((*host).to_owned(), entry.clone()));
        Registries { hosts: hosts.collect(), ..Registries::default() }
    }

    fn with_user(user: &str) -> Registry {
        Registry {
            username: Some(user.into()),
            password: Some(Secret::new("p")),
            ..Registry::default()
        }
    }

    fn bases(host: &str, registries: &Registries) -> Vec<String> {
        endpoints(host, registries).into_iter().map(|e| e.base).collect()
    }

    #[test]
    fn registry_is_asked_over_https_only_unless_it_is_insecure_or_here() {
        let none = Registries::default();
        assert_eq!(bases("docker.io", &none), ["https://registry-1.docker.io/v2"]);
        assert_eq!(bases("ghcr.io", &none), ["https://ghcr.io/v2"]);
        for here in ["localhost:5000", "127.0.0.1:5000", "[::1]:5000"] {
            assert_eq!(
                bases(here, &none),
                [format!("https://{here}/v2"), format!("http://{here}/v2")]
            );
        }
        let lan = Registry { insecure: true, ..Registry::default() };
        let registries = registries(&[("lan:5000", lan)]);
        assert_eq!(bases("lan:5000", &registries), ["https://lan:5000/v2", "http://lan:5000/v2"]);
        assert!(endpoints("lan:5000", &registries)[0].insecure);
    }

    #[test]
    fn mirrors_come_first_and_hear_which_registry_is_meant() {
        let hub = Registry {
            mirrors: vec!["https://m.example".into(), "http://h.example/v2/hub/".into()],
            ..Registry::default()
        };
        let all = endpoints("docker.io", &registries(&[("docker.io", hub)]));
        let bases: Vec<_> = all.iter().map(|e| e.base.as_str()).collect();
        let expected =
            ["https://m.example/v2", "http://h.example/v2/hub", "https://registry-1.docker.io/v2"];
        assert_eq!(bases, expected);
        assert_eq!(all[0].namespace.as_deref(), Some("docker.io"));
        assert_eq!(all[2].namespace, None);
    }

    #[test]
    fn passwords_go_to_their_own_host_only() {
        let hub = Registry { mirrors: vec!["https://m.example".into()], ..with_user("hub") };
        let user = |e: &Endpoint| e.credentials.as_ref().map(|c| c.username.clone());
        let all = endpoints("docker.io", &registries(&[("docker.io", hub.clone())]));
        assert_eq!(all.iter().map(user).collect::<Vec<_>>(), [None, Some("hub".into())]);
        let both = registries(&[("docker.io", hub), ("m.example", with_user("mirror"))]);
        let all = endpoints("docker.io", &both);
        assert_eq!(user(&all[0]), Some("mirror".into()));
    }

    #[test]
    fn passwords_do_not_show_in_logs() {
        let all = endpoints("x.io", &registries(&[("x.io", with_user("me"))]));
        assert!(!format!("{all:?}").contains("\"p\""));
    }
}
