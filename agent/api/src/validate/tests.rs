use super::*;
use crate::decode::{Fill, normalize};
use crate::resource::Registry;
use crate::sample::{self, Random};
use crate::{Gvk, defaults, value};

fn prepared(object: Value) -> (Value, std::sync::Arc<Resource>) {
    let registry = Registry::built_in();
    let resource = registry.by_kind(&Gvk::of_object(&object)).unwrap().clone();
    let mut object = object;
    normalize(resource.schema.node(), &mut object, Fill::Whole).unwrap();
    defaults::set(&resource, &mut object);
    (object, resource)
}

fn wrong(object: Value) -> Vec<String> {
    let (object, resource) = prepared(object);
    create(&resource, &object).iter().map(FieldError::to_string).collect()
}

fn wrong_update(old: Value, new: Value) -> Vec<String> {
    let (old, resource) = prepared(old);
    let (new, _) = prepared(new);
    update(&resource, &new, &old, "").iter().map(FieldError::to_string).collect()
}

fn pod() -> Value {
    value!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "x"},
        "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
    })
}

fn with(mut object: Value, path: &[&str], value: impl Into<Value>) -> Value {
    object.set(path, value);
    object
}

fn container(value: Value) -> Value {
    with(pod(), &["spec", "containers"], value!([value]))
}

#[test]
fn every_rule_names_a_field() {
    for line in rules::lines() {
        assert!(rules::read(line).is_some(), "{line}");
    }
}

#[test]
fn ordinary_objects_are_valid() {
    assert_eq!(wrong(pod()), [""; 0]);
    for object in [
        value!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a.b": "c"}}),
        value!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80i64}]}}),
        value!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "c", "image": "i"}]},
                },
            },
        }),
        value!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "spec": {"schedule": "*/5 * * * mon-fri", "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}},
        }),
    ] {
        let object =
            with(with(object, &["metadata", "name"], "a"), &["metadata", "namespace"], "x");
        assert_eq!(wrong(object), [""; 0]);
    }
}

#[test]
fn metadata_is_checked_for_every_kind() {
    assert_eq!(
        wrong(with(pod(), &["metadata", "name"], "")),
        ["metadata.name: Required value: name or generateName is required"]
    );
    let upper = wrong(with(pod(), &["metadata", "name"], "Web"));
    assert!(
        upper[0]
            .starts_with("metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain")
    );
    let label = wrong(with(pod(), &["metadata", "labels"], value!({"a b": "c d"})));
    assert_eq!(label.len(), 2);
    let node =
        value!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "namespace": "x"}});
    assert_eq!(wrong(node), ["metadata.namespace: Forbidden: not allowed on this type"]);
}

#[test]
fn pods_are_refused_with_the_messages_that_people_know() {
    for (object, expected) in [
        (with(pod(), &["spec", "containers"], value!([])), "spec.containers: Required value"),
        (
            with(pod(), &["spec", "restartPolicy"], "Sometimes"),
            r#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#,
        ),
        (container(value!({"name": "c"})), "spec.containers[0].image: Required value"),
        (container(value!({"image": "i"})), "spec.containers[0].name: Required value"),
        (
            container(value!({"name": "c", "image": "i", "ports": [{"containerPort": 70000i64}]})),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            container(
                value!({"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
            ),
            r#"spec.containers[0].volumeMounts[0].name: Not found: "v""#,
        ),
        (
            container(value!({"name": "c", "image": "i", "resources": {
                "requests": {"cpu": "2"}, "limits": {"cpu": "1"}}})),
            r#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
        ),
        (
            container(value!({"name": "c", "image": "i", "livenessProbe": {}})),
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            with(
                pod(),
                &["spec", "volumes"],
                value!([{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
            ),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            with(pod(), &["spec", "tolerations"], value!([{"operator": "Equal"}])),
            r#"spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys""#,
        ),
    ] {
        assert_eq!(wrong(object), [expected]);
    }
    let twice = value!([{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]);
    assert_eq!(
        wrong(with(pod(), &["spec", "containers"], twice)),
        [r#"spec.containers[1].name: Duplicate value: "c""#]
    );
}

#[test]
fn pod_update_changes_images_and_little_else() {
    let image = container(value!({"name": "c", "image": "nginx:2"}));
    assert_eq!(wrong_update(pod(), image), [""; 0]);
    let node = wrong_update(pod(), with(pod(), &["spec", "nodeName"], "n"));
    assert!(node[0].starts_with("spec: Forbidden: pod updates may not change fields other than"));
}

#[test]
fn selector_must_match_template_and_stays() {
    let deployment = |selector: &str, label: &str| {
        value!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "x"},
            "spec": {
                "selector": {"matchLabels": {"a": selector}},
                "template": {
                    "metadata": {"labels": {"a": label}},
                    "spec": {"containers": [{"name": "c", "image": "i"}]},
                },
            },
        })
    };
    assert_eq!(
        wrong(deployment("b", "c")),
        [
            r#"spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template `labels`"#
        ]
    );
    assert_eq!(
        wrong_update(deployment("b", "b"), deployment("c", "c")),
        [r#"spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable"#]
    );
}

#[test]
fn configuration_that_is_immutable_stays() {
    let old = value!({"apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
        "metadata": {"name": "c", "namespace": "x"}, "data": {"a": "b"}});
    let new = with(old.clone(), &["data", "a"], "c");
    assert_eq!(
        wrong_update(old, new),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
}

#[test]
fn address_of_a_service_stays() {
    let service = |address: &str| {
        value!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "x"},
            "spec": {"clusterIP": address, "ports": [{"port": 80i64}]}})
    };
    assert_eq!(
        wrong_update(service("10.0.0.1"), service("10.0.0.2")),
        [r#"spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set"#]
    );
}

#[test]
fn schedules_are_told_from_nonsense() {
    for good in ["* * * * *", "*/5 0 1,15 jan-mar sun", "@hourly", "@every 5m", "0 0 * * 7"] {
        assert!(workload::is_schedule(good), "{good}");
    }
    for bad in ["", "* * * *", "60 * * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "@never"] {
        assert!(!workload::is_schedule(bad), "{bad}");
    }
}

#[test]
fn random_objects_of_every_kind_are_checked_calmly() {
    for resource in Registry::built_in().iter() {
        for seed in 1..6 {
            let gvk = resource.gvk();
            let object = sample::object(resource.schema.node(), &gvk, &mut Random::new(seed));
            create(resource, &object);
            let other = sample::object(resource.schema.node(), &gvk, &mut Random::new(seed + 90));
            update(resource, &object, &other, "");
        }
    }
}

fn named(object: Value, kind: &str, api_version: &str) -> Value {
    let mut object = object;
    object.set(&["apiVersion"], api_version);
    object.set(&["kind"], kind);
    object.set(&["metadata", "name"], "a");
    object.set(&["metadata", "namespace"], "x");
    object
}

#[test]
fn other_kinds_are_refused_with_the_messages_that_people_know() {
    let rbac = "rbac.authorization.k8s.io/v1";
    for (object, expected) in [
        (
            named(value!({"data": {"a b": "c"}}), "ConfigMap", "v1"),
            "data[a b]: Invalid value: \"a b\": a valid config key must consist of",
        ),
        (
            named(value!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}), "Secret", "v1"),
            "data[tls.key]: Required value",
        ),
        (
            named(value!({"rules": [{"verbs": ["get"], "resources": ["pods"]}]}), "Role", rbac),
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        ),
        (
            named(
                value!({"roleRef": {"kind": "Odd", "name": "r"}, "subjects": []}),
                "RoleBinding",
                rbac,
            ),
            "roleRef.kind: Unsupported value: \"Odd\": supported values: \"ClusterRole\", \"Role\"",
        ),
        (
            named(
                value!({"spec": {"minAvailable": 1i64, "maxUnavailable": 1i64}}),
                "PodDisruptionBudget",
                "policy/v1",
            ),
            "minAvailable and maxUnavailable cannot be both set",
        ),
        (
            named(value!({"spec": {}}), "Ingress", "networking.k8s.io/v1"),
            "spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified",
        ),
        (
            named(
                value!({"spec": {"rules": [{"http": {"paths": [{"path": "a", "pathType": "Prefix",
                    "backend": {"service": {"name": "s", "port": {"number": 80i64}}}}]}}]}}),
                "Ingress",
                "networking.k8s.io/v1",
            ),
            "paths[0].path: Invalid value: \"a\": must be an absolute path",
        ),
        (
            named(value!({"spec": {"type": "ClusterIP"}}), "Service", "v1"),
            "spec.ports: Required value",
        ),
        (
            named(
                value!({"spec": {"ports": [{"port": 1i64}, {"port": 2i64, "name": "b"}]}}),
                "Service",
                "v1",
            ),
            "spec.ports[0].name: Required value",
        ),
        (
            named(
                value!({"addressType": "IPv4", "endpoints": [{"addresses": ["::1"]}]}),
                "EndpointSlice",
                "discovery.k8s.io/v1",
            ),
            "endpoints[0].addresses[0]: Invalid value: \"::1\": must be a valid IPv4 address",
        ),
        (
            named(
                value!({"spec": {"leaseDurationSeconds": 0i64}}),
                "Lease",
                "coordination.k8s.io/v1",
            ),
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than zero",
        ),
        (
            named(
                value!({"spec": {"accessModes": ["ReadWriteOnce"]}}),
                "PersistentVolumeClaim",
                "v1",
            ),
            "spec.resources[storage]: Required value",
        ),
    ] {
        let texts = wrong(object);
        assert!(texts.iter().any(|text| text.contains(expected)), "{expected}: {texts:?}");
    }
}

#[test]
fn what_never_changes_is_named_for_kinds_that_exist() {
    let registry = Registry::built_in();
    let known = |group: &str, kind: &str| registry.iter().any(|one| one.is(group, kind));
    for line in change::IMMUTABLE.lines() {
        let mut words = line.split(' ');
        let (group, kind) = (words.next().unwrap(), words.next().unwrap());
        assert!(known(if group == "core" { "" } else { group }, kind), "{line}");
        assert!(words.next().is_some(), "{line}");
    }
}

#[test]
fn claims_sets_and_jobs_change_only_where_they_may() {
    let claim = |size: &str, class: &str| {
        named(
            value!({"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "volumeName": "v", "resources": {"requests": {"storage": size}}}}),
            "PersistentVolumeClaim",
            "v1",
        )
    };
    assert_eq!(wrong_update(claim("1Gi", "a"), claim("2Gi", "a")), [""; 0]);
    assert!(
        wrong_update(claim("2Gi", "a"), claim("1Gi", "a"))[0].contains("field can not be less")
    );
    assert!(wrong_update(claim("1Gi", "a"), claim("1Gi", "b"))[0].contains("spec is immutable"));

    let set = |service: &str, replicas: i64| {
        named(
            value!({"spec": {"serviceName": service, "replicas": replicas,
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
            "StatefulSet",
            "apps/v1",
        )
    };
    assert_eq!(wrong_update(set("s", 1), set("s", 2)), [""; 0]);
    assert!(
        wrong_update(set("s", 1), set("t", 1))[0]
            .starts_with("spec: Forbidden: updates to statefulset")
    );

    let job = |image: &str| {
        named(
            value!({"spec": {"template": {"spec": {"restartPolicy": "Never",
                "containers": [{"name": "c", "image": image}]}}}}),
            "Job",
            "batch/v1",
        )
    };
    assert!(wrong_update(job("a"), job("b"))[0].contains("field is immutable"));
}

#[test]
fn deletion_that_goes_on_takes_no_new_finalizers() {
    let old = with(pod(), &["metadata", "deletionTimestamp"], "2026-01-02T03:04:05Z");
    let new = with(old.clone(), &["metadata", "finalizers"], value!(["a.b/c"]));
    assert!(
        wrong_update(old, new)[0].starts_with("metadata.finalizers: Forbidden: no new finalizers")
    );
}

#[test]
fn custom_resources_are_checked_by_their_schema() {
    let crd = value!({"spec": {
        "group": "a.io", "scope": "Cluster", "names": {"plural": "foos", "kind": "Foo"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {"type": "object", "required": ["x"],
                "properties": {"x": {"type": "integer"}}}}}}}],
    }});
    let resource = crd::rows(&crd).unwrap().remove(0);
    let object = |spec: Value| value!({"apiVersion": "a.io/v1", "kind": "Foo", "metadata": {"name": "f"}, "spec": spec});
    assert_eq!(create(&resource, &object(value!({"x": 1i64}))), vec![]);
    let errors = create(&resource, &object(value!({})));
    assert_eq!(errors[0].to_string(), "spec.x: Required value");
}
