//! A cloud over simulated time: it accepts requests, runs operations, and creates and deletes instances.
//!
//! It responds as recordings of a real cloud's API do, mapped to the port's types. It has no Nodes:
//! [`Cloud::advance`] returns the events of the machines, which the kubelet simulates.

pub mod budgets;
pub mod faults;
pub mod operations;
pub mod quota;
pub mod requests;
mod scarcity;
mod stock;
pub mod supply;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudprovider::{Instance, InstanceState, LaunchSpec, Offering, OperationStatus};
use jiff::{SignedDuration, Timestamp};

pub use budgets::{Budgets, Counted};
pub use faults::{Fault, Faults};
pub use quota::Quotas;
pub use supply::{Attempt, Supply};

/// Durations of operations and boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the request to a created instance.
    pub create: SignedDuration,
    /// From the request to an instance that is gone.
    pub delete: SignedDuration,
    /// From the request to a Node that has joined, before or after the instance is created.
    pub join: SignedDuration,
    /// From joining to readiness.
    pub ready: SignedDuration,
    /// From joining to GPUs that are offered.
    pub devices: SignedDuration,
    /// From the end of an instance to the removal of its Node by the cloud's node controller.
    pub forget_node: SignedDuration,
    /// Lag of listings behind single reads.
    pub list_lag: SignedDuration,
    /// Refuse to delete an instance that is being created.
    pub refuses_early_delete: bool,
    /// Show the reason of a failure in the operation only, as an older version of the API does.
    pub hides_failures: bool,
    /// From the request to a stopped or started instance.
    pub power: SignedDuration,
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
            hides_failures: false,
            power: SignedDuration::from_secs(90),
        }
    }
}

/// An event of the machine behind an instance.
#[derive(Clone, Debug, PartialEq)]
pub enum MachineEvent {
    /// A machine boots; its Node joins at the given time.
    Boots {
        /// The instance as it was requested.
        pool: Box<Instance>,
        /// Time at which the Node joins.
        joins: Timestamp,
    },
    /// The machine of this instance is gone.
    Ends {
        /// Name of the instance.
        pool: String,
    },
}

#[derive(Clone, Debug)]
struct Pool {
    facts: Arc<Instance>,
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
    /// Stopped if true, otherwise started.
    Power(bool),
}

/// The cloud.
#[derive(Clone, Debug)]
pub struct Cloud {
    now: Timestamp,
    /// Durations of operations and boots; may be changed at any time.
    pub pace: Pace,
    /// Faults of requests.
    pub faults: Faults,
    /// Instance types of which no machine is free, in lower case.
    pub scarce: BTreeSet<String>,
    /// The cluster is stopped, so changes are refused.
    pub stopped: bool,
    /// Machines that the cloud has of scarce offerings. Others are unlimited.
    pub supply: BTreeMap<Offering, Supply>,
    /// Most vCPUs that may be used.
    pub quotas: Quotas,
    /// Budgets of requests; none if every request is answered.
    pub budgets: Option<Budgets>,
    /// Offerings of the machines of other provisioners, by name.
    elsewhere: BTreeMap<String, Offering>,
    attempts: Vec<Attempt>,
    pools: BTreeMap<String, Pool>,
    operations: BTreeMap<String, OperationStatus>,
    events: Vec<MachineEvent>,
    /// Instances after each change.
    history: Vec<(Timestamp, Vec<Arc<Instance>>)>,
    requests: Vec<(Timestamp, String)>,
    late: Vec<(Timestamp, LaunchSpec)>,
    counter: u64,
}

impl Cloud {
    /// A cloud without instances.
    #[must_use]
    pub fn new(now: Timestamp, pace: Pace) -> Self {
        Self {
            now,
            pace,
            faults: Faults::default(),
            scarce: BTreeSet::new(),
            stopped: false,
            supply: BTreeMap::new(),
            quotas: Quotas::default(),
            budgets: None,
            elsewhere: BTreeMap::new(),
            attempts: Vec::new(),
            pools: BTreeMap::new(),
            operations: BTreeMap::new(),
            events: Vec::new(),
            history: vec![(now, Vec::new())],
            requests: Vec::new(),
            late: Vec::new(),
            counter: 0,
        }
    }

    /// Every instance in its true state, by name.
    pub fn pools(&self) -> impl Iterator<Item = &Instance> {
        self.pools.values().map(|pool| pool.facts.as_ref())
    }

    /// Number of changes of instances so far.
    pub(crate) fn changes(&self) -> usize {
        self.history.len()
    }

    /// One instance in its true state.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&Instance> {
        self.pools.get(name).map(|pool| pool.facts.as_ref())
    }

    /// Every request that changes something, in order, and its time.
    #[must_use]
    pub fn requests(&self) -> &[(Timestamp, String)] {
        &self.requests
    }

    /// Returns true if a create request of this name was sent and has not taken effect yet.
    #[must_use]
    pub fn is_late(&self, name: &str) -> bool {
        self.late.iter().any(|(_, spec)| spec.name == name)
    }

    /// Adds an instance that no claim requested; it never changes by itself.
    pub fn plant(&mut self, mut pool: Instance) {
        pool.version = Some(self.next_version());
        self.pools.insert(
            pool.name.clone(),
            Pool {
                facts: Arc::new(pool),
                work: None,
            },
        );
        self.remember();
    }

    /// Removes an instance and its machine without a request.
    pub fn lose(&mut self, name: &str) {
        if self.pools.remove(name).is_some() {
            self.events.push(MachineEvent::Ends {
                pool: name.to_owned(),
            });
            self.remember();
        }
    }

    /// Time of the next event, if there is one.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.pools
            .values()
            .filter_map(|pool| pool.work.as_ref())
            .map(|work| work.until)
            .chain(self.late.iter().map(|(at, _)| *at))
            .min()
    }

    /// Moves the clock. [`Self::advance`] carries out what is due.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Moves the clock, and returns the events of machines since the last call.
    pub fn advance(&mut self, now: Timestamp) -> Vec<MachineEvent> {
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
        self.begin_late();
        std::mem::take(&mut self.events)
    }

    fn finish(&mut self, name: &str) {
        let version = self.next_version();
        let Some(pool) = self.pools.get_mut(name) else {
            return;
        };
        let Some(work) = pool.work.take() else { return };
        let facts = Arc::make_mut(&mut pool.facts);
        facts.version = Some(version);
        let (state, result) = outcome(&work.ends);
        facts.state = state;
        facts.failure = match &result {
            OperationStatus::Failed(error) if !self.pace.hides_failures => Some(error.clone()),
            _ => None,
        };
        if let Ending::Power(stopped) = work.ends {
            facts.stopped = stopped;
        }
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
        let pools = self.pools.values().map(|pool| Arc::clone(&pool.facts));
        self.history.push((self.now, pools.collect()));
    }
}

fn outcome(ending: &Ending) -> (InstanceState, OperationStatus) {
    match ending {
        Ending::Made | Ending::MadeWithoutNode | Ending::Power(_) => {
            (InstanceState::Succeeded, OperationStatus::Succeeded(None))
        }
        Ending::Failed(error) => (InstanceState::Failed, OperationStatus::Failed(error.clone())),
        Ending::Canceled => {
            let error = faults::error(
                cloudprovider::ErrorClass::Transient,
                "Canceled",
                "the operation was canceled",
            );
            (InstanceState::Canceled, OperationStatus::Failed(error))
        }
        Ending::Gone => (InstanceState::Deleting, OperationStatus::Succeeded(None)),
    }
}
