//! The node class of a claim: a missing one costs nothing, one that exists is a part of the launch.

use std::sync::Arc;

use cloudprovider::{CapacityType, CloudCall, LaunchSpec};
use kaito_api::labels::{CAPACITY_TYPE, NODE_CLASS};
use kaito_api::node_class::KaitoNodeClassSpec;
use kaito_api::{Claim, KaitoNodeClass};
use plan::Plan;
use serde_json::{Value, json};

use crate::fixtures::{Case, conditions, message, settings};

fn class(spec: &Value) -> Option<Arc<KaitoNodeClass>> {
    let spec: KaitoNodeClassSpec = serde_json::from_value(spec.clone()).unwrap();
    Some(Arc::new(KaitoNodeClass::new("private", spec)))
}

/// A Machine of the class `private`.
fn of_private() -> Case {
    Case {
        settings: settings(),
        ..Case::absent(2).annotated(NODE_CLASS, "private")
    }
}

fn asked(plan: &Plan<CloudCall>) -> &LaunchSpec {
    match &plan.cloud {
        Some(CloudCall::Create(spec)) => spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_class_is_named_and_nothing_is_bought() {
    for case in [of_private(), of_private().of_a_node_claim()] {
        let mut case = case;
        if let Claim::NodeClaim(claim) = &mut case.observed.claim {
            Arc::make_mut(claim).spec.node_class_ref.name = "private".into();
        }
        let plan = case.plan();
        assert_eq!(plan.cloud, None);
        assert!(
            conditions(&plan).starts_with("False:NodeClassNotFound "),
            "{}",
            conditions(&plan)
        );
        case.observed.class = class(&json!({}));
        asked(&case.plan());
    }
    let plan = of_private().plan();
    assert!(message(&plan, "MachineLaunched").contains("KaitoNodeClass private does not exist"));
    let mut similar = of_private();
    similar.observed.near_classes = vec!["private-2".into()];
    let says = message(&similar.plan(), "MachineLaunched");
    assert!(says.contains("does not exist; did you mean private-2?"), "{says}");
    let mut by_setting = Case::absent(2);
    asked(&by_setting.plan());
    by_setting.settings.machine_class = "other".into();
    assert_eq!(by_setting.plan().cloud, None);
}

#[test]
fn what_a_class_says_is_asked_for() {
    let mut case = of_private();
    case.observed.class = class(&json!({
        "subnetId": "s", "podSubnetId": "p", "tags": {"team": "ml", "kaito-managed-by": "me"}, "osSku": "Ubuntu2404",
        "osDiskSizeGiB": 512, "osDiskType": "Ephemeral", "gpuDriver": "None", "gpuInstanceProfile": "MIG3g", "fips": true,
        "encryptionAtHost": true, "maxPods": 50, "capacityReservationGroupId": "r", "proximityPlacementGroupId": "g",
    }));
    let plan = case.plan();
    let spec = asked(&plan);
    let options = &spec.options;
    assert_eq!(
        (options.subnet.as_deref(), options.pod_subnet.as_deref()),
        (Some("s"), Some("p"))
    );
    assert_eq!(
        (spec.tags["team"].as_str(), spec.tags["kaito-managed-by"].as_str()),
        ("ml", "gpu-provisioner")
    );
    assert_eq!(
        (spec.disk_gib, options.local_disk, options.max_pods),
        (Some(512), Some(true), Some(50))
    );
    assert_eq!(
        (options.os.as_deref(), options.gpu_driver),
        (Some("Ubuntu2404"), Some(false))
    );
    assert_eq!(options.gpu_partition.as_deref(), Some("MIG3g"));
    assert!(options.fips && options.encryption_at_host);
    assert_eq!(options.proximity_group.as_deref(), Some("g"));
    assert_eq!(options.reservation, None, "on-demand capacity is not reserved");
    // A claim that needs a larger disk gets it.
    case.observed.class = class(&json!({"osDiskSizeGiB": 40}));
    assert_eq!(asked(&case.plan()).disk_gib, Some(80));
}

#[test]
fn reserved_capacity_requires_a_reservation() {
    let reserved = |class: Option<Arc<KaitoNodeClass>>| {
        let mut case = of_private().machine(|machine| {
            let requirement =
                json!({"key": CAPACITY_TYPE, "operator": "In", "values": ["reserved", "on-demand"]});
            machine
                .spec
                .requirements
                .push(serde_json::from_value(requirement).unwrap());
        });
        case.observed.class = class;
        case.plan()
    };
    let plan = reserved(class(&json!({})));
    assert_eq!(plan.cloud, None);
    assert!(message(&plan, "MachineLaunched").contains("requires capacityReservationGroupId"));
    let plan = reserved(class(&json!({"capacityReservationGroupId": "r"})));
    let spec = asked(&plan);
    assert_eq!(
        (spec.capacity_type, spec.options.reservation.as_deref()),
        (CapacityType::Reserved, Some("r"))
    );
}
