//! Statuses read back by the published types of Kubernetes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::List;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod as KubernetesPod};

use super::super::machine::Instance;
use super::super::spec::RestartPolicy;
use super::super::spec::tests::pod;
use super::*;
use crate::container::Exit;

fn at(seconds: u64) -> Now {
    let wall = Timestamp::from_second(1_700_000_000 + seconds as i64).unwrap();
    Now { wall, boot: Duration::from_secs(seconds) }
}

fn running(container: &str, attempt: u32) -> Observed {
    let instance = Instance {
        container: container.into(),
        attempt,
        id: format!("{container}-{attempt}"),
        state: ContainerState::Running { pid: 1, started_at: at(5).wall },
    };
    Observed { instances: vec![instance], images: BTreeMap::new(), sandbox: true }
}

fn ended(pod: &Pod, memory: &mut Memory, container: &str, code: i32) {
    let exit = Exit {
        code,
        signal: None,
        oom_killed: false,
        started_at: Some(at(1).wall),
        finished_at: at(2).wall,
    };
    let ended = Ended {
        attempt: memory.containers[container].attempt,
        id: format!("{container}-0"),
        exit,
        reason: if code == 0 { "Completed" } else { "Error" }.into(),
        message: Some("last words".into()),
    };
    let spec = pod.all_containers().find(|spec| spec.name == container).unwrap().clone();
    memory.record_end(pod, &spec, ended, at(2));
}

fn typed(pod: &Pod, memory: &Memory, observed: &Observed, now: Now) -> KubernetesPod {
    let reach = Reach {
        host_ip: Some("192.0.2.1".parse().unwrap()),
        pod_ips: vec!["10.42.0.2".parse().unwrap()],
    };
    let manifest = json!({"spec": {"containers": [{"name": "web"}]}});
    let list = list([object(pod, &manifest, memory, observed, &reach, now)]);
    let list: List<KubernetesPod> = serde_json::from_value(list).unwrap();
    list.items.into_iter().next().unwrap()
}

fn container(pod: &KubernetesPod) -> &ContainerStatus {
    &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0]
}

fn waiting_reason(pod: &KubernetesPod) -> String {
    container(pod).state.as_ref().unwrap().waiting.as_ref().unwrap().reason.clone().unwrap()
}

#[test]
fn running_pod_shows_its_addresses_and_its_last_end() {
    let pod = pod(&[], &["web"]);
    let mut memory = Memory::new(&pod, "boot", at(0));
    ended(&pod, &mut memory, "web", 3);
    let shown = typed(&pod, &memory, &running("web", 1), at(6));
    let status = shown.status.as_ref().unwrap();
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(status.pod_ip.as_deref(), Some("10.42.0.2"));
    assert_eq!(status.start_time.as_ref().unwrap().0, at(0).wall);
    let web = container(&shown);
    assert!(web.ready && web.restart_count == 1);
    assert_eq!(web.container_id.as_deref(), Some("holm://web-1"));
    let last = web.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    assert_eq!(last.message.as_deref(), Some("last words"));
    assert_eq!(shown.metadata.uid.as_deref(), Some(pod.uid.as_str()));
}

#[test]
fn crash_loop_is_told_from_the_first_start() {
    let pod = pod(&[], &["web"]);
    let mut memory = Memory::new(&pod, "boot", at(0));
    let nothing = Observed { sandbox: true, ..Observed::default() };
    let shown = typed(&pod, &memory, &nothing, at(0));
    assert_eq!(waiting_reason(&shown), "ContainerCreating");
    assert_eq!(shown.status.as_ref().unwrap().phase.as_deref(), Some("Pending"));
    ended(&pod, &mut memory, "web", 1);
    memory.containers.get_mut("web").unwrap().not_before = Some(Duration::from_secs(12));
    let shown = typed(&pod, &memory, &nothing, at(3));
    assert_eq!(waiting_reason(&shown), "CrashLoopBackOff");
    assert_eq!(container(&shown).restart_count, 0);
}

#[test]
fn missing_image_says_why() {
    let mut pod = pod(&[], &["web"]);
    let mut memory = Memory::new(&pod, "boot", at(0));
    let nothing = Observed { sandbox: true, ..Observed::default() };
    memory.pull_failed("image", "no route to host", at(0));
    assert_eq!(waiting_reason(&typed(&pod, &memory, &nothing, at(1))), "ImagePullBackOff");
    assert_eq!(waiting_reason(&typed(&pod, &memory, &nothing, at(11))), "ErrImagePull");
    pod.containers[0].pull_policy = PullPolicy::Never;
    assert_eq!(waiting_reason(&typed(&pod, &memory, &nothing, at(1))), "ErrImageNeverPull");
    memory.create_failed("web", "CreateContainerError", "no such file", at(0));
    assert_eq!(waiting_reason(&typed(&pod, &memory, &nothing, at(1))), "CreateContainerError");
}

#[test]
fn init_containers_hold_the_others_back() {
    let pod = pod(&["setup"], &["web"]);
    let mut memory = Memory::new(&pod, "boot", at(0));
    let shown = typed(&pod, &memory, &running("setup", 0), at(6));
    assert_eq!(waiting_reason(&shown), "PodInitializing");
    assert_eq!(shown.status.as_ref().unwrap().phase.as_deref(), Some("Pending"));
    ended(&pod, &mut memory, "setup", 0);
    let shown = typed(&pod, &memory, &running("web", 0), at(6));
    let status = shown.status.as_ref().unwrap();
    let setup = &status.init_container_statuses.as_ref().unwrap()[0];
    let terminated = setup.state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!(terminated.reason.as_deref(), Some("Completed"));
    assert_eq!(status.phase.as_deref(), Some("Running"));
}

#[test]
fn phase_of_a_finished_pod_is_the_sum_of_its_ends() {
    for (codes, expected) in [([0, 0], "Succeeded"), ([0, 2], "Failed")] {
        let pod = Pod { restart_policy: RestartPolicy::Never, ..pod(&[], &["web", "log"]) };
        let mut memory = Memory::new(&pod, "boot", at(0));
        ended(&pod, &mut memory, "web", codes[0]);
        assert_eq!(phase(&pod, &memory, &Observed::default()), "Running");
        ended(&pod, &mut memory, "log", codes[1]);
        assert_eq!(phase(&pod, &memory, &Observed::default()), expected);
    }
}
