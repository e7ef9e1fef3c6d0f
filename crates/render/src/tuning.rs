//! A preset to tune, with every decision about it. `job.rs` renders it.

use k8s_openapi::api::core::v1::Volume;
use kaito_api::{PresetOptions, Workspace, names};
use preset_catalog::{Preset, TuningMethod, TuningProfile};

use crate::artifact::Payload;
use crate::hardware::Hardware;
use crate::platform::Platform;

/// Source of the data set.
#[derive(Clone, Debug, PartialEq)]
pub enum TuningInput {
    /// Files to download.
    Urls(Vec<String>),
    /// An image or a volume.
    Payload(Payload),
}

/// Destination of the result.
#[derive(Clone, Debug, PartialEq)]
pub enum TuningOutput {
    /// An image that is pushed. The volume keeps result and checkpoints meanwhile; without one the pod's node does.
    Image(ImagePush, Option<Box<Volume>>),
    /// An unnamed volume; see [`crate::parse_volume`].
    Volume(Box<Volume>),
}

/// Push of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePush {
    /// The image.
    pub reference: String,
    /// Secret of the namespace with the credentials for pushing.
    pub secret: String,
    /// Seconds for which a failed push is repeated.
    pub retry_seconds: u32,
}

/// The program that tunes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuner {
    /// The Python scripts of the base image, on the GPUs of the node.
    Scripts,
    /// Our `tuning-job`, on the CPUs of the node.
    Native,
}

/// A preset to tune, with every decision about it.
#[derive(Clone, Debug)]
pub struct Tuning<'a> {
    /// The Workspace that asks for it.
    pub workspace: &'a Workspace,
    /// The model.
    pub preset: &'a Preset,
    /// The preset's way of being tuned.
    pub profile: &'a TuningProfile,
    /// The tuning method.
    pub method: TuningMethod,
    /// The program.
    pub tuner: Tuner,
    /// Hardware of the node.
    pub hardware: &'a Hardware,
    /// Digest of the user's ConfigMap; empty without one.
    pub config_hash: String,
    /// The data set.
    pub input: TuningInput,
    /// The result.
    pub output: TuningOutput,
    /// The installation.
    pub platform: &'a Platform,
}

impl Tuning<'_> {
    /// Name of the ConfigMap with the training parameters: the user's or ours.
    pub(crate) fn config(&self) -> String {
        let tuning = self.workspace.spec.tuning.as_ref();
        let theirs = tuning.map(|tuning| tuning.config.as_str()).unwrap_or_default();
        if theirs.is_empty() {
            names::tuning_config(self.workspace.name())
        } else {
            theirs.to_owned()
        }
    }

    /// The user's options for the preset.
    pub(crate) fn options(&self) -> Option<&PresetOptions> {
        let tuning = self.workspace.spec.tuning.as_ref()?;
        Some(&tuning.preset.as_ref()?.preset_options)
    }
}
