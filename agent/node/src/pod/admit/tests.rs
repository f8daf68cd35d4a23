//! Manifests that are taken, and manifests that are refused with the right words.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::super::document;
use super::super::spec::{EnvValue, HostPathType, PullPolicy, Volume};
use super::*;

fn admit_text(text: &str) -> Result<Pod, Vec<String>> {
    let nodes = document::read(text.as_bytes()).unwrap();
    admit(&nodes[0], "/manifests/web.yaml", "node")
        .map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

fn refused(text: &str) -> Vec<String> {
    admit_text(text).unwrap_err()
}

/// A manifest with `spec` lines below a minimal container.
fn with_spec(lines: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  \
         containers: [{{name: web, image: 'busybox:1.37'}}]\n{lines}"
    )
}

/// A manifest with further fields of its only container, from line 7.
fn with_container(lines: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n  \
         - {{name: web, image: 'busybox:1.37',\n     {lines}}}\n  volumes: [{{name: data}}]\n"
    )
}

const FULL: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels: {app: web}
  creationTimestamp: null
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 5
  priorityClassName: system-node-critical
  hostAliases:
  - {ip: 192.0.2.7, hostnames: [db, db.example]}
  dnsConfig: {searches: [example], options: [{name: ndots, value: "2"}]}
  securityContext:
    runAsUser: 1000
    fsGroup: 2000
    supplementalGroups: [3000]
    sysctls: [{name: net/ipv4/ip_unprivileged_port_start, value: "0"}]
  initContainers:
  - {name: setup, image: "setup@sha256:00"}
  containers:
  - name: web
    image: localhost:5000/web
    command: [/bin/httpd]
    args: [-f, -p, $(PORT)]
    workingDir: /www
    env:
    - {name: PORT, value: "80"}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    - {name: IP, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: status.podIP}}}
    ports:
    - {name: http, containerPort: 80, hostPort: 8080}
    - {containerPort: 53, hostPort: 53, protocol: UDP, hostIP: 192.0.2.1}
    - {containerPort: 9000}
    resources:
      limits: {memory: 64Mi, cpu: 1}
      requests: {cpu: 250m, memory: 32Mi}
    volumeMounts:
    - {name: data, mountPath: /data, subPath: a/b, readOnly: true}
    - {name: host, mountPath: /host, mountPropagation: HostToContainer}
    securityContext:
      runAsUser: 1001
      capabilities: {add: [NET_ADMIN], drop: [cap_chown]}
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      seccompProfile: {type: Unconfined}
  volumes:
  - {name: data}
  - {name: fast, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: host, hostPath: {path: /srv, type: DirectoryOrCreate}}
status: {}
"#;

#[test]
fn full_manifest_is_understood() {
    let pod = admit_text(FULL).unwrap();
    assert_eq!((pod.full_name().as_str(), pod.hostname.as_str()), ("shop/web-node", "web-node"));
    assert_eq!(pod.restart_policy, RestartPolicy::OnFailure);
    assert_eq!((pod.grace, pod.critical), (Duration::from_secs(5), true));
    assert_eq!((pod.fs_group, &pod.supplemental_groups[..]), (Some(2000), &[3000][..]));
    assert_eq!(pod.sysctls["net.ipv4.ip_unprivileged_port_start"], "0");
    assert_eq!(pod.dns.options, ["ndots:2"]);
    assert_eq!(pod.host_aliases[0].hostnames, ["db", "db.example"]);
    assert_eq!(pod.volumes["data"], Volume::EmptyDir { memory: false, size_limit: None });
    assert_eq!(pod.volumes["fast"], Volume::EmptyDir { memory: true, size_limit: Some(1 << 20) });
    let (path, kind) = (PathBuf::from("/srv"), HostPathType::DirectoryOrCreate);
    assert_eq!(pod.volumes["host"], Volume::HostPath { path, kind });
    assert_eq!(pod.init_containers[0].pull_policy, PullPolicy::IfNotPresent);

    let web = &pod.containers[0];
    assert_eq!(web.pull_policy, PullPolicy::Always, "the colon is the registry's port");
    assert_eq!((web.memory_limit, web.memory_request), (Some(64 << 20), Some(32 << 20)));
    assert_eq!((web.cpu_limit_millis, web.cpu_request_millis), (Some(1000), Some(250)));
    let values: Vec<_> = web.env.iter().map(|env| env.value.clone()).collect();
    assert_eq!(
        values,
        [
            EnvValue::Text("80".into()),
            EnvValue::Field("web-node".into()),
            EnvValue::Field("web".into()),
            EnvValue::PodIp
        ]
    );
    let ports: Vec<_> = web.host_ports.iter().map(|p| (p.host_port, p.protocol.as_str())).collect();
    assert_eq!(ports, [(8080, "TCP"), (53, "UDP")]);
    assert_eq!(web.mounts[0].sub_path.as_deref(), Some(Path::new("a/b")));
    assert_eq!((web.mounts[0].readonly, web.mounts[1].propagation), (true, "rslave"));
    assert_eq!(web.security.run_as_user, Some(1001));
    assert_eq!(pod.init_containers[0].security.run_as_user, Some(1000));
    assert_eq!(web.security.capabilities_add, ["CAP_NET_ADMIN"]);
    assert_eq!(web.security.capabilities_drop, ["CAP_CHOWN"]);
    assert!(web.security.no_new_privileges && web.security.readonly_rootfs);
    assert!(!web.security.seccomp && pod.init_containers[0].security.seccomp);
}

#[test]
fn identity_follows_content_and_source_but_not_layout() {
    let uid = |text: &str, source: &str| {
        let nodes = document::read(text.as_bytes()).unwrap();
        admit(&nodes[0], source, "node").unwrap().uid
    };
    let text = with_spec("");
    let first = uid(&text, "a");
    assert_eq!(first.len(), 32);
    assert_eq!(uid(&format!("# a comment\n\n{text}"), "a"), first);
    assert_ne!(uid(&text, "b"), first);
    assert_ne!(uid(&text.replace("1.37", "1.38"), "a"), first);
    let swapped = "kind: Pod\napiVersion: v1\n";
    assert_eq!(uid(&text.replace("apiVersion: v1\nkind: Pod\n", swapped), "a"), first);
}

#[test]
fn unsupported_fields_are_refused_by_name_and_line() {
    assert_eq!(
        refused(&with_container("livenessProbe: {exec: {command: [a]}}, envFrom: [{}]")),
        [
            "line 7: spec.containers[0].envFrom: is not supported yet",
            "line 7: spec.containers[0].livenessProbe: is not supported yet",
        ]
    );
    assert_eq!(
        refused(&with_spec(
            "  runtimeClassName: gvisor\n  volumes: [{name: a, secret: {secretName: b}}]\n"
        )),
        [
            "line 6: spec.runtimeClassName: is not supported yet",
            "line 7: spec.volumes[0].secret: is not supported yet",
        ]
    );
}

#[test]
fn misspelt_fields_are_refused_with_a_suggestion() {
    assert_eq!(
        refused(&with_container("imagePullPolicyy: Never, resources: {limit: {}}")),
        [
            "line 7: spec.containers[0].resources.limit: no such field; did you mean limits?",
            "line 7: spec.containers[0].imagePullPolicyy: no such field; did you mean imagePullPolicy?",
        ]
    );
}

#[test]
fn impossible_combinations_are_refused() {
    for (lines, message) in [
        (
            "volumeMounts: [{name: none, mountPath: /a}]",
            "volumeMounts[0].name: the pod has no volume \"none\"",
        ),
        (
            "volumeMounts: [{name: data, mountPath: /a/../b}]",
            "volumeMounts[0].mountPath: must be an absolute path below '/' without '..' and ':'",
        ),
        (
            "volumeMounts: [{name: data, mountPath: /a, subPath: ../b}]",
            "volumeMounts[0].subPath: must be a relative path without '..'",
        ),
        (
            "volumeMounts: [{name: data, mountPath: /a}, {name: data, mountPath: /a}]",
            "volumeMounts: two volumes are mounted at /a",
        ),
        (
            "securityContext: {runAsUser: 0, runAsNonRoot: true}",
            "securityContext.runAsNonRoot: contradicts runAsUser 0",
        ),
        (
            "securityContext: {privileged: true, allowPrivilegeEscalation: false}",
            "securityContext.allowPrivilegeEscalation: false contradicts privileged and CAP_SYS_ADMIN",
        ),
        (
            "securityContext: {capabilities: {add: [FLY]}}",
            "securityContext.capabilities.add[0]: \"FLY\" is not a capability of Linux",
        ),
        (
            "resources: {limits: {memory: lots}}",
            "resources.limits.memory: \"lots\" is not a quantity such as 500m, 64Mi or 1.5G",
        ),
        (
            "resources: {limits: {cpu: 1}, requests: {cpu: 2}}",
            "resources: a request is larger than its limit",
        ),
        (
            "env: [{name: A, value: x, valueFrom: {}}]",
            "env[0]: has both value and valueFrom, but must have one",
        ),
        (
            "env: [{name: A, value: 5}]",
            "env[0].value: is a number, but must be a text: put it in quotes",
        ),
        (
            "ports: [{containerPort: 0}]",
            "ports[0].containerPort: 0 is not a whole number from 1 to 65535",
        ),
        (
            "ports: [{containerPort: 1, protocol: tcp}]",
            "ports[0].protocol: \"tcp\" is not one of TCP, UDP, SCTP",
        ),
    ] {
        let found = refused(&with_container(lines));
        assert_eq!(found, [format!("line 7: spec.containers[0].{message}")], "{lines}");
    }
}

#[test]
fn pods_without_the_essentials_are_refused() {
    assert_eq!(refused("kind: Pod\n"), ["line 1: apiVersion: is missing"]);
    assert_eq!(
        refused("apiVersion: v1\nkind: Deployment\n"),
        ["line 2: kind: \"Deployment\" is not one of Pod"]
    );
    assert_eq!(
        refused("apiVersion: v1\nkind: Pod\nmetadata: {name: Web}\nspec: {containers: []}\n"),
        [
            "line 3: metadata.name: \"Web\" is not a name of at most 253 characters a-z, 0-9, '-' \
             and '.', with a letter or digit at both ends of each part",
            "line 3: metadata: \"Web-node\", the name with the node's appended, is too long",
            "line 4: spec.containers: a pod needs at least one container",
        ]
    );
    assert_eq!(refused("[1]\n"), ["line 1: is a list, but must be an object"]);
}

#[test]
fn pod_on_the_node_network_has_its_name_and_no_translated_ports() {
    let text = with_container("ports: [{containerPort: 80, hostPort: 80}]")
        .replace("spec:\n", "spec:\n  hostNetwork: true\n");
    let pod = admit_text(&text).unwrap();
    assert_eq!(pod.hostname, "node");
    assert_eq!(pod.host_ports(), []);
    assert_eq!(
        refused(&text.replace("hostPort: 80", "hostPort: 81")),
        [
            "line 8: spec.containers[0].ports[0].hostPort: must be the containerPort on the node's own network"
        ]
    );
}

#[test]
fn default_pull_policy_follows_the_tag() {
    for (image, policy) in [
        ("busybox", PullPolicy::Always),
        ("busybox:latest", PullPolicy::Always),
        ("busybox:1.37", PullPolicy::IfNotPresent),
        ("host:5000/busybox", PullPolicy::Always),
        ("busybox@sha256:00", PullPolicy::IfNotPresent),
        ("busybox:latest@sha256:00", PullPolicy::IfNotPresent),
    ] {
        let text = with_spec("").replace("busybox:1.37", image);
        assert_eq!(admit_text(&text).unwrap().containers[0].pull_policy, policy, "{image}");
    }
}

proptest! {
    /// Every prefix and every one-line change of a good manifest is taken or refused, never more.
    #[test]
    fn damaged_manifests_are_refused_without_a_panic(cut in 0usize..3000, line in 0usize..80, text in "[ -a-z:{}\\[\\]&*'\"0-9]{0,20}") {
        let end = FULL.char_indices().map(|(i, _)| i).take_while(|i| *i <= cut).last().unwrap_or(0);
        let mut lines: Vec<&str> = FULL.lines().collect();
        let at = line % lines.len();
        lines[at] = &text;
        for damaged in [&FULL[..end], &lines.join("\n")] {
            if let Ok(nodes) = document::read(damaged.as_bytes()) {
                for node in &nodes {
                    if let Err(problems) = admit(node, "a", "node") {
                        prop_assert!(!problems.is_empty());
                    }
                }
            }
        }
    }
}
