//! Which module of a plan may be loaded now, when several are loaded at once.
//! Pure. Loading is worth it: checking a module's signature takes a processor far
//! longer than reading it.

use super::index::Load;
use std::collections::HashSet;

/// What a worker does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Load this one.
    Load(Load),
    /// Wait until another worker has loaded one.
    Wait,
    /// Nothing is left.
    Done,
}

/// A plan under way.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    waiting: Vec<Load>,
    /// In, or tried in vain: then whoever needs it is refused by the kernel.
    ended: HashSet<String>,
}

impl Schedule {
    /// A plan that nobody has begun.
    pub(crate) fn new(plan: Vec<Load>) -> Self {
        Self { waiting: plan, ended: HashSet::new() }
    }

    /// Hands out the first module whose needs have ended.
    pub(crate) fn next(&mut self) -> Next {
        let is_free = |load: &Load| load.after.iter().all(|need| self.ended.contains(need));
        match self.waiting.iter().position(is_free) {
            Some(at) => Next::Load(self.waiting.remove(at)),
            None if self.waiting.is_empty() => Next::Done,
            None => Next::Wait,
        }
    }

    /// Takes in that `module` is in, or was tried in vain.
    pub(crate) fn ended(&mut self, module: String) {
        self.ended.insert(module);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(name: &str, after: &[&str]) -> Load {
        let after = after.iter().map(|need| (*need).to_owned()).collect();
        Load { name: name.into(), path: format!("{name}.ko"), after }
    }

    fn name(next: Next) -> String {
        match next {
            Next::Load(load) => load.name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_needs_nothing_is_loaded_at_once() {
        let mut schedule = Schedule::new(vec![load("a", &[]), load("b", &["a"]), load("c", &[])]);
        assert_eq!(name(schedule.next()), "a");
        assert_eq!(name(schedule.next()), "c");
        assert_eq!(schedule.next(), Next::Wait);
        schedule.ended("a".into());
        assert_eq!(name(schedule.next()), "b");
        assert_eq!(schedule.next(), Next::Done);
    }

    proptest! {
        /// With any number of workers that end in any order every module is
        /// loaded once, after what it needs.
        #[test]
        fn every_plan_is_loaded_in_order(
            edges in prop::collection::vec((0usize..10, 0usize..10), 0..30),
            picks in prop::collection::vec(any::<usize>(), 40),
        ) {
            let plan: Vec<_> = (0..10).map(|module| {
                let needs = edges.iter().filter(|(from, to)| *from == module && *to < module);
                let needs: Vec<_> = needs.map(|(_, to)| format!("m{to}")).collect();
                load(&format!("m{module}"), &needs.iter().map(String::as_str).collect::<Vec<_>>())
            }).collect();
            let mut schedule = Schedule::new(plan);
            let (mut running, mut ended) = (Vec::new(), Vec::new());
            let mut picks = picks.into_iter();
            loop {
                match schedule.next() {
                    Next::Load(load) => {
                        prop_assert!(load.after.iter().all(|need| ended.contains(need)));
                        running.push(load.name);
                    }
                    Next::Wait => {
                        prop_assert!(!running.is_empty());
                        let at = picks.next().unwrap_or(0) % running.len();
                        let module = running.remove(at);
                        schedule.ended(module.clone());
                        ended.push(module);
                    }
                    Next::Done => break,
                }
            }
            prop_assert_eq!(running.len() + ended.len(), 10);
        }
    }
}
