//! Knowledge of the cloud's instances, from complete listings, single reads and answers to our own writes.
//!
//! It is a value without a clock: the caller passes the result of a read and the time at which the read *started*. A
//! listing may lag behind a single read, so absence is counted in live reads and never inferred from an error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::instance::Instance;

/// Knowledge of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceLookup {
    /// No read since the time of interest.
    Unknown,
    /// Absent. The reads started after the time of interest, and after the last evidence of the instance.
    Absent {
        /// Number of live reads that missed it.
        reads: u32,
    },
    /// Present.
    Found(Arc<Instance>),
}

/// Knowledge of all instances of one cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    instances: BTreeMap<String, Record>,
    listings: Vec<Timestamp>,
}

#[derive(Clone, Debug)]
struct Record {
    instance: Option<Arc<Instance>>,
    /// Start of the newest read that covers this instance.
    at: Timestamp,
    /// Start of the first read that showed the instance in its present state.
    since: Timestamp,
    /// Starts of the reads that missed it since the last evidence, newest last, at most [`KEPT`].
    missed: Vec<Timestamp>,
}

/// Number of starts of reads that are kept. Two prove absence; the others serve tests and logs.
const KEPT: usize = 4;

impl Snapshot {
    /// Records a complete listing that started at `started`. Returns the names of instances that appeared, changed or
    /// vanished, sorted.
    pub(crate) fn record_list(&mut self, started: Timestamp, instances: Vec<Instance>) -> Vec<String> {
        let mut changed = Vec::new();
        let names: BTreeSet<String> = instances.iter().map(|p| p.name.clone()).collect();
        for instance in instances {
            let name = instance.name.clone();
            if self.record_found(started, instance) {
                changed.push(name);
            }
        }
        let missing: Vec<String> = self
            .instances
            .iter()
            .filter(|(n, r)| !names.contains(*n) && r.at < started)
            .map(|(n, _)| n.clone())
            .collect();
        for name in missing {
            if self.record_absent(started, &name) {
                changed.push(name);
            }
        }
        push_kept(&mut self.listings, started);
        self.forget_long_gone();
        changed.sort();
        changed
    }

    /// Start of the newest listing.
    pub(crate) fn listed_at(&self) -> Option<Timestamp> {
        self.listings.iter().max().copied()
    }

    /// Records an instance that a read, or the answer to a write, showed. Returns true if it is news.
    pub(crate) fn record_found(&mut self, started: Timestamp, instance: Instance) -> bool {
        match self.instances.get_mut(&instance.name) {
            Some(record) if record.at > started => false,
            Some(record) => {
                let news = record.instance.as_deref() != Some(&instance);
                let same_state =
                    |old: &Arc<Instance>| (&old.state, old.stopped) == (&instance.state, instance.stopped);
                let unchanged = record.instance.as_ref().is_some_and(same_state);
                *record = Record {
                    since: if unchanged { record.since } else { started },
                    instance: Some(Arc::new(instance)),
                    at: started,
                    missed: Vec::new(),
                };
                news
            }
            None => {
                let record = Record {
                    instance: Some(Arc::new(instance.clone())),
                    at: started,
                    since: started,
                    missed: Vec::new(),
                };
                self.instances.insert(instance.name, record);
                true
            }
        }
    }

    /// Records that a read which started at `started` missed an instance. Returns true if it is news.
    pub(crate) fn record_absent(&mut self, started: Timestamp, name: &str) -> bool {
        let record = self.instances.entry(name.to_owned()).or_insert_with(|| Record {
            instance: None,
            at: started,
            since: started,
            missed: Vec::new(),
        });
        if record.at > started {
            return false;
        }
        record.at = started;
        push_kept(&mut record.missed, started);
        record.missed.len() < KEPT
    }

    /// Discards earlier evidence of absence: a request to create the instance ended at `at` without an answer, so it may
    /// have been carried out.
    pub(crate) fn invalidate(&mut self, at: Timestamp, name: &str) {
        let record = self.instances.entry(name.to_owned()).or_insert_with(|| Record {
            instance: None,
            at,
            since: at,
            missed: Vec::new(),
        });
        if record.missed.len() >= 2 {
            record.instance = None;
        }
        record.at = record.at.max(at);
        record.missed.retain(|missed| *missed > at);
    }

    /// Looks an instance up by the reads that started after `since`, such as the creation of a claim.
    ///
    /// An instance that was found stays found until two reads in a row missed it. A listing may lag behind the answer to
    /// our own write.
    pub(crate) fn lookup(&self, name: &str, since: Timestamp) -> InstanceLookup {
        let Some(record) = self.instances.get(name) else {
            return absent(self.listings.iter().filter(|at| **at > since).count());
        };
        match &record.instance {
            Some(instance) if record.missed.len() < 2 => InstanceLookup::Found(Arc::clone(instance)),
            _ => {
                let last = record.missed.first().copied().unwrap_or(record.at);
                let later = self
                    .listings
                    .iter()
                    .filter(|at| **at > last && !record.missed.contains(at));
                let reads = record
                    .missed
                    .iter()
                    .chain(later)
                    .filter(|at| **at > since)
                    .count();
                absent(reads)
            }
        }
    }

    /// Start of the newest read that showed an instance, and of the first one that showed its present state.
    pub(crate) fn read_times(&self, name: &str) -> Option<(Timestamp, Timestamp)> {
        let record = self
            .instances
            .get(name)
            .filter(|record| record.instance.is_some())?;
        Some((record.at, record.since))
    }

    /// Every instance that exists, by name.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances
            .values()
            .filter(|r| r.missed.len() < 2)
            .filter_map(|r| r.instance.as_ref())
    }

    fn forget_long_gone(&mut self) {
        self.instances.retain(|_, record| record.missed.len() < KEPT);
    }
}

fn absent(reads: usize) -> InstanceLookup {
    match u32::try_from(reads) {
        Ok(0) => InstanceLookup::Unknown,
        Ok(reads) => InstanceLookup::Absent { reads },
        Err(_) => InstanceLookup::Absent { reads: u32::MAX },
    }
}

fn push_kept(list: &mut Vec<Timestamp>, at: Timestamp) {
    list.push(at);
    if list.len() > KEPT {
        list.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn instance(name: &str) -> Instance {
        Instance {
            name: name.into(),
            ..Instance::default()
        }
    }

    #[test]
    fn an_unknown_instance_is_absent_once_a_later_listing_is_complete() {
        let mut snapshot = Snapshot::default();
        assert_eq!(snapshot.lookup("a", at(0)), InstanceLookup::Unknown);
        snapshot.record_list(at(5), vec![]);
        assert_eq!(snapshot.lookup("a", at(0)), InstanceLookup::Absent { reads: 1 });
        assert_eq!(snapshot.lookup("a", at(5)), InstanceLookup::Unknown);
        snapshot.record_list(at(6), vec![]);
        assert_eq!(snapshot.lookup("a", at(0)), InstanceLookup::Absent { reads: 2 });
    }

    #[test]
    fn one_lagging_listing_does_not_hide_what_a_write_showed() {
        let mut snapshot = Snapshot::default();
        snapshot.record_found(at(10), instance("a"));
        snapshot.record_list(at(11), vec![]);
        assert!(matches!(snapshot.lookup("a", at(0)), InstanceLookup::Found(_)));
        snapshot.record_list(at(12), vec![instance("a")]);
        snapshot.record_list(at(13), vec![]);
        assert!(matches!(snapshot.lookup("a", at(0)), InstanceLookup::Found(_)));
        snapshot.record_absent(at(14), "a");
        assert_eq!(snapshot.lookup("a", at(0)), InstanceLookup::Absent { reads: 2 });
    }

    #[test]
    fn a_read_that_started_earlier_is_ignored() {
        let mut snapshot = Snapshot::default();
        snapshot.record_found(at(10), instance("a"));
        snapshot.record_list(at(9), vec![]);
        assert!(!snapshot.record_absent(at(9), "a"));
        assert!(matches!(snapshot.lookup("a", at(0)), InstanceLookup::Found(_)));
    }

    #[test]
    fn an_instance_that_comes_back_is_found_at_once() {
        let mut snapshot = Snapshot::default();
        snapshot.record_absent(at(1), "a");
        snapshot.record_absent(at(2), "a");
        assert!(snapshot.record_found(at(3), instance("a")));
        assert!(matches!(snapshot.lookup("a", at(0)), InstanceLookup::Found(_)));
    }

    #[test]
    fn a_request_of_unknown_outcome_discards_earlier_evidence_of_absence() {
        let mut snapshot = Snapshot::default();
        snapshot.record_list(at(1), vec![]);
        snapshot.record_list(at(2), vec![]);
        assert_eq!(snapshot.lookup("a", at(0)), InstanceLookup::Absent { reads: 2 });
        snapshot.invalidate(at(3), "a");
        assert_eq!(snapshot.lookup("a", at(0)), InstanceLookup::Unknown);
        snapshot.record_list(at(4), vec![]);
        assert_eq!(snapshot.lookup("a", at(0)), InstanceLookup::Absent { reads: 1 });
        snapshot.record_absent(at(5), "a");
        assert_eq!(snapshot.lookup("a", at(0)), InstanceLookup::Absent { reads: 2 });
        snapshot.invalidate(at(6), "a");
        assert_eq!(snapshot.lookup("a", at(0)), InstanceLookup::Unknown);
        snapshot.record_found(at(7), instance("a"));
        snapshot.invalidate(at(8), "a");
        assert!(matches!(snapshot.lookup("a", at(0)), InstanceLookup::Found(_)));
    }

    #[test]
    fn memory_does_not_grow_with_instances_that_are_gone() {
        let mut snapshot = Snapshot::default();
        for i in 0..100 {
            snapshot.record_found(at(0), instance(&format!("p{i}")));
        }
        for second in 1..10 {
            snapshot.record_list(at(second), vec![]);
        }
        assert_eq!(snapshot.instances.len(), 0);
        assert_eq!(snapshot.lookup("p1", at(0)), InstanceLookup::Absent { reads: 4 });
    }
}
