//! The `Workspace` resource: one model on as many nodes as it needs.
//!
//! There is no `spec`: `resource`, `inference` and `tuning` stand beside `metadata`. One schema serves `v1alpha1` and
//! `v1beta1`; see [`crate::crd`]. CEL rules on one object are in [`crate::workspace_rules`].

#![allow(
    unreachable_pub,
    reason = "the schema derive makes a private copy of the type"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::embedded;
use crate::raw::RawObject;
use crate::workspace_status::WorkspaceStatus;

/// Nodes, and a model to serve or to tune on them.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kaito.sh",
    version = "v1beta1",
    kind = "Workspace",
    plural = "workspaces",
    singular = "workspace",
    shortname = "wk",
    shortname = "wks",
    category = "workspace",
    namespaced,
    no_spec,
    status = "WorkspaceStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Workspace runs one model: it names the GPU nodes that it needs and the preset to serve or tune."
)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceSpec {
    /// The nodes the model runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceSpec>,
    /// Serve a model. Exactly one of `inference` and `tuning` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<InferenceSpec>,
    /// Fine-tune a model. Exactly one of `inference` and `tuning` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningSpec>,
}

impl Workspace {
    /// Name of the Workspace; empty before it has one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Namespace of the Workspace; empty before it has one.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// UID of the Workspace; empty before the API server has set it.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Value of an annotation, unless it is blank.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let value = self.metadata.annotations.as_ref()?.get(key)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// Returns true if the Workspace carries the annotation, whatever its value.
    #[must_use]
    pub fn is_annotated(&self, key: &str) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.is_some_and(|all| all.contains_key(key))
    }

    /// Returns true if the Workspace is being deleted.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Name of the preset to serve or to tune; `None` for a pod template.
    #[must_use]
    pub fn preset_name(&self) -> Option<&str> {
        let inference = self.spec.inference.as_ref().and_then(|spec| spec.preset.as_ref());
        let tuning = self.spec.tuning.as_ref().and_then(|spec| spec.preset.as_ref());
        inference.or(tuning).map(|preset| preset.name.as_str())
    }
}

/// The nodes the model runs on.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceSpec {
    /// Number of nodes. For a preset it is only a hint: the number is computed from the model's size.
    #[serde(default = "default_count")]
    #[schemars(range(min = 1, max = 1000))]
    pub count: i32,
    /// Cloud instance type of the nodes, such as `Standard_NC24ads_A100_v4`. Empty for the user's own nodes. Several types with
    /// commas between them are tried in this order, until one can be had; all nodes are of the same type.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub instance_type: String,
    /// Labels of the nodes: set on new nodes, required of existing ones.
    #[serde(default)]
    pub label_selector: LabelSelector,
    /// Deprecated and ignored; kept so that old manifests apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferred_nodes: Vec<String>,
}

impl Default for ResourceSpec {
    fn default() -> Self {
        Self {
            count: default_count(),
            instance_type: String::new(),
            label_selector: LabelSelector::default(),
            preferred_nodes: Vec::new(),
        }
    }
}

fn default_count() -> i32 {
    1
}

/// A model to serve: a preset, or a pod template of the user's own.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceSpec {
    /// The model to serve. Exactly one of `preset` and `template` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PresetSpec>,
    /// A pod template (`core/v1 PodTemplateSpec`) to run instead of a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "embedded::pod_template")]
    pub template: Option<RawObject>,
    /// ConfigMap of this namespace with key `inference_config.yaml`: engine parameters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub config: String,
    /// LoRA adapters to load beside the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub adapters: Vec<AdapterSpec>,
}

/// A preset, and options for it.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PresetSpec {
    /// Short name, alias or hub id of a preset of the registry.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Deprecated; has no effect.
    #[serde(default, skip_serializing_if = "AccessMode::is_public")]
    pub access_mode: AccessMode,
    /// Options of the preset.
    #[serde(default, skip_serializing_if = "PresetOptions::is_empty")]
    pub preset_options: PresetOptions,
}

/// Access to the model image; deprecated.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessMode {
    /// From the public registry.
    #[default]
    Public,
    /// From a registry of the user's.
    Private,
}

impl AccessMode {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "signature that serde asks for")]
    fn is_public(&self) -> bool {
        *self == Self::Public
    }
}

/// Options of a preset.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PresetOptions {
    /// Image to use instead of the preset's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub image: String,
    /// Secrets of this namespace with the credentials for pulling images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub image_pull_secrets: Vec<String>,
    /// Secret of this namespace whose key `HF_TOKEN` is the token for a gated model at the hub.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub model_access_secret: String,
}

impl PresetOptions {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A LoRA adapter.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdapterSpec {
    /// Source of the adapter: an image or a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<DataSource>,
    /// Merge strength of the adapter, a decimal from 0 to 1; absent means 1.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub strength: String,
}

/// A model to tune, with its data set and the destination of the result.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TuningSpec {
    /// The model to tune.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PresetSpec>,
    /// `lora` or `qlora`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub method: String,
    /// ConfigMap of this namespace with key `training_config.yaml`; absent means sensible defaults.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub config: String,
    /// The data set.
    #[serde(default)]
    pub input: DataSource,
    /// Destination of the adapter.
    #[serde(default)]
    pub output: DataDestination,
}

/// Source of data: exactly one of URLs, a volume and an image.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataSource {
    /// Name of the source; for an adapter also its directory and model name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub name: String,
    /// Files to fetch over HTTPS (or HTTP).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 2048)))]
    pub urls: Vec<String>,
    /// A volume (`core/v1 Volume` without a name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "embedded::volume_source")]
    pub volume_source: Option<RawObject>,
    /// An image whose `/data` is the payload.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub image: String,
    /// Secrets of this namespace with the credentials for pulling the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub image_pull_secrets: Vec<String>,
}

/// Destination of a result: a volume, an image, or both. A volume beside an image keeps the checkpoints.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataDestination {
    /// A volume (`core/v1 Volume` without a name) for result and checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "embedded::volume_source")]
    pub volume_source: Option<RawObject>,
    /// Image reference to push the result to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub image: String,
    /// Secret of this namespace with the credentials for pushing the image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub image_push_secret: String,
}
