//! The node class of a claim, and what it adds to a launch. It is read when an instance is launched, and never later.

use cloudprovider::{LaunchSpec, NodeOptions};
use instance_types::did_you_mean;
use kaito_api::Claim;
use kaito_api::labels::NODE_CLASS;
use kaito_api::node_class::{self, GpuDriver, KaitoNodeClass, OsDiskType, OsSku};
use kube::ResourceExt as _;

use crate::context::PlanContext;
use crate::settings::Settings;

/// A class that a claim names and that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("KaitoNodeClass {name} does not exist{}", did_you_mean::hint(.near))]
pub(crate) struct MissingClass {
    name: String,
    near: Vec<String>,
}

/// Returns the name of a claim's class. That of a Machine is an annotation, otherwise a setting.
pub(crate) fn name<'a>(claim: &'a Claim, settings: &'a Settings) -> &'a str {
    let named = match claim.node_class() {
        Some(class) => Some(class.name.as_str()),
        None => claim
            .annotations()
            .get(NODE_CLASS)
            .or(Some(&settings.machine_class))
            .map(String::as_str),
    };
    named
        .filter(|name| !name.is_empty())
        .unwrap_or(node_class::DEFAULT)
}

/// Returns the class of the claim; `None` if it is the default one and has no object.
pub(crate) fn of<'a>(context: &PlanContext<'a>) -> Result<Option<&'a KaitoNodeClass>, MissingClass> {
    let name = name(context.claim, context.settings);
    match context.class {
        None if name != node_class::DEFAULT => Err(MissingClass {
            name: name.to_owned(),
            near: context.near_classes.to_vec(),
        }),
        class => Ok(class),
    }
}

/// Adds what the class says to a launch. The mark of ownership among the tags stays.
pub(crate) fn apply(spec: LaunchSpec, class: Option<&KaitoNodeClass>) -> LaunchSpec {
    let Some(class) = class.map(|class| &class.spec) else {
        return spec;
    };
    let mut tags = class.tags.clone();
    tags.extend(spec.tags);
    LaunchSpec {
        tags,
        disk_gib: spec.disk_gib.max(number(class.os_disk_size_gib)),
        options: NodeOptions {
            subnet: class.subnet_id.clone(),
            pod_subnet: class.pod_subnet_id.clone(),
            os: class.os_sku.map(OsSku::as_str).map(str::to_owned),
            local_disk: class.os_disk_type.map(|place| place == OsDiskType::Ephemeral),
            gpu_driver: class.gpu_driver.map(|driver| driver == GpuDriver::Install),
            gpu_partition: class
                .gpu_instance_profile
                .map(|profile| profile.as_str().to_owned()),
            fips: class.fips,
            encryption_at_host: class.encryption_at_host,
            max_pods: number(class.max_pods),
            reservation: class.capacity_reservation_group_id.clone(),
            proximity_group: class.proximity_placement_group_id.clone(),
        },
        ..spec
    }
}

/// The API server admits no negative number.
fn number(value: Option<i32>) -> Option<u32> {
    u32::try_from(value?).ok()
}

/// Returns true if the class has capacity that was reserved before.
pub(crate) fn has_reservation(class: Option<&KaitoNodeClass>) -> bool {
    class.is_some_and(|class| class.spec.capacity_reservation_group_id.is_some())
}
