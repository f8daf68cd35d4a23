//! Reads the built-in rows from their text.

use super::{Gvk, Resource, ScalePaths, Subresource, Text, Verb, Verbs};
use crate::schema::Schema;
use std::borrow::Cow;

const ROWS: &str = include_str!("rows.txt");

/// The built-in rows, in the order of the text. A row that cannot be read is left out; a test sees
/// to it that there is none.
pub(super) fn built_in() -> impl Iterator<Item = Resource> {
    lines().filter_map(read_row)
}

/// The lines of the text that hold a row.
pub(super) fn lines() -> impl Iterator<Item = &'static str> {
    ROWS.lines().filter(|line| !line.starts_with('#'))
}

fn read_row(line: &'static str) -> Option<Resource> {
    let columns: Vec<&'static str> = line.split(' ').collect();
    let [group, version, kind, plural, scope, short_names, categories, verbs, subresources] =
        columns.as_slice()
    else {
        return None;
    };
    let gvk = read_gvk(group, version, kind);
    let subresources: Option<Vec<Subresource>> =
        list(subresources, ',').map(read_subresource).collect();
    let has_scale = subresources.iter().flatten().any(|one| one.name == "scale");
    Some(Resource {
        schema: Schema::built_in(&gvk)?,
        storage: stored_as(&gvk),
        list_kind: Cow::Owned(format!("{kind}List")),
        singular: Cow::Owned(kind.to_ascii_lowercase()),
        plural: Cow::Borrowed(plural),
        short_names: list(short_names, ',').map(Cow::Borrowed).collect(),
        categories: list(categories, ',').map(Cow::Borrowed).collect(),
        namespaced: *scope == "N",
        verbs: read_verbs(verbs, ',')?,
        subresources: subresources?,
        scale: has_scale.then(|| ScalePaths {
            spec_replicas: "spec.replicas".to_owned(),
            status_replicas: "status.replicas".to_owned(),
            selector: Some("spec.selector".to_owned()),
        }),
        group: gvk.group,
        version: gvk.version,
        kind: gvk.kind,
        custom: None,
    })
}

/// Kinds that several groups or versions serve are stored in one of them.
fn stored_as(gvk: &Gvk) -> Gvk {
    match (&*gvk.group, &*gvk.kind) {
        ("events.k8s.io", "Event") => read_gvk("core", "v1", "Event"),
        ("autoscaling", _) => read_gvk("autoscaling", "v2", "HorizontalPodAutoscaler"),
        _ => gvk.clone(),
    }
}

fn read_gvk(group: &'static str, version: &'static str, kind: &'static str) -> Gvk {
    let group = if group == "core" { "" } else { group };
    let fixed = |text| Text::Borrowed(text);
    Gvk { group: fixed(group), version: fixed(version), kind: fixed(kind) }
}

fn list(text: &'static str, separator: char) -> impl Iterator<Item = &'static str> {
    text.split(separator).filter(|item| *item != "-")
}

fn read_verbs(text: &'static str, separator: char) -> Option<Verbs> {
    if text == "*" {
        return Some(Verbs::ALL);
    }
    let verbs: Option<Vec<Verb>> = list(text, separator)
        .map(|name| Verb::ALL.into_iter().find(|verb| verb.as_str() == name))
        .collect();
    verbs.map(|verbs| Verbs::of(&verbs))
}

fn read_subresource(text: &'static str) -> Option<Subresource> {
    let (text, kind) = match text.split_once('=') {
        Some((text, kind)) => (text, Some(kind)),
        None => (text, None),
    };
    let (name, verbs) = text.split_once(':').unwrap_or((text, "get+patch+update"));
    let kind = match kind.or((name == "scale").then_some("autoscaling/v1/Scale")) {
        None => None,
        Some(kind) => {
            let mut parts = kind.split('/');
            Some(read_gvk(parts.next()?, parts.next()?, parts.next()?))
        }
    };
    Some(Subresource { name: Cow::Borrowed(name), verbs: read_verbs(verbs, '+')?, kind })
}
