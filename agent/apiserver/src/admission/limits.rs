//! What a namespace may use: defaults and bounds for each object, and quotas over all of them.

use super::{Attempt, Operation};
use crate::at_rest;
use crate::server::Server;
use crate::verbs::store_failed;
use holm_api::quantity::Quantity;
use holm_api::{Map, Status, Value};
use holm_store::RangeRequest;

fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Int(number) => Some(Quantity::from_units(*number)),
        _ => None,
    }
}

async fn objects(
    server: &Server,
    group: &str,
    plural: &str,
    namespace: &str,
) -> Result<Vec<Value>, Status> {
    let registry = server.registry();
    let Some(resource) = registry.by_path(group, "v1", plural) else { return Ok(Vec::new()) };
    let range = RangeRequest::latest(at_rest::range(resource, namespace));
    let range = server.store.range(range).await.map_err(|error| store_failed(&error))?;
    Ok(range.entries.iter().filter_map(at_rest::object_of).collect())
}

/// DefaultStorageClass: a claim that names no class gets the default one.
pub(super) async fn default_storage_class(
    server: &Server,
    attempt: &Attempt<'_>,
    claim: &mut Value,
) -> Result<(), Status> {
    if !attempt.creates("PersistentVolumeClaim")
        || claim.at(&["spec", "storageClassName"]).is_some()
    {
        return Ok(());
    }
    let classes = objects(server, "storage.k8s.io", "storageclasses", "").await?;
    let default = classes
        .iter()
        .filter(|it| {
            let annotations = &it["metadata"]["annotations"];
            annotations.str_at(&["storageclass.kubernetes.io/is-default-class"]) == "true"
        })
        // Of several, the newest.
        .max_by_key(|it| it.str_at(&["metadata", "creationTimestamp"]).to_owned());
    if let Some(class) = default {
        claim.set(&["spec", "storageClassName"], class.str_at(&["metadata", "name"]));
    }
    Ok(())
}

/// LimitRanger: containers get the namespace's defaults, and must stay within its bounds.
pub(super) async fn limit_ranges(
    server: &Server,
    attempt: &Attempt<'_>,
    pod: &mut Value,
) -> Result<(), Status> {
    if !attempt.creates("Pod") {
        return Ok(());
    }
    let ranges = objects(server, "", "limitranges", attempt.place.namespace).await?;
    let mut errors = Vec::new();
    for limit in ranges.iter().flat_map(|it| it.items_at(&["spec", "limits"])) {
        if limit.str_at(&["type"]) != "Container" {
            continue;
        }
        for list in ["initContainers", "containers"] {
            let containers = pod.at_mut(&["spec", list]).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                set_defaults(limit, container);
                check_bounds(limit, container, &mut errors);
            }
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false if errors.len() == 1 => Err(attempt.forbidden(pod, errors.concat())),
        false => Err(attempt.forbidden(pod, format!("[{}]", errors.join(", ")))),
    }
}

fn set_defaults(limit: &Value, container: &mut Value) {
    for (from, to) in [("default", "limits"), ("defaultRequest", "requests")] {
        for (name, amount) in
            limit.get(from).and_then(Value::as_object).into_iter().flat_map(Map::iter)
        {
            if container.at(&["resources", to, name.as_str()]).is_none() {
                container.set(&["resources", to, name.as_str()], amount);
            }
        }
    }
    // What is limited and requests nothing requests its limit.
    let limits = container.at(&["resources", "limits"]).and_then(Value::as_object).cloned();
    for (name, amount) in limits.iter().flat_map(Map::iter) {
        if container.at(&["resources", "requests", name.as_str()]).is_none() {
            container.set(&["resources", "requests", name.as_str()], amount);
        }
    }
}

fn check_bounds(limit: &Value, container: &Value, errors: &mut Vec<String>) {
    let of = |bound: &str| limit.get(bound).and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, bound) in of("min").iter() {
        let (name, text) = (name.as_str(), bound.as_str().unwrap_or_default());
        let request = container.at(&["resources", "requests", name]);
        match (request.and_then(quantity), quantity(bound)) {
            (None, _) => errors.push(format!(
                "minimum {name} usage per Container is {text}.  No request is specified"
            )),
            (Some(request), Some(least)) if request < least => errors.push(format!(
                "minimum {name} usage per Container is {text}, but request is {request}"
            )),
            _ => {}
        }
    }
    for (name, bound) in of("max").iter() {
        let (name, text) = (name.as_str(), bound.as_str().unwrap_or_default());
        let most = container.at(&["resources", "limits", name]);
        match (most.and_then(quantity), quantity(bound)) {
            (None, _) => errors.push(format!(
                "maximum {name} usage per Container is {text}.  No limit is specified"
            )),
            (Some(used), Some(most)) if used > most => errors
                .push(format!("maximum {name} usage per Container is {text}, but limit is {used}")),
            _ => {}
        }
    }
}

/// ResourceQuota: a creation that would pass a quota's bound is refused.
pub(super) async fn quotas(
    server: &Server,
    attempt: &Attempt<'_>,
    object: &Value,
) -> Result<(), Status> {
    let place = attempt.place;
    if attempt.operation != Operation::Create
        || !place.resource.namespaced
        || !place.subresource.is_empty()
    {
        return Ok(());
    }
    let quotas = objects(server, "", "resourcequotas", place.namespace).await?;
    if quotas.is_empty() {
        return Ok(());
    }
    let wanted = usage(place.resource, object);
    if wanted.is_empty() {
        return Ok(());
    }
    let (group, plural) = (&*place.resource.group, &*place.resource.plural);
    let existing = objects(server, group, plural, place.namespace).await?;
    for quota in &quotas {
        let Some(hard) = quota.at(&["spec", "hard"]).and_then(Value::as_object) else { continue };
        for (name, more) in &wanted {
            let Some(most) = hard.get(name).and_then(quantity) else { continue };
            let used = existing
                .iter()
                .filter(|it| !is_over(it))
                .flat_map(|it| usage(place.resource, it))
                .filter(|(it, _)| it == name)
                .fold(Quantity::from_units(0), |sum, (_, it)| sum.plus(it));
            if used.plus(*more) > most {
                let quota = quota.str_at(&["metadata", "name"]);
                let why = format!(
                    "exceeded quota: {quota}, requested: {name}={more}, used: {name}={used}, limited: {name}={most}"
                );
                return Err(attempt.forbidden(object, why));
            }
        }
        let must: Vec<&str> =
            ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"]
                .into_iter()
                .filter(|it| hard.contains_key(it) && place.resource.is("", "Pod"))
                .filter(|it| !wanted.iter().any(|(name, _)| name == it))
                .collect();
        if !must.is_empty() {
            let quota = quota.str_at(&["metadata", "name"]);
            let why = format!("failed quota: {quota}: must specify {}", must.join(","));
            return Err(attempt.forbidden(object, why));
        }
    }
    Ok(())
}

fn is_over(pod: &Value) -> bool {
    matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed")
}

/// What an object counts for, by the names that quotas have for it.
fn usage(resource: &holm_api::Resource, object: &Value) -> Vec<(String, Quantity)> {
    let one = Quantity::from_units(1);
    let counted = resource.group_resource().to_string();
    let mut usage = vec![(format!("count/{counted}"), one)];
    if resource.group.is_empty() {
        usage.push((counted, one));
    }
    match &*resource.kind {
        "Pod" if resource.group.is_empty() => {
            for kind in ["requests", "limits"] {
                for (name, sum) in resources_of(object, kind) {
                    if kind == "requests" {
                        usage.push((name.clone(), sum));
                    }
                    usage.push((format!("{kind}.{name}"), sum));
                }
            }
        }
        "Service" => match object.str_at(&["spec", "type"]) {
            "LoadBalancer" => usage.push(("services.loadbalancers".to_owned(), one)),
            "NodePort" => usage.push(("services.nodeports".to_owned(), one)),
            _ => {}
        },
        "PersistentVolumeClaim" => {
            let asked = object.at(&["spec", "resources", "requests", "storage"]);
            usage.extend(asked.and_then(quantity).map(|it| ("requests.storage".to_owned(), it)));
        }
        _ => {}
    }
    usage
}

/// The sums over a pod's containers, where each says.
fn resources_of(pod: &Value, kind: &str) -> Vec<(String, Quantity)> {
    let containers = pod["spec"].items_at(&["containers"]);
    let mut sums: Vec<(String, Quantity)> = Vec::new();
    for container in containers {
        let amounts = container.at(&["resources", kind]).and_then(Value::as_object);
        for (name, amount) in amounts.into_iter().flat_map(Map::iter) {
            let Some(amount) = quantity(amount) else { continue };
            match sums.iter_mut().find(|(it, _)| it == name.as_str()) {
                Some((_, sum)) => *sum = sum.plus(amount),
                None => sums.push((name.as_str().to_owned(), amount)),
            }
        }
    }
    sums.retain(|(name, _)| {
        containers.iter().all(|it| it.at(&["resources", kind, name.as_str()]).is_some())
    });
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_api::value;

    #[test]
    fn a_container_gets_defaults_and_must_stay_within_bounds() {
        let limit = value!({
            "type": "Container", "default": {"memory": "64Mi"}, "defaultRequest": {"cpu": "50m"},
            "min": {"cpu": "100m"}, "max": {"memory": "32Mi"},
        });
        let mut container = value!({"name": "a"});
        set_defaults(&limit, &mut container);
        assert_eq!(container["resources"]["requests"], value!({"cpu": "50m", "memory": "64Mi"}));
        let mut errors = Vec::new();
        check_bounds(&limit, &container, &mut errors);
        assert_eq!(
            errors,
            [
                "minimum cpu usage per Container is 100m, but request is 50m",
                "maximum memory usage per Container is 32Mi, but limit is 64Mi",
            ]
        );
    }

    #[test]
    fn a_pod_counts_for_itself_and_for_what_all_its_containers_say() {
        let pod = value!({"spec": {"containers": [
            {"resources": {"requests": {"cpu": "100m", "memory": "1Mi"}}},
            {"resources": {"requests": {"cpu": "1"}}},
        ]}});
        let sums = resources_of(&pod, "requests");
        assert_eq!(sums.len(), 1);
        assert_eq!(sums[0].1.to_string(), "1100m");
    }
}
