//! The `scale` subresource: replicas of any resource that says where it keeps them.

use super::{Ownership, Place, Stored, Writing};
use crate::at_rest;
use crate::server::Server;
use holm_api::resource::ScalePaths;
use holm_api::selector::LabelSelector;
use holm_api::{Map, Status, Value, value};

impl Server {
    /// Replicas of an object, as a `Scale`.
    ///
    /// # Errors
    /// 404.
    pub async fn get_scale(&self, place: Place<'_>) -> Result<Stored, Status> {
        let stored = self.get(place).await?;
        scale_of(place, &stored)
    }

    /// Sets how many replicas are wanted, by a function of the current `Scale`.
    ///
    /// # Errors
    /// Those of an update.
    pub async fn change_scale(
        &self,
        place: Place<'_>,
        writing: &Writing<'_>,
        mut make: impl FnMut(&Value) -> Result<Value, Status> + Send,
    ) -> Result<Stored, Status> {
        let paths = paths_of(place)?;
        let whole = Place { subresource: "", ..place };
        let stored = self
            .change(whole, writing, Ownership::OfChanges, |old| {
                let revision = old.str_at(&["metadata", "resourceVersion"]).to_owned();
                let scale = make(&scale_from(paths, old))?;
                let mut new = old.clone();
                let replicas = scale.int_at(&["spec", "replicas"]).unwrap_or(0);
                if replicas < 0 {
                    let path = holm_api::field::Path::new("spec.replicas");
                    let error = holm_api::field::FieldError::invalid(
                        &path,
                        replicas,
                        "must be greater than or equal to 0",
                    );
                    let what = holm_api::status::of("autoscaling", "Scale");
                    return Err(Status::invalid(what, place.name, &[error]));
                }
                let path: Vec<&str> = paths.spec_replicas.split('.').collect();
                new.set(&path, replicas);
                let wanted = scale.str_at(&["metadata", "resourceVersion"]);
                new.set(
                    &["metadata", "resourceVersion"],
                    if wanted.is_empty() { &revision } else { wanted },
                );
                let uid = scale.str_at(&["metadata", "uid"]);
                if !uid.is_empty() {
                    new.set(&["metadata", "uid"], uid);
                }
                Ok(new)
            })
            .await?;
        scale_of(place, &stored)
    }
}

fn paths_of<'a>(place: Place<'a>) -> Result<&'a ScalePaths, Status> {
    place.resource.scale.as_ref().ok_or_else(Status::no_such_resource)
}

fn scale_of(place: Place<'_>, stored: &Stored) -> Result<Stored, Status> {
    let mut scale = scale_from(paths_of(place)?, &stored.value()?);
    Ok(Stored { bytes: at_rest::pack(&mut scale), revision: stored.revision })
}

fn scale_from(paths: &ScalePaths, object: &Value) -> Value {
    let at = |path: &str| object.at(&path.split('.').collect::<Vec<_>>());
    let number = |path: &str| at(path).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = Map::new();
    for name in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(name) {
            metadata.insert(name, value);
        }
    }
    let mut scale = value!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": metadata,
        "spec": {"replicas": {number(&paths.spec_replicas)}},
        "status": {"replicas": {number(&paths.status_replicas)}},
    });
    if let Some(selector) = paths.selector.as_deref().and_then(at) {
        let text = match selector {
            Value::String(text) => text.to_string(),
            // A map of labels, as replication controllers have it, or a selector.
            Value::Object(map) if map.values().all(|it| it.as_str().is_some()) => {
                LabelSelector::from_map(Some(map)).to_string()
            }
            selector => LabelSelector::from_value(Some(selector)).to_string(),
        };
        scale.set(&["status", "selector"], text);
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_replicas_and_whom_they_are() {
        let paths = ScalePaths {
            spec_replicas: "spec.replicas".to_owned(),
            status_replicas: "status.replicas".to_owned(),
            selector: Some("spec.selector".to_owned()),
        };
        let object = value!({
            "metadata": {"name": "web", "namespace": "a", "uid": "u", "labels": {"x": "y"}},
            "spec": {"replicas": 3_i64, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"replicas": 2_i64},
        });
        assert_eq!(
            scale_from(&paths, &object),
            value!({
                "apiVersion": "autoscaling/v1",
                "kind": "Scale",
                "metadata": {"name": "web", "namespace": "a", "uid": "u"},
                "spec": {"replicas": 3_i64},
                "status": {"replicas": 2_i64, "selector": "app=web"},
            })
        );
    }
}
