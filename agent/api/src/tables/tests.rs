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
