//! The runtimes that are compared, each reached the way its users reach it: Holm's shim as the
//! agent spawns it, the others by their command line.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use holm_node::container::{ContainerConfig, Runtime, ShimRuntime};

use crate::{container, oci};

type Outcome = Result<(), Box<dyn Error>>;

/// A runtime under measurement.
pub trait Contestant {
    /// What it is called in the report.
    fn name(&self) -> &str;
    /// What a caller has done before it asks for the container.
    fn prepare(&mut self, id: &str) -> Outcome;
    /// What is measured.
    fn create_and_start(&mut self, id: &str) -> Outcome;
    /// Kills and removes the container.
    fn delete(&mut self, id: &str) -> Outcome;
}

/// The shim of the node's own agent program.
pub struct Shim {
    runtime: ShimRuntime,
    folder: PathBuf,
    config: Option<ContainerConfig>,
}

impl Shim {
    pub fn open(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let (shims, containers) = ("/run/shims".into(), folder.join("containers"));
        let runtime = ShimRuntime::open("/usr/bin/holm".into(), shims, containers)?;
        Ok(Self { runtime, folder: folder.to_owned(), config: None })
    }
}

impl Contestant for Shim {
    fn name(&self) -> &str {
        "holm"
    }

    fn prepare(&mut self, id: &str) -> Outcome {
        self.config = Some(container::config(id, &self.folder));
        Ok(())
    }

    fn create_and_start(&mut self, id: &str) -> Outcome {
        let config = self.config.as_ref().ok_or("the container was not prepared")?;
        self.runtime.create(config).map_err(|error| format!("{error}: {}", error.source))?;
        Ok(self.runtime.start(id).map_err(|error| format!("{error}: {}", error.source))?)
    }

    fn delete(&mut self, id: &str) -> Outcome {
        Ok(self.runtime.delete(id).map_err(|error| format!("{error}: {}", error.source))?)
    }
}

/// A runtime with the command line that runc has and crun took over.
pub struct Command {
    name: String,
    folder: PathBuf,
}

impl Command {
    pub fn new(name: &str, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let command = Self { name: name.to_owned(), folder: folder.to_owned() };
        command.run(&["--version"])?;
        Ok(command)
    }

    fn bundle(&self, id: &str) -> PathBuf {
        self.folder.join("bundles").join(id)
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        // Not a pipe: the container inherits it, and would keep it open.
        let said = self.folder.join("said");
        let status = process::Command::new(&self.name)
            .args(["--root", &format!("/run/{}", self.name)])
            .args(arguments)
            // The service's own: runtimes would pass it on, and ask it for a reply.
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said)?)
            .status()
            .map_err(|error| format!("{}: {error}", self.name))?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read_to_string(&said).unwrap_or_default();
        Err(format!("{} {}: {status}: {}", self.name, arguments.join(" "), said.trim()).into())
    }
}

impl Contestant for Command {
    fn name(&self) -> &str {
        &self.name
    }

    fn prepare(&mut self, id: &str) -> Outcome {
        let bundle = self.bundle(id);
        fs::create_dir_all(&bundle)?;
        let config = oci::config(id, &self.folder.join("rootfs"));
        Ok(fs::write(bundle.join("config.json"), config.to_string())?)
    }

    fn create_and_start(&mut self, id: &str) -> Outcome {
        let bundle = self.bundle(id).display().to_string();
        self.run(&["create", "--bundle", &bundle, id])?;
        self.run(&["start", id])
    }

    fn delete(&mut self, id: &str) -> Outcome {
        self.run(&["delete", "--force", id])?;
        Ok(fs::remove_dir_all(self.bundle(id))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_fails_is_an_error_in_its_own_words() {
        let folder = std::env::temp_dir().join(format!("holm-runtimes-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        // Any program that refuses these arguments stands for a runtime that fails.
        let error = Command::new("ls", &folder).err().map(|error| error.to_string());
        let missing = Command::new("no-such-runtime", &folder).err().map(|error| error.to_string());
        fs::remove_dir_all(&folder).expect("it can be removed");
        let error = error.unwrap_or_default();
        assert!(error.starts_with("ls --version: ") && error.contains("--root"), "{error}");
        assert!(missing.unwrap_or_default().starts_with("no-such-runtime: "));
    }
}
