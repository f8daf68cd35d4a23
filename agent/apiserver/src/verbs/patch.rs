//! patch, in its four forms.

use super::{Ownership, Place, Stored, Writing};
use crate::server::Server;
use holm_api::client::PatchKind;
use holm_api::decode::{self, Fill};
use holm_api::options::FieldValidation;
use holm_api::patch::{PatchError, json, merge, strategic};
use holm_api::{Status, Value, apply};
use std::sync::PoisonError;

/// A patch and how it is meant.
#[derive(Debug, Clone)]
pub struct Patch {
    /// How it is meant.
    pub kind: PatchKind,
    /// The document.
    pub document: Value,
}

impl Server {
    /// Changes parts of an object. An apply makes it if it is not there; then the answer says so.
    ///
    /// # Errors
    /// 400 for a patch that is none, 422 for one that does not fit, 409 for an apply that meets
    /// other owners, and those of an update.
    pub async fn patch(
        &self,
        place: Place<'_>,
        patch: &Patch,
        writing: &Writing<'_>,
    ) -> Result<(Stored, bool), Status> {
        if patch.kind == PatchKind::Apply {
            return self.apply(place, &patch.document, writing).await;
        }
        let change = self.change(place, writing, Ownership::OfChanges, |old| {
            let mut new = old.clone();
            apply_patch(place, &mut new, patch)?;
            normalize(place, &mut new, writing, Fill::Whole)?;
            Ok(new)
        });
        change.await.map(|stored| (stored, false))
    }

    /// Server-side apply.
    async fn apply(
        &self,
        place: Place<'_>,
        document: &Value,
        writing: &Writing<'_>,
    ) -> Result<(Stored, bool), Status> {
        if writing.options.field_manager.is_empty() {
            let path = holm_api::field::Path::new("fieldManager");
            let error = holm_api::field::FieldError::required(&path, "is required for apply patch");
            let what = holm_api::status::of("meta.k8s.io", "PatchOptions");
            return Err(Status::invalid(what, "", &[error]));
        }
        let mut config = document.clone();
        crate::metadata::fit_path(place.resource, &mut config, place.namespace, place.name)?;
        normalize(place, &mut config, writing, Fill::Sparse)?;
        let version = place.resource.api_version();
        let now = holm_api::time::seconds(self.now());
        let ignored = apply::ignored_fields(place.resource, place.subresource);
        let write = apply::Write {
            node: place.resource.schema.node(),
            api_version: &version,
            manager: writing.manager(),
            subresource: place.subresource,
            now: &now,
            force: writing.options.force,
            ignored: &ignored,
        };
        let make = |old: Option<&Value>| {
            let mut new = apply::apply(&write, old, &config)?;
            normalize(place, &mut new, writing, Fill::Whole)?;
            Ok(new)
        };
        loop {
            let changed = self.change(place, writing, Ownership::Said, |old| make(Some(old))).await;
            match changed {
                Err(error) if error.is_not_found() && place.subresource.is_empty() => {}
                result => return result.map(|stored| (stored, false)),
            }
            if !config.str_at(&["metadata", "uid"]).is_empty() {
                let why = "Precondition failed: uid is set, but the object does not exist";
                let what = place.resource.group_resource();
                return Err(Status::conflict(what, place.name, why));
            }
            let object = make(None)?;
            match self.create_owned(place, object, writing, Ownership::Said).await {
                // Somebody made it meanwhile: then it is changed.
                Err(error) if error.is_already_exists() => {}
                result => return result.map(|stored| (stored, true)),
            }
        }
    }
}

/// Brings a document into its kept form, and says what it has that nobody knows.
fn normalize(
    place: Place<'_>,
    object: &mut Value,
    writing: &Writing<'_>,
    fill: Fill,
) -> Result<(), Status> {
    let node = place.resource.schema.node();
    let unknown = decode::normalize(node, object, fill)
        .map_err(|error| Status::bad_request(decode::wrong_shape(&place.resource.gvk(), error)))?;
    notice(place, writing, unknown.iter().map(|it| format!("unknown field {it:?}")))
}

impl Patch {
    /// Applies it to something of which no schema is known, such as a `Scale`.
    ///
    /// # Errors
    /// 400 and 422, as for any patch.
    pub fn apply_plainly(&self, object: &mut Value) -> Result<(), Status> {
        let result = match self.kind {
            PatchKind::Json => json::apply(object, &self.document),
            _ => {
                merge::apply(object, self.document.clone());
                Ok(())
            }
        };
        result.map_err(|error| Status::bad_request(error.to_string()))
    }
}

fn apply_patch(place: Place<'_>, object: &mut Value, patch: &Patch) -> Result<(), Status> {
    let result = match patch.kind {
        PatchKind::Json => json::apply(object, &patch.document),
        PatchKind::Merge => {
            merge::apply(object, patch.document.clone());
            Ok(())
        }
        PatchKind::Strategic if place.resource.custom.is_some() => {
            return Err(Status::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ]));
        }
        PatchKind::Strategic => {
            strategic::apply(place.resource.schema.node(), object, &patch.document)
        }
        PatchKind::Apply => return Err(Status::internal("an apply is no plain patch")),
    };
    result.map_err(|error| match error {
        PatchError::Malformed(why) => Status::bad_request(why),
        PatchError::Unfit(why) => {
            let what = place.resource.group_kind();
            let mut status = Status::invalid(what, place.name, &[]);
            status.message = why;
            status
        }
    })
}

/// What strict validation refuses, and what others are warned of.
pub(crate) fn notice(
    place: Place<'_>,
    writing: &Writing<'_>,
    noticed: impl Iterator<Item = String>,
) -> Result<(), Status> {
    let noticed: Vec<String> = noticed.collect();
    if noticed.is_empty() {
        return Ok(());
    }
    match writing.options.field_validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            let mut warnings = writing.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            for warning in noticed {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
            Ok(())
        }
        FieldValidation::Strict => {
            let why = decode::strict_error(&place.resource.gvk(), &noticed);
            Err(Status::bad_request(why))
        }
    }
}
