//! A cloud of agent pools over simulated time: requests are taken, operations run, pools come and go.
//!
//! It answers as the recordings of Azure's agent-pool API do, mapped to the port's types. Nodes are not its
//! business: [`Cloud::advance`] tells what happened to the machines behind the pools.

pub mod faults;
pub mod operations;
pub mod requests;

use std::collections::BTreeMap;

use cloudprovider::{Instance, InstanceState, OperationStatus};
use jiff::{SignedDuration, Timestamp};

pub use faults::{Fault, Faults};

/// How long things take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the request to a made pool.
    pub create: SignedDuration,
    /// From the request to a pool that is gone.
    pub delete: SignedDuration,
    /// From the request for a pool to a Node that has joined; before or after the pool is made.
    pub join: SignedDuration,
    /// From joining to readiness.
    pub ready: SignedDuration,
    /// From joining to GPUs that are offered.
    pub devices: SignedDuration,
    /// From the end of an instance to the removal of its Node by the cloud's node controller.
    pub forget_node: SignedDuration,
    /// By how much listings lag behind single reads.
    pub list_lag: SignedDuration,
    /// Deleting a pool that is being made is refused.
    pub refuses_early_delete: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            create: SignedDuration::from_secs(180),
            delete: SignedDuration::from_secs(50),
            join: SignedDuration::from_secs(200),
            ready: SignedDuration::from_secs(20),
            devices: SignedDuration::from_secs(45),
            forget_node: SignedDuration::from_secs(40),
            list_lag: SignedDuration::ZERO,
            refuses_early_delete: false,
        }
    }
}

/// Something that happened to the machine behind a pool.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// A machine boots; its Node joins at the given time.
    Boots {
        /// The pool as it was asked for.
        pool: Box<Instance>,
        /// When the Node joins.
        joins: Timestamp,
    },
    /// The machine of this pool is gone.
    Ends {
        /// Name of the pool.
        pool: String,
    },
}

#[derive(Clone, Debug)]
struct Pool {
    facts: Instance,
    work: Option<Work>,
}

#[derive(Clone, Debug)]
struct Work {
    until: Timestamp,
    ends: Ending,
    url: String,
}

#[derive(Clone, Debug)]
enum Ending {
    Made,
    MadeWithoutNode,
    Failed(cloudprovider::ProviderError),
    Canceled,
    Gone,
}

/// The cloud.
#[derive(Clone, Debug)]
pub struct Cloud {
    now: Timestamp,
    /// How long things take; may be changed at any time.
    pub pace: Pace,
    /// What goes wrong.
    pub faults: Faults,
    pools: BTreeMap<String, Pool>,
    operations: BTreeMap<String, OperationStatus>,
    happenings: Vec<Happening>,
    history: Vec<(Timestamp, Vec<Instance>)>,
    requests: Vec<(Timestamp, String)>,
    counter: u64,
}

impl Cloud {
    /// A cloud without pools.
    #[must_use]
    pub fn new(now: Timestamp, pace: Pace) -> Self {
        Self {
            now,
            pace,
            faults: Faults::default(),
            pools: BTreeMap::new(),
            operations: BTreeMap::new(),
            happenings: Vec::new(),
            history: vec![(now, Vec::new())],
            requests: Vec::new(),
            counter: 0,
        }
    }

    /// Every pool as it truly is, by name.
    pub fn pools(&self) -> impl Iterator<Item = &Instance> {
        self.pools.values().map(|pool| &pool.facts)
    }

    /// One pool as it truly is.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&Instance> {
        self.pools.get(name).map(|pool| &pool.facts)
    }

    /// Every request that changes something, in order, and when it came.
    #[must_use]
    pub fn requests(&self) -> &[(Timestamp, String)] {
        &self.requests
    }

    /// Puts a pool there that nobody asked us for; it stays as it is.
    pub fn plant(&mut self, mut pool: Instance) {
        pool.version = Some(self.next_version());
        self.pools.insert(
            pool.name.clone(),
            Pool {
                facts: pool,
                work: None,
            },
        );
        self.remember();
    }

    /// Removes a pool and its machine behind everybody's back.
    pub fn lose(&mut self, name: &str) {
        if self.pools.remove(name).is_some() {
            self.happenings.push(Happening::Ends {
                pool: name.to_owned(),
            });
            self.remember();
        }
    }

    /// When something will happen next, if anything will.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.pools
            .values()
            .filter_map(|pool| pool.work.as_ref())
            .map(|work| work.until)
            .min()
    }

    /// Moves the clock; what is due is told by [`Self::advance`].
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Moves the clock and tells what happened to machines since the last call.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Happening> {
        self.now = now;
        let due: Vec<String> = self
            .pools
            .iter()
            .filter(|(_, pool)| pool.work.as_ref().is_some_and(|work| work.until <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.finish(&name);
        }
        std::mem::take(&mut self.happenings)
    }

    fn finish(&mut self, name: &str) {
        let version = self.next_version();
        let Some(pool) = self.pools.get_mut(name) else {
            return;
        };
        let Some(work) = pool.work.take() else { return };
        pool.facts.version = Some(version);
        let (state, result) = outcome(&work.ends);
        pool.facts.state = state;
        self.operations.insert(work.url, result);
        if matches!(work.ends, Ending::Gone) {
            self.lose(name);
        }
        self.remember();
    }

    fn next_version(&mut self) -> String {
        self.counter += 1;
        format!("etag-{}", self.counter)
    }

    fn remember(&mut self) {
        let pools = self.pools().cloned().collect();
        self.history.push((self.now, pools));
    }
}

fn outcome(ending: &Ending) -> (InstanceState, OperationStatus) {
    match ending {
        Ending::Made | Ending::MadeWithoutNode => (InstanceState::Succeeded, OperationStatus::Succeeded),
        Ending::Failed(error) => (InstanceState::Failed, OperationStatus::Failed(error.clone())),
        Ending::Canceled => {
            let error = faults::error(
                cloudprovider::ErrorClass::Transient,
                "Canceled",
                "the operation was cancelled",
            );
            (InstanceState::Canceled, OperationStatus::Failed(error))
        }
        Ending::Gone => (InstanceState::Deleting, OperationStatus::Succeeded),
    }
}
