//! Conversion between versions of one kind. Most kinds have one; Events are served by two groups, and
//! autoscalers in two versions. Custom resources change nothing but their `apiVersion`.

use crate::{Gvk, Map, Value, value};

/// Members of an Event in the core group, and what the events group calls them.
const EVENT: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// What the first version of autoscalers has no fields for is kept in annotations.
const PREFIX: &str = "autoscaling.alpha.kubernetes.io/";

/// Makes `object` one of the kind `to`. Between kinds that have nothing to do with each other only
/// `apiVersion` and `kind` change.
pub fn convert(object: &mut Value, to: &Gvk) {
    let from = Gvk::of_object(object);
    if from == *to {
        return;
    }
    match (&*from.group, &*from.version, &*to.group, &*to.version, &*from.kind) {
        ("", _, "events.k8s.io", _, "Event") => rename(object, false),
        ("events.k8s.io", _, "", _, "Event") => rename(object, true),
        ("autoscaling", "v1", "autoscaling", "v2", "HorizontalPodAutoscaler") => to_second(object),
        ("autoscaling", "v2", "autoscaling", "v1", "HorizontalPodAutoscaler") => to_first(object),
        _ => {}
    }
    object.set(&["apiVersion"], to.api_version());
    object.set(&["kind"], &*to.kind);
}

fn rename(object: &mut Value, to_core: bool) {
    let map = object.make_object();
    for (core, other) in EVENT {
        let (from, to) = if to_core { (other, core) } else { (core, other) };
        if let Some(value) = map.remove(from) {
            map.insert(to, value);
        }
    }
}

fn take_annotation(object: &mut Value, name: &str) -> Option<Value> {
    let key = format!("{PREFIX}{name}");
    let annotations = object.at_mut(&["metadata", "annotations"])?.as_object_mut()?;
    let text = annotations.remove(&key)?;
    if annotations.is_empty() {
        object.remove(&["metadata", "annotations"]);
    }
    crate::value::decode_value(text.as_str()?.as_bytes()).ok()
}

fn put_annotation(object: &mut Value, name: &str, value: &Value) {
    object.set(&["metadata", "annotations", &format!("{PREFIX}{name}")], value.to_string());
}

fn to_second(object: &mut Value) {
    let mut metrics = Vec::new();
    if let Some(percent) = object.remove(&["spec", "targetCPUUtilizationPercentage"]) {
        metrics.push(value!({
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": percent},
            },
        }));
    }
    if let Some(Value::Array(more)) = take_annotation(object, "metrics") {
        metrics.extend(more);
    }
    if !metrics.is_empty() {
        object.set(&["spec", "metrics"], metrics);
    }
    if let Some(behavior) = take_annotation(object, "behavior") {
        object.set(&["spec", "behavior"], behavior);
    }
    let mut current = Vec::new();
    if let Some(percent) = object.remove(&["status", "currentCPUUtilizationPercentage"]) {
        current.push(value!({
            "type": "Resource",
            "resource": {"name": "cpu", "current": {"averageUtilization": percent}},
        }));
    }
    if let Some(Value::Array(more)) = take_annotation(object, "current-metrics") {
        current.extend(more);
    }
    if !current.is_empty() {
        object.set(&["status", "currentMetrics"], current);
    }
    if let Some(conditions) = take_annotation(object, "conditions") {
        object.set(&["status", "conditions"], conditions);
    }
}

/// Whether a metric is the processor's, which the first version has a field for.
fn is_processor(metric: &Value, part: &str) -> bool {
    metric.str_at(&["type"]) == "Resource"
        && metric.str_at(&["resource", "name"]) == "cpu"
        && metric.at(&["resource", part, "averageUtilization"]).is_some()
}

fn to_first(object: &mut Value) {
    for (path, part, field, annotation) in [
        (["spec", "metrics"], "target", "targetCPUUtilizationPercentage", "metrics"),
        (
            ["status", "currentMetrics"],
            "current",
            "currentCPUUtilizationPercentage",
            "current-metrics",
        ),
    ] {
        let Some(Value::Array(mut all)) = object.remove(&path) else { continue };
        if let Some(at) = all.iter().position(|metric| is_processor(metric, part)) {
            let percent = all.remove(at)["resource"][part]["averageUtilization"].clone();
            object.set(&[path[0], field], percent);
        }
        if !all.is_empty() {
            put_annotation(object, annotation, &Value::Array(all));
        }
    }
    for (path, annotation) in
        [(["spec", "behavior"], "behavior"), (["status", "conditions"], "conditions")]
    {
        if let Some(value) = object.remove(&path) {
            put_annotation(object, annotation, &value);
        }
    }
}

/// The `Scale` of an object, by the paths that its resource names. `None` when it has no replicas.
pub fn scale_of(resource: &crate::Resource, object: &Value) -> Option<Value> {
    let paths = resource.scale.as_ref()?;
    let at = |path: &str| path.split('.').try_fold(object, |value, name| value.get(name));
    let metadata = &object["metadata"];
    let mut kept = Map::new();
    for name in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata.get(name) {
            kept.insert(name, value.clone());
        }
    }
    let number = |path: &str| at(path).and_then(Value::as_i64).unwrap_or_default();
    let mut scale = value!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": kept,
        "spec": {},
        "status": {"replicas": (number(&paths.status_replicas))},
    });
    let wanted = number(&paths.spec_replicas);
    if wanted != 0 {
        scale.set(&["spec", "replicas"], wanted);
    }
    let selector = match paths.selector.as_deref().and_then(at) {
        Some(Value::String(text)) => text.to_string(),
        Some(map @ Value::Object(_)) if resource.is("", "ReplicationController") => {
            crate::selector::LabelSelector::from_map(map.as_object()).to_string()
        }
        Some(selector) => crate::selector::LabelSelector::from_value(Some(selector)).to_string(),
        None => String::new(),
    };
    if !selector.is_empty() {
        scale.set(&["status", "selector"], selector);
    }
    Some(scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Registry;
    use crate::sample::{self, Random};
    use crate::schema::Schema;

    #[test]
    fn event_of_either_group_becomes_the_other_and_back() {
        let (core, other) = (Gvk::of("v1", "Event"), Gvk::of("events.k8s.io/v1", "Event"));
        for seed in 1..20 {
            let schema = Schema::built_in(&core).unwrap();
            let event = sample::object(schema.node(), &core, &mut Random::new(seed));
            let mut there = event.clone();
            convert(&mut there, &other);
            assert_eq!(there["regarding"], event["involvedObject"]);
            let node = Schema::built_in(&other).unwrap();
            let unknown = crate::decode::normalize(
                node.node(),
                &mut there.clone(),
                crate::decode::Fill::Whole,
            );
            assert_eq!(unknown.unwrap(), [""; 0]);
            convert(&mut there, &core);
            assert_eq!(there, event);
        }
    }

    #[test]
    fn autoscaler_keeps_in_annotations_what_the_first_version_lacks() {
        let second = value!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h"},
            "spec": {
                "maxReplicas": 3i64,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {
                        "type": "Utilization", "averageUtilization": 80i64}}},
                    {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "Value"}}},
                ],
                "behavior": {"scaleUp": {"selectPolicy": "Max"}},
            },
        });
        let mut first = second.clone();
        convert(&mut first, &Gvk::of("autoscaling/v1", "HorizontalPodAutoscaler"));
        assert_eq!(first.int_at(&["spec", "targetCPUUtilizationPercentage"]), Some(80));
        assert!(first["spec"].get("metrics").is_none());
        convert(&mut first, &Gvk::of("autoscaling/v2", "HorizontalPodAutoscaler"));
        assert_eq!(first, second);
    }

    #[test]
    fn scale_shows_replicas_and_selector_as_text() {
        let registry = Registry::built_in();
        let resource = registry.by_path("apps", "v1", "deployments").unwrap();
        let object = value!({
            "metadata": {"name": "d", "namespace": "x"},
            "spec": {"replicas": 3i64, "selector": {"matchLabels": {"a": "b"}}},
            "status": {"replicas": 2i64},
        });
        let scale = scale_of(resource, &object).unwrap();
        assert_eq!(scale["spec"], value!({"replicas": 3i64}));
        assert_eq!(scale["status"], value!({"replicas": 2i64, "selector": "a=b"}));
        let pods = registry.by_path("", "v1", "pods").unwrap();
        assert_eq!(scale_of(pods, &object), None);
    }
}
