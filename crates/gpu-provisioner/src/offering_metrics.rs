//! The gauge of offerings that cannot be had now, computed whenever metrics are read.

use std::sync::Arc;

use cloudprovider::RefusedOfferings;
use jiff::Timestamp;
use nodeclaim_plan::Settings;
use nodeclaim_plan::launch::offerings::refused_until;
use operator_runtime::clock;
use telemetry::{CollectedGauge, Metrics};

use crate::tracked_cloud::TrackedCloud;

/// Registers the gauge.
pub(crate) fn register(metrics: &Metrics, cloud: &Arc<TrackedCloud>, settings: &Settings) {
    let (cloud, settings) = (Arc::clone(cloud), settings.clone());
    metrics.collect(move || {
        let refused = cloud.observe(|tracker| tracker.refused_offerings().clone());
        vec![gauge(clock::steady(), &refused, &settings)]
    });
}

fn gauge(now: Timestamp, refused: &RefusedOfferings, settings: &Settings) -> CollectedGauge {
    let holding = refused
        .iter()
        .filter(|(_, refusal)| refused_until(refusal, settings) > now);
    let series = holding.map(|(offering, refusal)| {
        let labels = vec![
            ("instance_type", offering.instance_type.clone()),
            ("capacity_type", offering.capacity_type.as_str().to_owned()),
            ("zone", offering.zone.clone().unwrap_or_default()),
            ("reason", refusal.error.class.label().to_owned()),
        ];
        (labels, f64::from(refusal.count))
    });
    CollectedGauge {
        name: "kaito_unavailable_offerings",
        help: "Refusals in a row of an offering that the cloud does not have now",
        series: series.collect(),
    }
}

#[cfg(test)]
mod tests {
    use cloudprovider::{CapacityType, ErrorClass, Offering, ProviderError};
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn an_offering_is_shown_until_it_may_be_asked_for_again() {
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let offering = Offering {
            instance_type: "t".into(),
            capacity_type: CapacityType::Spot,
            zone: Some("2".into()),
        };
        let mut refused = RefusedOfferings::default();
        let error = ProviderError::new(ErrorClass::Quota, "Code", "text");
        refused.refused(&offering, at(0), at(0), &error);
        let shown = |seconds| gauge(at(seconds), &refused, &Settings::default()).series;
        let labels = [
            ("instance_type", "t"),
            ("capacity_type", "spot"),
            ("zone", "2"),
            ("reason", "quota"),
        ];
        let labels = labels.map(|(key, value)| (key, value.to_owned())).to_vec();
        assert_eq!(shown(59), [(labels, 1.0)]);
        assert!(shown(60).is_empty());
    }
}
