//! Assembles container images as docker-archives, from plain files: no container tool is needed.
//!
//! Must stay deterministic: the same files give the same bytes.

use std::io::{self, Write};

use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// What an image contains and how it runs.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The reference it is tagged with.
    pub reference: String,
    /// Each layer's entries, in order.
    pub layers: Vec<Vec<Entry>>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// `NAME=value` pairs.
    pub environment: Vec<String>,
    /// Where the command starts.
    pub working_directory: String,
}

/// One entry of a layer; paths are relative to the root.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A folder.
    Folder {
        /// Where.
        path: String,
        /// Permission bits.
        mode: u32,
    },
    /// A file.
    File {
        /// Where.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Its content.
        content: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// Where.
        path: String,
        /// What it points at.
        target: String,
    },
}

/// The busybox applets that scenarios call by name.
const APPLETS: &[&str] = &[
    "sh",
    "cat",
    "chroot",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "echo",
    "env",
    "false",
    "find",
    "free",
    "grep",
    "head",
    "hostname",
    "httpd",
    "id",
    "ip",
    "kill",
    "ls",
    "mkdir",
    "mount",
    "mv",
    "nc",
    "nslookup",
    "nsenter",
    "od",
    "pidof",
    "ping",
    "ps",
    "rm",
    "sed",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "stty",
    "sync",
    "tail",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "umount",
    "wc",
    "wget",
];

/// An image with nothing but a static busybox, `content` of `/www` beside it.
pub fn busybox(reference: &str, busybox: Vec<u8>, pages: &[(&str, &str)]) -> Image {
    let folder = |path: &str, mode| Entry::Folder { path: path.to_owned(), mode };
    let file = |path: String, mode, content| Entry::File { path, mode, content };
    let mut base = vec![folder("bin", 0o755), folder("etc", 0o755), folder("tmp", 0o1777)];
    base.push(file("bin/busybox".to_owned(), 0o755, busybox));
    base.push(file("etc/passwd".to_owned(), 0o644, b"root:x:0:0:root:/:/bin/sh\n".to_vec()));
    base.extend(
        APPLETS.iter().map(|applet| Entry::Link {
            path: format!("bin/{applet}"),
            target: "busybox".to_owned(),
        }),
    );
    let mut layers = vec![base];
    if !pages.is_empty() {
        let mut layer = vec![folder("www", 0o755)];
        layer.extend(
            pages
                .iter()
                .map(|(name, text)| file(format!("www/{name}"), 0o644, text.as_bytes().to_vec())),
        );
        layers.push(layer);
    }
    Image {
        reference: reference.to_owned(),
        layers,
        command: ["httpd", "-f", "-p", "80", "-h", "/www"].map(str::to_owned).to_vec(),
        environment: vec!["PATH=/bin".to_owned()],
        working_directory: "/".to_owned(),
    }
}

/// Writes the image as `docker save` would.
pub fn write(image: &Image, sink: impl Write) -> io::Result<()> {
    let mut archive = Builder::new(sink);
    let mut names = Vec::new();
    let mut diff_ids = Vec::new();
    for entries in &image.layers {
        let layer = layer_tar(entries)?;
        let digest = hex(&layer);
        let name = format!("{digest}/layer.tar");
        append(&mut archive, &name, 0o644, EntryType::Regular, &layer)?;
        diff_ids.push(format!("sha256:{digest}"));
        names.push(name);
    }
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Cmd": image.command,
            "Env": image.environment,
            "WorkingDir": image.working_directory,
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [],
    })
    .to_string();
    let config_name = format!("{}.json", hex(config.as_bytes()));
    append(&mut archive, &config_name, 0o644, EntryType::Regular, config.as_bytes())?;
    let manifest = json!([{"Config": config_name, "RepoTags": [image.reference], "Layers": names}])
        .to_string();
    append(&mut archive, "manifest.json", 0o644, EntryType::Regular, manifest.as_bytes())?;
    archive.into_inner()?.flush()
}

fn layer_tar(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    for entry in entries {
        match entry {
            Entry::Folder { path, mode } => {
                append(&mut layer, &format!("{path}/"), *mode, EntryType::Directory, &[])?;
            }
            Entry::File { path, mode, content } => {
                append(&mut layer, path, *mode, EntryType::Regular, content)?;
            }
            Entry::Link { path, target } => {
                let mut header = header(0o777, EntryType::Symlink, 0);
                layer.append_link(&mut header, path, target)?;
            }
        }
    }
    layer.into_inner()
}

fn append(
    archive: &mut Builder<impl Write>,
    path: &str,
    mode: u32,
    kind: EntryType,
    content: &[u8],
) -> io::Result<()> {
    let mut header = header(mode, kind, content.len() as u64);
    archive.append_data(&mut header, path, content)
}

/// No time, no names, no machine: only what the content says.
fn header(mode: u32, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn files(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (entry.path().unwrap().display().to_string(), content)
            })
            .collect()
    }

    fn written() -> Vec<u8> {
        let image = busybox("localhost/web:1", b"ELF".to_vec(), &[("index.html", "hello")]);
        let mut bytes = Vec::new();
        write(&image, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_manifest_names_files_that_are_there_and_match_their_digests() {
        let files = files(&written());
        let find = |name: &str| files.iter().find(|(path, _)| path == name).unwrap().1.clone();
        let manifest: serde_json::Value = serde_json::from_slice(&find("manifest.json")).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "localhost/web:1");
        let config_name = manifest[0]["Config"].as_str().unwrap();
        let config = find(config_name);
        assert_eq!(config_name, format!("{}.json", hex(&config)));
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        let layers = manifest[0]["Layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for (layer, diff_id) in layers.iter().zip(config["rootfs"]["diff_ids"].as_array().unwrap())
        {
            let digest = format!("sha256:{}", hex(&find(layer.as_str().unwrap())));
            assert_eq!(*diff_id, digest);
        }
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        assert_eq!(written(), written());
    }

    #[test]
    fn pages_come_in_a_layer_of_their_own() {
        let image = busybox("x", b"ELF".to_vec(), &[("index.html", "hello")]);
        let page = files(&layer_tar(&image.layers[1]).unwrap());
        assert_eq!(page.last().unwrap(), &("www/index.html".to_owned(), b"hello".to_vec()));
        assert_eq!(busybox("x", b"ELF".to_vec(), &[]).layers.len(), 1);
    }
}
