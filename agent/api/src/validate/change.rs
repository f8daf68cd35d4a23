//! What an update may not change, by kind.

use crate::field::{FieldError, Path};
use crate::{Resource, Value};

/// Fields that never change: GROUP KIND, then their paths. The message is the same for all.
pub(super) const IMMUTABLE: &str = "\
apps DaemonSet spec.selector
apps Deployment spec.selector
apps ReplicaSet spec.selector
batch Job spec.selector spec.completionMode spec.podFailurePolicy spec.backoffLimitPerIndex spec.managedBy spec.successPolicy
networking.k8s.io IPAddress spec.parentRef
scheduling.k8s.io PriorityClass preemptionPolicy
node.k8s.io RuntimeClass handler
discovery.k8s.io EndpointSlice addressType
rbac.authorization.k8s.io RoleBinding roleRef
rbac.authorization.k8s.io ClusterRoleBinding roleRef
storage.k8s.io VolumeAttachment spec
storage.k8s.io CSIStorageCapacity storageClassName nodeTopology
storage.k8s.io VolumeAttributesClass driverName parameters
certificates.k8s.io CertificateSigningRequest spec
certificates.k8s.io PodCertificateRequest spec
certificates.k8s.io ClusterTrustBundle spec.signerName
resource.k8s.io ResourceClaim spec
resource.k8s.io ResourceClaimTemplate spec
resource.k8s.io ResourceSlice spec.nodeName spec.driver spec.pool.name
storagemigration.k8s.io StorageVersionMigration spec.resource
core Secret type
core PersistentVolume spec.volumeMode
";

pub(super) fn check(
    resource: &Resource,
    object: &Value,
    old: &Value,
    subresource: &str,
    errors: &mut Vec<FieldError>,
) {
    if resource.custom.is_some() {
        return;
    }
    let group = if resource.group.is_empty() { "core" } else { &resource.group };
    let row = IMMUTABLE.lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(group) && words.next() == Some(&*resource.kind)).then_some(words)
    });
    for path in row.into_iter().flatten() {
        let steps: Vec<&str> = path.split('.').collect();
        if object.at(&steps) != old.at(&steps) {
            let bad = object.at(&steps).cloned().unwrap_or_default();
            errors.push(FieldError::invalid(&Path::new(path), bad, "field is immutable"));
        }
    }
    match (&*resource.group, &*resource.kind) {
        ("", "Pod") => super::pod::check_update(object, old, subresource, errors),
        ("", "ConfigMap" | "Secret") => immutable_data(object, old, errors),
        ("", "Service") => super::service::check_update(object, old, errors),
        ("", "PersistentVolumeClaim") => claim(object, old, errors),
        ("apps", "StatefulSet") => stateful_set(object, old, errors),
        ("batch", "Job") => job(object, old, errors),
        ("storage.k8s.io", "StorageClass") => {
            for name in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                if object.get(name) != old.get(name) {
                    let detail = "updates to ".to_owned() + name + " are forbidden.";
                    errors.push(FieldError::forbidden(&Path::new(name), &detail));
                }
            }
        }
        ("scheduling.k8s.io", "PriorityClass") if object.get("value") != old.get("value") => {
            errors.push(FieldError::forbidden(
                &Path::new("value"),
                "may not be changed in an update.",
            ));
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            errors.extend(
                crate::crd::validate(object, Some(old))
                    .into_iter()
                    .filter(|error| error.body.contains("immutable")),
            );
        }
        _ => {}
    }
}

fn immutable_data(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    if !old.bool_at(&["immutable"]) {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if !object.bool_at(&["immutable"]) {
        errors.push(FieldError::forbidden(&Path::new("immutable"), detail));
    }
    for name in ["data", "binaryData"] {
        if object.get(name) != old.get(name) {
            errors.push(FieldError::forbidden(&Path::new(name), detail));
        }
    }
}

/// A copy without the fields at `paths`.
pub(super) fn without(value: &Value, paths: &[&[&str]]) -> Value {
    let mut copy = value.clone();
    for path in paths {
        copy.remove(path);
    }
    copy
}

fn claim(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let mut may_change: Vec<&[&str]> =
        vec![&["resources", "requests", "storage"], &["volumeAttributesClassName"]];
    // Until it is bound, a claim may be given a volume.
    if old.str_at(&["spec", "volumeName"]).is_empty() {
        may_change.push(&["volumeName"]);
    }
    if old.at(&["spec", "storageClassName"]).is_none() {
        may_change.push(&["storageClassName"]);
    }
    if without(&object["spec"], &may_change) != without(&old["spec"], &may_change) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(&Path::new("spec"), detail));
    }
    let size = |claim: &Value| -> Option<crate::quantity::Quantity> {
        claim.str_at(&["spec", "resources", "requests", "storage"]).parse().ok()
    };
    if size(object) < size(old) {
        let at = Path::new("spec.resources.requests.storage");
        errors.push(FieldError::forbidden(&at, "field can not be less than status.capacity"));
    }
}

fn stateful_set(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let may_change: [&[&str]; 8] = [
        &["replicas"],
        &["ordinals"],
        &["template"],
        &["updateStrategy"],
        &["revisionHistoryLimit"],
        &["persistentVolumeClaimRetentionPolicy"],
        &["minReadySeconds"],
        &["status"],
    ];
    if without(&object["spec"], &may_change) != without(&old["spec"], &may_change) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.push(FieldError::forbidden(&Path::new("spec"), detail));
    }
}

fn job(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let template = |job: &Value| {
        // While it is suspended and never started, where its pods may run can still change.
        let suspended =
            old.bool_at(&["spec", "suspend"]) && old.at(&["status", "startTime"]).is_none();
        let template = job.at(&["spec", "template"]).cloned().unwrap_or_default();
        match suspended {
            false => template,
            true => without(
                &template,
                &[
                    &["spec", "nodeSelector"],
                    &["spec", "affinity"],
                    &["spec", "tolerations"],
                    &["spec", "schedulingGates"],
                    &["metadata", "annotations"],
                    &["metadata", "labels"],
                ],
            ),
        }
    };
    if template(object) != template(old) {
        let bad = object["spec"]["template"].clone();
        errors.push(FieldError::invalid(&Path::new("spec.template"), bad, "field is immutable"));
    }
    let completions = |job: &Value| job.int_at(&["spec", "completions"]);
    let elastic = object.str_at(&["spec", "completionMode"]) == "Indexed"
        && completions(object) == object.int_at(&["spec", "parallelism"]);
    if completions(object) != completions(old) && !elastic {
        let bad = object["spec"]["completions"].clone();
        errors.push(FieldError::invalid(&Path::new("spec.completions"), bad, "field is immutable"));
    }
}
