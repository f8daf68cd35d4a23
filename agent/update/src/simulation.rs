//! Every power cut of every path, on every boot path: from a fresh disk, each write is cut before,
//! during (any part of what one flush holds may be on the disk) and after it, and from each of the
//! disks that this leaves the same again, until no new disk turns up.
//!
//! Checked at each boot: the loader finds a complete system, of the committed version unless this
//! is the one boot of a trial, and never an older version than was committed. Checked from each
//! disk: without further cuts it comes to rest, within few boots, and says why it runs what it
//! runs.

mod disk;
mod esp;
mod files;

use std::collections::HashMap;

use crate::boot_path::{BootPath, Change};
use crate::ledger::{Code, Ledger, Stage, Verdict};
use crate::machine::{Effect, Event, MOST_ARMS, step};
use crate::slot::{Slot, Slots};
use disk::{Disk, Loader, System};

/// Boots without a cut in which a disk must come to rest: the one that is cut off, and for each of
/// two versions a trial and the boots that take it back, three times at most.
const MOST_BOOTS: usize = 2 + 2 * 2 * MOST_ARMS as usize;

/// How a version behaves in its trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Good,
    /// A check fails.
    Sick,
    /// The kernel panics and leaves a record.
    Panics,
    /// It dies without a trace.
    Vanishes,
}

/// The versions after the first, in order; each is installed once by itself.
type World = [Behaviour; 2];

/// How a session between two power-ons ended.
enum End<L> {
    /// Reset, by whomever.
    Reset(Disk<L>),
    /// Nothing more to do.
    Rest(Disk<L>, Slots),
}

/// One power-on: what it may leave behind when it is cut, and how it ends when it is not.
fn session<L: Loader>(disk: Disk<L>, world: World, cuts: &mut Vec<Disk<L>>) -> End<L> {
    let (running, disk) = disk.power_on(cuts);
    let version = disk.running(running);
    disk.check_boot(running, version);
    let behaviour = version.checked_sub(2).map_or(Behaviour::Good, |index| world[index as usize]);
    let mut session = Session { disk, running, version, cuts };
    match behaviour {
        Behaviour::Vanishes => return End::Reset(session.disk.without_flag()),
        Behaviour::Panics => {
            session.disk.evidence = true;
            return End::Reset(session.disk.without_flag());
        }
        Behaviour::Good | Behaviour::Sick => {}
    }
    session.live(behaviour)
}

struct Session<'a, L: Loader> {
    disk: Disk<L>,
    running: Slot,
    version: u8,
    cuts: &'a mut Vec<Disk<L>>,
}

impl<L: Loader> Session<'_, L> {
    fn live(mut self, behaviour: Behaviour) -> End<L> {
        let evidence = std::mem::take(&mut self.disk.evidence).then(|| verdict(Code::Panic));
        self.cut();
        let mut next = Some(Event::Booted { version: self.version.to_string(), evidence });
        loop {
            while let Some(event) = next.take() {
                let Ok((ledger, effects)) = step(&self.disk.ledger, &self.slots(), event) else {
                    break;
                };
                for effect in effects {
                    match effect {
                        Effect::Record => {
                            self.cut();
                            self.disk.ledger = ledger.clone();
                            self.cut();
                        }
                        Effect::Change(change) => self.change(change),
                        Effect::Write(slot) => {
                            self.write(slot);
                            next = Some(Event::Written);
                        }
                        Effect::Check => {
                            next = Some(match behaviour {
                                Behaviour::Good => Event::Healthy,
                                _ => Event::Unhealthy(verdict(Code::CheckFailed)),
                            });
                        }
                        // The flag lives through a reset, not through a power cut.
                        Effect::Reboot => return End::Reset(self.disk),
                    }
                }
            }
            next = self.wish();
            if next.is_none() {
                let slots = self.slots();
                return End::Rest(self.disk, slots);
            }
        }
    }

    /// What the node wants when nothing goes on.
    fn wish(&self) -> Option<Event> {
        let slots = self.slots();
        let ledger = &self.disk.ledger;
        if slots.default.is_none() && ledger.attempt.is_none() {
            return Some(Event::Healthy);
        }
        match ledger.attempt.as_ref().map(|attempt| attempt.stage) {
            Some(Stage::Staged) => Some(Event::Apply),
            Some(_) => None,
            None => {
                let tried = |version: &str| ledger.outcomes.iter().any(|o| o.version == version);
                let version = ["2", "3"].into_iter().find(|version| !tried(version))?;
                // Never by itself to an older one.
                version.parse().is_ok_and(|version: u8| version > self.version).then(|| {
                    Event::Install {
                        version: version.to_owned(),
                        from: self.version.to_string(),
                        by_name: false,
                    }
                })
            }
        }
    }

    fn slots(&self) -> Slots {
        self.disk.loader.path().slots(self.running).expect("the medium is readable")
    }

    fn cut(&mut self) {
        self.cuts.push(self.disk.clone().without_flag());
    }

    fn change(&mut self, change: Change) {
        self.cut();
        let writes = self.disk.loader.path().plan(self.running, change);
        for write in writes.unwrap_or_else(|error| panic!("{error} in {:?}", self.disk)) {
            let (torn, done) = self.disk.loader.write(&write);
            for loader in torn {
                self.cuts.push(Disk { loader, ..self.disk.clone() }.without_flag());
            }
            self.disk.loader = done;
            self.disk.note_commit();
            self.cut();
        }
    }

    fn write(&mut self, slot: Slot) {
        assert_ne!(slot, self.running, "the running slot is written to");
        let attempt = self.disk.ledger.attempt.clone().expect("an attempt is recorded");
        let system = System::Complete(attempt.version.parse().expect("a number"));
        for step in [System::Torn, system] {
            self.disk.roots[slot as usize] = step;
            self.cut();
        }
        for step in [System::Torn, system] {
            let (torn, done) = self.disk.loader.write_kernel(slot, step);
            for loader in torn {
                self.cuts.push(Disk { loader, ..self.disk.clone() }.without_flag());
            }
            self.disk.loader = done;
            self.cut();
        }
    }
}

fn verdict(code: Code) -> Verdict {
    let (check, reason) = ("check".to_owned(), "reason".to_owned());
    Verdict { code, check, reason, kernel_log: String::new() }
}

/// Every disk that cuts can leave behind, starting from these, and what a power-on without a cut
/// makes of it.
fn explore<L: Loader>(fresh: Vec<Disk<L>>, world: World) -> HashMap<Disk<L>, End<L>> {
    let mut seen = HashMap::new();
    let mut open = fresh;
    while let Some(disk) = open.pop() {
        if seen.contains_key(&disk) {
            continue;
        }
        let mut cuts = Vec::new();
        let end = session(disk.clone(), world, &mut cuts);
        if let End::Reset(next) = &end {
            open.push(next.clone());
        }
        seen.insert(disk, end);
        open.extend(cuts.into_iter().filter(|disk| !seen.contains_key(disk)));
    }
    seen
}

/// Where a disk comes to rest when nothing is cut any more.
fn settle<'a, L: Loader>(
    seen: &'a HashMap<Disk<L>, End<L>>,
    disk: &'a Disk<L>,
) -> (&'a Disk<L>, Slots) {
    let mut now = disk;
    for _ in 0..MOST_BOOTS {
        match &seen[now] {
            End::Reset(next) => now = next,
            End::Rest(disk, slots) => return (disk, *slots),
        }
    }
    panic!("no rest after {MOST_BOOTS} boots of {disk:?}");
}

fn check_all<L: Loader>(fresh: impl Fn() -> L) -> usize {
    use Behaviour::{Good, Panics, Sick, Vanishes};
    let mut disks = 0;
    for world in [
        [Good, Good],
        [Sick, Good],
        [Panics, Good],
        [Vanishes, Good],
        [Good, Sick],
        [Good, Panics],
        [Good, Vanishes],
        [Sick, Panics],
    ] {
        let seen = explore(vec![Disk::fresh(fresh())], world);
        for disk in seen.keys() {
            let (rest, slots) = settle(&seen, disk);
            check_rest(rest, slots, world);
        }
        disks += seen.len();
    }
    println!("{disks} disks");
    disks
}

/// At rest the committed slot runs, and what runs is explained by the last outcome.
fn check_rest<L: Loader>(disk: &Disk<L>, slots: Slots, world: World) {
    let running = disk.running(slots.running);
    assert_eq!(slots.default, Some(slots.running), "{disk:?}");
    assert_eq!(disk.ledger.attempt, None, "{disk:?}");
    for (index, behaviour) in world.into_iter().enumerate() {
        let version = index as u8 + 2;
        let outcome = disk.ledger.outcomes.iter().rfind(|o| o.version == version.to_string());
        let code = outcome.map(|outcome| outcome.verdict.code);
        let expected: &[Code] = match behaviour {
            Behaviour::Good => &[Code::Committed, Code::NoVerdict],
            Behaviour::Sick => &[Code::CheckFailed, Code::NoVerdict],
            // A record that a power cut swallowed is no verdict.
            Behaviour::Panics => &[Code::Panic, Code::NoVerdict],
            Behaviour::Vanishes => &[Code::NoVerdict],
        };
        assert!(code.is_some_and(|code| expected.contains(&code)), "{version}: {code:?} {disk:?}");
        let barred = disk.ledger.bar_of(&version.to_string()).is_some();
        assert_eq!(barred, code.is_some_and(Code::bars), "{disk:?}");
        if code == Some(Code::Committed) {
            assert!(running >= version, "a silent downgrade: {disk:?}");
        }
    }
}

/// A lost ledger costs history, never a bootable node.
fn check_lost_ledger<L: Loader>(fresh: L) {
    let world = [Behaviour::Good, Behaviour::Sick];
    let found = explore(vec![Disk::fresh(fresh)], world).into_keys();
    let lost = found.map(|disk| Disk { ledger: Ledger::default(), ..disk }).collect();
    let seen = explore(lost, world);
    for disk in seen.keys() {
        let (rest, slots) = settle(&seen, disk);
        assert_eq!(slots.default, Some(slots.running), "{rest:?}");
        assert!(rest.running(slots.running) >= rest.committed, "{rest:?}");
    }
}

#[test]
fn names_on_the_esp_survive_every_cut() {
    let disks = check_all(esp::Esp::fresh);
    assert!(disks > 500, "only {disks} disks were looked at");
}

#[test]
fn tryboot_survives_every_cut() {
    let disks = check_all(files::Pi::fresh);
    assert!(disks > 500, "only {disks} disks were looked at");
}

#[test]
fn two_state_files_survive_every_cut() {
    let disks = check_all(files::Nano::fresh);
    assert!(disks > 500, "only {disks} disks were looked at");
}

#[test]
fn lost_ledger_leaves_every_boot_path_bootable() {
    check_lost_ledger(esp::Esp::fresh());
    check_lost_ledger(files::Pi::fresh());
    check_lost_ledger(files::Nano::fresh());
}
