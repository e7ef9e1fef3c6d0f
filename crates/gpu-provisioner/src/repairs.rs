//! Replacements of Nodes: the live read before one, and their metrics.

use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::conditions::{ClaimConditionType, ClaimReason};
use kube::Client;
use nodeclaim_plan::REPLACEMENT_CAUSES;
use operator_runtime::live;
use telemetry::{Counter, Gauge, Metrics};

/// Reasons of claims whose Node is unhealthy.
const REASONS: [ClaimReason; 5] = [
    ClaimReason::NodeUnhealthy,
    ClaimReason::GpusLost,
    ClaimReason::NodeRepairHeld,
    ClaimReason::NodeRepairForbidden,
    ClaimReason::SpotNodeReclaimed,
];

/// Live reads and metrics; clones share them.
#[derive(Clone)]
pub(crate) struct Repairs {
    client: Client,
    replaced: Counter<1>,
    unhealthy: Gauge<1>,
}

impl std::fmt::Debug for Repairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repairs").finish_non_exhaustive()
    }
}

impl Repairs {
    /// Registers the metrics.
    pub(crate) fn new(client: &Client, metrics: &Metrics) -> Self {
        let replaced = metrics.counter(
            "kaito_nodes_replaced",
            "Claims given up because their Node was unhealthy or outdated, or its spot capacity was reclaimed, by cause.",
            ["cause"],
        );
        // A rate needs a first value: an alert would miss the first replacement otherwise.
        for cause in REPLACEMENT_CAUSES {
            replaced.add([cause], 0);
        }
        Self {
            client: client.clone(),
            replaced,
            unhealthy: metrics.gauge(
                "kaito_unhealthy_nodes",
                "Claims whose Node is unhealthy, by the reason of their condition NodeHealthy.",
                ["reason"],
            ),
        }
    }

    /// Reads a Node past the caches. `None` if the API server does not answer; an empty answer if the Node is gone.
    pub(crate) async fn read(&self, node: &str) -> Option<Option<Node>> {
        match live::named::<Node>(&self.client, node).await {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::warn!(node, %error, "failed to read unhealthy node, keeping it");
                None
            }
        }
    }

    /// Counts a replacement.
    pub(crate) fn count(&self, cause: &'static str) {
        tracing::warn!(cause, "replacing node");
        self.replaced.inc([cause]);
    }

    /// Reports the claims with unhealthy Nodes.
    pub(crate) fn report(&self, claims: &[Claim]) {
        for reason in REASONS {
            let is_so = |claim: &&Claim| {
                claim
                    .condition(ClaimConditionType::NodeHealthy)
                    .is_some_and(|found| found.reason == reason.as_str())
            };
            let count = u32::try_from(claims.iter().filter(is_so).count()).unwrap_or(u32::MAX);
            self.unhealthy.set([reason.as_str()], f64::from(count));
        }
    }
}
