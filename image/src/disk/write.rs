//! Writes the disk image: partition tables, then each partition's bytes, holes kept.
//! Must never leave a half-written image under the final name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gpt::partition_types::{self, Type};
use uuid::Uuid;

use super::layout::{GAP, Kind, Layout, Partition, Role};
use super::mbr;
use crate::board::Architecture;

/// A file that fills the start of a partition.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Which partition.
    pub role: Role,
    /// The bytes.
    pub file: &'a Path,
}

/// Why the disk image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tables could not be written.
    #[error("cannot write the partition table")]
    Table(#[source] gpt::GptError),
    /// A file is larger than its partition.
    #[error("{path} does not fit its partition {name}")]
    Fit {
        /// The file.
        path: PathBuf,
        /// The partition.
        name: &'static str,
    },
}

/// Writes the image to `out` through a temporary file beside it.
pub fn write(layout: &Layout, parts: &[Part], out: &Path) -> Result<(), Error> {
    let failed = |what| move |source| Error::File { what, path: out.to_owned(), source };
    let fresh = out.with_extension("img.part");
    let _ = fs::remove_file(&fresh);
    let mut disk = File::options().read(true).write(true).create_new(true).open(&fresh);
    let disk = disk.as_mut().map_err(|error| failed("make")(io::Error::from(error.kind())))?;
    disk.set_len(layout.size).map_err(failed("size"))?;
    write_tables(layout, disk)?;
    for part in parts {
        let Some(place) = layout.partition(part.role) else { continue };
        copy(part, place, disk)?;
    }
    disk.sync_all().map_err(failed("flush"))?;
    fs::rename(&fresh, out).map_err(failed("name"))
}

fn write_tables(layout: &Layout, disk: &mut File) -> Result<(), Error> {
    if layout.kind == Kind::Mbr {
        let table = |error| Error::Table(gpt::GptError::Io(error));
        for (at, record) in mbr::records(&layout.partitions, layout.size, GAP) {
            disk.seek(SeekFrom::Start(at)).map_err(table)?;
            disk.write_all(&record).map_err(table)?;
        }
        return Ok(());
    }
    const SECTOR: u64 = 512;
    let table = |error: io::Error| Error::Table(gpt::GptError::Io(error));
    let sectors = u32::try_from(layout.size / SECTOR - 1).unwrap_or(u32::MAX);
    let protective = gpt::mbr::ProtectiveMBR::with_lb_size(sectors);
    protective.overwrite_lba0(disk).map_err(|error| table(io::Error::other(error)))?;
    let configuration = gpt::GptConfig::new().writable(true);
    let guid = Uuid::from_bytes(layout.guid);
    let mut gpt = configuration.create_from_device(disk, Some(guid)).map_err(Error::Table)?;
    let entries = layout.partitions.iter().zip(1..).map(|(partition, number)| {
        let entry = gpt::partition::Partition {
            part_type_guid: kind(partition.role, layout.architecture),
            part_guid: Uuid::from_bytes(partition.guid),
            first_lba: partition.start / SECTOR,
            last_lba: (partition.start + partition.size) / SECTOR - 1,
            flags: 0,
            name: partition.role.name().to_owned(),
        };
        (number, entry)
    });
    gpt.update_partitions(entries.collect::<BTreeMap<_, _>>()).map_err(Error::Table)?;
    gpt.write().map_err(Error::Table)?;
    Ok(())
}

/// Type GUIDs of the Discoverable Partitions Specification.
fn kind(role: Role, architecture: Architecture) -> Type {
    match (role, architecture) {
        (Role::Boot, _) => partition_types::EFI,
        (Role::Select | Role::BootA | Role::BootB, _) => partition_types::BASIC,
        (Role::RootA | Role::RootB, Architecture::X86_64) => partition_types::LINUX_ROOT_X64,
        (Role::RootA | Role::RootB, Architecture::Aarch64) => partition_types::LINUX_ROOT_ARM_64,
        (Role::State | Role::Data, _) => partition_types::LINUX_FS,
    }
}

fn copy(part: &Part, place: &Partition, disk: &mut File) -> Result<(), Error> {
    let failed = |what| move |source| Error::File { what, path: part.file.to_owned(), source };
    let mut from = File::open(part.file).map_err(failed("open"))?;
    let size = from.metadata().map_err(failed("measure"))?.len();
    if size > place.size {
        return Err(Error::Fit { path: part.file.to_owned(), name: part.role.name() });
    }
    copy_sparse(&mut from, disk, place.start).map_err(failed("copy"))
}

/// Copies what is not zero to `start`; what is zero stays a hole.
pub fn copy_sparse(from: &mut File, to: &mut File, start: u64) -> io::Result<()> {
    let size = from.metadata()?.len();
    let mut piece = vec![0; 1 << 16];
    let mut at = 0;
    while at < size {
        // Skips whole holes without reading them, where the file system knows of them.
        at = match rustix::fs::seek(&*from, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data - data % piece.len() as u64,
            Err(rustix::io::Errno::NXIO) => break,
            Err(rustix::io::Errno::INVAL) => at,
            Err(error) => return Err(error.into()),
        };
        from.seek(SeekFrom::Start(at))?;
        let wanted = piece.len().min((size - at) as usize);
        from.read_exact(&mut piece[..wanted])?;
        if piece[..wanted].iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(start + at))?;
            to.write_all(&piece[..wanted])?;
        }
        at += wanted as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::layout::plan;
    use super::*;
    use crate::budget::MIB;

    fn layout() -> Layout {
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        let board = crate::board::read(&boards, "x86-64").expect("the board is valid");
        plan(&board, 0, None).expect("planned")
    }

    #[test]
    fn independent_reader_finds_names_places_and_guids_in_both_tables() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let out = folder.path().join("disk.img");
        let layout = layout();
        write(&layout, &[], &out).expect("written");
        let disk = gpt::GptConfig::new().writable(false).open(&out).expect("a partition table");
        assert!(disk.primary_header().is_ok() && disk.backup_header().is_ok());
        assert_eq!(disk.guid().as_bytes(), &layout.guid);
        for (found, planned) in disk.partitions().values().zip(&layout.partitions) {
            assert_eq!(found.name, planned.role.name());
            assert_eq!(found.first_lba * 512, planned.start);
            assert_eq!((found.last_lba + 1) * 512, planned.start + planned.size);
            assert_eq!(found.part_guid.as_bytes(), &planned.guid);
        }
        assert_eq!(disk.partitions().len(), 5);
    }

    #[test]
    fn same_layout_gives_the_same_bytes() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let digests = ["one.img", "two.img"].map(|name| {
            let out = folder.path().join(name);
            write(&layout(), &[], &out).expect("written");
            crate::digest::Digest::of_file(&out).expect("read")
        });
        assert_eq!(digests[0], digests[1]);
    }

    #[test]
    fn part_lands_in_its_partition_and_holes_stay_holes() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (part, out) = (folder.path().join("part"), folder.path().join("disk.img"));
        let mut file = File::create(&part).expect("made");
        file.set_len(40 * MIB).expect("sized");
        file.seek(SeekFrom::Start(30 * MIB + 5)).expect("sought");
        file.write_all(b"here").expect("written");
        let layout = layout();
        write(&layout, &[Part { role: Role::State, file: &part }], &out).expect("written");
        let start = layout.partition(Role::State).expect("planned").start;
        let mut disk = File::open(&out).expect("there");
        disk.seek(SeekFrom::Start(start + 30 * MIB + 5)).expect("sought");
        let mut found = [0; 4];
        disk.read_exact(&mut found).expect("read");
        assert_eq!(&found, b"here");
        assert!(disk.metadata().expect("there").blocks() * 512 < MIB, "the rest takes no space");
    }

    #[test]
    fn part_larger_than_its_partition_is_refused_and_leaves_no_image() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (part, out) = (folder.path().join("part"), folder.path().join("disk.img"));
        File::create(&part).and_then(|file| file.set_len(65 * MIB)).expect("made");
        let error = write(&layout(), &[Part { role: Role::RootA, file: &part }], &out);
        assert!(matches!(error, Err(Error::Fit { name: "root-a", .. })));
        assert!(!out.exists());
    }
}
