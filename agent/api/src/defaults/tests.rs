use super::*;
use crate::decode::{Fill, normalize};
use crate::resource::Registry;
use crate::sample::{self, Random};
use crate::{Gvk, value};

fn with_defaults(object: Value) -> Value {
    let registry = Registry::built_in();
    let resource = registry.by_kind(&Gvk::of_object(&object)).unwrap();
    let mut object = object;
    normalize(resource.schema.node(), &mut object, Fill::Whole).unwrap();
    set(resource, &mut object);
    object
}

#[test]
fn every_row_of_the_text_names_a_field() {
    for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
        assert!(read_row(line).is_some(), "{line}");
    }
}

#[test]
fn pod_gets_what_upstream_gives_it() {
    let pod = with_defaults(value!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {
            "serviceAccountName": "robot",
            "containers": [{
                "name": "c",
                "image": "nginx",
                "ports": [{"containerPort": 80i64}],
                "livenessProbe": {"httpGet": {"port": 80i64}},
                "resources": {"limits": {"cpu": "1"}},
            }],
            "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}],
        },
    }));
    let expected = value!({
        "containers": [{
            "name": "c",
            "image": "nginx",
            "imagePullPolicy": "Always",
            "livenessProbe": {
                "httpGet": {"path": "/", "port": 80i64, "scheme": "HTTP"},
                "timeoutSeconds": 1i64,
                "periodSeconds": 10i64,
                "successThreshold": 1i64,
                "failureThreshold": 3i64,
            },
            "ports": [{"containerPort": 80i64, "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": true,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccount": "robot",
        "serviceAccountName": "robot",
        "terminationGracePeriodSeconds": 30i64,
        "volumes": [
            {"name": "v", "emptyDir": {}},
            {"name": "s", "secret": {"secretName": "x", "defaultMode": 420i64}},
        ],
    });
    assert_eq!(pod["spec"], expected);
    assert_eq!(pod["status"], value!({"phase": "Pending", "qosClass": "Burstable"}));
}

#[test]
fn tag_or_digest_decides_when_an_image_is_pulled() {
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
    ] {
        let pod = with_defaults(value!({
            "apiVersion": "v1", "kind": "Pod",
            "spec": {"containers": [{"name": "c", "image": image}]},
        }));
        let container = &pod.items_at(&["spec", "containers"])[0];
        assert_eq!(container.str_at(&["imagePullPolicy"]), policy, "{image}");
    }
}

#[test]
fn workloads_get_replicas_strategy_and_history() {
    let deployment = with_defaults(value!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "spec": {"selector": {"matchLabels": {"a": "b"}}},
    }));
    assert_eq!(
        deployment["spec"]["strategy"],
        value!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
    );
    assert_eq!(deployment.int_at(&["spec", "replicas"]), Some(1));
    assert_eq!(deployment.int_at(&["spec", "progressDeadlineSeconds"]), Some(600));
    let recreate = with_defaults(value!({
        "apiVersion": "apps/v1", "kind": "Deployment", "spec": {"strategy": {"type": "Recreate"}},
    }));
    assert_eq!(recreate["spec"]["strategy"], value!({"type": "Recreate"}));
    let job = with_defaults(value!({"apiVersion": "batch/v1", "kind": "Job", "spec": {}}));
    assert_eq!(job.int_at(&["spec", "completions"]), Some(1));
    assert_eq!(job.int_at(&["spec", "backoffLimit"]), Some(6));
}

#[test]
fn service_ports_lead_to_themselves() {
    let service = with_defaults(value!({
        "apiVersion": "v1", "kind": "Service",
        "spec": {"type": "NodePort", "ports": [{"port": 80i64}]},
    }));
    assert_eq!(
        service["spec"],
        value!({
            "type": "NodePort",
            "externalTrafficPolicy": "Cluster",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80i64, "protocol": "TCP", "targetPort": 80i64}],
            "sessionAffinity": "None",
        })
    );
}

#[test]
fn quality_of_service_follows_requests_and_limits() {
    let class =
        |resources: Value| quality_of_service(&value!({"containers": [{"resources": resources}]}));
    assert_eq!(class(value!({})), "BestEffort");
    assert_eq!(class(value!({"requests": {"cpu": "1"}})), "Burstable");
    let both = value!({"cpu": "1", "memory": "1Gi"});
    assert_eq!(class(value!({"requests": (both.clone()), "limits": both})), "Guaranteed");
}

#[test]
fn defaults_set_twice_change_nothing() {
    let registry = Registry::built_in();
    for resource in registry.iter() {
        for seed in 1..6 {
            let gvk = resource.gvk();
            let mut object = sample::object(resource.schema.node(), &gvk, &mut Random::new(seed));
            set(resource, &mut object);
            normalize(resource.schema.node(), &mut object, Fill::Whole).unwrap();
            let once = object.clone();
            set(resource, &mut object);
            assert_eq!(object, once, "{gvk}, seed {seed}");
        }
    }
}
