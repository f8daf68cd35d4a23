//! All resources that are served at a moment. Changing it makes a new one, so that a request sees one
//! state from its start to its end.

use super::{Gvk, Resource, rows};
use std::sync::Arc;

/// All resources, built-in ones first, those of CRDs after them in the order of their names.
#[derive(Debug, Clone)]
pub struct Registry {
    resources: Vec<Arc<Resource>>,
}

impl Registry {
    /// The built-in resources.
    pub fn built_in() -> Self {
        Self { resources: rows::built_in().map(Arc::new).collect() }
    }

    /// Every row.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.iter()
    }

    /// The resource that a path names.
    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.iter().find(|one| one.plural == plural && one.group == group && one.version == version)
    }

    /// The resource whose documents are of this kind.
    pub fn by_kind(&self, gvk: &Gvk) -> Option<&Arc<Resource>> {
        self.iter().find(|one| {
            one.kind == gvk.kind && one.group == gvk.group && one.version == gvk.version
        })
    }

    /// Every version of a resource.
    pub fn versions<'a>(
        &'a self,
        group: &'a str,
        plural: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.iter().filter(move |one| one.group == group && one.plural == plural)
    }

    /// The same with the rows of a CRD in place of those that its group and plural had. Built-in
    /// rows stay.
    #[must_use]
    pub fn with_custom(&self, group: &str, plural: &str, rows: Vec<Resource>) -> Self {
        let mut resources: Vec<Arc<Resource>> = self
            .resources
            .iter()
            .filter(|one| one.custom.is_none() || one.group != group || one.plural != plural)
            .cloned()
            .collect();
        resources.extend(rows.into_iter().map(Arc::new));
        // Stable: versions of one resource keep the order in which they came.
        resources.sort_by(|a, b| {
            let key = |one: &Arc<Resource>| {
                one.custom.as_ref().map(|_| (one.group.clone(), one.plural.clone()))
            };
            key(a).cmp(&key(b))
        });
        Self { resources }
    }
}
