//! Configurations made from pods and images.

use std::path::{Path, PathBuf};

use oci_spec::image::{ConfigBuilder, ImageConfiguration};
use proptest::prelude::*;

use super::super::spec::EnvVar;
use super::super::spec::tests::pod;
use super::*;

fn image() -> Image {
    let config = ConfigBuilder::default()
        .entrypoint(vec!["/entry".to_owned()])
        .cmd(vec!["default".to_owned()])
        .env(vec!["PATH=/bin".to_owned(), "A=image".to_owned()])
        .user("www")
        .working_dir("/srv")
        .stop_signal("SIGQUIT")
        .build()
        .unwrap();
    let mut configuration = ImageConfiguration::default();
    configuration.set_config(Some(config));
    Image {
        id: "sha256:1".into(),
        digest: Some("sha256:2".into()),
        names: vec!["image".into()],
        layers: vec!["/data/images/1".into()],
        config: configuration,
    }
}

fn paths() -> Paths {
    Paths {
        pods: "/data/pods".into(),
        logs: "/data/var/log/pods".into(),
        containers: "/data/containers".into(),
        list: "/run/holm/pods.json".into(),
        resolv_conf: "/run/holm/resolv.conf".into(),
    }
}

fn facts() -> NodeFacts {
    NodeFacts {
        name: "node".into(),
        host_ip: None,
        memory: 1 << 30,
        processes_per_container: Some(900),
        log_max_bytes: 1 << 20,
        log_max_files: 3,
    }
}

fn made(pod: &Pod, volumes: Vec<Mount>) -> Result<ContainerConfig, ConfigureError> {
    let network = PodAddresses {
        netns: PathBuf::from("/run/holm/netns/1"),
        addresses: vec!["10.42.0.2".parse().unwrap(), "fd42::2".parse().unwrap()],
    };
    configure(Ingredients {
        pod,
        spec: &pod.containers[0],
        attempt: 2,
        image: &image(),
        network: (!pod.host_network).then_some(&network),
        volumes,
        node: &facts(),
        paths: &paths(),
    })
}

fn args(command: &[&str], arguments: &[&str]) -> Vec<String> {
    let mut pod = pod(&[], &["web"]);
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    pod.containers[0].command = words(command);
    pod.containers[0].args = words(arguments);
    pod.containers[0].env =
        vec![EnvVar { name: "PORT".into(), value: EnvValue::Text("80".into()) }];
    made(&pod, vec![]).unwrap().process.args
}

#[test]
fn command_and_arguments_combine_as_in_kubernetes() {
    assert_eq!(args(&[], &[]), ["/entry", "default"]);
    assert_eq!(args(&[], &["-p", "$(PORT)"]), ["/entry", "-p", "80"]);
    assert_eq!(args(&["/bin/sh"], &[]), ["/bin/sh"]);
    assert_eq!(args(&["$(PORT)"], &["$$(PORT)", "$(NONE)"]), ["80", "$(PORT)", "$(NONE)"]);
}

#[test]
fn container_without_a_program_is_an_error() {
    let pod = pod(&[], &["web"]);
    let image = Image { config: ImageConfiguration::default(), ..image() };
    let made = configure(Ingredients {
        pod: &pod,
        spec: &pod.containers[0],
        attempt: 0,
        image: &image,
        network: None,
        volumes: vec![],
        node: &facts(),
        paths: &paths(),
    });
    assert_eq!(made, Err(ConfigureError::NoCommand));
}

#[test]
fn environment_comes_from_image_manifest_and_pod() {
    let mut pod = pod(&[], &["web"]);
    let variable = |name: &str, value| EnvVar { name: name.into(), value };
    pod.containers[0].env = vec![
        variable("A", EnvValue::Text("own".into())),
        variable("B", EnvValue::Text("<$(A)>".into())),
        variable("IP", EnvValue::PodIp),
        variable("IPS", EnvValue::PodIps),
        variable("NODE", EnvValue::NodeName),
    ];
    assert_eq!(
        made(&pod, vec![]).unwrap().process.env,
        [
            "PATH=/bin",
            "A=image",
            "HOSTNAME=web-node",
            "A=own",
            "B=<own>",
            "IP=10.42.0.2",
            "IPS=10.42.0.2,fd42::2",
            "NODE=node"
        ]
    );
    pod.containers[0].env = vec![variable("HOST", EnvValue::HostIp)];
    assert_eq!(made(&pod, vec![]), Err(ConfigureError::NoHostIp("HOST".into())));
}

#[test]
fn user_folder_signal_and_limits_are_passed_on() {
    let mut pod = pod(&[], &["web"]);
    pod.fs_group = Some(2000);
    pod.supplemental_groups = vec![3000];
    let spec = &mut pod.containers[0];
    spec.security.run_as_user = Some(1000);
    spec.memory_limit = Some(64 << 20);
    spec.cpu_limit_millis = Some(500);
    let config = made(&pod, vec![]).unwrap();
    assert_eq!(config.process.user.image, "www");
    assert_eq!(config.process.user.uid, Some(1000));
    assert_eq!(config.process.user.additional_gids, [3000, 2000]);
    assert_eq!(config.process.cwd, "/srv");
    assert_eq!(config.labels[STOP_SIGNAL], "SIGQUIT");
    assert_eq!(config.labels[ATTEMPT], "2");
    assert_eq!(config.resources.memory_max, Some(64 << 20));
    assert_eq!(config.resources.cpu_request_millis, Some(500));
    assert_eq!(config.resources.pids_max, Some(900));
    assert_eq!(config.cgroup, pod_cgroup(&pod.uid).join("web"));
    assert_eq!(config.cgroup, Path::new("/pods/0123456789abcdef0123456789abcdef/web"));
    assert!(config.log_path.ends_with("web/2.log"));
    assert_eq!(config.namespaces.network.as_deref(), Some(Path::new("/run/holm/netns/1")));
}

#[test]
fn pod_on_the_node_network_keeps_the_nodes_names() {
    let pod = Pod { host_network: true, ..pod(&[], &["web"]) };
    let config = made(&pod, vec![]).unwrap();
    assert!(config.namespaces.host_network);
    assert_eq!((config.namespaces.network, config.hostname), (None, None));
}

#[test]
fn volume_in_the_place_of_a_file_wins_and_outer_mounts_come_first() {
    let volume = |destination: &str| Mount {
        source: "/srv".into(),
        destination: destination.into(),
        readonly: false,
        fs_type: None,
        options: vec![],
    };
    let volumes = vec![volume("/data/inner"), volume("/etc/hosts"), volume("/data")];
    let config = made(&pod(&[], &["web"]), volumes).unwrap();
    let destinations: Vec<_> =
        config.mounts.iter().map(|mount| mount.destination.to_str().unwrap()).collect();
    assert_eq!(
        destinations,
        [
            "/data",
            "/data/inner",
            "/etc/hosts",
            "/etc/hostname",
            "/etc/resolv.conf",
            "/dev/termination-log"
        ]
    );
    assert_eq!(config.mounts[2].source, Path::new("/srv"));
}

#[test]
fn memory_pressure_kills_best_effort_first_and_guaranteed_last() {
    let score = |limit, request, cpu| {
        let mut pod = pod(&[], &["web"]);
        let spec = &mut pod.containers[0];
        (spec.memory_limit, spec.memory_request, spec.cpu_limit_millis) = (limit, request, cpu);
        made(&pod, vec![]).unwrap().process.oom_score_adj
    };
    assert_eq!(score(None, None, None), 1000);
    assert_eq!(score(Some(1 << 29), None, Some(100)), -997);
    assert_eq!(score(None, Some(1 << 29), None), 500);
    assert_eq!(score(Some(1 << 30), Some(1), None), 999);
    let critical = Pod { critical: true, ..pod(&[], &["web"]) };
    assert_eq!(made(&critical, vec![]).unwrap().process.oom_score_adj, -997);
}

#[test]
fn privileged_container_has_no_filter() {
    let mut pod = pod(&[], &["web"]);
    pod.containers[0].security.seccomp = true;
    assert!(made(&pod, vec![]).unwrap().seccomp);
    pod.containers[0].security.privileged = true;
    let config = made(&pod, vec![]).unwrap();
    assert!(config.privileged && !config.seccomp);
}

proptest! {
    #[test]
    fn ids_fit_the_runtime_and_tell_containers_apart(
        uid in "[a-f0-9]{32}",
        name in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        attempt: u32,
    ) {
        let id = container_id(&uid, &name, attempt);
        prop_assert!(id.len() <= 64, "{}", id);
        prop_assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        prop_assert_ne!(&id, &container_id(&uid, &format!("{name}x"), attempt));
        prop_assert_ne!(&id, &container_id(&uid, &name, attempt.wrapping_add(1)));
        prop_assert_eq!(&id, &container_id(&uid, &name, attempt));
    }
}
