//! Reconcilers of claims and of orphaned Nodes: observe → plan → execute, where the plan may hold one call to the cloud.
//!
//! `nodeclaim_plan` decides; `operator_runtime/reconcile.rs` runs the steps.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use cloudprovider::{CallKind, CloudCall, ErrorClass, ProviderError};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kaito_api::ClaimObject;
use nodeclaim_plan::observe::observe_node;
use nodeclaim_plan::{Observed, ObservedNode, Settings, orphan};
use operator_runtime::{Error, Key, Reconciler, Watched, clock};
use plan::{Kind, Plan, RefusedWrite, Report};

use crate::caches::CacheSource;
use crate::repairs::Repairs;
use crate::tracked_cloud::TrackedCloud;

/// Time until the next reconcile after a call that succeeded.
const AFTER_SUCCESS: Duration = Duration::from_millis(20);
/// Time until the next reconcile after a call that failed, unless the cloud asks for longer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Reconciler of the claims of one kind.
#[derive(Debug)]
pub(crate) struct ClaimReconciler<K> {
    caches: CacheSource,
    cloud: Arc<TrackedCloud>,
    settings: Settings,
    repairs: Repairs,
    kind: PhantomData<K>,
}

impl<K> ClaimReconciler<K> {
    /// A reconciler of the claims in `caches`.
    pub(crate) fn new(
        caches: CacheSource,
        cloud: Arc<TrackedCloud>,
        settings: Settings,
        repairs: Repairs,
    ) -> Self {
        let kind = PhantomData;
        Self {
            caches,
            cloud,
            settings,
            repairs,
            kind,
        }
    }

    /// Asks for the replacement of the claim's Node, if that is due. A deletion is final, so the Node is read live.
    async fn ask_for_repair(&self, observed: &mut Observed) {
        let Some(node) = nodeclaim_plan::due_node(clock::now(), observed, &self.settings) else {
            return;
        };
        let live = self.repairs.read(&node).await;
        self.cloud.observe(|tracker| {
            let clocks = (clock::steady(), clock::ahead_of_steady());
            nodeclaim_plan::authorize(&self.caches, tracker, observed, live, &self.settings, clocks);
        });
    }
}

impl<K: ClaimObject + Watched> Reconciler for ClaimReconciler<K> {
    const KIND: Kind = Kind::of_claim(K::CLAIM);
    type Object = K;
    type Observed = Observed;
    type Cloud = CloudCall;

    async fn observe(&self, object: Arc<K>) -> Result<Observed, Error> {
        let mut observed = self.cloud.observe(|tracker| {
            let (steady, ahead) = (clock::steady(), clock::ahead_of_steady());
            nodeclaim_plan::observe(
                &self.caches,
                tracker,
                object.claim(),
                &self.settings,
                steady,
                ahead,
            )
        });
        self.ask_for_repair(&mut observed).await;
        Ok(observed)
    }

    fn plan(&self, now: Timestamp, observed: &Observed) -> Plan<CloudCall> {
        let plan = nodeclaim_plan::plan(now, observed, &self.settings);
        if let Some(cause) = nodeclaim_plan::replacement(&plan)
            && self
                .cloud
                .observe(|tracker| tracker.begin_replacement(observed.claim.name()))
        {
            self.repairs.count(cause);
        }
        plan
    }

    fn report(&self, now: Timestamp, observed: &Observed, refusals: &[RefusedWrite]) -> Report {
        nodeclaim_plan::report(now, &observed.claim, refusals)
    }

    async fn call(&self, _: &K, call: CloudCall) -> Result<Option<Duration>, Error> {
        Ok(send(&self.cloud, &call).await)
    }

    fn on_deleted(&self, key: &Key) {
        // The facts under the name may belong to a claim of the other kind, which still needs them.
        if self.caches.claims.named(&key.name).is_empty() {
            self.cloud.forget(&key.name);
        }
    }
}

/// Reconciler of Nodes whose claim is gone: no other program removes our finalizer from them.
#[derive(Debug)]
pub(crate) struct OrphanReconciler {
    pub(crate) caches: CacheSource,
    pub(crate) cloud: Arc<TrackedCloud>,
}

impl Reconciler for OrphanReconciler {
    const KIND: Kind = Kind::Node;
    type Object = Node;
    type Observed = ObservedNode;
    type Cloud = CloudCall;

    async fn observe(&self, node: Arc<Node>) -> Result<ObservedNode, Error> {
        Ok(self
            .cloud
            .observe(|tracker| observe_node(&self.caches, tracker, node)))
    }

    fn plan(&self, _now: Timestamp, observed: &ObservedNode) -> Plan<CloudCall> {
        orphan::plan_node(observed)
    }

    async fn call(&self, _: &Node, call: CloudCall) -> Result<Option<Duration>, Error> {
        Ok(send(&self.cloud, &call).await)
    }
}

/// Sends a call. Returns the time until its result is looked at; `None` if it changes nothing, so that the plan's own
/// time counts.
async fn send(cloud: &TrackedCloud, call: &CloudCall) -> Option<Duration> {
    match cloud.call(call).await {
        Ok(news) => news.then_some(AFTER_SUCCESS),
        Err(error) if error.class == ErrorClass::LocallyLimited => Some(pause_after(&error)),
        Err(error) => {
            let (instance, verb, class) = (call.instance(), call.kind().label(), error.class.label());
            tracing::warn!(instance, call = verb, class, %error, "failed to call the cloud");
            // The document of an operation is read again when the plan says so.
            (call.kind() != CallKind::ReadOperation).then(|| pause_after(&error))
        }
    }
}

fn pause_after(error: &ProviderError) -> Duration {
    let asked = error.retry_after.and_then(|after| Duration::try_from(after).ok());
    asked.map_or(AFTER_FAILURE, |after| after.max(AFTER_SUCCESS))
}
