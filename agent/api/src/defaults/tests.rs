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

#[test]
fn bindings_policies_and_ranges_get_what_is_implied() {
    let binding = with_defaults(value!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}],
    }));
    assert_eq!(binding.str_at(&["roleRef", "apiGroup"]), "rbac.authorization.k8s.io");
    assert_eq!(
        binding.items_at(&["subjects"])[0].str_at(&["apiGroup"]),
        "rbac.authorization.k8s.io"
    );
    assert_eq!(binding.items_at(&["subjects"])[1].get("apiGroup"), None);

    let policy = with_defaults(value!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"egress": [{}]},
    }));
    assert_eq!(policy["spec"]["policyTypes"], value!(["Ingress", "Egress"]));

    let range = with_defaults(value!({
        "apiVersion": "v1", "kind": "LimitRange",
        "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]},
    }));
    let limit = &range.items_at(&["spec", "limits"])[0];
    assert_eq!(limit["default"], value!({"cpu": "2"}));
    assert_eq!(limit["defaultRequest"], value!({"cpu": "2", "memory": "1Mi"}));
}

#[test]
fn namespace_is_labelled_with_its_name() {
    let namespace = with_defaults(value!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"},
    }));
    assert_eq!(namespace["metadata"]["labels"], value!({"kubernetes.io/metadata.name": "x"}));
    assert_eq!(namespace["spec"]["finalizers"], value!(["kubernetes"]));
    assert_eq!(namespace.str_at(&["status", "phase"]), "Active");
}

#[test]
fn pods_on_the_hosts_network_use_its_ports() {
    let pod = with_defaults(value!({
        "apiVersion": "v1", "kind": "Pod",
        "spec": {"hostNetwork": true, "containers": [
            {"name": "c", "image": "i", "ports": [{"containerPort": 80i64}]}]},
    }));
    let port = &pod.items_at(&["spec", "containers"])[0].items_at(&["ports"])[0];
    assert_eq!(port.int_at(&["hostPort"]), Some(80));
}

#[test]
fn webhooks_and_autoscalers_get_their_policies() {
    let hook = with_defaults(value!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "webhooks": [{"name": "a", "clientConfig": {"service": {"name": "s", "namespace": "n"}},
            "rules": [{"operations": ["*"]}]}],
    }));
    let hook = &hook.items_at(&["webhooks"])[0];
    assert_eq!(hook.str_at(&["failurePolicy"]), "Fail");
    assert_eq!(hook.int_at(&["timeoutSeconds"]), Some(10));
    assert_eq!(hook.int_at(&["clientConfig", "service", "port"]), Some(443));
    assert_eq!(hook.items_at(&["rules"])[0].str_at(&["scope"]), "*");

    let scaler = with_defaults(value!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "spec": {"maxReplicas": 3i64, "behavior": {"scaleUp": {}}},
    }));
    assert_eq!(scaler.int_at(&["spec", "minReplicas"]), Some(1));
    assert_eq!(scaler.str_at(&["spec", "behavior", "scaleUp", "selectPolicy"]), "Max");
}
