//! `holm-image publish`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use holm_image::build::{Place, UPDATE_KEYS};
use holm_image::publish::sources::Sources;
use holm_image::publish::{self, Days, Offer, Outcome, Repository, UpdateKeys};
use holm_payload::Schedule;
use jiff::Timestamp;
use semver::Version;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Images, as `build` leaves them with their files beside
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    place: RepositoryPlace,
    /// Channel that offers it, as stable or beta; run again to offer it in another
    #[arg(long, value_name = "NAME")]
    channel: String,
    /// Version, in place of the image's own
    #[arg(long = "as", value_name = "VERSION")]
    as_version: Option<Version>,
    /// File with what is new, for people
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
    /// Nodes with an older version take another release first
    #[arg(long, value_name = "VERSION")]
    minimum_version: Option<Version>,
    /// All nodes within three hours, whatever their maintenance windows say
    #[arg(long)]
    urgent: bool,
    /// When the waves begin, as 2026-12-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// Waves as SECONDS:PERCENT, with commas [default: 1% after an hour, all after six days]
    #[arg(long, value_name = "LIST", value_parser = waves)]
    waves: Option<Schedule>,
}

/// Which repository, and whose keys.
#[derive(Debug, Args)]
pub(super) struct RepositoryPlace {
    /// Folder of the repository, which a web server serves as it is
    #[arg(long, value_name = "DIR")]
    repository: PathBuf,
    /// Owner's keys, as made by `holm-image keys` [default: development keys in build/keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

impl RepositoryPlace {
    pub(super) fn open(&self) -> Result<(Repository, UpdateKeys), Box<dyn Error>> {
        let folder = match &self.keys {
            Some(folder) => folder.clone(),
            None => Place::of_environment(&super::workspace()?, true).folder.join("keys"),
        };
        let keys = UpdateKeys::open(&folder.join(UPDATE_KEYS))?;
        Ok((Repository::open(&self.repository, &keys)?, keys))
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let (repository, keys) = arguments.place.open()?;
    let now = Timestamp::now();
    let read = |path: &PathBuf| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let offer = Offer {
        channel: arguments.channel,
        start: arguments.start.unwrap_or(now),
        waves: arguments.waves,
        urgent: arguments.urgent,
        notes: arguments.notes.as_ref().map(read).transpose()?,
        minimum_version: arguments.minimum_version,
        version: arguments.as_version,
    };
    // What cannot be published at all is found before anything is.
    let all = arguments.images.iter().map(|image| Sources::beside(image));
    for sources in all.collect::<Result<Vec<_>, _>>()? {
        let outcome = publish::publish(&repository, &keys, &sources, &offer, now, Days::default())?;
        let version = offer.version.as_ref().unwrap_or(&sources.version);
        println!("{} {version}: {}", sources.board, text(outcome, &offer.channel));
    }
    Ok(())
}

fn text(outcome: Outcome, channel: &str) -> String {
    match outcome {
        Outcome::Added { content, data } => {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            format!("added to {channel}, {:.1} MiB packed to {:.1}", mib(content), mib(data))
        }
        Outcome::Offered => format!("offered in {channel}"),
        Outcome::Unchanged => format!("in {channel} already"),
    }
}

fn waves(text: &str) -> Result<Schedule, String> {
    let wave = |wave: &str| {
        let (seconds, percent) = wave.split_once(':')?;
        Some((seconds.trim().parse().ok()?, percent.trim().parse().ok()?))
    };
    let waves = text.split(',').map(wave).collect::<Option<Vec<_>>>();
    waves.map(Schedule).ok_or_else(|| format!("{text:?} is no list as 3600:1,86400:15,518400:100"))
}
