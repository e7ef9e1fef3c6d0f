//! What we know of the cloud's pools, from complete listings, single reads and answers to our own writes.
//!
//! A value, not a cache with a clock: the shell tells it what it read and when the read *started*. A listing
//! may lag behind a single read, so absence is counted in live reads and never inferred from an error.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::pool::AgentPool;

/// What is known of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolLookup {
    /// Nothing was read since the moment of interest.
    Unknown,
    /// Not there, by this many live reads that started after the moment of interest and after the last
    /// evidence of the pool.
    Absent {
        /// Live reads that missed it.
        reads: u32,
    },
    /// There.
    Found(Arc<AgentPool>),
}

/// Everything known of the pools of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pools: BTreeMap<String, Record>,
    listings: Vec<Timestamp>,
}

#[derive(Clone, Debug)]
struct Record {
    pool: Option<Arc<AgentPool>>,
    /// Start of the newest read that speaks of this pool.
    at: Timestamp,
    /// Starts of the reads that missed it since the last evidence, newest last, at most [`KEPT`].
    missed: Vec<Timestamp>,
}

/// How many starts of reads are kept: two prove absence, the rest only serves tests and logs.
const KEPT: usize = 4;

impl Snapshot {
    /// A complete listing that started at `started`. Returns the names of pools that appeared, changed or
    /// vanished, sorted.
    pub fn record_list(&mut self, started: Timestamp, pools: Vec<AgentPool>) -> Vec<String> {
        let mut touched = Vec::new();
        let names: std::collections::BTreeSet<String> = pools.iter().map(|p| p.name.clone()).collect();
        for pool in pools {
            let name = pool.name.clone();
            if self.record_found(started, pool) {
                touched.push(name);
            }
        }
        let missing: Vec<String> = self
            .pools
            .iter()
            .filter(|(n, r)| !names.contains(*n) && r.at < started)
            .map(|(n, _)| n.clone())
            .collect();
        for name in missing {
            if self.record_absent(started, &name) {
                touched.push(name);
            }
        }
        push_kept(&mut self.listings, started);
        self.forget_long_gone();
        touched.sort();
        touched
    }

    /// A pool that a read which started at `started`, or the answer to a write, showed. True when this is news.
    pub fn record_found(&mut self, started: Timestamp, pool: AgentPool) -> bool {
        match self.pools.get_mut(&pool.name) {
            Some(record) if record.at > started => false,
            Some(record) => {
                let news = record.pool.as_deref() != Some(&pool);
                *record = Record {
                    pool: Some(Arc::new(pool)),
                    at: started,
                    missed: Vec::new(),
                };
                news
            }
            None => {
                let record = Record {
                    pool: Some(Arc::new(pool.clone())),
                    at: started,
                    missed: Vec::new(),
                };
                self.pools.insert(pool.name, record);
                true
            }
        }
    }

    /// A read that started at `started` showed that the pool is not there. True when this is news.
    pub fn record_absent(&mut self, started: Timestamp, name: &str) -> bool {
        let record = self.pools.entry(name.to_owned()).or_insert_with(|| Record {
            pool: None,
            at: started,
            missed: Vec::new(),
        });
        if record.at > started {
            return false;
        }
        record.at = started;
        push_kept(&mut record.missed, started);
        record.missed.len() < KEPT
    }

    /// A request to make this pool ended at `at` without telling what became of it: the connection broke, or
    /// the answer showed no pool. What was read before `at` then says nothing about its absence.
    pub fn invalidate(&mut self, at: Timestamp, name: &str) {
        let record = self.pools.entry(name.to_owned()).or_insert_with(|| Record {
            pool: None,
            at,
            missed: Vec::new(),
        });
        if record.missed.len() >= 2 {
            record.pool = None;
        }
        record.at = record.at.max(at);
        record.missed.retain(|missed| *missed > at);
    }

    /// What is known of a pool by reads that started after `since` (a claim's creation, say).
    ///
    /// A pool that was seen stays found until two reads in a row have missed it: a listing may lag behind the
    /// answer to our own write.
    #[must_use]
    pub fn lookup(&self, name: &str, since: Timestamp) -> PoolLookup {
        let Some(record) = self.pools.get(name) else {
            return absent(self.listings.iter().filter(|at| **at > since).count());
        };
        match &record.pool {
            Some(pool) if record.missed.len() < 2 => PoolLookup::Found(Arc::clone(pool)),
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

    /// Every pool that is there, by name.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<AgentPool>> {
        self.pools
            .values()
            .filter(|r| r.missed.len() < 2)
            .filter_map(|r| r.pool.as_ref())
    }

    fn forget_long_gone(&mut self) {
        self.pools.retain(|_, record| record.missed.len() < KEPT);
    }
}

fn absent(reads: usize) -> PoolLookup {
    match u32::try_from(reads) {
        Ok(0) => PoolLookup::Unknown,
        Ok(reads) => PoolLookup::Absent { reads },
        Err(_) => PoolLookup::Absent { reads: u32::MAX },
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

    fn pool(name: &str) -> AgentPool {
        AgentPool {
            name: name.into(),
            ..AgentPool::default()
        }
    }

    #[test]
    fn an_unknown_pool_is_absent_once_a_later_listing_is_complete() {
        let mut snapshot = Snapshot::default();
        assert_eq!(snapshot.lookup("a", at(0)), PoolLookup::Unknown);
        snapshot.record_list(at(5), vec![]);
        assert_eq!(snapshot.lookup("a", at(0)), PoolLookup::Absent { reads: 1 });
        assert_eq!(snapshot.lookup("a", at(5)), PoolLookup::Unknown);
        snapshot.record_list(at(6), vec![]);
        assert_eq!(snapshot.lookup("a", at(0)), PoolLookup::Absent { reads: 2 });
    }

    #[test]
    fn one_lagging_listing_does_not_hide_what_a_write_showed() {
        let mut snapshot = Snapshot::default();
        snapshot.record_found(at(10), pool("a"));
        snapshot.record_list(at(11), vec![]);
        assert!(matches!(snapshot.lookup("a", at(0)), PoolLookup::Found(_)));
        snapshot.record_list(at(12), vec![pool("a")]);
        snapshot.record_list(at(13), vec![]);
        assert!(matches!(snapshot.lookup("a", at(0)), PoolLookup::Found(_)));
        snapshot.record_absent(at(14), "a");
        assert_eq!(snapshot.lookup("a", at(0)), PoolLookup::Absent { reads: 2 });
    }

    #[test]
    fn a_read_that_started_earlier_says_nothing() {
        let mut snapshot = Snapshot::default();
        snapshot.record_found(at(10), pool("a"));
        snapshot.record_list(at(9), vec![]);
        assert!(!snapshot.record_absent(at(9), "a"));
        assert!(matches!(snapshot.lookup("a", at(0)), PoolLookup::Found(_)));
    }

    #[test]
    fn a_pool_that_comes_back_is_found_at_once() {
        let mut snapshot = Snapshot::default();
        snapshot.record_absent(at(1), "a");
        snapshot.record_absent(at(2), "a");
        assert!(snapshot.record_found(at(3), pool("a")));
        assert!(matches!(snapshot.lookup("a", at(0)), PoolLookup::Found(_)));
    }

    #[test]
    fn a_request_of_unknown_outcome_makes_earlier_misses_worthless() {
        let mut snapshot = Snapshot::default();
        snapshot.record_list(at(1), vec![]);
        snapshot.record_list(at(2), vec![]);
        assert_eq!(snapshot.lookup("a", at(0)), PoolLookup::Absent { reads: 2 });
        snapshot.invalidate(at(3), "a");
        assert_eq!(snapshot.lookup("a", at(0)), PoolLookup::Unknown);
        snapshot.record_list(at(4), vec![]);
        assert_eq!(snapshot.lookup("a", at(0)), PoolLookup::Absent { reads: 1 });
        snapshot.record_absent(at(5), "a");
        assert_eq!(snapshot.lookup("a", at(0)), PoolLookup::Absent { reads: 2 });
        snapshot.invalidate(at(6), "a");
        assert_eq!(snapshot.lookup("a", at(0)), PoolLookup::Unknown);
        snapshot.record_found(at(7), pool("a"));
        snapshot.invalidate(at(8), "a");
        assert!(matches!(snapshot.lookup("a", at(0)), PoolLookup::Found(_)));
    }

    #[test]
    fn memory_does_not_grow_with_pools_that_are_gone() {
        let mut snapshot = Snapshot::default();
        for i in 0..100 {
            snapshot.record_found(at(0), pool(&format!("p{i}")));
        }
        for second in 1..10 {
            snapshot.record_list(at(second), vec![]);
        }
        assert_eq!(snapshot.pools.len(), 0);
        assert_eq!(snapshot.lookup("p1", at(0)), PoolLookup::Absent { reads: 4 });
    }
}
