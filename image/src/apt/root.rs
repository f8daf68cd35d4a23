//! Runs apt with a private root. Must never touch the host's lists, cache or package state.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use super::index::{self, Package};
use super::sources::Mirrors;
use crate::digest::{Digest, Key};
use crate::{process, progress};

/// Lists younger than this are used as they are.
const LISTS_STAY_FRESH: Duration = Duration::from_secs(12 * 60 * 60);

/// What the private root is made for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the configuration goes; inside of the build directory.
    pub folder: PathBuf,
    /// Where lists and packages are kept for later builds.
    pub cache: PathBuf,
    /// The archives.
    pub mirrors: Mirrors,
    /// The keyring that the archives are verified with.
    pub keyring: PathBuf,
    /// Debian release.
    pub suite: String,
    /// Suites that single packages come from, when asked for by name.
    pub also: Vec<String>,
    /// Archive components.
    pub components: Vec<String>,
    /// Debian architectures, the build machine's first.
    pub architectures: Vec<String>,
    /// Never use the network.
    pub offline: bool,
}

/// Why packages could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the private root could not be written or read.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no keyring to verify the archive with.
    #[error(
        "{path} is missing: the archive's signatures cannot be verified; \
         install the package debian-archive-keyring"
    )]
    Keyring {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// apt could not get the lists, and there are none from earlier.
    #[error("cannot get the package lists, and the cache {cache} has none")]
    Lists {
        /// The cache.
        cache: PathBuf,
        /// What apt said.
        source: process::Error,
    },
    /// Offline, and the cache lacks something.
    #[error("{what} not in the cache {cache}; build once without --offline")]
    Offline {
        /// What is lacking.
        what: String,
        /// The cache.
        cache: PathBuf,
    },
    /// apt failed.
    #[error("cannot {what}")]
    Apt {
        /// What was tried.
        what: String,
        /// What apt said.
        source: process::Error,
    },
    /// The release lacks a package.
    #[error("{suite} has no package {name}")]
    Missing {
        /// The release.
        suite: String,
        /// The package.
        name: String,
    },
    /// A downloaded file is not what the signed index promises.
    #[error("{path} has the digest {found}, but the signed index says {wanted}")]
    Digest {
        /// The file.
        path: PathBuf,
        /// What the index says.
        wanted: Digest,
        /// What the file has.
        found: Digest,
    },
}

/// A private apt root, ready to be asked.
pub struct Root {
    settings: Settings,
    configuration: PathBuf,
}

impl Root {
    /// Writes the configuration; no network yet.
    pub fn create(settings: Settings) -> Result<Self, Error> {
        if !settings.keyring.is_file() {
            return Err(Error::Keyring { path: settings.keyring });
        }
        let root = Self { configuration: settings.folder.join("apt.conf"), settings };
        let s = &root.settings;
        for folder in [
            s.folder.join("etc/apt.conf.d"),
            s.folder.join("etc/preferences.d"),
            s.folder.join("state"),
            lists(s).join("partial"),
            s.cache.join("archives"),
            // Stays empty: apt keeps silent about the URIs of what it finds there.
            s.folder.join("archives/partial"),
        ] {
            fs::create_dir_all(&folder).map_err(file("make", &folder))?;
        }
        write(&s.folder.join("status"), "")?;
        write(&s.folder.join("etc/sources.list"), "")?;
        let sources = s.folder.join("etc/sources.list.d");
        fs::create_dir_all(&sources).map_err(file("make", &sources))?;
        write(&sources.join("debian.sources"), &sources_text(s))?;
        let pins = s.folder.join("etc/preferences.d/suites");
        write(&pins, &preferences_text(&s.also))?;
        write(&root.configuration, &configuration_text(s, &host_settings()))?;
        Ok(root)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.configuration).env("LC_ALL", "C.UTF-8");
        command.env_remove("DEBIAN_FRONTEND").current_dir(self.archives());
        command
    }

    fn offline(&self, what: String) -> Error {
        Error::Offline { what, cache: self.settings.cache.clone() }
    }

    fn archives(&self) -> PathBuf {
        self.settings.cache.join("archives")
    }

    /// Brings the package lists up to date, unless they are fresh or the network is away.
    /// Returns a sentence when older lists had to do.
    pub fn update(&self) -> Result<Option<String>, Error> {
        // apt leaves the time of the list on the server at the files, so a stamp says when we asked.
        let stamp = lists(&self.settings).join("stamp");
        let wanted = Digest::of(sources_text(&self.settings).as_bytes()).to_string();
        let have = fs::read_to_string(&stamp).is_ok_and(|text| text == wanted);
        let age = fs::metadata(&stamp)
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|time| SystemTime::now().duration_since(time).ok());
        if have && (self.settings.offline || age.is_some_and(|age| age < LISTS_STAY_FRESH)) {
            return Ok(None);
        }
        if self.settings.offline {
            return Err(self.offline("the package lists are".to_owned()));
        }
        let bar = progress::spinner("package lists");
        let result = process::run(self.apt("apt-get").args(["update", "-qq"]));
        bar.finish_and_clear();
        match result {
            Ok(_) => write(&stamp, &wanted).map(|()| None),
            Err(error) if have => Ok(Some(format!("using older package lists: {error}"))),
            Err(source) => Err(Error::Lists { cache: self.settings.cache.clone(), source }),
        }
    }

    /// Describes packages by name or `name:architecture`; the newest version of each, in order.
    pub fn show(&self, names: &[String]) -> Result<Vec<Package>, Error> {
        let mut command = self.apt("apt-cache");
        command.args(["show", "--no-all-versions", "--"]).args(names);
        let output = process::run(&mut command)
            .map_err(|source| Error::Apt { what: format!("find {}", names.join(", ")), source })?;
        let shown = index::parse(&String::from_utf8_lossy(&output.stdout));
        let find = |name: &String| {
            let bare = name.split('/').next().unwrap_or(name);
            let (plain, architecture) = bare.split_once(':').unwrap_or((bare, ""));
            let fits = |package: &&Package| {
                package.name == plain
                    && (architecture.is_empty()
                        || package.architecture == architecture
                        || package.architecture == "all")
            };
            let missing =
                || Error::Missing { suite: self.settings.suite.clone(), name: name.clone() };
            shown.iter().find(fits).cloned().ok_or_else(missing)
        };
        names.iter().map(find).collect()
    }

    /// The packages `names` and everything that they depend on, for the build machine.
    pub fn closure(&self, names: &[&str]) -> Result<Vec<Package>, Error> {
        let mut command = self.apt("apt-get");
        command.args(["install", "--print-uris", "-qq", "-y", "--"]).args(names);
        let output = process::run(&mut command).map_err(|source| Error::Apt {
            what: format!("resolve {}", names.join(", ")),
            source,
        })?;
        self.show(&index::parse_uris(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Where a package's file is once it was fetched.
    pub fn file(&self, package: &Package) -> PathBuf {
        self.archives().join(package.file_name())
    }

    /// Has the files of `packages` verified against the signed index; downloads what is missing.
    pub fn fetch(&self, packages: &[Package]) -> Result<(), Error> {
        let is_cached = |package: &&Package| {
            let size = fs::metadata(self.file(package)).map(|meta| meta.len());
            size.is_ok_and(|size| size == package.size)
        };
        let missing: Vec<&Package> =
            packages.iter().filter(|package| !is_cached(package)).collect();
        if let Some(first) = missing.first() {
            if self.settings.offline {
                return Err(self.offline(format!("{} is", first.file_name())));
            }
            self.download(&missing)?;
        }
        packages.iter().try_for_each(|package| self.verify(package))
    }

    fn verify(&self, package: &Package) -> Result<(), Error> {
        let path = self.file(package);
        let found = Digest::of_file(&path).map_err(file("read", &path))?;
        if found == package.sha256 {
            return Ok(());
        }
        // Gone, so that the next build downloads it again.
        let _ = fs::remove_file(&path);
        Err(Error::Digest { path, wanted: package.sha256, found })
    }

    fn download(&self, packages: &[&Package]) -> Result<(), Error> {
        let total = packages.iter().map(|package| package.size).sum();
        let failed = |source| Error::Apt { what: "download packages".to_owned(), source };
        let mut command = self.apt("apt-get");
        command.args(["download", "-qq"]).args(packages.iter().map(|package| package.exact()));
        let bar = progress::bytes(total, "packages");
        let files: Vec<PathBuf> = packages.iter().map(|package| self.file(package)).collect();
        let (sender, result) = mpsc::channel();
        // apt has no machine-readable progress for this command; the files' sizes tell as much.
        std::thread::scope(|scope| {
            scope.spawn(move || sender.send(process::run(&mut command)));
            loop {
                match result.recv_timeout(Duration::from_millis(200)) {
                    Ok(result) => break result.map(drop).map_err(failed),
                    // The thread sends before it ends; the scope passes on its panic.
                    Err(mpsc::RecvTimeoutError::Disconnected) => break Ok(()),
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        let sizes = files.iter().filter_map(|path| fs::metadata(path).ok());
                        bar.set_position(sizes.map(|meta| meta.len()).sum());
                    }
                }
            }
        })?;
        bar.finish_and_clear();
        Ok(())
    }
}

/// The sources of the private root: the release, its updates and its security updates.
fn sources_text(settings: &Settings) -> String {
    let paragraph = |uri: &str, suites: &str| {
        format!(
            "Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: {}\nSigned-By: {}\n\n",
            settings.components.join(" "),
            settings.keyring.display()
        )
    };
    let suite = &settings.suite;
    if ["sid", "unstable"].contains(&suite.as_str()) {
        return paragraph(&settings.mirrors.archive, suite);
    }
    let mut text = paragraph(&settings.mirrors.archive, &format!("{suite} {suite}-updates"));
    if !settings.also.is_empty() {
        text += &paragraph(&settings.mirrors.archive, &settings.also.join(" "));
    }
    if let Some(security) = &settings.mirrors.security {
        text += &paragraph(security, &format!("{suite}-security"));
    }
    text
}

/// Keeps the other suites from giving a package that was not asked for with its suite.
fn preferences_text(also: &[String]) -> String {
    let pin = |suite: &String| format!("Package: *\nPin: release n={suite}\nPin-Priority: 1\n\n");
    also.iter().map(pin).collect()
}

/// Apt throws away lists that its sources do not name, so each set of sources has lists of its own.
fn lists(settings: &Settings) -> PathBuf {
    let key = Key::new("lists/1").field("sources", sources_text(settings));
    let key = settings.architectures.iter().fold(key, |key, one| key.field("architecture", one));
    settings.cache.join(format!("lists-{}", &key.digest().to_string()[..16]))
}

fn configuration_text(settings: &Settings, host: &str) -> String {
    let (folder, lists) = (settings.folder.display(), lists(settings));
    let lists = lists.display();
    let architectures: String =
        settings.architectures.iter().map(|name| format!("\"{name}\"; ")).collect();
    let first = settings.architectures.first().map(String::as_str).unwrap_or_default();
    format!(
        "Dir \"{folder}/\";\n\
         Dir::State \"{folder}/state/\";\n\
         Dir::State::lists \"{lists}/\";\n\
         Dir::State::status \"{folder}/status\";\n\
         Dir::Cache \"{folder}/\";\n\
         Dir::Cache::archives \"{folder}/archives/\";\n\
         Dir::Etc \"{folder}/etc/\";\n\
         Dir::Etc::netrc \"/etc/apt/auth.conf\";\n\
         Dir::Etc::netrcparts \"/etc/apt/auth.conf.d\";\n\
         APT::Architecture \"{first}\";\n\
         APT::Architectures {{ {architectures}}};\n\
         APT::Install-Recommends \"false\";\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"3\";\n\
         {host}"
    )
}

/// What the host tells apt of the way to its archives, as configuration lines: proxies, certificates,
/// and whether an archive that stands still may have lists that are past their date.
fn host_settings() -> String {
    let dump = process::run(Command::new("apt-config").args(["dump"]));
    dump.map(|output| transport_lines(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default()
}

fn transport_lines(dump: &str) -> String {
    let is_transport = |line: &&str| {
        let line = line.to_ascii_lowercase();
        ["acquire::http::", "acquire::https::", "acquire::check-valid-until "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    dump.lines().filter(is_transport).map(|line| format!("{line}\n")).collect()
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(file("write", path))
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(suite: &str, security: Option<&str>) -> Settings {
        Settings {
            folder: "/build/apt".into(),
            cache: "/cache".into(),
            mirrors: Mirrors {
                archive: "https://mirror.example/debian".into(),
                security: security.map(str::to_owned),
                keyring: None,
            },
            keyring: "/keyring.gpg".into(),
            suite: suite.into(),
            also: Vec::new(),
            components: vec!["main".into()],
            architectures: vec!["amd64".into(), "arm64".into()],
            offline: false,
        }
    }

    #[test]
    fn stable_release_comes_with_updates_and_security() {
        let text = sources_text(&settings("trixie", Some("https://mirror.example/security")));
        assert!(text.contains("Suites: trixie trixie-updates\n"), "{text}");
        assert!(text.contains("URIs: https://mirror.example/security\nSuites: trixie-security\n"));
        assert_eq!(text.matches("Signed-By: /keyring.gpg").count(), 2);
    }

    #[test]
    fn sid_has_no_other_suites() {
        let text = sources_text(&settings("sid", Some("https://mirror.example/security")));
        assert!(text.contains("Suites: sid\n") && !text.contains("security"), "{text}");
    }

    #[test]
    fn other_suites_are_named_but_give_nothing_by_themselves() {
        let mut settings = settings("trixie", None);
        let plain = lists(&settings);
        settings.also = vec!["trixie-backports".into(), "sid".into()];
        let text = sources_text(&settings);
        assert!(text.contains("\nSuites: trixie-backports sid\n"), "{text}");
        let pins = preferences_text(&settings.also);
        assert_eq!(pins.matches("Pin-Priority: 1\n").count(), 2, "{pins}");
        assert!(pins.contains("Pin: release n=sid\n"));
        assert_ne!(lists(&settings), plain, "apt would throw the others' lists away");
    }

    #[test]
    fn boards_of_other_processors_have_lists_of_their_own() {
        let mut settings = settings("trixie", None);
        let both = lists(&settings);
        settings.architectures.pop();
        assert_ne!(lists(&settings), both);
    }

    #[test]
    fn private_root_names_no_folder_of_the_host_but_its_credentials() {
        let text = configuration_text(&settings("trixie", None), "");
        let host = |line: &&str| {
            line.contains("\"/") && !line.contains("\"/build/") && !line.contains("\"/cache/")
        };
        let foreign: Vec<&str> = text.lines().filter(host).collect();
        assert_eq!(foreign.len(), 2, "{foreign:?}");
        assert!(foreign.iter().all(|line| line.contains("/etc/apt/auth.conf")));
        assert!(text.contains("APT::Architectures { \"amd64\"; \"arm64\"; };"));
    }

    #[test]
    fn only_transport_settings_of_the_host_are_carried_over() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p:1\";\n\
                    Acquire::Languages \"none\";\nAcquire::https::CaInfo \"/ca\";\nDir \"/\";\n\
                    Acquire::Check-Valid-Until \"false\";\nAcquire::Check-Date \"false\";\n";
        assert_eq!(
            transport_lines(dump),
            "Acquire::http::Proxy \"http://p:1\";\nAcquire::https::CaInfo \"/ca\";\n\
             Acquire::Check-Valid-Until \"false\";\n"
        );
    }

    #[test]
    fn missing_keyring_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut settings = settings("trixie", None);
        settings.folder = folder.path().join("apt");
        settings.keyring = folder.path().join("none.gpg");
        assert!(matches!(Root::create(settings), Err(Error::Keyring { .. })));
        assert!(!folder.path().join("apt").exists());
    }
}
