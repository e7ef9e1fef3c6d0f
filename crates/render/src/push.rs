//! Containers that push the result of a tuning.
//!
//! | container | kind | effect |
//! |---|---|---|
//! | `push-check` | first init container | ends the pod before any work if the registry refuses a push |
//! | `pusher` | sidecar after the trainer | pushes; the kubelet starts it again while the push fails |
//! | `push-result` | the only ordinary container | waits for the push and ends the pod |
//!
//! A Job repeats whole pods, and the result is often on a volume of the pod. So the pod lives while its push fails, and the training is
//! never repeated for it. The kubelet reports the last error of a sidecar in the pod's status.

use k8s_openapi::api::batch::v1::{PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{Container, Volume};

use crate::tuning::{ImagePush, Tuning, TuningOutput};
use crate::{artifact, paths, volume};

/// Name of the container that checks the right to push.
pub const PUSH_CHECK: &str = "push-check";
/// Name of the container that pushes.
pub const PUSHER: &str = "pusher";
/// Name of the container that waits for the push.
pub const PUSH_RESULT: &str = "push-result";

/// Attempts at a registry that cannot be reached. With their pauses they take about eight minutes.
const CHECK_ATTEMPTS: u32 = 14;
/// Longest time of the check, in seconds: a registry may be silent for a while at each attempt.
const CHECK_SECONDS: u32 = 900;
/// Exit codes of `artifact` that another pod would only repeat: anything but an unreachable registry.
const REFUSALS: [i32; 5] = [1, 2, 3, 4, 5];
/// Exit codes of `artifact` when the result could not be pushed in time. Another pod would repeat the training.
const NOT_PUSHED: [i32; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

/// Size of the volume with the outcome of the last push, a few lines of JSON.
const OUTCOME_LIMIT: &str = "1Mi";

/// Renders the container that checks the right to push.
pub(crate) fn check(tuning: &Tuning<'_>, push: &ImagePush) -> Container {
    let mut args = vec!["check-push".to_owned()];
    args.extend(access(tuning, push));
    args.push(format!("--attempts={CHECK_ATTEMPTS}"));
    args.push(format!("--timeout={CHECK_SECONDS}"));
    args.push(push.reference.clone());
    let secret = volume::mount_read_only("push-secret", paths::PUSH_SECRET);
    artifact::container(PUSH_CHECK, args, vec![secret], tuning.platform)
}

/// Renders the sidecar that pushes.
pub(crate) fn pusher(tuning: &Tuning<'_>, push: &ImagePush) -> Container {
    let mut args = vec![
        "push".to_owned(),
        format!("--from={}", paths::TUNING_RESULTS),
        format!("--wait-for={}", paths::TUNING_DONE),
        format!("--outcome={}", paths::PUSH_OUTCOME),
        format!("--base-model={}", tuning.preset.name),
    ];
    args.extend(access(tuning, push));
    args.push(push.reference.clone());
    let mounts = vec![
        volume::mount_read_only("results-volume", paths::TUNING_RESULTS),
        volume::mount_read_only("push-secret", paths::PUSH_SECRET),
        volume::mount("push-outcome", paths::PUSH),
    ];
    Container {
        restart_policy: Some("Always".to_owned()),
        ..artifact::container(PUSHER, args, mounts, tuning.platform)
    }
}

/// Renders the container that waits for the push.
pub(crate) fn result(tuning: &Tuning<'_>, push: &ImagePush) -> Container {
    let args = vec![
        "await-push".to_owned(),
        format!("--outcome={}", paths::PUSH_OUTCOME),
        format!("--timeout={}", push.retry_seconds),
    ];
    let outcome = volume::mount_read_only("push-outcome", paths::PUSH);
    artifact::container(PUSH_RESULT, args, vec![outcome], tuning.platform)
}

/// Volumes of the containers, besides that of the results.
pub(crate) fn volumes(push: &ImagePush) -> [Volume; 2] {
    let secret = std::slice::from_ref(&push.secret);
    [
        volume::docker_configs("push-secret", secret),
        volume::bounded("push-outcome", OUTCOME_LIMIT),
    ]
}

/// Rules by which the Job fails at once instead of repeating the pod.
pub(crate) fn failure_rules(output: &TuningOutput) -> Vec<PodFailurePolicyRule> {
    if matches!(output, TuningOutput::Volume(_)) {
        return Vec::new();
    }
    let fails = |container: &str, codes: &[i32]| PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(container.to_owned()),
            operator: "In".to_owned(),
            values: codes.to_vec(),
        }),
        ..PodFailurePolicyRule::default()
    };
    vec![fails(PUSH_CHECK, &REFUSALS), fails(PUSH_RESULT, &NOT_PUSHED)]
}

fn access(tuning: &Tuning<'_>, push: &ImagePush) -> Vec<String> {
    let own = [
        format!("--auth-dir={}", paths::PUSH_SECRET),
        format!("--secret={}", push.secret),
    ];
    let registries = tuning.platform.downloads.registry_flags();
    own.into_iter().chain(registries).collect()
}
