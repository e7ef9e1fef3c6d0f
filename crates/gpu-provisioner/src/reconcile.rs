//! Claims, and Nodes whose claim is gone, as the runtime drives them.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use cloudprovider::{CloudCall, ProviderError};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kaito_api::ClaimKind;
use nodeclaim_plan::observe::observe_node;
use nodeclaim_plan::orphan;
use nodeclaim_plan::{Observed, ObservedNode, Settings};
use operator_runtime::{Error, Key, Reconciler};
use plan::{Kind, Plan};

use crate::claims::ClaimObject;
use crate::observe::Stores;
use crate::pools::Pools;

/// How soon the answer to a call is looked at.
const SOON: Duration = Duration::from_millis(20);
/// How soon after a failed call, unless the cloud asks for longer.
const LATER: Duration = Duration::from_secs(1);

/// Claims of one kind.
#[derive(Debug)]
pub struct ClaimsOf<K> {
    /// What is observed.
    pub stores: Stores,
    /// The cloud.
    pub pools: Arc<Pools>,
    /// The planner's settings.
    pub settings: Settings,
    kind: PhantomData<K>,
}

impl<K> ClaimsOf<K> {
    /// Claims that `stores` show.
    #[must_use]
    pub fn new(stores: Stores, pools: Arc<Pools>, settings: Settings) -> Self {
        let kind = PhantomData;
        Self {
            stores,
            pools,
            settings,
            kind,
        }
    }
}

impl<K: ClaimObject> Reconciler for ClaimsOf<K> {
    const KIND: Kind = match K::CLAIM {
        ClaimKind::Machine => Kind::Machine,
        ClaimKind::NodeClaim => Kind::NodeClaim,
    };
    type Object = K;
    type Observed = Observed;
    type Cloud = CloudCall;

    async fn observe(&self, object: Arc<K>) -> Result<Observed, Error> {
        Ok(self.pools.observe(|tracker| {
            nodeclaim_plan::observe(&self.stores, tracker, object.claim(), Timestamp::now())
        }))
    }

    fn plan(&self, now: Timestamp, observed: &Observed) -> Plan<CloudCall> {
        nodeclaim_plan::plan(now, observed, &self.settings)
    }

    async fn call(&self, object: &K, call: CloudCall) -> Result<Option<Duration>, Error> {
        let result = self.pools.carry_out(&call).await;
        if let Err(error) = &result {
            let claim = object.meta().name.as_deref().unwrap_or_default();
            tracing::warn!(claim, call = call.kind().label(), class = error.class.label(), %error, "the cloud refused");
        }
        Ok(pause(&result))
    }

    fn on_deleted(&self, key: &Key) {
        // A claim of the other kind may have the name: then what is remembered is its own.
        if self.stores.claims.named(&key.name).is_empty() {
            self.pools.forget(&key.name);
        }
    }
}

/// Time until the result of a call is looked at; `None` if it changes nothing, so that the plan's own wait counts.
fn pause(result: &Result<bool, ProviderError>) -> Option<Duration> {
    match result {
        Ok(news) => news.then_some(SOON),
        Err(error) => {
            let asked = error.retry_after.and_then(|after| Duration::try_from(after).ok());
            Some(asked.map_or(LATER, |after| after.max(SOON)))
        }
    }
}

/// Nodes whose claim is gone: nobody else removes our finalizer from them.
#[derive(Debug)]
pub struct OrphanNodes {
    /// What is observed.
    pub stores: Stores,
    /// The cloud.
    pub pools: Arc<Pools>,
}

impl Reconciler for OrphanNodes {
    const KIND: Kind = Kind::Node;
    type Object = Node;
    type Observed = ObservedNode;
    type Cloud = CloudCall;

    async fn observe(&self, node: Arc<Node>) -> Result<ObservedNode, Error> {
        Ok(self
            .pools
            .observe(|tracker| observe_node(&self.stores, tracker, node)))
    }

    fn plan(&self, _now: Timestamp, observed: &ObservedNode) -> Plan<CloudCall> {
        orphan::plan_node(observed)
    }

    async fn call(&self, _: &Node, call: CloudCall) -> Result<Option<Duration>, Error> {
        let result = self.pools.carry_out(&call).await;
        Ok(pause(&result))
    }
}
