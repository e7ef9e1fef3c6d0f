//! The Job that tunes a preset.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use kaito_api::{TuningSpec, labels, names};

use crate::tuning::{Tuning, TuningOutput};
use crate::{meta, push, tuning_pod};

/// Replacements of a failed pod: one, for accidents. A wrong setting would only fail again.
const RETRIES: i32 = 1;

/// Renders the Job. A pod that loses its node does not count as a failure.
#[must_use]
pub fn job(tuning: &Tuning<'_>) -> Job {
    let mut metadata = meta::workload(tuning.workspace, 1);
    let spec = tuning.workspace.spec.tuning.as_ref();
    let digest = spec.map(spec_digest).unwrap_or_default();
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(labels::SPEC_HASH.to_owned(), digest);
    if let TuningOutput::Image(push, _) = &tuning.output {
        annotations.insert(
            labels::PUSH_RETRY_SECONDS.to_owned(),
            push.retry_seconds.to_string(),
        );
    }
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            pod_failure_policy: Some(failure_policy(tuning)),
            template: tuning_pod::pod_template(tuning),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// Digest of the user's tuning spec; stored on the Job as [`labels::SPEC_HASH`].
#[must_use]
pub fn spec_digest(spec: &TuningSpec) -> String {
    let text = serde_json::to_string(spec).unwrap_or_default();
    names::digest(&[&text])[..16].to_owned()
}

fn failure_policy(tuning: &Tuning<'_>) -> PodFailurePolicy {
    let disrupted = PodFailurePolicyOnPodConditionsPattern {
        status: Some("True".to_owned()),
        type_: "DisruptionTarget".to_owned(),
    };
    let ignored = PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_pod_conditions: Some(vec![disrupted]),
        ..PodFailurePolicyRule::default()
    };
    let rules = push::failure_rules(&tuning.output);
    PodFailurePolicy {
        rules: std::iter::once(ignored).chain(rules).collect(),
    }
}
