//! Warnings: Events about pods, workloads and NodeClaims that report what no status reports.
//!
//! An Event outlives its cause. So the callers look at warnings only while the state of the object agrees with them.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::context::PlanContext;
use crate::launch_report::CAPACITY;

/// Reasons of the Events that plans read.
pub const WARNINGS: [&str; 9] = [
    CREATE,
    MOUNT,
    MAP,
    ATTACH,
    SANDBOX,
    PULL_SECRET,
    PROVISION,
    CAPACITY,
    NODE_CLASS,
];

/// A controller cannot create a pod.
pub(crate) const CREATE: &str = "FailedCreate";
/// The kubelet cannot mount a volume.
pub(crate) const MOUNT: &str = "FailedMount";
/// The kubelet cannot map a block volume.
pub(crate) const MAP: &str = "FailedMapVolume";
/// A volume cannot be attached to the node.
pub(crate) const ATTACH: &str = "FailedAttachVolume";
/// The kubelet cannot make the sandbox of a pod, mostly for its network.
pub(crate) const SANDBOX: &str = "FailedCreatePodSandBox";
/// The kubelet cannot find a Secret for pulling images.
pub(crate) const PULL_SECRET: &str = "FailedToRetrieveImagePullSecret";

/// A storage class cannot provide a volume.
pub(crate) const PROVISION: &str = "ProvisioningFailed";

/// The node class of a Karpenter's claim is not ready, so it deletes the claim.
const NODE_CLASS: &str = "NodeClassNotReady";

/// Seconds after which a warning is outdated while others are repeated. Writers repeat them every few minutes, slower if
/// there are several.
const STALE_SECONDS: i64 = 1200;

/// Returns reason and text of the warnings about an object, without those that are no longer repeated while others are.
/// Their order depends on their content alone.
pub(crate) fn about<'a>(context: &PlanContext<'a>, object: &ObjectMeta) -> Vec<(&'a str, &'a str)> {
    about_uid(context, object.uid.as_deref().unwrap_or_default())
}

/// The same for the object of this UID, which may be gone.
pub(crate) fn about_uid<'a>(context: &PlanContext<'a>, uid: &str) -> Vec<(&'a str, &'a str)> {
    let observed = context.observed.warnings.iter().map(AsRef::as_ref);
    let is_about = |event: &&Event| !uid.is_empty() && event.involved_object.uid.as_deref() == Some(uid);
    let all = || observed.clone().filter(is_about);
    let newest = all().map(seconds).max().unwrap_or_default();
    let mut found: Vec<_> = all()
        .filter(|event| newest.saturating_sub(seconds(event)) <= STALE_SECONDS)
        .map(|event| {
            (
                event.reason.as_deref().unwrap_or_default(),
                event.message.as_deref().unwrap_or_default(),
            )
        })
        .collect();
    found.sort_unstable();
    found
}

fn seconds(event: &Event) -> i64 {
    let last = event.last_timestamp.as_ref();
    last.map_or(0, |time| time.0.as_second())
}
