//! The loop that lists agent pools, wakes the Machines that news concerns, and collects pools nobody claims.
//!
//! The cloud has no watch: one listing feeds every Machine, often while something is under way and rarely
//! otherwise.

use std::sync::Arc;
use std::time::Duration;

use cloudprovider::CloudCall;
use jiff::Timestamp;
use kaito_api::conditions::MachineConditionType;
use kaito_api::{Machine, labels};
use kube::{Api, Client, ResourceExt as _};
use machine_plan::{Settings, garbage, managed};
use operator_runtime::{Key, Store, Trigger};
use telemetry::{Counter, Gauge, Metrics};
use tokio_util::sync::CancellationToken;

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
    /// All Machines.
    pub machines: Store<Machine>,
    /// Wakes a Machine's reconcile.
    pub trigger: Trigger,
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
                "Agent pools deleted because no Machine claims them",
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
                    .into_iter()
                    .for_each(|name| self.trigger.enqueue(Key::cluster(name)));
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
                tracing::warn!(class = error.class.label(), %error, "agent pools can't be listed");
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

    // Machines that wait for a listing, or whose pool may be on its way.
    fn wake_unsettled(&self) -> bool {
        let unsettled = self
            .machines
            .filter(|machine| managed::is_managed(machine) && !is_settled(machine));
        unsettled
            .iter()
            .for_each(|machine| self.trigger.enqueue(Key::of(machine.as_ref())));
        !unsettled.is_empty()
    }

    async fn collect(&self) {
        let (pools, first_seen) = self.pools.all();
        let machines = self.machines.all();
        for call in garbage::collect(
            Timestamp::now(),
            &pools,
            &machines,
            &first_seen,
            &self.settings,
            true,
        ) {
            if self.is_claimed(&call).await {
                continue;
            }
            tracing::warn!(
                pool = call.pool(),
                "no Machine claims this agent pool: deleting it"
            );
            match self.pools.carry_out(&call).await {
                Ok(()) => self.metrics.collected.inc([]),
                Err(error) => tracing::warn!(pool = call.pool(), %error, "the cloud refused"),
            }
        }
    }

    // Past every cache; when in doubt, claimed.
    async fn is_claimed(&self, call: &CloudCall) -> bool {
        let api: Api<Machine> = Api::all(self.client.clone());
        let read = tokio::time::timeout(Duration::from_secs(15), api.get_opt(call.pool())).await;
        !matches!(read, Ok(Ok(None)))
    }
}

fn is_settled(machine: &Machine) -> bool {
    let ready = machine
        .status
        .as_ref()
        .is_some_and(|status| status.is_true(MachineConditionType::Ready));
    let protected = machine
        .finalizers()
        .iter()
        .any(|f| f == labels::TERMINATION_FINALIZER);
    ready && protected && machine.metadata.deletion_timestamp.is_none()
}
