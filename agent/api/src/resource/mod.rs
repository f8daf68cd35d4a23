//! Resources: one row for each, built-in or added by a CRD, and how requests and documents find it.
//!
//! Must never hold what a kind means: that is for the strategies, looked up by group and kind.

mod registry;
mod rows;
#[cfg(test)]
mod tests;

pub use registry::Registry;

use crate::schema::Schema;
use crate::status::GroupResource;
use std::borrow::Cow;
use std::fmt;

/// Text that a built-in row borrows and a CRD's row owns.
pub type Text = Cow<'static, str>;

/// Group, version and kind: what a document says it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: Text,
    /// Version in the group, such as `v1`.
    pub version: Text,
    /// Kind, such as `Pod`.
    pub kind: Text,
}

impl Gvk {
    /// Takes `apiVersion` (`v1`, `apps/v1`) and `kind`.
    pub fn of(api_version: &str, kind: &str) -> Self {
        let (group, version) = split_api_version(api_version);
        let own = |text: &str| Cow::Owned(text.to_owned());
        Self { group: own(group), version: own(version), kind: own(kind) }
    }

    /// Reads `apiVersion` and `kind` of a document.
    pub fn of_object(object: &crate::Value) -> Self {
        Self::of(object.str_at(&["apiVersion"]), object.str_at(&["kind"]))
    }

    /// The `apiVersion`: `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        join_api_version(&self.group, &self.version)
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, Kind={}", join_api_version(&self.group, &self.version), self.kind)
    }
}

/// Group and version of an `apiVersion`.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The `apiVersion` of a group and a version.
pub fn join_api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Group, version and plural: what a request's path says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvr {
    /// API group; empty for the core group.
    pub group: Text,
    /// Version in the group.
    pub version: Text,
    /// Plural name, such as `pods`.
    pub resource: Text,
}

impl Gvr {
    /// A resource by names that are written out in the program.
    pub const fn fixed(group: &'static str, version: &'static str, resource: &'static str) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            resource: Cow::Borrowed(resource),
        }
    }

    /// Takes names from a request.
    pub fn of(group: &str, version: &str, resource: &str) -> Self {
        let own = |text: &str| Cow::Owned(text.to_owned());
        Self { group: own(group), version: own(version), resource: own(resource) }
    }

    /// How messages name it.
    pub fn group_resource(&self) -> GroupResource<'_> {
        GroupResource { group: &self.group, resource: &self.resource }
    }

    /// The collection's path: `/api/v1/namespaces/NS/pods`, `/apis/apps/v1/deployments`.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis/" };
        let version = &self.version;
        let mut path = match self.group.is_empty() {
            true => format!("{root}/{version}"),
            false => format!("{root}{}/{version}", self.group),
        };
        if let Some(namespace) = namespace {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(&self.resource);
        path
    }
}

impl fmt::Display for Gvr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", join_api_version(&self.group, &self.version), self.resource)
    }
}

/// What may be asked of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Verb {
    Create,
    Delete,
    DeleteCollection,
    Get,
    List,
    Patch,
    Update,
    Watch,
}

impl Verb {
    /// All verbs, in the order in which discovery names them.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Delete,
        Self::DeleteCollection,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Update,
        Self::Watch,
    ];

    /// The verb as discovery and RBAC spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

/// A set of verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verbs(u8);

impl Verbs {
    /// Every verb.
    pub const ALL: Self = Self(0xff);

    /// These verbs.
    pub fn of(verbs: &[Verb]) -> Self {
        Self(verbs.iter().fold(0, |bits, verb| bits | (1 << *verb as u8)))
    }

    /// Whether `verb` is in the set.
    pub fn has(self, verb: Verb) -> bool {
        self.0 & (1 << verb as u8) != 0
    }

    /// The verbs in the order of discovery.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| self.has(*verb))
    }
}

/// A part of an object, or an action on it, with a path of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Subresource {
    /// The path's last segment, such as `status`.
    pub name: Text,
    /// What may be asked.
    pub verbs: Verbs,
    /// What bodies are, where that is not the resource's own kind.
    pub kind: Option<Gvk>,
}

/// Where the replicas of a resource stand, for its `scale` subresource. Dotted paths without a
/// leading dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePaths {
    /// Replicas that are wanted.
    pub spec_replicas: String,
    /// Replicas that are there.
    pub status_replicas: String,
    /// The selector of the pods: a text in CRDs; in built-in kinds an object or a map.
    pub selector: Option<String>,
}

/// One row: everything that a server has to know about a resource beside what its objects mean.
#[derive(Debug, Clone)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: Text,
    /// Version that this row serves.
    pub version: Text,
    /// Kind of its objects.
    pub kind: Text,
    /// Kind of its lists.
    pub list_kind: Text,
    /// Plural name, as in paths.
    pub plural: Text,
    /// Singular name, as people type it.
    pub singular: Text,
    /// Other names that people type.
    pub short_names: Vec<Text>,
    /// Groups of resources that people ask for at once, such as `all`.
    pub categories: Vec<Text>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What may be asked.
    pub verbs: Verbs,
    /// Its subresources, sorted by name.
    pub subresources: Vec<Subresource>,
    /// Where replicas stand, when there is a `scale` subresource.
    pub scale: Option<ScalePaths>,
    /// The version in which objects are stored; another group's for Events, which two groups serve.
    pub storage: Gvk,
    /// The shape of its objects.
    pub schema: Schema,
    /// What only a CRD says: columns, selectable fields.
    pub custom: Option<std::sync::Arc<crate::crd::Custom>>,
}

impl Resource {
    /// What its documents say they are.
    pub fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    /// How paths name it.
    pub fn gvr(&self) -> Gvr {
        Gvr {
            group: self.group.clone(),
            version: self.version.clone(),
            resource: self.plural.clone(),
        }
    }

    /// The `apiVersion` of its documents.
    pub fn api_version(&self) -> String {
        join_api_version(&self.group, &self.version)
    }

    /// How messages name it: `deployments.apps`.
    pub fn group_resource(&self) -> GroupResource<'_> {
        GroupResource { group: &self.group, resource: &self.plural }
    }

    /// How messages name its kind: `Deployment.apps`.
    pub fn group_kind(&self) -> GroupResource<'_> {
        GroupResource { group: &self.group, resource: &self.kind }
    }

    /// Whether this is the built-in kind of that group.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.custom.is_none() && self.group == group && self.kind == kind
    }

    /// The subresource with this name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|one| one.name == name)
    }
}
