//! Which images an archive holds for this node.
//!
//! Must never give an image whose documents do not match their digests.

use crate::image::digest::Digest;
use crate::image::error::ImageError;
use crate::image::limits::Limits;
use crate::image::manifest::{self, Descriptor, Document, ImagePlan, ManifestError};
use crate::image::platform::Platform;
use crate::image::reference::Reference;

use super::{Archive, names};

/// An image of an archive: what to unpack, how it is called, and where its layers are.
pub(crate) struct ArchiveImage {
    pub plan: ImagePlan,
    pub names: Vec<Reference>,
    /// Member of each layer.
    pub members: Vec<String>,
}

/// One image of a docker-archive's `manifest.json`.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// All images of the archive that run on `node`.
pub(crate) fn images(
    archive: &Archive,
    node: &Platform,
    limits: &Limits,
) -> Result<Vec<ArchiveImage>, ImageError> {
    let reader = Reader { archive, node, limits };
    let docker = match archive.has("manifest.json") {
        true => reader.docker_images()?,
        false => Vec::new(),
    };
    let images = if archive.has("oci-layout") && archive.has("index.json") {
        reader.oci_images(&docker)?
    } else if !docker.is_empty() {
        docker.into_iter().map(|image| reader.docker_image(image)).collect::<Result<_, _>>()?
    } else {
        let why =
            "has neither oci-layout with index.json nor manifest.json: it is no image archive";
        return Err(archive.wrong(why.to_owned()));
    };
    if images.is_empty() {
        return Err(archive.wrong(format!("has no image for {node}")));
    }
    Ok(images)
}

struct Reader<'a> {
    archive: &'a Archive,
    node: &'a Platform,
    limits: &'a Limits,
}

impl Reader<'_> {
    fn docker_images(&self) -> Result<Vec<DockerImage>, ImageError> {
        let bytes = self.archive.document("manifest.json", self.limits.document_bytes)?;
        serde_json::from_slice(&bytes).map_err(|source| {
            self.manifest_error(ManifestError::Decode { document: "manifest.json", source })
        })
    }

    fn docker_image(&self, image: DockerImage) -> Result<ArchiveImage, ImageError> {
        let config = self.archive.document(&image.config, self.limits.document_bytes)?;
        let plan = manifest::plan(config, None, None, self.node, self.limits.layers);
        let plan = plan.map_err(|e| self.manifest_error(e))?;
        let (layers, diff_ids) = (image.layers.len(), plan.layers.len());
        if layers != diff_ids {
            return Err(self.manifest_error(ManifestError::LayerCount { layers, diff_ids }));
        }
        let mut names = Vec::new();
        for tag in image.repo_tags.unwrap_or_default() {
            names.push(Reference::parse(&tag).map_err(ImageError::Name)?);
        }
        self.name(&mut names);
        Ok(ArchiveImage { plan, names, members: image.layers })
    }

    fn oci_images(&self, docker: &[DockerImage]) -> Result<Vec<ArchiveImage>, ImageError> {
        let index = self.archive.document("index.json", self.limits.document_bytes)?;
        let Document::Index(descriptors) = self.decode(&index)? else {
            return Err(self.archive.wrong("index.json is not an index".to_owned()));
        };
        let mut found = Vec::new();
        let mut refused = None;
        for descriptor in &descriptors {
            if descriptor.platform.as_ref().is_some_and(|platform| !self.node.runs(platform)) {
                continue;
            }
            match self.oci_image(descriptor, docker) {
                Ok(image) => found.push(image),
                // Images for other platforms may lie beside ours.
                Err(
                    error @ ImageError::Manifest { source: ManifestError::Platform { .. }, .. },
                ) => {
                    refused = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match refused {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    fn oci_image(
        &self,
        descriptor: &Descriptor,
        docker: &[DockerImage],
    ) -> Result<ArchiveImage, ImageError> {
        let mut document = self.decode(&self.blob(descriptor)?)?;
        if let Document::Index(manifests) = &document {
            let chosen = manifest::choose(manifests, self.node);
            document = self.decode(&self.blob(chosen.map_err(|e| self.manifest_error(e))?)?)?;
        }
        let Document::Manifest { config, layers } = document else {
            return Err(self.archive.wrong("has an index within an index".to_owned()));
        };
        let members = layers.iter().map(|layer| blob_path(&layer.digest)).collect();
        let bytes = self.blob(&config)?;
        let digest = Some(descriptor.digest.clone());
        let plan = manifest::plan(bytes, digest, Some(layers), self.node, self.limits.layers);
        let plan = plan.map_err(|e| self.manifest_error(e))?;
        let mut names = names::annotated(&descriptor.annotations, self.archive.path());
        // `docker save` writes both forms, and the tags into this one only in some versions.
        let same = docker.iter().filter(|image| image.config == blob_path(&config.digest));
        for tag in same.filter_map(|image| image.repo_tags.as_ref()).flatten() {
            names.push(Reference::parse(tag).map_err(ImageError::Name)?);
        }
        self.name(&mut names);
        let pinned: Vec<_> = names.iter().map(|name| name.at(&descriptor.digest)).collect();
        names.extend(pinned);
        names.sort();
        names.dedup();
        Ok(ArchiveImage { plan, names, members })
    }

    fn name(&self, names: &mut Vec<Reference>) {
        if names.is_empty() {
            names.extend(names::fallback(self.archive.path()));
        }
    }

    /// A document among the blobs, compared with its digest.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let path = blob_path(&descriptor.digest);
        let bytes = self.archive.document(&path, self.limits.document_bytes)?;
        if descriptor.digest.matches(&bytes) {
            return Ok(bytes);
        }
        let (expected, actual) = (descriptor.digest.clone(), Digest::of(&bytes));
        Err(ImageError::Digest { what: path, expected, actual })
    }

    fn decode(&self, bytes: &[u8]) -> Result<Document, ImageError> {
        manifest::decode(bytes).map_err(|e| self.manifest_error(e))
    }

    fn manifest_error(&self, source: ManifestError) -> ImageError {
        ImageError::Manifest { image: self.archive.path().display().to_string(), source }
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
