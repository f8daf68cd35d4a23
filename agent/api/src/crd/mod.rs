//! CRDs: resources that are added while the server runs. A CRD becomes rows of the registry, one for
//! each version that it serves, which then take the path of every other row.

mod check;
mod definition;
mod shape;
#[cfg(test)]
mod tests;

pub use check::check;
pub use definition::{conditions, validate};
pub use shape::structural;

use crate::field::FieldError;
use crate::resource::{Gvk, Resource, ScalePaths, Subresource, Text, Verb, Verbs};
use crate::schema::Schema;
use crate::schema::structural::Structural;
use crate::{Value, field};
use std::borrow::Cow;
use std::sync::Arc;

/// What only a CRD says about its resource.
#[derive(Debug, Clone)]
pub struct Custom {
    /// `additionalPrinterColumns` of the version.
    pub columns: Vec<Value>,
    /// Fields that selectors may name, beside name and namespace. Dotted, without a leading dot.
    pub selectable: Vec<String>,
    /// `openAPIV3Schema` of the version, as the CRD writes it; `null` when there is none.
    pub schema: Arc<Value>,
    /// What clients are warned of when they use the version; empty when it is not deprecated.
    pub deprecation: String,
}

/// The rows of a CRD that is valid and whose names were accepted, preferred version first.
pub fn rows(crd: &Value) -> Result<Vec<Resource>, Vec<FieldError>> {
    let spec = &crd["spec"];
    // Names that were accepted are those of the status; before that, those that are wanted.
    let names = match crd.at(&["status", "acceptedNames"]) {
        Some(names) if !names.str_at(&["kind"]).is_empty() => names,
        _ => &spec["names"],
    };
    let own = |text: &str| -> Text { Cow::Owned(text.to_owned()) };
    let list = |name: &str| -> Vec<Text> {
        names.items_at(&[name]).iter().filter_map(Value::as_str).map(own).collect()
    };
    let versions = spec.items_at(&["versions"]);
    let storage = versions.iter().find(|version| version.bool_at(&["storage"]));
    let kind = names.str_at(&["kind"]);
    let group = spec.str_at(&["group"]);
    let mut rows = Vec::new();
    let mut errors = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        if !version.bool_at(&["served"]) {
            continue;
        }
        let schema = version.at(&["schema", "openAPIV3Schema"]).cloned().unwrap_or_default();
        let path = field::Path::new("spec").child("versions").index(index).child("schema");
        let mut shape = shape::structural(&schema, &path.child("openAPIV3Schema"), &mut errors);
        shape.embedded = true;
        let (subresources, scale) = subresources(version);
        rows.push(Resource {
            group: own(group),
            version: own(version.str_at(&["name"])),
            kind: own(kind),
            list_kind: match names.str_at(&["listKind"]) {
                "" => Cow::Owned(format!("{kind}List")),
                name => own(name),
            },
            plural: own(names.str_at(&["plural"])),
            singular: match names.str_at(&["singular"]) {
                "" => Cow::Owned(kind.to_lowercase()),
                name => own(name),
            },
            short_names: list("shortNames"),
            categories: list("categories"),
            namespaced: spec.str_at(&["scope"]) == "Namespaced",
            verbs: Verbs::ALL,
            subresources,
            scale,
            storage: Gvk {
                group: own(group),
                version: own(storage.unwrap_or(version).str_at(&["name"])),
                kind: own(kind),
            },
            schema: Schema::Custom(Arc::new(shape)),
            custom: Some(Arc::new(custom(spec, version, schema))),
        });
    }
    rows.sort_by_key(|row| std::cmp::Reverse(priority(&row.version)));
    if errors.is_empty() { Ok(rows) } else { Err(errors) }
}

fn custom(spec: &Value, version: &Value, schema: Value) -> Custom {
    let selectable = version.items_at(&["selectableFields"]).iter();
    let name = version.str_at(&["name"]);
    let (group, kind) = (spec.str_at(&["group"]), spec.str_at(&["names", "kind"]));
    Custom {
        columns: version.items_at(&["additionalPrinterColumns"]).to_vec(),
        selectable: selectable
            .map(|field| field.str_at(&["jsonPath"]).trim_start_matches('.').to_owned())
            .collect(),
        schema: Arc::new(schema),
        deprecation: match (
            version.bool_at(&["deprecated"]),
            version.str_at(&["deprecationWarning"]),
        ) {
            (false, _) => String::new(),
            (true, "") => format!("{group}/{name} {kind} is deprecated"),
            (true, warning) => warning.to_owned(),
        },
    }
}

fn subresources(version: &Value) -> (Vec<Subresource>, Option<ScalePaths>) {
    let mut all = Vec::new();
    let verbs = Verbs::of(&[Verb::Get, Verb::Patch, Verb::Update]);
    let path = |scale: &Value, name: &str| scale.str_at(&[name]).trim_start_matches('.').to_owned();
    let scale = version.at(&["subresources", "scale"]).map(|scale| {
        let kind = Gvk::of("autoscaling/v1", "Scale");
        all.push(Subresource { name: Cow::Borrowed("scale"), verbs, kind: Some(kind) });
        ScalePaths {
            spec_replicas: path(scale, "specReplicasPath"),
            status_replicas: path(scale, "statusReplicasPath"),
            selector: Some(path(scale, "labelSelectorPath")).filter(|path| !path.is_empty()),
        }
    });
    if version.at(&["subresources", "status"]).is_some() {
        all.push(Subresource { name: Cow::Borrowed("status"), verbs, kind: None });
    }
    (all, scale)
}

/// How versions are preferred: stable ones before beta before alpha, newer ones first, and names of
/// another form last.
pub fn priority(version: &str) -> (u8, u32, u32) {
    let rest = version.strip_prefix('v').unwrap_or_default();
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, rest) = rest.split_at(digits);
    let Ok(major) = major.parse() else { return (0, 0, 0) };
    let minor = |rest: &str| rest.parse().ok();
    match rest {
        "" => (3, major, 0),
        rest => match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
            (Some(rest), _) => minor(rest).map_or((0, 0, 0), |minor| (2, major, minor)),
            (_, Some(rest)) => minor(rest).map_or((0, 0, 0), |minor| (1, major, minor)),
            _ => (0, 0, 0),
        },
    }
}

impl Structural {
    /// Whether nothing is said about the objects, so that all of them is kept.
    pub fn is_free(&self) -> bool {
        self.properties.is_empty() && self.preserve_unknown
    }
}
