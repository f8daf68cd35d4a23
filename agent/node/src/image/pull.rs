//! From a name to an image on the disk, over the network.
//!
//! Layers go straight from the connection into the unpacker: nothing is written twice, for flash
//! wears. What a broken pull has finished stays, so that the next one goes on after it.

use std::io::Read;

use super::Image;
use super::digest::Digest;
use super::error::ImageError;
use super::layer::LayerError;
use super::manifest::{self, Descriptor, Document, ImagePlan, ManifestError};
use super::reference::Reference;
use super::registry::{Blob, Cancel, Registries, RegistryError, Session};
use super::store::{ImageStore, LayerSource};

type Take<'a> = super::store::Take<'a>;

impl ImageStore {
    /// Asks the registry what `name` stands for now, and fetches what is missing of it. Blocks until
    /// the image is whole and flushed. Whether to ask at all (`imagePullPolicy`) is the caller's.
    pub fn pull(
        &self,
        name: &str,
        registries: &Registries,
        cancel: &Cancel,
    ) -> Result<Image, ImageError> {
        let reference = Reference::parse(name).map_err(ImageError::Name)?;
        let session = Session::new(reference.host(), registries, &self.limits, cancel);
        let pull = Pull { store: self, reference: &reference, session: &session };
        let (plan, digests, endpoint) = pull.plan()?;
        let mut names: Vec<_> = digests.iter().map(|digest| reference.at(digest)).collect();
        names.push(reference.clone());
        names.dedup();
        self.install(&plan, &names, &mut Layers { pull: &pull, plan: &plan, endpoint })
    }
}

struct Pull<'a> {
    store: &'a ImageStore,
    reference: &'a Reference,
    session: &'a Session<'a>,
}

impl Pull<'_> {
    /// What to fetch, the digests that name it (index and manifest), and who has it.
    fn plan(&self) -> Result<(ImagePlan, Vec<Digest>, usize), ImageError> {
        let (bytes, digest, endpoint) = self.manifest(self.reference.manifest_key())?;
        let mut digests = vec![digest];
        let mut document = self.decode(&bytes)?;
        if let Document::Index(manifests) = &document {
            let chosen = manifest::choose(manifests, &self.store.node);
            let chosen = chosen.map_err(|e| self.manifest_error(e))?;
            let (bytes, digest, _) = self.manifest(chosen.digest.as_str())?;
            digests.push(digest);
            document = self.decode(&bytes)?;
        }
        let Document::Manifest { config, layers } = document else {
            let media_type = "index within an index".to_owned();
            return Err(self.manifest_error(ManifestError::Kind { media_type }));
        };
        for layer in &layers {
            self.bounded(layer, self.store.limits.blob_bytes)?;
        }
        let config = self.config(&config, endpoint)?;
        // The first digest is what the name stands for, on whatever platform.
        let manifest = digests.first().cloned();
        let (node, most) = (&self.store.node, self.store.limits.layers);
        let plan = manifest::plan(config, manifest, Some(layers), node, most);
        Ok((plan.map_err(|e| self.manifest_error(e))?, digests, endpoint))
    }

    fn manifest(&self, key: &str) -> Result<(Vec<u8>, Digest, usize), ImageError> {
        let found = self.session.manifest(self.reference.repository(), key);
        found.map_err(|e| self.pull_error(e))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Document, ImageError> {
        manifest::decode(bytes).map_err(|e| self.manifest_error(e))
    }

    fn config(&self, blob: &Descriptor, endpoint: usize) -> Result<Vec<u8>, ImageError> {
        self.bounded(blob, self.store.limits.document_bytes)?;
        let mut reader = Blob::new(self.session, self.reference.repository(), blob, endpoint);
        let mut bytes = Vec::new();
        if let Err(error) = reader.read_to_end(&mut bytes) {
            let url = "configuration".to_owned();
            let failure = reader.into_failure().0;
            let failure = failure.unwrap_or(RegistryError::Body { url, source: error });
            return Err(self.pull_error(failure));
        }
        if !blob.digest.matches(&bytes) {
            let (expected, actual) = (blob.digest.clone(), Digest::of(&bytes));
            return Err(ImageError::Digest { what: "configuration".into(), expected, actual });
        }
        Ok(bytes)
    }

    fn bounded(&self, blob: &Descriptor, limit: u64) -> Result<(), ImageError> {
        if blob.size <= limit {
            return Ok(());
        }
        let url = format!("{}/blobs/{}", self.reference.repository(), blob.digest);
        let (expected, actual) = (limit, blob.size);
        Err(self.pull_error(RegistryError::Length { url, expected, actual }))
    }

    fn pull_error(&self, source: RegistryError) -> ImageError {
        ImageError::Pull { image: self.reference.to_string(), source }
    }

    fn manifest_error(&self, source: ManifestError) -> ImageError {
        ImageError::Manifest { image: self.reference.to_string(), source }
    }
}

struct Layers<'a> {
    pull: &'a Pull<'a>,
    plan: &'a ImagePlan,
    endpoint: usize,
}

impl LayerSource for Layers<'_> {
    fn each(&mut self, wanted: &[usize], take: &mut Take<'_>) -> Result<(), ImageError> {
        for &n in wanted {
            self.one(n, take)?;
        }
        Ok(())
    }
}

impl Layers<'_> {
    /// Fetches a layer. One that does not match its digest is fetched from each other endpoint once:
    /// a broken cache must not keep an image away that the registry has.
    fn one(&mut self, n: usize, take: &mut Take<'_>) -> Result<(), ImageError> {
        let session = self.pull.session;
        let Some(blob) = &self.plan.layers[n].blob else { return Ok(()) };
        let mut tries = session.endpoints();
        loop {
            let repository = self.pull.reference.repository();
            let mut reader = Blob::new(session, repository, blob, self.endpoint);
            let result = take(n, &mut reader);
            let (failed, endpoint) = reader.into_failure();
            self.endpoint = endpoint;
            tries -= 1;
            match (result, failed) {
                (Ok(()), _) => return Ok(()),
                (Err(_), Some(failed)) => return Err(self.pull.pull_error(failed)),
                (Err(error), None) if tries > 0 && is_corrupt(&error) => {
                    tracing::warn!(%error, "layer is fetched from the next endpoint");
                    self.endpoint = (self.endpoint + 1) % session.endpoints();
                }
                (Err(error), None) => return Err(error),
            }
        }
    }
}

fn is_corrupt(error: &ImageError) -> bool {
    matches!(
        error,
        ImageError::Digest { .. }
            | ImageError::Length { .. }
            | ImageError::Layer { source: LayerError::Archive(_) | LayerError::Entry { .. }, .. }
    )
}
