use super::super::spec::Name;
use super::*;
use proptest::prelude::*;

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1000)
}

fn agent() -> Service {
    Service::new(Name::Agent.spec())
}

fn ready_agent() -> Service {
    let mut service = agent();
    service.step(Event::Start, at(0));
    service.step(Event::Ready, at(1));
    service
}

#[test]
fn started_service_is_ready_when_it_says_so() {
    let mut service = agent();
    assert_eq!(service.step(Event::Start, at(0)), [Action::Spawn]);
    assert_eq!(service.state(), State::Starting { since: at(0) });
    assert_eq!(service.step(Event::Ready, at(1)), [Action::BecameReady]);
    assert_eq!(service.state(), State::Ready { since: at(1), heard: at(1) });
    assert!(service.step(Event::Ready, at(2)).is_empty());
}

#[test]
fn silent_service_is_ready_on_start() {
    let mut service = Service::new(Name::Log.spec());
    assert_eq!(service.step(Event::Start, at(0)), [Action::Spawn, Action::BecameReady]);
    assert_eq!(service.deadline(), None);
}

#[test]
fn crashes_are_backed_off_twice_as_long_each_up_to_a_limit() {
    let mut service = agent();
    service.step(Event::Start, at(0));
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let actions = service.step(Event::Exited(Exit::Status(1)), at(0));
        let Some(Action::ReportExit(Exit::Status(1), pause)) = actions.first() else {
            panic!("{actions:?}");
        };
        pauses.push(pause.as_millis());
        assert_eq!(service.step(Event::Tick, at(0) + *pause), [Action::Spawn]);
    }
    assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
}

#[test]
fn long_good_order_forgets_earlier_failures() {
    let mut service = agent();
    service.step(Event::Start, at(0));
    for _ in 0..5 {
        service.step(Event::Exited(Exit::Signal(11)), at(0));
        service.step(Event::Tick, at(60));
    }
    service.step(Event::Ready, at(60));
    let actions = service.step(Event::Exited(Exit::Signal(11)), at(60) + GOOD_ORDER);
    assert_eq!(actions, [Action::ReportExit(Exit::Signal(11), BACK_OFF.0)]);
}

#[test]
fn hung_service_is_aborted_then_killed_then_started_again() {
    let mut service = ready_agent();
    let limit = Name::Agent.spec().watchdog.unwrap();
    assert!(service.step(Event::Tick, at(0) + limit).is_empty());
    let hang = [Action::ReportHang(Hang::Watchdog), Action::Abort];
    assert_eq!(service.step(Event::Tick, at(1) + limit), hang);
    assert_eq!(service.step(Event::Tick, at(1) + limit + ABORT_LIMIT), [Action::Kill]);
    let actions = service.step(Event::Exited(Exit::Signal(9)), at(100));
    assert_eq!(actions, [Action::ReportExit(Exit::Signal(9), BACK_OFF.0)]);
}

#[test]
fn living_service_is_left_alone() {
    let mut service = ready_agent();
    for second in 1..1000 {
        service.step(Event::Alive, at(second));
        assert!(service.step(Event::Tick, at(second + 29)).is_empty());
    }
}

#[test]
fn only_what_a_service_says_proves_that_it_is_well() {
    let mut service = ready_agent();
    service.step(Event::Alive, at(11));
    assert_eq!(service.proven(at(40)), Some(Duration::from_secs(10)));
    service.step(Event::Exited(Exit::Status(1)), at(41));
    assert_eq!(service.proven(at(41)), None);
    let mut silent = Service::new(Name::Log.spec());
    silent.step(Event::Start, at(1));
    assert_eq!(silent.proven(at(40)), Some(Duration::from_secs(39)));
}

#[test]
fn service_that_never_gets_ready_is_aborted() {
    let mut service = agent();
    service.step(Event::Start, at(0));
    let hang = [Action::ReportHang(Hang::Start), Action::Abort];
    assert_eq!(service.step(Event::Tick, at(180)), hang);
}

#[test]
fn stopped_service_is_killed_when_it_does_not_end() {
    let mut service = ready_agent();
    assert_eq!(service.step(Event::Stop, at(10)), [Action::Terminate(Signal::TERM)]);
    assert!(service.step(Event::Tick, at(54)).is_empty());
    assert_eq!(service.step(Event::Tick, at(55)), [Action::Kill]);
    assert!(service.step(Event::Exited(Exit::Signal(9)), at(56)).is_empty());
    assert_eq!(service.state(), State::Stopped);
    assert_eq!(service.deadline(), None);
}

#[test]
fn restart_starts_at_once_and_does_not_count_as_failure() {
    let mut service = ready_agent();
    assert_eq!(service.step(Event::Restart, at(10)), [Action::Terminate(Signal::USR1)]);
    assert_eq!(service.step(Event::Exited(Exit::Status(0)), at(11)), [Action::Spawn]);
    assert_eq!(service.starts(), 2);
    let actions = service.step(Event::Exited(Exit::Status(1)), at(12));
    assert_eq!(actions, [Action::ReportExit(Exit::Status(1), BACK_OFF.0)]);
}

#[test]
fn stop_during_a_restart_wins() {
    let mut service = ready_agent();
    service.step(Event::Restart, at(10));
    // Only now the pods are to end, and get the whole time for it.
    assert_eq!(service.step(Event::Stop, at(20)), [Action::Terminate(Signal::TERM)]);
    assert_eq!(service.deadline(), Some(at(65)));
    assert!(service.step(Event::Stop, at(21)).is_empty());
    assert!(service.step(Event::Exited(Exit::Status(0)), at(22)).is_empty());
    assert_eq!(service.state(), State::Stopped);
}

#[test]
fn service_with_one_signal_is_not_told_twice() {
    let mut service = Service::new(Name::Log.spec());
    service.step(Event::Start, at(0));
    assert_eq!(service.step(Event::Restart, at(1)), [Action::Terminate(Signal::TERM)]);
    assert!(service.step(Event::Stop, at(2)).is_empty());
    assert!(service.step(Event::Exited(Exit::Status(0)), at(3)).is_empty());
    assert_eq!(service.state(), State::Stopped);
}

#[test]
fn program_that_is_not_there_is_backed_off_like_a_crash() {
    let mut service = agent();
    service.step(Event::Start, at(0));
    let exit = Exit::NotStarted(2);
    assert_eq!(service.step(Event::Exited(exit), at(0)), [Action::ReportExit(exit, BACK_OFF.0)]);
    assert_eq!(exit.to_string(), "could not be started: No such file or directory (os error 2)");
}

fn event() -> impl Strategy<Value = Event> {
    prop::sample::select(vec![
        Event::Start,
        Event::Stop,
        Event::Restart,
        Event::Ready,
        Event::Alive,
        Event::Exited(Exit::Status(1)),
        Event::Tick,
    ])
}

proptest! {
    /// Whatever happens in whatever order: never two processes at once, and
    /// whoever runs or waits has a time at which something is done about it.
    #[test]
    fn at_most_one_process_runs(events in prop::collection::vec((event(), 0u64..200), 0..200)) {
        let mut service = agent();
        let mut now = at(0);
        let mut running = false;
        for (event, pause) in events {
            now = now + Duration::from_secs(pause);
            if matches!(event, Event::Exited(_)) {
                if !running { continue; }
                running = false;
            }
            for action in service.step(event, now) {
                match action {
                    Action::Spawn => {
                        prop_assert!(!running);
                        running = true;
                    }
                    Action::Terminate(_) | Action::Abort | Action::Kill => prop_assert!(running),
                    _ => {}
                }
            }
            prop_assert_eq!(service.deadline().is_none(), service.state() == State::Stopped);
            prop_assert_eq!(
                running,
                !matches!(service.state(), State::Stopped | State::BackingOff { .. })
            );
        }
    }
}
