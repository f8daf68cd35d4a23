//! Writes what the rest of the node reads below `/run/holm`: only what changed, and at once.

use std::io;
use std::path::{Path, PathBuf};

use holm_config::NodeConfig;

use super::advertisements::Advertisements;
use super::dhcp::options;
use super::files;
use super::report::Report;

/// The files, and what was written last.
#[derive(Debug)]
pub(crate) struct Outputs {
    run: PathBuf,
    report: Option<Report>,
    advertisements: Option<Advertisements>,
    hostname: Option<String>,
}

impl Outputs {
    /// Below a folder.
    pub(crate) fn new(run: &Path) -> Self {
        Self { run: run.to_owned(), report: None, advertisements: None, hostname: None }
    }

    /// What an earlier process of this boot heard from routers: they will not say it again soon.
    pub(crate) fn recall_advertisements(&self) -> Advertisements {
        files::read_json(&self.advertisements_file()).unwrap_or_default()
    }

    /// The name to tell DHCP servers: the node's own, unless they gave it.
    pub(crate) fn own_hostname(&self, config: &NodeConfig) -> Option<String> {
        if config.node.hostname.is_some() {
            return config.node.hostname.clone();
        }
        let name = rustix::system::uname().nodename().to_str().ok().and_then(options::name)?;
        let is_own = self.hostname.as_ref() != Some(&name) && name != "localhost";
        is_own.then_some(name)
    }

    /// Writes what changed since the last time.
    pub(crate) fn write(&mut self, report: &Report, advertisements: &Advertisements) {
        // What was heard comes before what it leads to: a crash in between loses nothing.
        if self.advertisements.as_ref() != Some(advertisements) {
            self.advertisements = Some(advertisements.clone());
            note(
                files::replace_json(&self.advertisements_file(), advertisements),
                "advertisements",
            );
        }
        if self.report.as_ref() != Some(report) {
            self.report = Some(report.clone());
            note(files::replace_json(&self.run.join("network.json"), report), "network.json");
            let text = report.resolv_conf();
            note(files::replace(&self.run.join("resolv.conf"), text.as_bytes()), "resolv.conf");
        }
        if let Some(name) = report.hostname().filter(|name| self.hostname.as_deref() != Some(*name))
        {
            self.hostname = Some(name.to_owned());
            eprintln!("network: the host name from DHCP is {name}");
            let set = rustix::system::sethostname(name.as_bytes()).map_err(io::Error::from);
            note(set, "the host name");
            let text = format!("{name}\n");
            note(files::replace(&self.run.join("hostname"), text.as_bytes()), "hostname");
        }
    }

    fn advertisements_file(&self) -> PathBuf {
        self.run.join("network/advertisements")
    }
}

fn note(result: io::Result<()>, what: &str) {
    if let Err(error) = result {
        eprintln!("network: cannot write {what}: {error}");
    }
}
