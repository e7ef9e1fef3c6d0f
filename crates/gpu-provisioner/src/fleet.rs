//! The record of all instances: as gauges, and as a ConfigMap for people who have no access to the cloud.

use std::collections::BTreeMap;
use std::str::FromStr;

use kaito_api::fleet::{FLEET_KEY, FleetOwner, FleetRecord};
use operator_runtime::{ConfigMapPublisher, Runtime};
use telemetry::{Gauge, Metrics};

/// Name of the ConfigMap, as `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetConfigMap {
    namespace: String,
    name: String,
}

impl FromStr for FleetConfigMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split('/').collect::<Vec<_>>()[..] {
            [namespace, name] if !namespace.is_empty() && !name.is_empty() => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(format!("expected NAMESPACE/NAME, not `{text}`")),
        }
    }
}

/// Shows the record.
#[derive(Debug)]
pub(crate) struct FleetReport {
    publisher: Option<ConfigMapPublisher>,
    instances: Gauge<1>,
}

impl FleetReport {
    /// Registers the gauge. Without a name nothing is published.
    pub(crate) fn new(config_map: Option<&FleetConfigMap>, runtime: &Runtime, metrics: &Metrics) -> Self {
        Self {
            publisher: config_map.map(|map| ConfigMapPublisher::new(runtime, &map.namespace, &map.name)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_namespace_and_a_name() {
        let map: FleetConfigMap = "kaito-system/kaito-fleet".parse().unwrap();
        assert_eq!(
            (map.namespace.as_str(), map.name.as_str()),
            ("kaito-system", "kaito-fleet")
        );
        for bad in ["", "a", "/a", "a/", "a/b/c"] {
            assert!(bad.parse::<FleetConfigMap>().is_err(), "{bad}");
        }
    }
}
