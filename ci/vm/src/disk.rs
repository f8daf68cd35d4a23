//! A scenario's own copy of a disk image, and edits of its partitions from outside.
//!
//! Must never write to the image it copies, and needs neither root nor a loop device.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A failed look at or edit of a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file could not be read or written.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The partition table is not one.
    #[error("{}: {what}", path.display())]
    Table {
        /// The disk.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A tool that edits file systems failed.
    #[error("{tool} failed: {reason}")]
    Tool {
        /// The tool and its arguments.
        tool: String,
        /// What it said.
        reason: String,
    },
}

/// Where a partition lies, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name in the table.
    pub name: String,
    /// Its first byte.
    pub start: u64,
    /// Its length.
    pub length: u64,
}

/// A raw disk.
#[derive(Clone, Debug)]
pub struct Disk {
    path: PathBuf,
}

const SECTOR: u64 = 512;

impl Disk {
    /// Copies `image` to `path`, holes and all.
    pub fn copy(image: &Path, path: PathBuf) -> Result<Self, DiskError> {
        tool(
            Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(image).arg(&path),
            &[],
        )?;
        Ok(Self { path })
    }

    /// An image as it is, to be looked at.
    pub(crate) fn of_image(image: &Path) -> Self {
        Self { path: image.to_owned() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the disk larger, as if the image had been written to a bigger one.
    pub fn grow_to(&self, length: u64) -> Result<(), DiskError> {
        let file = self.open("grow")?;
        file.set_len(length).map_err(|e| self.failed("grow", e))
    }

    /// Reads the partition table.
    pub fn partitions(&self) -> Result<Vec<Partition>, DiskError> {
        let mut file = File::open(&self.path).map_err(|e| self.failed("read", e))?;
        let mut header = [0; SECTOR as usize];
        let read = file.seek(SeekFrom::Start(SECTOR)).and_then(|_| file.read_exact(&mut header));
        read.map_err(|e| self.failed("read", e))?;
        let place = entries_place(&header).map_err(|what| self.broken(what))?;
        let mut entries = vec![0; place.size * place.count];
        file.read_exact_at(&mut entries, place.start).map_err(|e| self.failed("read", e))?;
        Ok(entries.chunks_exact(place.size).filter_map(parse_entry).collect())
    }

    /// The partition of that name.
    pub fn partition(&self, name: &str) -> Result<Partition, DiskError> {
        let found = self.partitions()?.into_iter().find(|partition| partition.name == name);
        found.ok_or_else(|| self.broken(format!("no partition is named {name}")))
    }

    /// Writes a file to the ESP, making the folders that lead to it.
    pub fn write_boot_file(&self, path: &str, content: &[u8]) -> Result<(), DiskError> {
        let drive = self.boot_drive()?;
        let folders: Vec<_> = path.match_indices('/').map(|(end, _)| &path[..end]).collect();
        for folder in folders.into_iter().filter(|folder| !folder.is_empty()) {
            // mmd has no way to accept a folder that is there, so a failure shows in mcopy.
            let _ = tool(Command::new("mmd").args(["-D", "s", "-i", &drive]).arg(dos(folder)), &[]);
        }
        tool(Command::new("mcopy").args(["-o", "-i", &drive, "-"]).arg(dos(path)), content)?;
        Ok(())
    }

    /// Reads a file of the ESP.
    pub fn read_boot_file(&self, path: &str) -> Result<Vec<u8>, DiskError> {
        let drive = self.boot_drive()?;
        tool(Command::new("mcopy").args(["-i", &drive]).arg(dos(path)).arg("-"), &[])
    }

    /// The names in a folder of the ESP.
    pub fn list_boot_folder(&self, path: &str) -> Result<Vec<String>, DiskError> {
        let drive = self.boot_drive()?;
        let listed = tool(Command::new("mdir").args(["-b", "-i", &drive]).arg(dos(path)), &[])?;
        let text = String::from_utf8_lossy(&listed).into_owned();
        Ok(text.lines().filter_map(|line| line.rsplit('/').next()).map(str::to_owned).collect())
    }

    /// Deletes a file of the ESP.
    pub fn delete_boot_file(&self, path: &str) -> Result<(), DiskError> {
        let drive = self.boot_drive()?;
        tool(Command::new("mdel").args(["-i", &drive]).arg(dos(path)), &[]).map(drop)
    }

    /// Copies a host file into an ext4 partition, making the folders that lead to it.
    pub fn write_ext4_file(&self, name: &str, path: &str, from: &Path) -> Result<(), DiskError> {
        let partition = self.partition(name)?;
        let device = format!("{}?offset={}", self.path.display(), partition.start);
        let mut script = String::new();
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > 0) {
            script.push_str(&format!("mkdir {}\n", &path[..end]));
        }
        script.push_str(&format!("write {} {path}\n", from.display()));
        tool(Command::new("debugfs").args(["-w", "-f", "-"]).arg(&device), script.as_bytes())?;
        // debugfs reports success whatever happened, so the result is looked at.
        let stat = Command::new("debugfs").args(["-R", &format!("stat {path}"), &device]).output();
        let stat = stat.map_err(|e| self.failed("look at", e))?;
        if String::from_utf8_lossy(&stat.stdout).contains("Inode:") {
            return Ok(());
        }
        Err(self.broken(format!("debugfs could not write {path} to {name}")))
    }

    /// Flips every bit of one byte of a partition, as a worn card would.
    pub fn flip_byte(&self, name: &str, offset: u64) -> Result<(), DiskError> {
        let partition = self.partition(name)?;
        let file = self.open("corrupt")?;
        let mut byte = [0];
        let at = partition.start + offset;
        let flipped = file.read_exact_at(&mut byte, at).and_then(|()| {
            byte[0] = !byte[0];
            file.write_all_at(&byte, at)
        });
        flipped.map_err(|e| self.failed("corrupt", e))
    }

    fn boot_drive(&self) -> Result<String, DiskError> {
        Ok(format!("{}@@{}", self.path.display(), self.partition("boot")?.start))
    }

    fn open(&self, what: &'static str) -> Result<File, DiskError> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        file.map_err(|e| self.failed(what, e))
    }

    fn failed(&self, what: &'static str, source: io::Error) -> DiskError {
        DiskError::File { what, path: self.path.clone(), source }
    }

    fn broken(&self, what: impl Into<String>) -> DiskError {
        DiskError::Table { path: self.path.clone(), what: what.into() }
    }
}

fn dos(path: &str) -> String {
    format!("::/{}", path.trim_start_matches('/'))
}

/// Runs a tool with `input` and returns what it wrote.
fn tool(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, DiskError> {
    let name = format!("{command:?}");
    let failed = |reason: String| DiskError::Tool { tool: name.clone(), reason };
    // mtools doubts file systems whose geometry no floppy ever had.
    command.env("MTOOLS_SKIP_CHECK", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    let mut stdin = child.stdin.take();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.as_mut().map(|pipe| pipe.write_all(&input)));
    let output = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    // A tool that ends early closes its pipe; its status says all that matters.
    let _ = writer.join();
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[derive(Debug, PartialEq, Eq)]
struct EntriesPlace {
    start: u64,
    count: usize,
    size: usize,
}

/// UEFI 2.10, 5.3.2: where the header says that the entries are.
fn entries_place(header: &[u8; SECTOR as usize]) -> Result<EntriesPlace, String> {
    if !header.starts_with(b"EFI PART") {
        return Err("there is no GUID partition table".to_owned());
    }
    let start = word(header, 72, 8) * SECTOR;
    let (count, size) = (word(header, 80, 4), word(header, 84, 4));
    match (count, size) {
        (1..=1024, 128..=4096) => {
            Ok(EntriesPlace { start, count: count as usize, size: size as usize })
        }
        _ => Err(format!("the partition table claims {count} entries of {size} bytes")),
    }
}

fn parse_entry(entry: &[u8]) -> Option<Partition> {
    if entry[..16].iter().all(|byte| *byte == 0) {
        return None;
    }
    let (first, last) = (word(entry, 32, 8), word(entry, 40, 8));
    let units: Vec<u16> =
        entry[56..128].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let name = String::from_utf16_lossy(&units);
    Some(Partition {
        name: name.trim_end_matches('\0').to_owned(),
        start: first * SECTOR,
        length: last.checked_sub(first)?.checked_add(1)? * SECTOR,
    })
}

fn word(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
