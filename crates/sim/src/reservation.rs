//! The node class of simulated clusters: it has a capacity reservation.

use kaito_api::node_class::{KaitoNodeClass, KaitoNodeClassSpec};

/// Name of the class.
pub(crate) const CLASS: &str = "reserved";

/// Returns the class.
#[must_use]
pub(crate) fn class() -> KaitoNodeClass {
    let group = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/capacityReservationGroups/r";
    KaitoNodeClass::new(
        CLASS,
        KaitoNodeClassSpec {
            capacity_reservation_group_id: Some(group.to_owned()),
            ..KaitoNodeClassSpec::default()
        },
    )
}
