//! Rules for CRDs themselves, and the conditions that say whether one is served.

use super::shape;
use crate::field::{FieldError, Path, quote};
use crate::{Value, names, value};

/// What is wrong with a CRD. `old` is the one that it replaces.
pub fn validate(crd: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &crd["spec"];
    let path = Path::new("spec");
    let group = spec.str_at(&["group"]);
    let plural = spec.str_at(&["names", "plural"]);
    let wanted = format!("{plural}.{group}");
    let name = crd.str_at(&["metadata", "name"]);
    if name != wanted {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid(&Path::new("metadata.name"), name, detail));
    }
    check_group(group, &path.child("group"), &mut errors);
    let scope = spec.str_at(&["scope"]);
    match scope {
        "" => errors.push(FieldError::required(&path.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        _ => {
            let supported = ["Cluster", "Namespaced"];
            errors.push(FieldError::not_supported(&path.child("scope"), scope, &supported));
        }
    }
    check_names(&spec["names"], &path.child("names"), &mut errors);
    check_versions(spec.items_at(&["versions"]), &path.child("versions"), &mut errors);
    let strategy = spec.str_at(&["conversion", "strategy"]);
    if !matches!(strategy, "" | "None" | "Webhook") {
        errors.push(FieldError::not_supported(
            &path.child("conversion").child("strategy"),
            strategy,
            &["None", "Webhook"],
        ));
    }
    if let Some(old) = old {
        let immutable = [
            &["spec", "group"][..],
            &["spec", "names", "kind"],
            &["spec", "names", "plural"],
            &["spec", "scope"],
        ];
        // Names may change until the first are accepted.
        let established =
            condition(old, "Established").is_some_and(|one| one.str_at(&["status"]) == "True");
        for at in immutable {
            if old.str_at(at) != crd.str_at(at)
                && (established || at.len() == 2 && at[1] == "group")
            {
                errors.push(FieldError::invalid(
                    &Path::new(&at.join(".")),
                    crd.str_at(at),
                    "field is immutable",
                ));
            }
        }
    }
    errors
}

fn check_group(group: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if group.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !names::dns_subdomain(group).is_empty() {
        let wrong = names::dns_subdomain(group).join(",");
        errors.push(FieldError::invalid(path, group, &wrong));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(path, group, "should be a domain with at least one dot"));
    }
}

fn check_names(all: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (name, required) in
        [("plural", true), ("singular", false), ("kind", true), ("listKind", false)]
    {
        let text = all.str_at(&[name]);
        let at = path.child(name);
        if text.is_empty() {
            if required {
                errors.push(FieldError::required(&at, ""));
            }
            continue;
        }
        let lower = text.to_lowercase();
        if matches!(name, "plural" | "singular") && lower != text {
            errors.push(FieldError::invalid(&at, text, "must be lower case"));
        }
        for wrong in names::dns_1035_label(&lower) {
            errors.push(FieldError::invalid(&at, text, &wrong));
        }
    }
    for list in ["shortNames", "categories"] {
        for (index, text) in all.items_at(&[list]).iter().filter_map(Value::as_str).enumerate() {
            for wrong in names::dns_1035_label(text) {
                errors.push(FieldError::invalid(&path.child(list).index(index), text, &wrong));
            }
        }
    }
    if all.str_at(&["kind"]) == all.str_at(&["listKind"]) && !all.str_at(&["kind"]).is_empty() {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(
            &path.child("listKind"),
            all.str_at(&["listKind"]),
            detail,
        ));
    }
}

fn check_versions(versions: &[Value], path: &Path, errors: &mut Vec<FieldError>) {
    let stored = versions.iter().filter(|version| version.bool_at(&["storage"])).count();
    if stored != 1 {
        let names: Value = versions.iter().map(|version| version["name"].clone()).collect();
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path, names, detail));
    }
    let mut seen = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let at = path.index(index);
        let name = version.str_at(&["name"]);
        for wrong in names::dns_1035_label(name) {
            errors.push(FieldError::invalid(&at.child("name"), name, &wrong));
        }
        if seen.contains(&name) {
            errors.push(FieldError::invalid(&at.child("name"), name, "must be unique"));
        }
        seen.push(name);
        match version.at(&["schema", "openAPIV3Schema"]) {
            None => errors.push(FieldError::required(
                &at.child("schema").child("openAPIV3Schema"),
                "schemas are required",
            )),
            Some(schema) => {
                let at = at.child("schema").child("openAPIV3Schema");
                shape::structural(schema, &at, errors);
            }
        }
        check_subresources(version, &at, errors);
    }
}

fn check_subresources(version: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(scale) = version.at(&["subresources", "scale"]) {
        let at = path.child("subresources").child("scale");
        for (name, prefix) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
            let text = scale.str_at(&[name]);
            if text.is_empty() {
                errors.push(FieldError::required(&at.child(name), ""));
            } else if !text.starts_with(prefix) {
                let detail =
                    format!("should be a json path under {}", prefix.trim_end_matches('.'));
                errors.push(FieldError::invalid(&at.child(name), text, &detail));
            }
        }
    }
    for (index, column) in version.items_at(&["additionalPrinterColumns"]).iter().enumerate() {
        let at = path.child("additionalPrinterColumns").index(index);
        for name in ["name", "jsonPath", "type"] {
            if column.str_at(&[name]).is_empty() {
                errors.push(FieldError::required(&at.child(name), ""));
            }
        }
        let supported = ["boolean", "date", "integer", "number", "string"];
        let kind = column.str_at(&["type"]);
        if !kind.is_empty() && !supported.contains(&kind) {
            errors.push(FieldError::not_supported(&at.child("type"), kind, &supported));
        }
    }
}

fn condition<'a>(crd: &'a Value, kind: &str) -> Option<&'a Value> {
    crd.items_at(&["status", "conditions"]).iter().find(|one| one.str_at(&["type"]) == kind)
}

/// The status that a CRD should have, given all others: which names it gets, and whether it is
/// established. `now` is the time of a condition that changes.
pub fn conditions(crd: &Value, others: &[&Value], now: &str) -> Value {
    let group = crd.str_at(&["spec", "group"]);
    let own = crd.str_at(&["metadata", "name"]);
    let rivals: Vec<&Value> = others
        .iter()
        .filter(|other| other.str_at(&["spec", "group"]) == group)
        .filter(|other| other.str_at(&["metadata", "name"]) != own)
        .map(|other| &other["status"]["acceptedNames"])
        .collect();
    let taken = |text: &str| {
        !text.is_empty()
            && rivals.iter().any(|names| {
                let short = names.items_at(&["shortNames"]).iter();
                ["plural", "singular"].iter().any(|name| names.str_at(&[name]) == text)
                    || short.filter_map(Value::as_str).any(|name| name == text)
            })
    };
    let kind_taken = |text: &str| {
        !text.is_empty()
            && rivals
                .iter()
                .any(|names| names.str_at(&["kind"]) == text || names.str_at(&["listKind"]) == text)
    };
    let wanted = &crd["spec"]["names"];
    let mut conflict = None;
    for (name, reason) in [("plural", "PluralConflict"), ("singular", "SingularConflict")] {
        let text = wanted.str_at(&[name]);
        if taken(text) {
            conflict = Some((reason, format!("{} is already in use", quote(text))));
        }
    }
    for text in wanted.items_at(&["shortNames"]).iter().filter_map(Value::as_str) {
        if taken(text) {
            conflict = Some(("ShortNamesConflict", format!("{} is already in use", quote(text))));
        }
    }
    for (name, reason) in [("kind", "KindConflict"), ("listKind", "ListKindConflict")] {
        let text = wanted.str_at(&[name]);
        if kind_taken(text) {
            conflict = Some((reason, format!("{} is already in use", quote(text))));
        }
    }
    let mut status = crd["status"].clone();
    status.make_object();
    let mut all = Vec::new();
    let mut set = |kind: &str, truth: bool, reason: &str, message: &str| {
        let truth = if truth { "True" } else { "False" };
        let old = condition(crd, kind).filter(|old| old.str_at(&["status"]) == truth);
        let since = old.map_or(now, |old| old.str_at(&["lastTransitionTime"]));
        all.push(value!({
            "type": kind,
            "status": truth,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }));
    };
    match &conflict {
        None => {
            set("NamesAccepted", true, "NoConflicts", "no conflicts found");
            set(
                "Established",
                true,
                "InitialNamesAccepted",
                "the initial names have been accepted",
            );
            status.set(&["acceptedNames"], wanted.clone());
        }
        Some((reason, message)) => {
            set("NamesAccepted", false, reason, message);
            let established =
                condition(crd, "Established").is_some_and(|old| old.str_at(&["status"]) == "True");
            if established {
                set(
                    "Established",
                    true,
                    "InitialNamesAccepted",
                    "the initial names have been accepted",
                );
            } else {
                set("Established", false, "NotAccepted", "not all names are accepted");
            }
        }
    }
    // Conditions of others, such as Terminating, stay.
    for old in crd.items_at(&["status", "conditions"]) {
        if !matches!(old.str_at(&["type"]), "NamesAccepted" | "Established") {
            all.push(old.clone());
        }
    }
    status.set(&["conditions"], all);
    let storage = crd
        .items_at(&["spec", "versions"])
        .iter()
        .find(|version| version.bool_at(&["storage"]))
        .map(|version| version["name"].clone());
    if let Some(storage) = storage {
        let stored = status.make_object().entry("storedVersions").make_array();
        if !stored.contains(&storage) {
            stored.push(storage);
        }
    }
    status
}
