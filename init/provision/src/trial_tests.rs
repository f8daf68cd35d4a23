use super::*;
use proptest::prelude::*;

const OLD: &str = "[node]\nhostname = \"old\"\n";
const NEW: &str = "[node]\nhostname = \"new\"\n";

fn seen(found: &'static str) -> AtBoot<'static> {
    AtBoot { found: Some(found), proven: Some(OLD), was_connected: true, wants_trial: true }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn new_document_of_a_connected_node_is_tried() {
    let (record, verdict) = at_boot(&Record::Settled, seen(NEW));
    assert_eq!(verdict, Verdict::Try);
    assert_eq!(record, Record::Trial { document: hash(NEW.as_bytes()), boots: 1 });
}

#[test]
fn node_with_nothing_to_lose_takes_what_comes() {
    let never = AtBoot { was_connected: false, ..seen(NEW) };
    assert_eq!(at_boot(&Record::Settled, never), (Record::Settled, Verdict::Take));
    let unwanted = AtBoot { wants_trial: false, ..seen(NEW) };
    assert_eq!(at_boot(&Record::Settled, unwanted), (Record::Settled, Verdict::Take));
}

#[test]
fn undone_document_stays_undone_until_it_changes() {
    let (trial, _) = at_boot(&Record::Settled, seen(NEW));
    let undone = trial.undo();
    assert_eq!(at_boot(&undone, seen(NEW)), (undone.clone(), Verdict::Refuse));
    let (record, verdict) = at_boot(&undone, seen("# better\n"));
    assert!(matches!(record, Record::Trial { boots: 1, .. }) && verdict == Verdict::Try);
    assert_eq!(at_boot(&undone, seen(OLD)), (Record::Settled, Verdict::Take));
}

#[test]
fn trial_that_the_power_ends_three_times_has_failed() {
    let mut record = Record::Settled;
    let mut verdicts = Vec::new();
    for _ in 0..4 {
        let (next, verdict) = at_boot(&record, seen(NEW));
        record = next;
        verdicts.push(verdict);
    }
    assert_eq!(verdicts, [Verdict::Try, Verdict::Try, Verdict::Try, Verdict::Refuse]);
}

#[test]
fn missing_document_forgets_nothing() {
    let (trial, _) = at_boot(&Record::Settled, seen(NEW));
    let none = AtBoot { found: None, ..seen(NEW) };
    assert_eq!(at_boot(&trial, none), (trial, Verdict::Take));
}

#[test]
fn steady_connectivity_keeps_the_document() {
    let mut watch = Watch::begin(at(0), at(300), false);
    assert_eq!(watch.step(true, false, at(10)), Deed::Wait);
    assert_eq!(watch.step(false, false, at(20)), Deed::Wait, "a gap begins anew");
    assert_eq!(watch.step(true, false, at(25)), Deed::Wait);
    assert_eq!(watch.step(true, false, at(44)), Deed::Wait);
    assert_eq!(watch.step(true, false, at(45)), Deed::Keep);
}

#[test]
fn lost_connectivity_brings_the_last_document_back() {
    let mut watch = Watch::begin(at(0), at(300), false);
    assert_eq!(watch.step(false, false, at(299)), Deed::Wait);
    assert_eq!(watch.left(at(299)), at(1));
    assert_eq!(watch.step(false, false, at(300)), Deed::Undo);
}

#[test]
fn connectivity_that_comes_last_minute_may_prove_itself() {
    let mut watch = Watch::begin(at(0), at(300), false);
    assert_eq!(watch.step(true, false, at(299)), Deed::Wait);
    assert_eq!(watch.step(true, false, at(310)), Deed::Wait);
    assert_eq!(watch.step(false, false, at(311)), Deed::Undo);
}

#[test]
fn command_keeps_the_document_and_may_be_the_only_way() {
    let mut watch = Watch::begin(at(0), at(300), true);
    assert_eq!(watch.step(true, false, at(100)), Deed::Wait);
    assert_eq!(watch.step(true, true, at(200)), Deed::Keep);
    assert_eq!(watch.step(true, false, at(300)), Deed::Undo);
}

#[test]
fn record_survives_the_disk() {
    let (record, _) = at_boot(&Record::Settled, seen(NEW));
    for record in [Record::Settled, record.undo(), record] {
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}

/// A node, its disk, and a world in which some documents cost it its connectivity.
struct World {
    record: Record,
    proven: Option<&'static str>,
    on_disk: &'static str,
}

impl World {
    /// Starts the node; the power goes before the verdict if `is_cut`. Gives the
    /// document that it ran with.
    fn boot(&mut self, is_cut: bool) -> &'static str {
        let seen = AtBoot {
            found: Some(self.on_disk),
            proven: self.proven,
            was_connected: self.proven == Some(OLD),
            wants_trial: true,
        };
        let (record, verdict) = at_boot(&self.record, seen);
        self.record = record;
        let in_force = match verdict {
            Verdict::Refuse => self.proven.unwrap_or_default(),
            Verdict::Take | Verdict::Try => self.on_disk,
        };
        if is_cut {
            return in_force;
        }
        match verdict {
            Verdict::Take => self.proven = Some(self.on_disk),
            Verdict::Refuse => {}
            Verdict::Try => {
                let mut watch = Watch::begin(at(0), at(60), false);
                let deed = (0..200).map(|second| watch.step(in_force != NEW, false, at(second)));
                match deed.into_iter().find(|deed| *deed != Deed::Wait) {
                    Some(Deed::Undo) => self.record = self.record.undo(),
                    Some(Deed::Keep) => {
                        self.proven = Some(in_force);
                        self.record = Record::Settled;
                    }
                    _ => unreachable!("a trial has an end"),
                }
            }
        }
        in_force
    }
}

proptest! {
    /// However the power goes, a node whose new document costs it its connectivity
    /// is back on the old one after five starts, and stays there.
    #[test]
    fn node_comes_back_whenever_the_power_goes(cuts in proptest::collection::vec(any::<bool>(), 4)) {
        let mut world = World { record: Record::Settled, proven: Some(OLD), on_disk: NEW };
        for is_cut in cuts {
            world.boot(is_cut);
        }
        prop_assert_eq!(world.boot(false), OLD);
        prop_assert_eq!(world.boot(true), OLD);
        prop_assert_eq!(world.proven, Some(OLD));
    }
}
