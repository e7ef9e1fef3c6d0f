//! The record of all instances: as gauges, and as a ConfigMap for people who have no access to the cloud.

use std::collections::BTreeMap;

use kaito_api::fleet::{FLEET_KEY, FleetOwner, FleetRecord};
use operator_runtime::{ConfigMapName, ConfigMapPublisher, Runtime};
use telemetry::{Gauge, Metrics};

/// Shows the record.
#[derive(Debug)]
pub(crate) struct FleetReport {
    publisher: Option<ConfigMapPublisher>,
    instances: Gauge<1>,
}

impl FleetReport {
    /// Registers the gauge. Without a name nothing is published.
    pub(crate) fn new(config_map: Option<&ConfigMapName>, runtime: &Runtime, metrics: &Metrics) -> Self {
        Self {
            publisher: config_map.map(|map| ConfigMapPublisher::new(runtime, map)),
            instances: metrics.gauge(
                "kaito_instances",
                "Instances of the cloud by their relation to claims: `claimed`, `orphaned`, `unclaimed_upstream`, `other_cluster` or `foreign`.",
                ["owner"],
            ),
        }
    }

    /// Shows the record. A failed write is tried again after the next listing.
    pub(crate) async fn show(&self, record: &FleetRecord) {
        for owner in FleetOwner::ALL {
            let all = record.instances.iter();
            let count = all.filter(|instance| instance.owner == owner).count();
            #[expect(
                clippy::cast_precision_loss,
                reason = "a cluster has some hundreds of instances"
            )]
            self.instances.set([owner.as_str()], count as f64);
        }
        let Some(publisher) = &self.publisher else {
            return;
        };
        let text = match serde_json::to_string(record) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "failed to serialize the record of instances");
                return;
            }
        };
        let data = BTreeMap::from([(FLEET_KEY.to_owned(), text)]);
        match publisher.publish(&data).await {
            Ok(true) => tracing::info!(instances = record.instances.len(), "published instances"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = %operator_runtime::Chain(&error), "failed to publish instances")
            }
        }
    }
}
