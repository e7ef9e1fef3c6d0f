//! Machines, and Nodes whose Machine is gone, as the runtime drives them.

use std::sync::Arc;
use std::time::Duration;

use cloudprovider::{CloudCall, PoolLookup, ProviderError};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kaito_api::Machine;
use machine_plan::{Observed, Settings, node_orphan};
use operator_runtime::{Error, Key, Reconciler};
use plan::{Kind, Plan};

use crate::observe::{Stores, pool_names};
use crate::pools::Pools;

/// How soon the answer to a call is looked at.
const SOON: Duration = Duration::from_millis(20);
/// How soon after a failed call, unless the cloud asks for longer.
const LATER: Duration = Duration::from_secs(1);

/// Machines.
#[derive(Debug)]
pub struct Machines {
    /// What is observed.
    pub stores: Stores,
    /// The cloud.
    pub pools: Arc<Pools>,
    /// The planner's settings.
    pub settings: Settings,
}

impl Reconciler for Machines {
    const KIND: Kind = Kind::Machine;
    type Object = Machine;
    type Observed = Observed;
    type Cloud = CloudCall;

    async fn observe(&self, object: Arc<Machine>) -> Result<Observed, Error> {
        Ok(self.stores.observe(object, &self.pools, Timestamp::now()))
    }

    fn plan(&self, now: Timestamp, observed: &Observed) -> Plan<CloudCall> {
        machine_plan::plan(now, observed, &self.settings)
    }

    async fn call(&self, object: &Machine, call: CloudCall) -> Result<Option<Duration>, Error> {
        let result = self.pools.carry_out(&call).await;
        if let Err(error) = &result {
            let machine = object.metadata.name.as_deref().unwrap_or_default();
            tracing::warn!(machine, call = call.kind().label(), class = error.class.label(), %error, "the cloud refused");
        }
        Ok(Some(result.map_or_else(|error| pause_after(&error), |()| SOON)))
    }

    fn gone(&self, key: &Key) {
        self.pools.forget(&key.name);
    }
}

fn pause_after(error: &ProviderError) -> Duration {
    error
        .retry_after
        .and_then(|after| Duration::try_from(after).ok())
        .map_or(LATER, |after| after.max(SOON))
}

/// Nodes whose Machine is gone: nobody else removes our finalizer from them.
#[derive(Debug)]
pub struct OrphanNodes {
    /// What is observed.
    pub stores: Stores,
    /// The cloud.
    pub pools: Arc<Pools>,
}

/// A Node and what decides about it.
#[derive(Debug)]
pub struct ObservedNode {
    node: Arc<Node>,
    machine_exists: bool,
    pool: PoolLookup,
}

impl Reconciler for OrphanNodes {
    const KIND: Kind = Kind::Node;
    type Object = Node;
    type Observed = ObservedNode;
    type Cloud = CloudCall;

    async fn observe(&self, node: Arc<Node>) -> Result<ObservedNode, Error> {
        let pool = pool_names(&node).into_iter().next().unwrap_or_default();
        Ok(ObservedNode {
            machine_exists: self.stores.machines.get(&Key::cluster(pool.clone())).is_some(),
            pool: self.pools.lookup(&pool),
            node,
        })
    }

    fn plan(&self, now: Timestamp, observed: &ObservedNode) -> Plan<CloudCall> {
        node_orphan::plan_node(now, &observed.node, observed.machine_exists, &observed.pool)
    }

    async fn call(&self, _: &Node, call: CloudCall) -> Result<Option<Duration>, Error> {
        let result = self.pools.carry_out(&call).await;
        Ok(Some(result.map_or_else(|error| pause_after(&error), |()| SOON)))
    }
}
