//! `holm-image repository`: what time and lost keys ask for.

use std::error::Error;

use clap::{Args, Subcommand};
use holm_image::publish::{self, Days};
use holm_tuf::Role;
use jiff::Timestamp;
use semver::Version;

use super::publish::RepositoryPlace;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Sign a new timestamp; run it from a timer, for nodes refuse one that has expired
    Refresh {
        #[command(flatten)]
        place: RepositoryPlace,
        /// Sign everything anew
        #[arg(long)]
        all: bool,
    },
    /// Show versions, expiry and keys
    Show {
        #[command(flatten)]
        place: RepositoryPlace,
    },
    /// Give a role new keys; old and new root keys sign the change
    Rotate {
        /// root, timestamp, snapshot or targets
        #[arg(value_parser = role)]
        role: Role,
        /// Only this key, by its identifier
        #[arg(long, value_name = "ID")]
        key: Option<String>,
        #[command(flatten)]
        place: RepositoryPlace,
    },
    /// Take a key away without a new one
    Revoke {
        /// root, timestamp, snapshot or targets
        #[arg(value_parser = role)]
        role: Role,
        /// The key's identifier
        key: String,
        #[command(flatten)]
        place: RepositoryPlace,
    },
    /// Take a release out
    Withdraw {
        /// The board
        board: String,
        /// The version
        #[arg(value_name = "VERSION")]
        release: Version,
        #[command(flatten)]
        place: RepositoryPlace,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let (now, days) = (Timestamp::now(), Days::default());
    match arguments.action {
        Action::Refresh { place, all } => {
            let (repository, keys) = place.open()?;
            publish::refresh(&repository, &keys, all, now, days)?;
            show(&place_text(&repository)?);
        }
        Action::Show { place } => {
            let (repository, _) = place.open()?;
            show(&place_text(&repository)?);
        }
        Action::Rotate { role, key, place } => {
            let (repository, keys) = place.open()?;
            publish::rotate(&repository, &keys, role, key.as_deref(), now, days)?;
            show(&place_text(&repository)?);
            println!("build images anew, so that fresh nodes begin with the new root of trust");
        }
        Action::Revoke { role, key, place } => {
            let (repository, keys) = place.open()?;
            publish::revoke(&repository, &keys, role, &key, now, days)?;
            show(&place_text(&repository)?);
        }
        Action::Withdraw { board, release: version, place } => {
            let (repository, keys) = place.open()?;
            publish::withdraw(&repository, &keys, &board, &version, now, days)?;
            println!("{board} {version} is out of the repository");
        }
    }
    Ok(())
}

fn show(lines: &[String]) {
    lines.iter().for_each(|line| println!("{line}"));
}

fn place_text(repository: &publish::Repository) -> Result<Vec<String>, Box<dyn Error>> {
    let state = repository.state()?;
    let mut lines = vec![format!("root {} until {}", state.root.version, state.root.expires)];
    if let Some(expires) = state.timestamp_expires {
        lines.push(format!("timestamp {} until {expires}", state.timestamp_version));
    }
    if let Some(snapshot) = &state.snapshot {
        lines.push(format!("snapshot {} until {}", snapshot.version, snapshot.expires));
        lines.push(format!("targets {} until {}", state.targets.version, state.targets.expires));
    }
    for (role, keys) in &state.root.roles {
        for id in &keys.keyids {
            lines.push(format!("key of {role} ({} have to sign): {id}", keys.threshold));
        }
    }
    let (releases, _) = holm_payload::releases(&state.targets);
    for release in releases.values() {
        let channels = release.channels.keys().cloned().collect::<Vec<_>>().join(", ");
        lines.push(format!("{} {}: {channels}", release.board, release.version));
    }
    Ok(lines)
}

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.name() == text);
    found.ok_or_else(|| format!("{text:?} is no role: root, timestamp, snapshot or targets"))
}
