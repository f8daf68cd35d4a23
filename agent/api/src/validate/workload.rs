//! Rules of workloads between their parts: selectors and templates, strategies, schedules.

use crate::field::{FieldError, Path};
use crate::selector::LabelSelector;
use crate::{Map, Resource, Value};

pub(super) fn check_kind(resource: &Resource, object: &Value, errors: &mut Vec<FieldError>) {
    match (&*resource.group, &*resource.kind) {
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet") => {
            selects_its_template(object, errors);
            only_restart(
                &object["spec"]["template"],
                &Path::new("spec.template"),
                &["Always"],
                errors,
            );
            strategy(object, errors);
        }
        ("", "ReplicationController") => {
            let labels = object.at(&["spec", "selector"]).and_then(Value::as_object);
            let selector = LabelSelector::from_map(labels);
            template_matches(&selector, object, errors);
            only_restart(
                &object["spec"]["template"],
                &Path::new("spec.template"),
                &["Always"],
                errors,
            );
        }
        ("batch", "Job") => job(&object["spec"], &Path::new("spec"), errors),
        ("batch", "CronJob") => cron_job(object, errors),
        _ => {}
    }
}

fn selects_its_template(object: &Value, errors: &mut Vec<FieldError>) {
    let at = Path::new("spec.selector");
    let Some(selector) = object.at(&["spec", "selector"]) else { return };
    if selector.is_empty() {
        errors.push(FieldError::invalid(&at, selector, "empty selector is invalid for deployment"));
        return;
    }
    template_matches(&LabelSelector::from_value(Some(selector)), object, errors);
}

fn template_matches(selector: &LabelSelector, object: &Value, errors: &mut Vec<FieldError>) {
    let path = ["spec", "template", "metadata", "labels"];
    let labels = object.at(&path).and_then(Value::as_object);
    if !selector.nothing && !selector.matches(labels) {
        let bad = Value::Object(labels.cloned().unwrap_or_else(Map::new));
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(&Path::new("spec.template.metadata.labels"), bad, detail));
    }
}

fn only_restart(template: &Value, path: &Path, allowed: &[&str], errors: &mut Vec<FieldError>) {
    let policy = template.str_at(&["spec", "restartPolicy"]);
    if !policy.is_empty() && !allowed.contains(&policy) {
        let at = path.child("spec").child("restartPolicy");
        errors.push(FieldError::not_supported(&at, policy, allowed));
    }
    if allowed == ["Always"] && template.int_at(&["spec", "activeDeadlineSeconds"]).is_some() {
        let at = path.child("spec").child("activeDeadlineSeconds");
        errors.push(FieldError::forbidden(
            &at,
            "activeDeadlineSeconds in Pod template is not supported",
        ));
    }
}

/// A number that is not negative, or a percentage.
fn int_or_percent(value: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) -> Option<i64> {
    match value? {
        Value::Int(number) => {
            if *number < 0 {
                errors.push(FieldError::invalid(
                    path,
                    *number,
                    "must be greater than or equal to 0",
                ));
            }
            Some(*number)
        }
        Value::String(text) => {
            for wrong in crate::names::percent(text) {
                errors.push(FieldError::invalid(path, &**text, &wrong));
            }
            text.strip_suffix('%')?.parse().ok()
        }
        _ => None,
    }
}

fn strategy(object: &Value, errors: &mut Vec<FieldError>) {
    let (name, at) = match object.at(&["spec", "strategy"]) {
        Some(_) => ("strategy", Path::new("spec.strategy")),
        None => ("updateStrategy", Path::new("spec.updateStrategy")),
    };
    let Some(strategy) = object.at(&["spec", name]) else { return };
    let rolling = at.child("rollingUpdate");
    let kind = strategy.str_at(&["type"]);
    let Some(steps) = strategy.get("rollingUpdate") else { return };
    if kind == "Recreate" {
        let detail = "may not be specified when strategy `type` is 'Recreate'";
        errors.push(FieldError::forbidden(&rolling, detail));
        return;
    }
    let unavailable =
        int_or_percent(steps.get("maxUnavailable"), &rolling.child("maxUnavailable"), errors);
    let surge = int_or_percent(steps.get("maxSurge"), &rolling.child("maxSurge"), errors);
    if unavailable == Some(0) && surge == Some(0) {
        let bad = steps["maxUnavailable"].clone();
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(&rolling.child("maxUnavailable"), bad, detail));
    }
}

fn job(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let template = path.child("template");
    only_restart(&spec["template"], &template, &["OnFailure", "Never"], errors);
    let policy = spec.str_at(&["template", "spec", "restartPolicy"]);
    if spec.get("podFailurePolicy").is_some() && policy != "Never" {
        let at = template.child("spec").child("restartPolicy");
        let detail = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.push(FieldError::invalid(&at, policy, detail));
    }
    if spec.str_at(&["completionMode"]) == "Indexed" && spec.get("completions").is_none() {
        let detail = "when completion mode is Indexed";
        errors.push(FieldError::required(&path.child("completions"), detail));
    }
}

fn cron_job(object: &Value, errors: &mut Vec<FieldError>) {
    let schedule = object.str_at(&["spec", "schedule"]);
    let at = Path::new("spec.schedule");
    if schedule.contains("TZ=") {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(FieldError::invalid(&at, schedule, detail));
    } else if !schedule.is_empty() && !is_schedule(schedule) {
        let detail = format!("expected exactly 5 fields, or a known descriptor, found: {schedule}");
        errors.push(FieldError::invalid(&at, schedule, &detail));
    }
    let job_spec = &object["spec"]["jobTemplate"]["spec"];
    job(job_spec, &Path::new("spec.jobTemplate.spec"), errors);
    // The controller names jobs after their time, which takes eleven characters.
    let name = object.str_at(&["metadata", "name"]);
    if name.len() > 52 {
        let detail = "must be no more than 52 characters";
        errors.push(FieldError::invalid(&Path::new("metadata.name"), name, detail));
    }
}

/// Five fields of cron, or `@daily` and its like.
pub(super) fn is_schedule(text: &str) -> bool {
    if let Some(name) = text.strip_prefix('@') {
        let known = ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
        return known.contains(&name) || name.strip_prefix("every ").is_some_and(|d| !d.is_empty());
    }
    const MONTHS: &str = "jan feb mar apr may jun jul aug sep oct nov dec";
    const DAYS: &str = "sun mon tue wed thu fri sat";
    let bounds = [(0, 59, ""), (0, 23, ""), (1, 31, ""), (1, 12, MONTHS), (0, 7, DAYS)];
    let fields: Vec<&str> = text.split_whitespace().collect();
    fields.len() == bounds.len()
        && fields.iter().zip(bounds).all(|(field, (low, high, names))| {
            field.split(',').all(|part| is_cron_part(part, low, high, names))
        })
}

fn is_cron_part(part: &str, low: i64, high: i64, names: &str) -> bool {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    if step.is_some_and(|step| step.parse::<i64>().map_or(true, |step| step < 1)) {
        return false;
    }
    if matches!(range, "*" | "?") {
        return true;
    }
    let number = |text: &str| -> Option<i64> {
        let named =
            names.split(' ').position(|name| !name.is_empty() && name == text.to_lowercase());
        let named = named.and_then(|at| i64::try_from(at).ok()).map(|at| at + low);
        named.or_else(|| text.parse().ok()).filter(|number| (low..=high).contains(number))
    };
    match range.split_once('-') {
        Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
        None => number(range).is_some(),
    }
}
