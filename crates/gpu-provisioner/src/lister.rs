//! The loop that lists agent pools, wakes the claims that news concerns, and collects pools nobody claims.
//!
//! The cloud has no watch: one listing feeds every claim, often while something is under way and rarely
//! otherwise.

use std::sync::Arc;
use std::time::Duration;

use cloudprovider::CloudCall;
use jiff::Timestamp;
use kaito_api::{Machine, NodeClaim};
use kube::{Api, Client};
use nodeclaim_plan::observe::is_unsettled;
use nodeclaim_plan::{Settings, garbage};
use operator_runtime::Key;
use telemetry::{Counter, Gauge, Metrics};
use tokio_util::sync::CancellationToken;

use crate::claims::{ClaimObject, Claims, Triggers};
use crate::pools::Pools;

/// How often the cloud is listed.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// While something is under way.
    pub busy: Duration,
    /// Otherwise.
    pub idle: Duration,
}

/// Everything the loop needs.
#[expect(missing_debug_implementations, reason = "the client has none")]
pub struct Lister {
    /// The cloud.
    pub pools: Arc<Pools>,
    /// All claims.
    pub claims: Claims,
    /// Wake the reconciles of claims.
    pub triggers: Triggers,
    /// For the one live read before a pool is collected.
    pub client: Client,
    /// The planner's settings.
    pub settings: Settings,
    /// How often.
    pub intervals: Intervals,
    /// Counts.
    pub metrics: ListerMetrics,
}

/// What the loop counts.
#[derive(Clone, Debug)]
pub struct ListerMetrics {
    listings: Counter<1>,
    collected: Counter<0>,
    last: Gauge<0>,
}

impl ListerMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            listings: metrics.counter("agent_pool_listings", "Listings of agent pools", ["result"]),
            collected: metrics.counter(
                "agent_pools_collected",
                "Agent pools deleted because no claim of either kind has their name",
                [],
            ),
            last: metrics.gauge(
                "agent_pool_last_listing_seconds",
                "Unix time of the last complete listing",
                [],
            ),
        }
    }
}

impl Lister {
    /// Lists until the token is cancelled.
    ///
    /// # Errors
    /// Never so far: failed listings are retried.
    pub async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        let mut failures = 0u32;
        loop {
            let pause = self.list(&mut failures).await;
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
                // Bursts of new claims share one listing, and a failing cloud is not asked more often.
                () = self.wanted_after(pause / 4), if failures == 0 => {}
            }
        }
    }

    async fn wanted_after(&self, pause: Duration) {
        tokio::time::sleep(pause.min(self.intervals.busy)).await;
        self.pools.wanted().await;
    }

    async fn list(&self, failures: &mut u32) -> Duration {
        match self.pools.refresh().await {
            Ok(touched) => {
                *failures = 0;
                self.metrics.listings.inc(["ok"]);
                #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
                self.metrics.last.set([], Timestamp::now().as_second() as f64);
                touched
                    .iter()
                    .for_each(|name| self.triggers.wake(&self.claims, name));
                let busy = self.wake_unsettled();
                self.collect().await;
                if busy {
                    self.intervals.busy
                } else {
                    self.intervals.idle
                }
            }
            Err(error) => {
                *failures = failures.saturating_add(1);
                self.metrics.listings.inc([error.class.label()]);
                tracing::warn!(class = error.class.label(), %error, "agent pools cannot be listed");
                self.wake_unsettled();
                let backoff = self.intervals.busy * 2u32.saturating_pow((*failures).min(6));
                let asked = error
                    .retry_after
                    .and_then(|after| Duration::try_from(after).ok())
                    .unwrap_or_default();
                backoff.min(self.intervals.idle).max(asked)
            }
        }
    }

    // Claims that wait for a listing, or whose pool may be on its way.
    fn wake_unsettled(&self) -> bool {
        let mut all = self.claims.all();
        all.retain(is_unsettled);
        for claim in &all {
            let trigger = self.triggers.of(claim.claim_kind());
            trigger.enqueue(Key::cluster(claim.name()));
        }
        !all.is_empty()
    }

    async fn collect(&self) {
        let (pools, first_seen) = self.pools.all();
        let claims = self.claims.all();
        for call in garbage::collect(Timestamp::now(), &pools, &claims, &first_seen, &self.settings) {
            if self.is_claimed(&call).await {
                continue;
            }
            tracing::warn!(
                pool = call.instance(),
                "nobody claims this agent pool: deleting it"
            );
            match self.pools.carry_out(&call).await {
                Ok(_) => self.metrics.collected.inc([]),
                Err(error) => tracing::warn!(pool = call.instance(), %error, "the cloud refused"),
            }
        }
    }

    // Past every cache; when in doubt, claimed.
    async fn is_claimed(&self, call: &CloudCall) -> bool {
        self.is_claimed_by::<Machine>(call.instance()).await
            || self.is_claimed_by::<NodeClaim>(call.instance()).await
    }

    async fn is_claimed_by<K: ClaimObject>(&self, name: &str) -> bool {
        let api: Api<K> = Api::all(self.client.clone());
        match tokio::time::timeout(Duration::from_secs(15), api.get_opt(name)).await {
            Ok(Ok(None)) => false,
            // A kind that is not served has no objects; one that we watch is served.
            Ok(Err(kube::Error::Api(status))) => status.code != 404 || self.claims.is_listed(K::CLAIM),
            Ok(_) | Err(_) => true,
        }
    }
}
