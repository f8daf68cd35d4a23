//! `holm-image flash`: finds the target, asks, writes. What may be written is decided in the library.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use holm_image::flash::device::{self, Contents, Disk, Snapshot, size_text};
use holm_image::flash::target::{DiskTarget, FileTarget, Target};
use holm_image::flash::{self, Changes, Edits, Image, Report, Stage, Wifi};
use holm_image::progress;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Disk image, raw or packed with xz or zstd; - for standard input
    #[arg(value_name = "IMAGE", required_unless_present = "list")]
    image: Option<PathBuf>,
    /// Disk or file to write [default: the only removable disk, if it is blank]
    #[arg(value_name = "TARGET")]
    target: Option<PathBuf>,
    /// Show the removable disks, and write nothing
    #[arg(long, conflicts_with = "image")]
    list: bool,
    /// Node document for this target, in place of the image's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of this node, set in its document
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Wireless network that this node joins, set in its document
    #[arg(long, value_name = "SSID")]
    wifi: Option<String>,
    /// Its passphrase [default: the variable; without either the network is open]
    #[arg(long, value_name = "TEXT", env = "HOLM_WIFI_PASSPHRASE")]
    #[arg(hide_env_values = true)]
    wifi_passphrase: Option<String>,
    /// Folder of Pod manifests for this target, beside those of the image
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// File that goes beside the document, such as a registry's certificate; may be repeated
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Allow a disk that is built into this machine
    #[arg(long)]
    internal: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.list {
        return Ok(list()?);
    }
    let Some(path) = &arguments.image else { return Err("name the image".into()) };
    // Everything that can be wrong is looked for before anything is written.
    let edits = edits(&arguments)?;
    let image = if path == Path::new("-") {
        Image::stream(Box::new(io::stdin()))?
    } else {
        let spinner = progress::spinner("check the image");
        let image = Image::open(path).map_err(|error| at(path, error))?;
        spinner.finish_and_clear();
        image
    };
    let mut place = find(&arguments, image.least_size())?;
    if !arguments.yes && !place.is_new() {
        ask(&place.question(path, image.least_size()))?;
    }
    let mut target = place.open()?;
    let bars = [("write", Stage::Writing), ("read back", Stage::Verifying)]
        .map(|(what, stage)| (stage, progress::bytes(image.total(), what)));
    let report = flash::flash(image, edits, &mut *target, &mut |stage, bytes| {
        for (_, bar) in bars.iter().filter(|(of, _)| *of == stage) {
            bar.inc(bytes);
        }
    });
    bars.iter().for_each(|(_, bar)| bar.finish_and_clear());
    let report = report.map_err(|error| at(&place.path, error))?;
    println!("{}", summary(&place.path, &report));
    Ok(())
}

/// An error about a file or a disk, by its name.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
struct At {
    path: PathBuf,
    error: Box<dyn Error>,
}

fn at(path: &Path, error: impl Into<Box<dyn Error>>) -> At {
    At { path: path.to_owned(), error: error.into() }
}

fn edits(arguments: &Arguments) -> Result<Edits, Box<dyn Error>> {
    let read = |path: &Path| fs::read(path).map_err(|error| at(path, error));
    let passphrase = arguments.wifi_passphrase.clone();
    let wifi = arguments.wifi.clone().map(|ssid| Wifi { ssid, passphrase });
    let changes = Changes { hostname: arguments.hostname.clone(), wifi };
    let mut edits = Edits { changes, ..Edits::default() };
    if let Some(path) = &arguments.config {
        let (name, document) = (path.display().to_string(), read(path)?);
        flash::document::amend(&document, &name, &edits.changes)?;
        edits.document = Some((name, document));
    } else {
        flash::document::amend(b"", "the document", &edits.changes)?;
    }
    for path in &arguments.files {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| at(path, "its name is not usable on the boot partition"))?;
        if name == "holm.toml" {
            return Err(at(path, "a node document is given with --config").into());
        }
        edits.files.push((name.to_owned(), read(path)?));
    }
    if let Some(folder) = &arguments.manifests {
        edits.files.extend(manifests(folder)?);
    }
    Ok(edits)
}

/// The Pod manifests of a folder and where they go; a folder without any is a mistake.
fn manifests(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, At> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| at(folder, error))? {
        let path = entry.map_err(|error| at(folder, error))?.path();
        let end = path.extension().and_then(|end| end.to_str());
        let name = path.file_name().and_then(|name| name.to_str());
        if let (Some("yaml" | "yml" | "json"), Some(name)) = (end, name) {
            let bytes = fs::read(&path).map_err(|error| at(&path, error))?;
            found.push((format!("manifests/{name}"), bytes));
        }
    }
    found.sort();
    if found.is_empty() { Err(at(folder, "it holds no .yaml, .yml or .json")) } else { Ok(found) }
}

/// Where the image goes.
struct Place {
    path: PathBuf,
    /// The disk and what it holds; without, it is a file.
    disk: Option<(Disk, Contents)>,
}

fn find(arguments: &Arguments, needs: u64) -> Result<Place, Box<dyn Error>> {
    let disks = device::parse(&Snapshot::take());
    let Some(path) = &arguments.target else {
        let path = device::choose(&disks, Some(needs), look)?;
        let disk = disks.into_iter().find(|disk| disk.path == path);
        return Ok(Place { path, disk: disk.map(|disk| (disk, Contents::Blank)) });
    };
    let Ok(found) = fs::metadata(path) else {
        if path.starts_with("/dev") {
            return Err(at(path, "there is no such device; --list shows what is there").into());
        }
        return Ok(Place { path: path.clone(), disk: None });
    };
    if found.is_file() {
        return Ok(Place { path: path.clone(), disk: None });
    }
    if !found.file_type().is_block_device() {
        return Err(at(path, "it is neither a disk nor a file").into());
    }
    let number = found.rdev();
    let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let disk = disks.into_iter().find(|disk| disk.number == number);
    let disk = disk.ok_or_else(|| at(path, "it is not a whole disk; name one, as /dev/sdb"))?;
    device::check(&disk, Some(needs), arguments.internal)?;
    let contents = look(&disk);
    Ok(Place { path: path.clone(), disk: Some((disk, contents)) })
}

/// What is on a disk, by a look at both ends.
fn look(disk: &Disk) -> Contents {
    match DiskTarget::look(&disk.path, disk.size) {
        Ok((head, tail)) => device::describe(&head, &tail),
        Err(_) => Contents::Unread,
    }
}

impl Place {
    /// Whether there is nothing that could be lost.
    fn is_new(&self) -> bool {
        self.disk.is_none() && !self.path.exists()
    }

    fn question(&self, image: &Path, size: u64) -> String {
        let image = format!("Write {} ({})", image.display(), size_text(size));
        match &self.disk {
            None => format!("{image} over the file {}?", self.path.display()),
            Some((disk, contents)) => format!(
                "{image} to this disk?\n  {}\nIt {contents}. All of it will be lost.",
                device::line(disk)
            ),
        }
    }

    fn open(&mut self) -> Result<Box<dyn Target>, At> {
        let opened: io::Result<Box<dyn Target>> = match &self.disk {
            None => FileTarget::create(&self.path).map(|target| Box::new(target) as _),
            Some((disk, _)) => DiskTarget::open(&self.path, &disk.name, disk.size)
                .map(|target| Box::new(target) as _),
        };
        opened.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied if self.disk.is_some() => {
                at(&self.path, "you may not write to it; try again as root")
            }
            io::ErrorKind::ResourceBusy => at(&self.path, "it is in use"),
            _ => at(&self.path, error),
        })
    }
}

fn list() -> io::Result<()> {
    let disks = device::parse(&Snapshot::take());
    let mut out = io::stdout().lock();
    for disk in disks.iter().filter(|disk| disk.is_removable) {
        let state = match device::check(disk, None, false) {
            Ok(()) => format!("{}", look(disk)),
            Err(_) if disk.size == 0 => "has no medium".to_owned(),
            Err(_) if !disk.uses.is_empty() => disk.uses[0].to_string(),
            Err(refusal) => refusal.to_string(),
        };
        writeln!(out, "{}  {state}", device::line(disk))?;
    }
    if !disks.iter().any(|disk| disk.is_removable) {
        eprintln!("holm-image: no removable disk is there");
    }
    Ok(())
}

/// Asks on the terminal itself: standard input may be the image.
fn ask(question: &str) -> Result<(), Box<dyn Error>> {
    let terminal = fs::File::options().read(true).write(true).open("/dev/tty");
    let terminal = terminal.map_err(|_| "there is no terminal to ask on; add --yes")?;
    let answer = answer(&terminal, &mut &terminal, question)?;
    if answer { Ok(()) } else { Err("nothing was written".into()) }
}

fn answer(from: impl Read, to: &mut impl Write, question: &str) -> io::Result<bool> {
    write!(to, "{question}\nWrite \"yes\" to go on: ")?;
    to.flush()?;
    let mut answer = String::new();
    BufReader::new(from).read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn summary(path: &Path, report: &Report) -> String {
    let rate = |bytes: u64, time: Duration| {
        let rate = bytes as f64 / time.as_secs_f64().max(0.001);
        format!("{:.1} s ({}/s)", time.as_secs_f64(), size_text(rate as u64))
    };
    format!(
        "{}: {}, of which {} written in {}, read back in {:.1} s",
        path.display(),
        size_text(report.image),
        size_text(report.written),
        rate(report.written, report.writing),
        report.verifying.as_secs_f64(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_a_yes() {
        for (said, expected) in [("yes\n", true), (" yes ", true), ("y\n", false), ("", false)] {
            let mut shown = Vec::new();
            let found = answer(said.as_bytes(), &mut shown, "Write a to b?").expect("answered");
            assert_eq!(found, expected, "{said:?}");
            assert!(String::from_utf8_lossy(&shown).starts_with("Write a to b?\n"));
        }
    }

    #[test]
    fn question_names_image_disk_and_what_will_be_lost() {
        let disk = Disk {
            name: "sdb".into(),
            path: "/dev/sdb".into(),
            number: "8:16".into(),
            size: 31_914_983_424,
            sector: 512,
            model: "SanDisk Ultra".into(),
            connection: device::Connection::Usb,
            is_removable: true,
            is_read_only: false,
            partitions: 2,
            uses: vec![],
        };
        let place = Place { path: "/dev/sdb".into(), disk: Some((disk, Contents::Partitions(2))) };
        let question = place.question(Path::new("holm.img"), 807_403_520);
        for words in ["holm.img (807.4 MB)", "/dev/sdb", "31.9 GB", "SanDisk Ultra", "2 partitions"]
        {
            assert!(question.contains(words), "{question}");
        }
    }
}
