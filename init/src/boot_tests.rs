use super::*;
use proptest::prelude::*;

fn at(milliseconds: u64) -> Moment {
    Moment(milliseconds)
}

fn started(actions: &[Action]) -> Vec<Phase> {
    let starts = actions.iter().filter_map(|action| match action {
        Action::Start(phase) => Some(*phase),
        _ => None,
    });
    starts.collect()
}

fn announced(actions: &[Action]) -> Vec<&str> {
    let texts = actions.iter().filter_map(|action| match action {
        Action::Announce(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// Ends each phase as it is started, and gives everything that was asked for.
fn run(boot: &mut Boot, fails: impl Fn(Phase) -> bool) -> Vec<Action> {
    let mut all = boot.step(Event::Tick, at(0));
    let mut next = 0;
    while let Some(action) = all.get(next).cloned() {
        next += 1;
        if let Action::Start(phase) = action {
            let result = if fails(phase) { Err("broken".to_owned()) } else { Ok(()) };
            all.extend(boot.step(Event::Ended(phase, result), at(1)));
        }
    }
    all
}

#[test]
fn phases_start_when_those_before_have_ended() {
    let mut boot = Boot::new();
    assert_eq!(started(&boot.step(Event::Tick, at(0))), [Phase::Mounts]);
    let actions = boot.step(Event::Ended(Phase::Mounts, Ok(())), at(5));
    assert_eq!(started(&actions), [Phase::Cgroups]);
    assert_eq!(announced(&actions), ["phase mounts took 5 ms"]);
    let actions = boot.step(Event::Ended(Phase::Cgroups, Ok(())), at(6));
    assert_eq!(started(&actions), [Phase::Modules, Phase::Storage]);
}

#[test]
fn node_is_ready_once_when_all_is_done() {
    let mut boot = Boot::new();
    let actions = run(&mut boot, |_| false);
    assert_eq!(started(&actions), PHASES);
    assert_eq!(announced(&actions).last(), Some(&"ready 1 ms after kernel start"));
    assert_eq!(boot.ready_at(), Some(at(1)));
    assert!(boot.step(Event::Ended(Phase::Ready, Ok(())), at(2)).is_empty());
}

#[test]
fn failed_phase_says_why_and_the_node_goes_on() {
    let mut boot = Boot::new();
    let actions = run(&mut boot, |phase| phase == Phase::Network);
    assert!(announced(&actions).contains(&"phase network failed after 0 ms: broken"));
    assert!(boot.ready_at().is_some());
    assert_eq!(boot.failures(), [(Phase::Network, "broken".to_owned())]);
}

#[test]
fn node_without_agent_is_not_ready_until_the_agent_is() {
    let mut boot = Boot::new();
    run(&mut boot, |phase| phase == Phase::Agent);
    assert_eq!(boot.ready_at(), None);
    let actions = boot.step(Event::Ended(Phase::Agent, Ok(())), at(9));
    assert_eq!(announced(&actions), ["phase agent took 8 ms"]);
    assert_eq!(started(&actions), [Phase::Ready]);
    let actions = boot.step(Event::Ended(Phase::Ready, Ok(())), at(9));
    let expected = ["phase ready took 0 ms", "ready 9 ms after kernel start"];
    assert_eq!(announced(&actions), expected);
}

#[test]
fn phase_past_its_limit_is_abandoned() {
    let mut boot = Boot::new();
    boot.step(Event::Tick, at(0));
    assert_eq!(boot.deadline(), Some(at(0) + Phase::Mounts.limit()));
    let actions = boot.step(Event::Tick, at(0) + Phase::Mounts.limit());
    assert!(actions.contains(&Action::Abandon(Phase::Mounts)));
    assert_eq!(announced(&actions), ["phase mounts failed after 60000 ms: not done within 60 s"]);
    assert_eq!(started(&actions), [Phase::Cgroups]);
}

proptest! {
    #[test]
    fn whatever_fails_every_phase_is_tried_once(broken in prop::collection::vec(0usize..9, 0..9)) {
        let mut boot = Boot::new();
        let actions = run(&mut boot, |phase| broken.contains(&phase.index()));
        let mut phases = started(&actions);
        phases.sort_by_key(|phase| phase.index());
        let agent_runs = !broken.contains(&Phase::Agent.index());
        let expected = if agent_runs { &PHASES[..] } else { &PHASES[..9] };
        prop_assert_eq!(phases, expected);
        prop_assert_eq!(boot.ready_at().is_some(), agent_runs);
        prop_assert_eq!(boot.deadline(), None);
    }
}
