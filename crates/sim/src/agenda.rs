//! The agenda: events at simulated times, each at most once. The seed chooses the order of those due at one time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plan::ObjectRef;

use crate::controllers::Program;
use crate::rng::Rng;

/// One event that can be due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// The cloud finishes something.
    Cloud,
    /// Nodes, pods and workload controllers act.
    Kubelet,
    /// The cluster's garbage collector runs.
    Collect,
    /// A program's watches deliver events.
    Watch(Program),
    /// A program reconciles one object.
    Reconcile(Program, ObjectRef),
    /// The provisioner lists instances.
    List,
    /// A program starts again.
    Restart(Program),
    /// A write that the network held arrives, by its number.
    Arrive(u64),
}

/// Events to come.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    order: BTreeSet<(Timestamp, u64, Due)>,
    places: BTreeMap<Due, (Timestamp, u64)>,
}

impl Agenda {
    /// Adds an event; the earlier of two times counts.
    pub fn add(&mut self, due: Due, at: Timestamp, rng: &mut Rng) {
        if let Some(place) = self.places.get(&due).copied() {
            if place.0 <= at {
                return;
            }
            self.order.remove(&(place.0, place.1, due.clone()));
        }
        let tie = rng.draw();
        self.order.insert((at, tie, due.clone()));
        self.places.insert(due, (at, tie));
    }

    /// Takes the next event, if it is due by `until`.
    pub fn next(&mut self, until: Timestamp) -> Option<(Timestamp, Due)> {
        if self.order.first()?.0 > until {
            return None;
        }
        let (at, _, due) = self.order.pop_first()?;
        self.places.remove(&due);
        Some((at, due))
    }

    /// Drops all events of this program.
    pub fn forget(&mut self, program: Program) {
        let is_its = |due: &Due| match due {
            Due::Watch(its) | Due::Reconcile(its, _) => *its == program,
            Due::List => program == Program::Provisioner,
            Due::Cloud | Due::Kubelet | Due::Collect | Due::Restart(_) | Due::Arrive(_) => false,
        };
        self.order.retain(|(_, _, due)| !is_its(due));
        self.places.retain(|due, _| !is_its(due));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_time_counts_and_each_thing_happens_once() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut rng = Rng::new(1);
        let mut agenda = Agenda::default();
        agenda.add(Due::Cloud, at(5), &mut rng);
        agenda.add(Due::Cloud, at(9), &mut rng);
        agenda.add(Due::Cloud, at(3), &mut rng);
        agenda.add(Due::List, at(4), &mut rng);
        assert_eq!(agenda.next(at(3)), Some((at(3), Due::Cloud)));
        agenda.forget(Program::Provisioner);
        assert_eq!(agenda.next(at(100)), None);
    }
}
