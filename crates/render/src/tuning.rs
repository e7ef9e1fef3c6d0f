//! A preset that is tuned: what it needs, and the Job that tunes it.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::Volume;
use kaito_api::{PresetOptions, TuningSpec, Workspace, labels, names};
use preset_catalog::{Preset, TuningMethod, TuningProfile};

use crate::artifact::Payload;
use crate::hardware::Hardware;
use crate::platform::Platform;
use crate::tuner::Tuner;
use crate::{meta, tuning_pod};

/// How often a failed pod is replaced: once, for accidents; a wrong setting would only fail again.
const RETRIES: i32 = 1;

/// Where the data set comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Files to download.
    Urls(Vec<String>),
    /// An image or a volume.
    Payload(Payload),
}

/// Where the result goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    /// Pushed as an image.
    Image {
        /// The image.
        reference: String,
        /// Secret of the namespace with which it is pushed.
        push_secret: String,
    },
    /// Written to a volume, unnamed; see [`crate::parse_volume`].
    Volume(Box<Volume>),
}

/// A preset to tune, with everything that was decided about it.
#[derive(Clone, Debug)]
pub struct Tuning<'a> {
    /// Who wants it.
    pub workspace: &'a Workspace,
    /// What is tuned.
    pub preset: &'a Preset,
    /// How the preset is tuned.
    pub profile: &'a TuningProfile,
    /// By which method.
    pub method: TuningMethod,
    /// By which program.
    pub tuner: Tuner,
    /// What the node has.
    pub hardware: &'a Hardware,
    /// The data set.
    pub input: Source,
    /// The result.
    pub output: Destination,
    /// The installation.
    pub platform: &'a Platform,
}

impl Tuning<'_> {
    /// The Job. A node that is taken away does not count as a failure.
    #[must_use]
    pub fn job(&self) -> Job {
        let mut metadata = meta::workload(self.workspace, 1);
        let digest = self
            .workspace
            .spec
            .tuning
            .as_ref()
            .map(spec_digest)
            .unwrap_or_default();
        metadata
            .annotations
            .get_or_insert_default()
            .insert(labels::SPEC_HASH.to_owned(), digest);
        Job {
            metadata,
            spec: Some(JobSpec {
                backoff_limit: Some(RETRIES),
                pod_failure_policy: Some(disruptions_do_not_count()),
                template: tuning_pod::pod_template(self),
                ..JobSpec::default()
            }),
            status: None,
        }
    }

    /// Name of the ConfigMap with the training parameters: the user's or ours.
    pub(crate) fn config(&self) -> String {
        let theirs = self
            .workspace
            .spec
            .tuning
            .as_ref()
            .map(|tuning| tuning.config.as_str())
            .unwrap_or_default();
        if theirs.is_empty() {
            names::tuning_config(meta::name(self.workspace))
        } else {
            theirs.to_owned()
        }
    }

    pub(crate) fn options(&self) -> Option<&PresetOptions> {
        Some(
            &self
                .workspace
                .spec
                .tuning
                .as_ref()?
                .preset
                .as_ref()?
                .preset_options,
        )
    }
}

/// Digest of what the user asks for; kept on the Job as [`labels::SPEC_HASH`].
#[must_use]
pub fn spec_digest(spec: &TuningSpec) -> String {
    let text = serde_json::to_string(spec).unwrap_or_default();
    names::digest(&[&text])[..16].to_owned()
}

fn disruptions_do_not_count() -> PodFailurePolicy {
    let disrupted = PodFailurePolicyOnPodConditionsPattern {
        status: Some("True".to_owned()),
        type_: "DisruptionTarget".to_owned(),
    };
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "Ignore".to_owned(),
            on_pod_conditions: Some(vec![disrupted]),
            ..PodFailurePolicyRule::default()
        }],
    }
}
