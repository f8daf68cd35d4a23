use super::*;
use crate::resource::Registry;
use crate::sample::{self, Random};
use crate::{Gvk, value};

fn now() -> Timestamp {
    crate::time::parse("2026-01-02T03:04:05Z").unwrap()
}

fn row(object: Value) -> Vec<String> {
    let registry = Registry::built_in();
    let resource = registry.by_kind(&Gvk::of_object(&object)).unwrap();
    cells(&columns(resource), &object, now())
        .iter()
        .map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned))
        .collect()
}

#[test]
fn every_line_names_a_kind_and_every_function_is_there() {
    let registry = Registry::built_in();
    for line in COLUMNS.lines().filter(|line| !line.starts_with('#')) {
        let (group, kind) = line.split(';').next().unwrap().split_once(' ').unwrap();
        let group = if group == "core" { "" } else { group };
        assert!(registry.iter().any(|one| one.is(group, kind)), "{line}");
        assert!(line.split("; ").skip(1).all(|column| read_column(column).is_some()), "{line}");
    }
    let sources = [include_str!("cells.rs"), include_str!("cells_network.rs")].concat();
    for resource in registry.iter() {
        for column in columns(resource) {
            if let Some(function) = column.expression.strip_prefix('@') {
                let name = function.split('.').next().unwrap();
                assert!(sources.contains(&format!("\"{name}\" =>")), "{name}");
            }
        }
    }
}

#[test]
fn every_kind_has_a_row_of_cells() {
    for resource in Registry::built_in().iter() {
        let columns = columns(resource);
        for seed in 1..4 {
            let object =
                sample::object(resource.schema.node(), &resource.gvk(), &mut Random::new(seed));
            assert_eq!(cells(&columns, &object, now()).len(), columns.len());
        }
    }
}

#[test]
fn pod_tells_how_its_containers_are() {
    let pod = value!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "creationTimestamp": "2026-01-02T03:00:00Z"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "n"},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "containerStatuses": [
                {"name": "a", "ready": true, "restartCount": 2i64, "state": {"running": {}},
                 "lastState": {"terminated": {"finishedAt": "2026-01-02T03:02:05Z"}}},
                {"name": "b", "ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            ],
        },
    });
    assert_eq!(
        row(pod.clone()),
        [
            "web",
            "1/2",
            "CrashLoopBackOff",
            "2 (2m ago)",
            "4m5s",
            "10.0.0.1",
            "n",
            "<none>",
            "<none>"
        ]
    );
    let mut leaving = pod;
    leaving.set(&["metadata", "deletionTimestamp"], "2026-01-02T03:04:00Z");
    assert_eq!(row(leaving)[2], "Terminating");
}

#[test]
fn init_containers_are_counted_until_they_are_done() {
    let mut pod = value!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]},
        "status": {"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "state": {"terminated": {"exitCode": 0i64}}},
            {"name": "j", "state": {"running": {}}},
        ]},
    });
    assert_eq!(row(pod.clone())[2], "Init:1/2");
    let failed = value!([{"name": "i", "state": {"terminated": {"exitCode": 3i64}}}]);
    pod.set(&["status", "initContainerStatuses"], failed);
    assert_eq!(row(pod)[2], "Init:ExitCode:3");
}

#[test]
fn services_nodes_and_workloads_read_as_people_know_them() {
    assert_eq!(
        row(value!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "selector": {"a": "b"},
                     "ports": [{"port": 80i64, "nodePort": 30080i64, "protocol": "TCP"}]},
        })),
        ["s", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP", "<unknown>", "a=b"]
    );
    let node = row(value!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }));
    assert_eq!(node[..3], ["n", "Ready,SchedulingDisabled", "control-plane"]);
    let deployment = row(value!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 3i64, "selector": {"matchLabels": {"a": "b"}}},
        "status": {"readyReplicas": 1i64, "updatedReplicas": 2i64},
    }));
    assert_eq!(deployment[..4], ["d", "1/3", "2", "0"]);
    assert_eq!(deployment.last().unwrap(), "a=b");
}

#[test]
fn json_path_finds_members_elements_and_matches() {
    let object = value!({
        "spec": {"list": [1i64, 2i64], "a.b": "dotted"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Odd", "status": "x"}]},
    });
    for (path, expected) in [
        (".spec.list[1]", "2"),
        (".spec.list[-1]", "2"),
        (".spec.list[*]", "1 2"),
        (".spec['a.b']", "\"dotted\""),
        (".spec.a\\.b", "\"dotted\""),
        (r#".status.conditions[?(@.type=="Ready")].status"#, "\"True\""),
        (".status.conditions[?(@.type!='Ready')].type", "\"Odd\""),
        (".nothing.here", ""),
        ("{.spec.list[0]}", "1"),
    ] {
        let found = path.parse::<JsonPath>().unwrap();
        let texts: Vec<String> = found.find(&object).iter().map(|v| v.to_string()).collect();
        assert_eq!(texts.join(" "), expected, "{path}");
    }
    for path in [".a[", ".a[x", "..a", ".a[?(b)]", ".a[?(@.b)]"] {
        assert!(path.parse::<JsonPath>().is_err(), "{path}");
    }
}

#[test]
fn storage_jobs_events_and_rules_read_as_people_know_them() {
    for (object, expected) in [
        (
            value!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
                "spec": {"volumeName": "v", "storageClassName": "fast"},
                "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}}),
            &["c", "Bound", "v", "1Gi", "RWO", "fast", "<unset>", "<unknown>", "<unset>"][..],
        ),
        (
            value!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
                "spec": {"completions": 3i64},
                "status": {"succeeded": 1i64, "startTime": "2026-01-02T03:03:05Z"}}),
            &["j", "Running", "1/3", "60s", "<unknown>", "", "", "<none>"],
        ),
        (
            value!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
                "spec": {"schedule": "@daily", "suspend": false}, "status": {"active": [{}]}}),
            &["c", "@daily", "<none>", "false", "1", "<none>", "<unknown>", "", "", "<none>"],
        ),
        (
            value!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
                "involvedObject": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "Started",
                "message": "hi", "lastTimestamp": "2026-01-02T03:03:05Z", "count": 2i64,
                "firstTimestamp": "2026-01-02T02:04:05Z", "source": {"component": "k", "host": "h"}}),
            &["60s", "Normal", "Started", "pod/p", "", "k, h", "hi", "60m", "2", "e"],
        ),
        (
            value!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [{"kind": "User", "name": "u"},
                    {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]}),
            &["b", "Role/r", "<unknown>", "u", "", "n/s"],
        ),
        (
            value!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"},
                "spec": {"ingressClassName": "nginx", "tls": [{}], "rules": [{"host": "a"}, {"host": "b"}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}}),
            &["i", "nginx", "a,b", "10.0.0.1", "80, 443", "<unknown>"],
        ),
        (
            value!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "h"},
                "spec": {"minReplicas": 1i64, "maxReplicas": 3i64,
                    "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                        "target": {"averageUtilization": 80i64}}}]}}),
            &["h", "Deployment/d", "cpu: <unknown>/80%", "1", "3", "0", "<unknown>"],
        ),
        (
            value!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": "s"}, "addressType": "IPv4", "ports": [{"port": 80i64}],
                "endpoints": [{"addresses": ["a"]}, {"addresses": ["b"]}, {"addresses": ["c"]},
                    {"addresses": ["d"]}]}),
            &["s", "IPv4", "80", "a,b,c + 1 more...", "<unknown>"],
        ),
        (
            value!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
                "metadata": {"name": "c"}, "spec": {"signerName": "s", "username": "u"},
                "status": {"conditions": [{"type": "Approved"}], "certificate": "x"}}),
            &["c", "<unknown>", "s", "u", "<none>", "Approved,Issued"],
        ),
        (
            value!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "e"},
                "subsets": [{"addresses": [{"ip": "::1"}], "ports": [{"port": 80i64}]}]}),
            &["e", "[::1]:80", "<unknown>"],
        ),
    ] {
        assert_eq!(row(object), expected);
    }
}

#[test]
fn ended_pods_are_marked_as_completed() {
    let registry = Registry::built_in();
    let pods = registry.by_path("", "v1", "pods").unwrap();
    let done = value!({"status": {"phase": "Succeeded"}});
    let conditions = row_conditions(pods, &done).unwrap();
    assert_eq!(conditions.as_array().unwrap()[0].str_at(&["type"]), "Completed");
    assert_eq!(row_conditions(pods, &value!({"status": {"phase": "Running"}})), None);
}
