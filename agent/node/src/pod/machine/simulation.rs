//! Random lives of a pod: failures, exits, crashes of the agent and power cuts at any moment, and
//! the properties that hold through all of them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::memory::StopReason;
use super::super::spec::tests::pod;
use super::tests::at;
use super::*;

#[derive(Debug, Clone)]
enum Event {
    /// The n-th live instance ends with this status.
    End(usize, i32),
    /// Time passes.
    Wait(u64),
    /// The agent dies between saving and acting, and comes back with what it saved.
    AgentCrash,
    /// Power is lost; everything that ran is gone.
    PowerCut,
    /// The next actions fail, so many of them.
    Break(u8),
    /// A pull under way ends.
    PullEnds(bool),
    /// The image is collected.
    LoseImage,
    /// One step of the machine, performed.
    Step,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0usize..4, prop_oneof![Just(0), Just(1), Just(137)]).prop_map(|(n, c)| Event::End(n, c)),
        2 => (0u64..700).prop_map(Event::Wait),
        1 => Just(Event::AgentCrash),
        1 => Just(Event::PowerCut),
        1 => (0u8..3).prop_map(Event::Break),
        2 => any::<bool>().prop_map(Event::PullEnds),
        1 => Just(Event::LoseImage),
        8 => Just(Event::Step),
    ]
}

struct World {
    pod: Pod,
    memory: Memory,
    saved: String,
    observed: Observed,
    seconds: u64,
    boots: u32,
    broken: u8,
    created: BTreeSet<(String, u32)>,
    /// Init containers that succeeded since the sandbox was made.
    initialised: BTreeSet<String>,
}

impl World {
    fn new(pod: Pod) -> Self {
        let memory = Memory::new(&pod, "boot 0", at(0));
        Self {
            saved: serde_json::to_string(&memory).unwrap(),
            pod,
            memory,
            observed: Observed::default(),
            seconds: 0,
            boots: 0,
            broken: 0,
            created: BTreeSet::new(),
            initialised: BTreeSet::new(),
        }
    }

    fn step(&mut self) -> Step {
        let now = at(self.seconds);
        let step = step(&self.pod, &mut self.memory, &self.observed, now);
        self.saved = serde_json::to_string(&self.memory).unwrap();
        let mut again = self.memory.clone();
        let second = super::step(&self.pod, &mut again, &self.observed, now);
        assert_eq!(again, self.memory, "a second look changes nothing");
        for action in &second.actions {
            assert!(
                step.actions.contains(action),
                "a second look asks for nothing new: {action:?}"
            );
        }
        step
    }

    fn perform(&mut self, action: &Action) {
        let broken = self.broken > 0;
        self.broken = self.broken.saturating_sub(1);
        let now = at(self.seconds);
        match action {
            Action::Pull { image } => {
                self.observed.images.insert(image.clone(), ImageState::Pulling);
            }
            Action::MakeSandbox if broken => self.memory.sandbox_failed("Failed", "broken", now),
            Action::MakeSandbox => {
                self.memory.sandbox_made();
                self.observed.sandbox = true;
            }
            Action::RemoveSandbox => {
                assert!(self.observed.instances.is_empty());
                self.observed.sandbox = false;
            }
            Action::Create { container, attempt } => {
                assert!(self.memory.stop.is_none(), "nothing is created while the pod ends");
                assert!(self.observed.sandbox, "a container needs its network");
                assert!(
                    self.observed.instances.iter().all(|i| i.container != *container),
                    "never two instances of {container}"
                );
                let init = self.pod.init_containers.iter().any(|c| c.name == *container);
                if !init {
                    for spec in &self.pod.init_containers {
                        assert!(self.initialised.contains(&spec.name), "{} first", spec.name);
                    }
                }
                // A pull that began in the same step leaves the image that is there usable.
                assert!(self.observed.images.contains_key("image"));
                if broken {
                    return self.memory.create_failed(container, "Failed", "broken", now);
                }
                assert!(
                    self.created.insert((container.clone(), *attempt)),
                    "{container} {attempt} was there before"
                );
                self.observed.instances.push(Instance {
                    container: container.clone(),
                    attempt: *attempt,
                    id: format!("{container}-{attempt}"),
                    state: ContainerState::Created { pid: 1 },
                });
                self.run(&format!("{container}-{attempt}"));
            }
            Action::Start { container, .. } if broken => {
                self.memory.create_failed(container, "Failed", "broken", now);
            }
            Action::Start { id, .. } => self.run(id),
            Action::Terminate { .. } => {}
            Action::Kill { id } => self.end(id, 137),
            Action::Delete { id } => {
                self.observed.instances.retain(|i| i.id != *id || !ended(&i.state));
            }
        }
    }

    fn run(&mut self, id: &str) {
        let started_at = at(self.seconds).wall;
        if let Some(instance) = self.observed.instances.iter_mut().find(|i| i.id == id) {
            instance.state = ContainerState::Running { pid: 1, started_at };
        }
    }

    fn end(&mut self, id: &str, code: i32) {
        let finished_at = at(self.seconds).wall;
        let Some(instance) = self.observed.instances.iter_mut().find(|i| i.id == id) else {
            return;
        };
        let started_at = match instance.state {
            ContainerState::Running { started_at, .. } => Some(started_at),
            _ => None,
        };
        if ended(&instance.state) {
            return;
        }
        if code == 0 {
            self.initialised.insert(instance.container.clone());
        }
        instance.state = ContainerState::Exited(Exit {
            code,
            signal: None,
            oom_killed: false,
            started_at,
            finished_at,
        });
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::End(n, code) => {
                let live: Vec<_> = self.observed.instances.iter().map(|i| i.id.clone()).collect();
                if let Some(id) = live.get(n) {
                    self.end(id, code);
                }
            }
            Event::Wait(seconds) => self.seconds += seconds,
            Event::AgentCrash => self.come_back(),
            Event::PowerCut => {
                for instance in &mut self.observed.instances {
                    if !ended(&instance.state) {
                        instance.state = ContainerState::Unknown;
                    }
                }
                self.boots += 1;
                self.observed.sandbox = false;
                self.initialised.clear();
                self.come_back();
            }
            Event::Break(n) => self.broken = n,
            Event::PullEnds(well) => self.end_pull(well),
            Event::LoseImage => {
                if self.observed.images.get("image") == Some(&ImageState::Present) {
                    self.observed.images.clear();
                }
            }
            Event::Step => {
                for action in self.step().actions {
                    self.perform(&action);
                }
            }
        }
    }

    fn come_back(&mut self) {
        self.observed.images.retain(|_, state| *state == ImageState::Present);
        let stop = self.memory.stop.take();
        let memory: Memory = serde_json::from_str(&self.saved).unwrap();
        self.memory = memory.resume(&self.pod, &format!("boot {}", self.boots));
        if let Some(stop) = stop {
            self.memory.request_stop(stop.reason, Duration::from_secs(30), at(self.seconds));
        }
    }

    fn end_pull(&mut self, well: bool) {
        if self.observed.images.get("image") != Some(&ImageState::Pulling) {
            return;
        }
        if well {
            self.observed.images.insert("image".into(), ImageState::Present);
            self.memory.pull_succeeded(&self.pod, "image");
        } else {
            self.observed.images.clear();
            self.memory.pull_failed("image", "broken", at(self.seconds));
        }
    }

    /// From now on nothing fails. Performs steps, lets time pass when the machine asks for it and
    /// ends init containers well, until nothing is left to do.
    fn settle(&mut self) -> Step {
        self.broken = 0;
        for _ in 0..200 {
            self.end_pull(true);
            for spec in self.pod.init_containers.clone() {
                let running = self.observed.instances.iter().find(|i| i.container == spec.name);
                if let Some(id) = running.map(|i| i.id.clone()) {
                    self.end(&id, 0);
                }
            }
            let step = self.step();
            let pulling = self.observed.images.values().any(|s| *s == ImageState::Pulling);
            if step.actions.is_empty() && !pulling {
                match step.wake {
                    None => return step,
                    Some(wake) => self.seconds = self.seconds.max(wake.as_secs()),
                }
            }
            for action in &step.actions {
                self.perform(action);
            }
        }
        panic!("did not settle: {:?} {:?}", self.memory, self.observed);
    }
}

fn ended(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Exited(_) | ContainerState::Unknown)
}

fn policy() -> impl Strategy<Value = RestartPolicy> {
    prop_oneof![
        Just(RestartPolicy::Always),
        Just(RestartPolicy::OnFailure),
        Just(RestartPolicy::Never)
    ]
}

fn pull_policy() -> impl Strategy<Value = PullPolicy> {
    prop_oneof![Just(PullPolicy::Always), Just(PullPolicy::IfNotPresent)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_life_settles_with_all_containers_running_or_done(
        events in prop::collection::vec(event(), 0..60),
        restart_policy in policy(),
        pull in pull_policy(),
        inits in 0usize..3,
    ) {
        let names = ["init-a", "init-b"];
        let mut pod = Pod { restart_policy, ..pod(&names[..inits], &["web", "log"]) };
        for spec in pod.init_containers.iter_mut().chain(&mut pod.containers) {
            spec.pull_policy = pull;
        }
        let mut world = World::new(pod);
        for event in events {
            world.handle(event);
        }
        world.settle();
        let running: Vec<&str> =
            world.observed.instances.iter().map(|i| i.container.as_str()).collect();
        if ended_for_good(&world.pod, &world.memory) {
            prop_assert!(running.is_empty());
            prop_assert!(!world.observed.sandbox);
        } else {
            for spec in &world.pod.containers {
                let done = world.memory.containers[&spec.name].done;
                prop_assert_ne!(running.contains(&spec.name.as_str()), done, "{}", spec.name);
            }
        }
    }

    #[test]
    fn every_life_can_be_ended(
        before in prop::collection::vec(event(), 0..40),
        after in prop::collection::vec(event(), 0..20),
        restart_policy in policy(),
    ) {
        let mut world =
            World::new(Pod { restart_policy, ..pod(&["init-a"], &["web", "log"]) });
        for event in before {
            world.handle(event);
        }
        let now = at(world.seconds);
        world.memory.request_stop(StopReason::Removed, Duration::from_secs(30), now);
        for event in after {
            world.handle(event);
        }
        prop_assert!(world.settle().gone);
        prop_assert!(world.observed.instances.is_empty() && !world.observed.sandbox);
    }
}
