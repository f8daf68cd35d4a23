//! The repository of updates, as the service asks it: what there is, and its content. Thin over
//! `holm-fetch`, which trusts only what the owner has signed.

use std::path::Path;
use std::time::{Duration, Instant};

use holm_config::Update;
use holm_fetch::{Client, Seed, Settings, Trusted};
use holm_node::pod::images::chain;
use holm_payload::Release;
use holm_payload::choose::{self, Choice};
use holm_update::payload::Source;
use jiff::Timestamp;

use super::stick::{self, Stick};

/// What the owner's root of trust is read from: the image, or the boot partition, where the node
/// document lies.
const ROOTS: [&str; 2] = ["/usr/lib/holm/update/root.json", "/boot/update-root.json"];
/// Where trusted metadata are kept.
const METADATA: &str = "/state/update/metadata";
/// A trial looks at the node often; the server is asked less often.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// What was found.
pub(super) enum Found {
    /// A version to install.
    Version {
        /// Its name.
        version: String,
        /// Whether it cannot wait for a window.
        urgent: bool,
    },
    /// None, in words.
    Nothing(String),
}

/// The repository.
pub(super) struct Repository {
    settings: Settings,
    channel: String,
    /// Held for as long as it is the place.
    stick: Option<Stick>,
    asked: Option<(Instant, Option<String>)>,
}

impl Repository {
    pub(super) fn new(update: &Update) -> Self {
        let settings = Settings {
            places: update.places.clone(),
            proxy: update.proxy.clone(),
            rate_limit: update.rate_limit,
            ..Settings::default()
        };
        Self { settings, channel: update.channel.clone(), stick: None, asked: None }
    }

    /// Another place from now on.
    pub(super) fn set_place(&mut self, place: String) -> Result<(), String> {
        self.stick = None;
        let place = if place == stick::NAME {
            let stick = Stick::find(&super::node::root_disk().map_err(|error| error.to_string())?)?;
            self.stick.insert(stick).repository.display().to_string()
        } else {
            place
        };
        let settings = Settings { places: vec![place], ..self.settings.clone() };
        self.settings = settings;
        self.client().map(drop)
    }

    fn client(&self) -> Result<Client, String> {
        let read = ROOTS.iter().find_map(|path| std::fs::read(path).ok());
        let root =
            read.ok_or(format!("no root of trust for updates is at {}", ROOTS.join(" or ")))?;
        Client::new(self.settings.clone(), root, Path::new(METADATA)).map_err(|error| chain(&error))
    }

    fn refresh(&self, client: &Client) -> Result<Trusted, String> {
        let complain = |error: &holm_fetch::RefreshError| tracing::warn!("{}", chain(error));
        client.refresh(Timestamp::now(), complain).map_err(|error| chain(&error))
    }

    /// Why the server does not answer; `None` when it does, or there is none to ask.
    pub(super) fn answers(&mut self) -> Option<String> {
        if self.settings.places.is_empty() {
            return None;
        }
        if let Some((when, answer)) = &self.asked
            && when.elapsed() < ASK_EVERY
        {
            return answer.clone();
        }
        let answer = self.client().and_then(|client| self.refresh(&client).map(drop)).err();
        self.asked = Some((Instant::now(), answer.clone()));
        answer
    }

    /// Looks for a version: the named one, or what the channel offers.
    pub(super) fn find(
        &self,
        board: &str,
        running: &str,
        seed: u16,
        version: Option<&str>,
        force: bool,
    ) -> Result<Found, String> {
        let client = self.client()?;
        let trusted = self.refresh(&client)?;
        let parse = |text: &str| {
            text.parse().map_err(|error| format!("{text:?} is no version such as 1.2.3: {error}"))
        };
        let running = parse(running)?;
        let node = choose::Node { board, channel: &self.channel, version: &running, seed };
        if let Some(version) = version {
            let version = parse(version)?;
            let named = choose::named(&trusted.releases, node, &version, force);
            let (_, release) = named.map_err(|refusal| refusal.to_string())?;
            return Ok(Found::Version { version: release.version.to_string(), urgent: false });
        }
        let choice = choose::choose(&trusted.releases, node, Timestamp::now());
        Ok(match choice.map_err(|refusal| refusal.to_string())? {
            Choice::Take { release, urgent, .. } => {
                Found::Version { version: release.version.to_string(), urgent }
            }
            Choice::Wait { version, until } => Found::Nothing(format!(
                "version {version} is there; this node's turn is at {until}"
            )),
            Choice::UpToDate => Found::Nothing(format!("version {running} is the newest")),
        })
    }

    /// Gives `work` the content of a version, of which parts may lie in `seeds`.
    pub(super) fn with_source<T>(
        &self,
        board: &str,
        version: &str,
        seeds: &[Seed],
        work: impl FnOnce(&dyn Source) -> T,
    ) -> Result<T, String> {
        let client = self.client()?;
        let trusted = self.refresh(&client)?;
        let is_wanted = |one: &Release| one.board == board && one.version.to_string() == version;
        let wanted = trusted.releases.iter().find(|(_, release)| is_wanted(release));
        let (path, _) = wanted.ok_or(format!("version {version} is not offered any more"))?;
        let download = client.download(&trusted, path, seeds);
        let (download, unreadable) = download.map_err(|error| chain(&error))?;
        for (path, error) in unreadable {
            tracing::warn!("{} cannot be read: {error}", path.display());
        }
        let done = work(&download);
        tracing::info!("version {version}: {} KiB received", client.traffic().received() >> 10);
        Ok(done)
    }
}
