//! The loop that lists instances, enqueues the claims of those that changed, and deletes orphaned instances.
//!
//! The cloud has no watch. One listing serves all claims: often while something is under way, rarely otherwise.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloudprovider::ProviderError;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kaito_api::{ClaimObject, Machine, NodeClaim};
use kube::Client;
use nodeclaim_plan::garbage::Orphan;
use nodeclaim_plan::observe::{is_unsettled, observe_node};
use nodeclaim_plan::{Settings, cluster, fleet, garbage, orphan};
use operator_runtime::live::{self, Existence};
use operator_runtime::{Cache, Enqueuer, Key, Watched, clock};
use serve::Gate;
use telemetry::{Counter, Gauge, Metrics};
use tokio_util::sync::CancellationToken;

use crate::caches::CacheSource;
use crate::claims::ClaimEnqueuers;
use crate::fleet::FleetReport;
use crate::repairs::Repairs;
use crate::tracked_cloud::TrackedCloud;

/// Intervals between two listings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    /// While something is under way.
    pub(crate) busy: Duration,
    /// Otherwise.
    pub(crate) idle: Duration,
}

/// Polls the cloud.
pub(crate) struct InstancePoller {
    /// The cloud.
    pub(crate) cloud: Arc<TrackedCloud>,
    /// Claims, and Nodes by instance.
    pub(crate) source: CacheSource,
    /// All Nodes.
    pub(crate) nodes: Cache<Node>,
    /// Queues of the claims.
    pub(crate) enqueuers: ClaimEnqueuers,
    /// Queue of the Nodes.
    pub(crate) node_enqueuer: Enqueuer,
    /// For the live read before an instance is deleted.
    pub(crate) client: Client,
    /// Settings of the planner.
    pub(crate) settings: Settings,
    /// Intervals between two listings.
    pub(crate) intervals: Intervals,
    /// Metrics of the loop.
    pub(crate) metrics: PollerMetrics,
    /// The record of instances for people.
    pub(crate) fleet: FleetReport,
    /// Metrics of unhealthy Nodes.
    pub(crate) repairs: Repairs,
    /// Readiness: the settings name the cluster of all instances.
    pub(crate) cluster_gate: Gate,
    /// Readiness: the leader has listed the instances.
    pub(crate) listing_gate: Gate,
    /// The cluster was full at the last listing.
    pub(crate) was_full: AtomicBool,
    /// Instances of upstream without a claim, as they were last reported.
    pub(crate) reported_upstream: Mutex<Vec<String>>,
}

/// Metrics of the loop.
#[derive(Clone, Debug)]
pub(crate) struct PollerMetrics {
    listings: Counter<1>,
    orphans_deleted: Counter<0>,
    last_listing: Gauge<0>,
    unclaimed_upstream: Gauge<0>,
    cluster_full: Gauge<0>,
}

impl PollerMetrics {
    /// Registers the metrics.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            listings: metrics.counter(
                "kaito_instance_listings",
                "Listings of all instances, by result.",
                ["result"],
            ),
            orphans_deleted: metrics.counter(
                "kaito_orphaned_instances_deleted",
                "Instances that were deleted because their claim is gone.",
                [],
            ),
            last_listing: metrics.gauge(
                "kaito_last_instance_listing_timestamp_seconds",
                "Time of the last complete listing of instances.",
                [],
            ),
            unclaimed_upstream: metrics.gauge(
                "kaito_unclaimed_upstream_instances",
                "Instances that another gpu-provisioner created and that no claim has the name of. They are never deleted.",
                [],
            ),
            cluster_full: metrics.gauge(
                "kaito_cluster_full",
                "1 while the cluster has as many instances as it may have and a claim waits for room, otherwise 0.",
                [],
            ),
        }
    }
}

impl InstancePoller {
    /// Polls until the token is canceled. A failed listing is retried.
    pub(crate) async fn run(self, token: CancellationToken) {
        let mut failures = 0u32;
        self.listing_gate
            .set(false, "the instances of the cloud are not listed yet");
        loop {
            let pause = self.poll(&mut failures).await;
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // Bursts of new claims share one listing, and a failing cloud is not asked more often.
                () = self.listing_wanted_after(pause / 4), if failures == 0 => {}
            }
        }
    }

    async fn listing_wanted_after(&self, pause: Duration) {
        tokio::time::sleep(pause.min(self.intervals.busy)).await;
        self.cloud.listing_wanted().await;
    }

    /// Lists once. Returns the time until the next listing.
    async fn poll(&self, failures: &mut u32) -> Duration {
        self.repairs.report(&self.source.claims.all());
        match self.cloud.list().await {
            Ok(changed) => {
                *failures = 0;
                self.listed(&changed).await
            }
            Err(error) => {
                *failures = failures.saturating_add(1);
                let pause = self.failed(&error, *failures);
                if self.cloud.observe(|tracker| tracker.listed_at().is_some()) {
                    self.show_fleet().await;
                }
                pause
            }
        }
    }

    async fn listed(&self, changed: &[String]) -> Duration {
        self.metrics.listings.inc(["ok"]);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        self.metrics
            .last_listing
            .set([], Timestamp::now().as_second() as f64);
        // Claims are launched in the cluster that this check confirms.
        let is_confirmed = self.check_cluster();
        self.listing_gate.set(true, "");
        for name in changed {
            self.enqueuers.enqueue_named(&self.source.claims, name);
        }
        let busy = self.enqueue_unsettled();
        self.enqueue_orphaned_nodes();
        self.report_full();
        if is_confirmed {
            self.delete_orphans().await;
        }
        self.show_fleet().await;
        if busy {
            self.intervals.busy
        } else {
            self.intervals.idle
        }
    }

    fn failed(&self, error: &ProviderError, failures: u32) -> Duration {
        self.metrics.listings.inc([error.class.label()]);
        tracing::warn!(class = error.class.label(), %error, "failed to list instances");
        self.enqueue_unsettled();
        let backoff = self.intervals.busy * 2u32.saturating_pow(failures.min(6));
        let asked = error.retry_after.and_then(|after| Duration::try_from(after).ok());
        backoff.min(self.intervals.idle).max(asked.unwrap_or_default())
    }

    /// Enqueues claims that wait for a listing, or whose instance is being created or deleted.
    fn enqueue_unsettled(&self) -> bool {
        let mut all = self.source.claims.all();
        all.retain(is_unsettled);
        for claim in &all {
            let enqueuer = self.enqueuers.of(claim.claim_kind());
            enqueuer.enqueue(Key::cluster(claim.name()));
        }
        !all.is_empty()
    }

    /// Enqueues the Nodes whose claim is gone: a listing shows that their instance is, too.
    fn enqueue_orphaned_nodes(&self) {
        for node in self.nodes.all() {
            let key = Key::of(node.as_ref());
            let observed = self
                .cloud
                .observe(|tracker| observe_node(&self.source, tracker, node));
            if orphan::is_orphan(&observed) {
                self.node_enqueuer.enqueue(key);
            }
        }
    }

    /// Reports a full cluster once, whatever the number of claims that wait.
    fn report_full(&self) {
        let full = self.cloud.observe(|tracker| tracker.full().cloned());
        let is_full = full.is_some();
        self.metrics.cluster_full.set([], f64::from(u8::from(is_full)));
        let was_full = self.was_full.swap(is_full, Ordering::Relaxed);
        match full {
            Some(full) if !was_full => {
                tracing::warn!(claim = full.claim, "cluster is full; claims wait for room");
            }
            None if was_full => tracing::info!("cluster has room again"),
            _ => {}
        }
    }

    /// Compares the settings with the claims. While an instance is of another cluster, the program is not ready, launches
    /// nothing and collects nothing.
    fn check_cluster(&self) -> bool {
        let claims = self.source.claims.all();
        let conflict = self
            .cloud
            .observe(|tracker| cluster::first_conflict(&claims, tracker, &self.settings));
        let changed = self
            .cloud
            .observe(|tracker| tracker.hold_launches(conflict.is_some()));
        match &conflict {
            Some(conflict) if changed => {
                tracing::error!(
                    conflict,
                    "failed to confirm the cluster; nothing is launched or released"
                );
            }
            None if changed => tracing::info!("confirmed the cluster again"),
            _ => {}
        }
        let reason = conflict.clone().unwrap_or_default();
        self.cluster_gate.set(conflict.is_none(), reason);
        conflict.is_none()
    }

    /// Deletes instances without a claim, and reports those of upstream. Called only after a complete listing.
    async fn delete_orphans(&self) {
        let claims = self.source.claims.all();
        let now = clock::steady();
        let (orphans, of_upstream) = self.cloud.observe(|tracker| {
            let orphans = garbage::collect(now, tracker, &claims, &self.settings);
            (orphans, garbage::unclaimed_upstream(tracker, &claims))
        });
        self.report_upstream(&of_upstream);
        let mut deleted = 0;
        for orphan in orphans {
            if deleted == garbage::MAX_DELETIONS || self.is_claimed(&orphan).await {
                continue;
            }
            let instance = orphan.delete.instance();
            tracing::warn!(instance, claim = orphan.claim_uid, "deleting orphaned instance");
            match self.cloud.call(&orphan.delete).await {
                Ok(_) => {
                    deleted += 1;
                    self.metrics.orphans_deleted.inc([]);
                }
                Err(error) => tracing::warn!(instance, %error, "failed to delete orphaned instance"),
            }
        }
    }

    /// Reports instances of upstream's provisioner without a claim. Nothing proves that they are unused.
    fn report_upstream(&self, names: &[String]) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a cluster has some hundreds of instances"
        )]
        let count = names.len() as f64;
        self.metrics.unclaimed_upstream.set([], count);
        let mut reported = self
            .reported_upstream
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *reported != names {
            if !names.is_empty() {
                let instances = names.join(", ");
                tracing::warn!(
                    instances,
                    "found instances of another gpu-provisioner without a claim"
                );
            }
            *reported = names.to_vec();
        }
    }

    async fn show_fleet(&self) {
        let claims = self.source.claims.all();
        let record = self.cloud.observe(|tracker| {
            let conflict = cluster::first_conflict(&claims, tracker, &self.settings);
            fleet::record(
                tracker,
                &claims,
                &self.settings,
                conflict.as_deref(),
                clock::steady(),
            )
        });
        self.fleet.show(&record).await;
    }

    /// Reads past every cache whether the claim of the instance exists. If in doubt, it does.
    async fn is_claimed(&self, orphan: &Orphan) -> bool {
        self.is_claimed_by::<Machine>(orphan).await || self.is_claimed_by::<NodeClaim>(orphan).await
    }

    async fn is_claimed_by<K: ClaimObject + Watched>(&self, orphan: &Orphan) -> bool {
        match live::existence::<K>(&self.client, orphan.delete.instance()).await {
            Ok(Existence::Absent) => false,
            // A claim of the same name that was made again is another claim.
            Ok(Existence::Exists { uid }) => uid == orphan.claim_uid,
            // A kind that is not served has no objects. One that was listed is served.
            Ok(Existence::NotServed) => self.source.claims.is_listed(K::CLAIM),
            Err(_) => true,
        }
    }
}
