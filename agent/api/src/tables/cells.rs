//! Cells that are no plain field: one small function each, named in `columns.txt`.

use super::pod;
use crate::selector::LabelSelector;
use crate::{Value, time};
use jiff::Timestamp;

/// The value at a dotted path.
pub(super) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, name| value.get(name))
}

pub(super) fn number(count: usize, kind: &str) -> Value {
    match kind {
        "integer" => Value::Int(i64::try_from(count).unwrap_or(i64::MAX)),
        _ => Value::from(count.to_string()),
    }
}

/// How long ago a time was.
pub(super) fn since(text: &str, now: Timestamp) -> Value {
    Value::from(match time::parse(text) {
        Some(then) => time::age(now.as_second() - then.as_second()),
        None => "<unknown>".to_owned(),
    })
}

/// Calls a function of the text. One that is not known gives an empty cell; a test sees to it that
/// there is none.
pub(super) fn call(function: &str, argument: &str, object: &Value, now: Timestamp) -> Value {
    let below = at(object, argument);
    let text = match function {
        "age" => return since(object.str_at(&["metadata", "creationTimestamp"]), now),
        "since" => match below.and_then(Value::as_str) {
            None => none(),
            Some(text) => return since(text, now),
        },
        "number" => below.and_then(Value::as_i64).map_or_else(unset_or_zero, |n| n.to_string()),
        "truth" => match below.and_then(Value::as_bool) {
            Some(true) => "true".to_owned(),
            _ => "false".to_owned(),
        },
        "labels" => labels(below),
        "list" => list(below),
        "selector" => selector(below),
        "containers" => of_containers(below, "name"),
        "images" => of_containers(below, "image"),
        "pod_ready" => pod::ready(object),
        "pod_status" => pod::status(object),
        "pod_restarts" => pod::restarts(object, now),
        "readiness_gates" => readiness_gates(object),
        "ready" => {
            let count = |path: &[&str]| object.int_at(path).unwrap_or_default();
            format!("{}/{}", count(&["status", "readyReplicas"]), count(&["spec", "replicas"]))
        }
        "phase" => match object.at(&["metadata", "deletionTimestamp"]) {
            Some(_) => "Terminating".to_owned(),
            None => object.str_at(&["status", "phase"]).to_owned(),
        },
        "controller" => controller(object),
        "role_ref" => {
            let role = |name: &str| object.str_at(&["roleRef", name]);
            format!("{}/{}", role("kind"), role("name"))
        }
        "subjects" => subjects(object, argument),
        "param_kind" => match (
            object.str_at(&["spec", "paramKind", "apiVersion"]),
            object.str_at(&["spec", "paramKind", "kind"]),
        ) {
            (_, "") => "<unset>".to_owned(),
            (version, kind) => format!("{version}/{kind}"),
        },
        "config_map_size" => {
            let count =
                |name: &str| object.get(name).and_then(Value::as_object).map_or(0, |map| map.len());
            (count("data") + count("binaryData")).to_string()
        }
        "last_condition" => object
            .items_at(&["status", "conditions"])
            .last()
            .map_or("Pending", |condition| condition.str_at(&["type"]))
            .to_owned(),
        "dangling" => {
            condition(object, "Dangling").map_or("?", |one| one.str_at(&["status"])).to_owned()
        }
        "available" => available(object),
        "component_status" => match condition(object, "Healthy").map(|one| one.str_at(&["status"]))
        {
            Some("True") => "Healthy",
            Some("False") => "Unhealthy",
            _ => "Unknown",
        }
        .to_owned(),
        "component" => {
            condition(object, "Healthy").map_or("", |one| one.str_at(&[argument])).to_owned()
        }
        "claim_state" => claim_state(object),
        "job_status" => job_status(object),
        "job_completions" => job_completions(object),
        "job_duration" => job_duration(object, now),
        "quota" => quota(object, argument),
        "access_modes" => access_modes(below),
        "claim" => match object.at(&["spec", "claimRef"]) {
            None => String::new(),
            Some(claim) => format!("{}/{}", claim.str_at(&["namespace"]), claim.str_at(&["name"])),
        },
        _ => return super::cells_network::call(function, argument, object, now),
    };
    Value::from(text)
}

pub(super) fn none() -> String {
    "<none>".to_owned()
}

fn unset_or_zero() -> String {
    "0".to_owned()
}

fn or_none(text: String) -> String {
    if text.is_empty() { none() } else { text }
}

pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object.items_at(&["status", "conditions"]).iter().find(|one| one.str_at(&["type"]) == kind)
}

fn labels(map: Option<&Value>) -> String {
    let members = map.and_then(Value::as_object).into_iter().flat_map(|map| map.iter());
    let pairs: Vec<String> = members
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    or_none(pairs.join(","))
}

fn list(items: Option<&Value>) -> String {
    let texts = items.map_or(&[][..], |items| items.items_at(&[])).iter();
    let texts: Vec<&str> = texts.filter_map(Value::as_str).collect();
    or_none(texts.join(","))
}

fn selector(value: Option<&Value>) -> String {
    match LabelSelector::from_value(value) {
        selector if selector.nothing || selector.is_everything() => none(),
        selector => selector.to_string(),
    }
}

fn of_containers(template: Option<&Value>, field: &str) -> String {
    let containers =
        template.map_or(&[][..], |template| template.items_at(&["spec", "containers"]));
    containers.iter().map(|one| one.str_at(&[field])).collect::<Vec<_>>().join(",")
}

fn readiness_gates(pod: &Value) -> String {
    let gates = pod.items_at(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return none();
    }
    let met = gates.iter().filter(|gate| {
        condition(pod, gate.str_at(&["conditionType"]))
            .is_some_and(|one| one.str_at(&["status"]) == "True")
    });
    format!("{}/{}", met.count(), gates.len())
}

fn controller(object: &Value) -> String {
    let owners = object.items_at(&["metadata", "ownerReferences"]);
    let Some(owner) = owners.iter().find(|owner| owner.bool_at(&["controller"])) else {
        return none();
    };
    let (group, _) = crate::resource::split_api_version(owner.str_at(&["apiVersion"]));
    let kind = owner.str_at(&["kind"]).to_lowercase();
    let dot = if group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{group}/{}", owner.str_at(&["name"]))
}

fn subjects(object: &Value, kind: &str) -> String {
    let all = object.items_at(&["subjects"]).iter().filter(|one| one.str_at(&["kind"]) == kind);
    let names: Vec<String> = all
        .map(|one| match (kind, one.str_at(&["namespace"])) {
            ("ServiceAccount", namespace) if !namespace.is_empty() => {
                format!("{namespace}/{}", one.str_at(&["name"]))
            }
            _ => one.str_at(&["name"]).to_owned(),
        })
        .collect();
    names.join(", ")
}

fn available(object: &Value) -> String {
    match condition(object, "Available") {
        None => "Unknown".to_owned(),
        Some(one) if one.str_at(&["status"]) == "True" => "True".to_owned(),
        Some(one) => format!("{} ({})", one.str_at(&["status"]), one.str_at(&["reason"])),
    }
}

fn claim_state(object: &Value) -> String {
    let mut states = Vec::new();
    if object.at(&["metadata", "deletionTimestamp"]).is_some() {
        states.push("deleted");
    }
    if object.at(&["status", "allocation"]).is_some() {
        states.push("allocated");
    }
    states.push(if object.items_at(&["status", "reservedFor"]).is_empty() {
        ""
    } else {
        "reserved"
    });
    states.retain(|state| !state.is_empty());
    if states.is_empty() { "pending".to_owned() } else { states.join(",") }
}

fn job_status(job: &Value) -> String {
    let is = |kind: &str| condition(job, kind).is_some_and(|one| one.str_at(&["status"]) == "True");
    let status = match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if job.at(&["metadata", "deletionTimestamp"]).is_some() => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    };
    status.to_owned()
}

fn job_completions(job: &Value) -> String {
    let done = job.int_at(&["status", "succeeded"]).unwrap_or_default();
    match (job.int_at(&["spec", "completions"]), job.int_at(&["spec", "parallelism"])) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, Some(many)) if many > 1 => format!("{done}/1 of {many}"),
        _ => format!("{done}/1"),
    }
}

fn job_duration(job: &Value, now: Timestamp) -> String {
    let Some(start) = time::parse(job.str_at(&["status", "startTime"])) else {
        return String::new();
    };
    let failed = condition(job, "Failed").map_or("", |one| one.str_at(&["lastTransitionTime"]));
    let end = time::parse(job.str_at(&["status", "completionTime"])).or(time::parse(failed));
    time::age(end.unwrap_or(now).as_second() - start.as_second())
}

fn quota(object: &Value, what: &str) -> String {
    let hard = object.at(&["status", "hard"]).and_then(Value::as_object);
    let parts: Vec<String> = hard
        .into_iter()
        .flat_map(|hard| hard.iter())
        .filter(|(name, _)| name.starts_with("limits.") == (what == "limits"))
        .map(|(name, most)| {
            let used = object.at(&["status", "used"]).map_or("0", |used| used.str_at(&[name]));
            format!("{name}: {used}/{}", most.as_str().unwrap_or_default())
        })
        .collect();
    parts.join(", ")
}

fn access_modes(below: Option<&Value>) -> String {
    let modes = below.map_or(&[][..], |below| below.items_at(&["accessModes"]));
    let short = modes.iter().filter_map(|mode| match mode.as_str()? {
        "ReadWriteOnce" => Some("RWO"),
        "ReadOnlyMany" => Some("ROX"),
        "ReadWriteMany" => Some("RWX"),
        "ReadWriteOncePod" => Some("RWOP"),
        _ => None,
    });
    short.collect::<Vec<_>>().join(",")
}
