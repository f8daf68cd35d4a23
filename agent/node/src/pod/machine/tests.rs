//! The table of the state machine, row by row.

use super::super::memory::StopReason;
use super::super::spec::tests::{container, pod};
use super::*;

pub(super) fn at(seconds: u64) -> Now {
    Now {
        wall: jiff::Timestamp::from_second(1_700_000_000 + seconds as i64).unwrap(),
        boot: Duration::from_secs(seconds),
    }
}

fn exit(code: i32, started: u64, finished: u64) -> ContainerState {
    ContainerState::Exited(Exit {
        code,
        signal: None,
        oom_killed: false,
        started_at: Some(at(started).wall),
        finished_at: at(finished).wall,
    })
}

fn running() -> ContainerState {
    ContainerState::Running { pid: 7, started_at: at(0).wall }
}

fn instance(container: &str, attempt: u32, state: ContainerState) -> Instance {
    Instance {
        container: container.to_owned(),
        attempt,
        id: format!("{container}-{attempt}"),
        state,
    }
}

fn ready(instances: Vec<Instance>) -> Observed {
    let images = BTreeMap::from([("image".to_owned(), ImageState::Present)]);
    Observed { instances, images, sandbox: true }
}

fn create(container: &str, attempt: u32) -> Action {
    Action::Create { container: container.to_owned(), attempt }
}

fn delete(id: &str) -> Action {
    Action::Delete { id: id.to_owned() }
}

fn with_policy(policy: RestartPolicy) -> Pod {
    Pod { restart_policy: policy, ..pod(&[], &["web"]) }
}

fn remember(pod: &Pod) -> Memory {
    Memory::new(pod, "boot", at(0))
}

#[test]
fn sandbox_is_made_before_anything_else() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    let observed = Observed { sandbox: false, ..ready(vec![]) };
    assert_eq!(step(&pod, &mut memory, &observed, at(0)).actions, [Action::MakeSandbox]);
}

#[test]
fn failed_sandbox_is_tried_again_after_the_back_off() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    memory.sandbox_failed("FailedMount", "no such folder", at(0));
    let observed = Observed { sandbox: false, ..ready(vec![]) };
    let waiting = step(&pod, &mut memory, &observed, at(9));
    assert_eq!((waiting.actions, waiting.wake), (vec![], Some(Duration::from_secs(10))));
    assert_eq!(step(&pod, &mut memory, &observed, at(10)).actions, [Action::MakeSandbox]);
}

#[test]
fn containers_start_side_by_side_when_their_image_is_there() {
    let pod = pod(&[], &["web", "log"]);
    let mut memory = remember(&pod);
    let step = step(&pod, &mut memory, &ready(vec![]), at(0));
    assert_eq!(step.actions, [create("web", 0), create("log", 0)]);
}

#[test]
fn missing_image_is_pulled_once_for_two_containers() {
    let pod = pod(&[], &["web", "log"]);
    let mut memory = remember(&pod);
    let observed = Observed { images: BTreeMap::new(), ..ready(vec![]) };
    let actions = step(&pod, &mut memory, &observed, at(0)).actions;
    assert_eq!(actions, [Action::Pull { image: "image".into() }]);
    let images = BTreeMap::from([("image".to_owned(), ImageState::Pulling)]);
    let observed = Observed { images, ..ready(vec![]) };
    assert_eq!(step(&pod, &mut memory, &observed, at(0)), Step::default());
}

#[test]
fn failed_pull_is_tried_again_after_the_back_off() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    let observed = Observed { images: BTreeMap::new(), ..ready(vec![]) };
    memory.pull_failed("image", "no route to host", at(0));
    memory.pull_failed("image", "no route to host", at(10));
    let waiting = step(&pod, &mut memory, &observed, at(29));
    assert_eq!((waiting.actions, waiting.wake), (vec![], Some(Duration::from_secs(30))));
    let again = step(&pod, &mut memory, &observed, at(30));
    assert_eq!(again.actions, [Action::Pull { image: "image".into() }]);
}

#[test]
fn policy_never_waits_for_the_image_to_appear() {
    let mut pod = pod(&[], &["web"]);
    pod.containers[0].pull_policy = PullPolicy::Never;
    let mut memory = remember(&pod);
    let observed = Observed { images: BTreeMap::new(), ..ready(vec![]) };
    assert_eq!(step(&pod, &mut memory, &observed, at(0)), Step::default());
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(1)).actions, [create("web", 0)]);
}

#[test]
fn policy_always_pulls_before_each_start() {
    let mut pod = pod(&[], &["web"]);
    pod.containers[0].pull_policy = PullPolicy::Always;
    let mut memory = remember(&pod);
    let pull = Action::Pull { image: "image".into() };
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(0)).actions, [pull.clone()]);
    memory.pull_succeeded(&pod, "image");
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(1)).actions, [create("web", 0)]);
    let ended = ready(vec![instance("web", 0, exit(1, 1, 2))]);
    step(&pod, &mut memory, &ended, at(2));
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(2)).actions, [pull]);
}

#[test]
fn container_that_was_only_created_is_started() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    let observed = ready(vec![instance("web", 3, ContainerState::Created { pid: 4 })]);
    let step = step(&pod, &mut memory, &observed, at(0));
    assert_eq!(step.actions, [Action::Start { container: "web".into(), id: "web-3".into() }]);
}

#[test]
fn ended_container_is_deleted_before_the_next_one_is_created() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    let ended = ready(vec![instance("web", 0, exit(1, 1, 2))]);
    assert_eq!(step(&pod, &mut memory, &ended, at(2)).actions, [delete("web-0")]);
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(2)).actions, [create("web", 1)]);
    assert_eq!(memory.containers["web"].last.as_ref().unwrap().reason, "Error");
}

#[test]
fn restarts_back_off_and_a_long_run_resets_them() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    let mut delays = Vec::new();
    let mut clock = 0;
    for attempt in 0..4 {
        let ended = ready(vec![instance("web", attempt, exit(1, clock, clock + 1))]);
        clock += 1;
        step(&pod, &mut memory, &ended, at(clock));
        let next = step(&pod, &mut memory, &ready(vec![]), at(clock));
        let wait = next.wake.map_or(0, |wake| wake.as_secs() - clock);
        assert_eq!(next.actions.is_empty(), wait > 0);
        delays.push(wait);
        clock += wait;
    }
    assert_eq!(delays, [0, 10, 20, 40]);
    let ended = ready(vec![instance("web", 4, exit(1, clock, clock + 600))]);
    clock += 600;
    step(&pod, &mut memory, &ended, at(clock));
    let next = step(&pod, &mut memory, &ready(vec![]), at(clock));
    assert_eq!(next.actions, [create("web", 5)]);
}

#[test]
fn restart_policy_decides_by_the_exit_status() {
    for (policy, code, again) in [
        (RestartPolicy::Always, 0, true),
        (RestartPolicy::Always, 1, true),
        (RestartPolicy::OnFailure, 0, false),
        (RestartPolicy::OnFailure, 1, true),
        (RestartPolicy::Never, 0, false),
        (RestartPolicy::Never, 1, false),
    ] {
        let pod = with_policy(policy);
        let mut memory = remember(&pod);
        step(&pod, &mut memory, &ready(vec![instance("web", 0, exit(code, 0, 1))]), at(1));
        let next = step(&pod, &mut memory, &ready(vec![]), at(1));
        let expected = if again { create("web", 1) } else { Action::RemoveSandbox };
        assert_eq!(next.actions, [expected], "{policy:?} {code}");
    }
}

#[test]
fn init_containers_run_one_after_the_other() {
    let pod = pod(&["first", "second"], &["web"]);
    let mut memory = remember(&pod);
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(0)).actions, [create("first", 0)]);
    let observed = ready(vec![instance("first", 0, running())]);
    assert_eq!(step(&pod, &mut memory, &observed, at(1)), Step::default());
    let observed = ready(vec![instance("first", 0, exit(0, 0, 1))]);
    assert_eq!(step(&pod, &mut memory, &observed, at(1)).actions[0], delete("first-0"));
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(1)).actions, [create("second", 0)]);
    step(&pod, &mut memory, &ready(vec![instance("second", 0, exit(0, 1, 2))]), at(2));
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(2)).actions, [create("web", 0)]);
}

#[test]
fn failed_init_container_is_repeated_or_fails_the_pod() {
    let failing = |policy| {
        let pod = Pod { restart_policy: policy, ..pod(&["setup"], &["web"]) };
        let mut memory = remember(&pod);
        step(&pod, &mut memory, &ready(vec![instance("setup", 0, exit(1, 0, 1))]), at(1));
        step(&pod, &mut memory, &ready(vec![]), at(1)).actions
    };
    assert_eq!(failing(RestartPolicy::Always), [create("setup", 1)]);
    assert_eq!(failing(RestartPolicy::OnFailure), [create("setup", 1)]);
    assert_eq!(failing(RestartPolicy::Never), [Action::RemoveSandbox]);
}

#[test]
fn stop_asks_first_and_kills_at_the_deadline() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    let observed = ready(vec![instance("web", 0, running())]);
    memory.request_stop(StopReason::Removed, Duration::from_secs(30), at(100));
    let first = step(&pod, &mut memory, &observed, at(100));
    let terminate = Action::Terminate { container: "web".into(), id: "web-0".into() };
    assert_eq!((first.actions, first.wake), (vec![terminate], Some(Duration::from_secs(130))));
    assert_eq!(step(&pod, &mut memory, &observed, at(129)).actions, []);
    let kill = Action::Kill { id: "web-0".into() };
    assert_eq!(step(&pod, &mut memory, &observed, at(130)).actions, [kill.clone()]);
    assert_eq!(step(&pod, &mut memory, &observed, at(139)).actions, []);
    assert_eq!(step(&pod, &mut memory, &observed, at(140)).actions, [kill]);
    let ended = ready(vec![instance("web", 0, exit(137, 0, 140))]);
    assert_eq!(step(&pod, &mut memory, &ended, at(140)).actions, [delete("web-0")]);
    let removal = step(&pod, &mut memory, &ready(vec![]), at(140));
    assert_eq!(removal.actions, [Action::RemoveSandbox]);
    let observed = Observed { sandbox: false, ..ready(vec![]) };
    assert!(step(&pod, &mut memory, &observed, at(140)).gone);
}

#[test]
fn removal_outranks_a_shutdown_and_only_shortens_the_deadline() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    memory.request_stop(StopReason::Shutdown, Duration::from_secs(5), at(0));
    memory.request_stop(StopReason::Removed, Duration::from_secs(30), at(1));
    let stop = memory.stop.unwrap();
    assert_eq!((stop.reason, stop.deadline), (StopReason::Removed, Duration::from_secs(5)));
}

#[test]
fn container_that_the_node_ended_runs_again_without_back_off() {
    for policy in [RestartPolicy::Always, RestartPolicy::OnFailure] {
        let pod = with_policy(policy);
        let mut memory = remember(&pod);
        memory.request_stop(StopReason::Shutdown, Duration::from_secs(5), at(10));
        step(&pod, &mut memory, &ready(vec![instance("web", 0, exit(0, 0, 11))]), at(11));
        memory.stop = None;
        let mut memory = memory.resume(&pod, "next boot");
        let next = step(&pod, &mut memory, &ready(vec![]), at(1));
        assert_eq!(next.actions, [create("web", 1)], "{policy:?}");
    }
}

#[test]
fn lost_container_of_a_power_cut_runs_again_and_counts_as_a_restart() {
    let pod = pod(&["setup"], &["web"]);
    let mut memory = remember(&pod);
    step(&pod, &mut memory, &ready(vec![instance("setup", 0, exit(0, 0, 1))]), at(1));
    step(&pod, &mut memory, &ready(vec![instance("web", 0, running())]), at(2));
    let mut memory = memory.resume(&pod, "next boot");
    let lost =
        Observed { sandbox: false, ..ready(vec![instance("web", 0, ContainerState::Unknown)]) };
    let first = step(&pod, &mut memory, &lost, at(3));
    assert_eq!(first.actions, [delete("web-0"), Action::MakeSandbox]);
    assert_eq!(memory.containers["web"].last.as_ref().unwrap().exit.code, 137);
    // The sandbox is new, so the init container has to run again.
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(3)).actions, [create("setup", 1)]);
    step(&pod, &mut memory, &ready(vec![instance("setup", 1, exit(0, 3, 4))]), at(4));
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(4)).actions, [create("web", 1)]);
}

#[test]
fn init_container_that_succeeded_unseen_before_a_power_cut_runs_again() {
    let pod = pod(&["setup"], &["web"]);
    let mut memory = remember(&pod).resume(&pod, "next boot");
    let unseen = Observed { sandbox: false, ..ready(vec![instance("setup", 0, exit(0, 0, 1))]) };
    step(&pod, &mut memory, &unseen, at(2));
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(2)).actions, [create("setup", 1)]);
}

#[test]
fn finished_pod_stays_finished_after_a_reboot() {
    let pod = Pod { restart_policy: RestartPolicy::Never, ..pod(&["setup"], &["web"]) };
    let mut memory = remember(&pod);
    step(&pod, &mut memory, &ready(vec![instance("setup", 0, exit(0, 0, 1))]), at(1));
    step(&pod, &mut memory, &ready(vec![instance("web", 0, exit(0, 1, 2))]), at(2));
    let mut memory = memory.resume(&pod, "next boot");
    let observed = Observed { sandbox: false, ..ready(vec![]) };
    assert_eq!(step(&pod, &mut memory, &observed, at(1)), Step::default());
}

#[test]
fn failed_create_is_repeated_after_the_back_off() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    memory.create_failed("web", "CreateContainerError", "exec: no such file", at(0));
    let waiting = step(&pod, &mut memory, &ready(vec![]), at(1));
    assert_eq!((waiting.actions, waiting.wake), (vec![], Some(Duration::from_secs(10))));
    assert_eq!(step(&pod, &mut memory, &ready(vec![]), at(10)).actions, [create("web", 0)]);
}

#[test]
fn older_and_unknown_instances_are_killed() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    let observed = ready(vec![
        instance("web", 0, running()),
        instance("web", 1, running()),
        instance("other", 0, running()),
    ]);
    let actions = step(&pod, &mut memory, &observed, at(0)).actions;
    assert_eq!(
        actions,
        [Action::Kill { id: "other-0".into() }, Action::Kill { id: "web-0".into() }]
    );
}

#[test]
fn saved_memory_is_read_back_as_it_was() {
    let pod = pod(&[], &["web"]);
    let mut memory = remember(&pod);
    step(&pod, &mut memory, &ready(vec![instance("web", 0, exit(1, 0, 1))]), at(1));
    memory.pull_failed("image", "refused", at(2));
    let text = serde_json::to_string(&memory).unwrap();
    assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
    assert_eq!(container("web").name, "web");
}
