//! The `Machine` resource: a request for one node of a Workspace.
//!
//! `karpenter.sh/v1alpha5`, as Karpenter core and gpu-provisioner defined it; this project ships the CRD. The
//! provisioner copies the Machine's labels to its Node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine_status::MachineStatus;

/// Requirements on the node.
#[derive(CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "karpenter.sh",
    version = "v1alpha5",
    kind = "Machine",
    plural = "machines",
    singular = "machine",
    category = "karpenter",
    status = "MachineStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Machine requests one node; the provisioner creates an instance with one node for it."
)]
#[serde(rename_all = "camelCase")]
pub struct MachineSpec {
    /// Taints of the Node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// Taints that an agent on the Node removes once it is set up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub startup_taints: Vec<Taint>,
    /// Requirements on the Node: instance type, operating system, architecture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<Requirement>,
    /// Resources that the Node must offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequests>,
    /// Kubelet settings; accepted and ignored by this provisioner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet: Option<crate::raw::RawObject>,
    /// Cloud-specific template; accepted and ignored by this provisioner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_template_ref: Option<MachineTemplateRef>,
}

/// One requirement on the Node's labels.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
    pub operator: String,
    /// Label values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl Requirement {
    /// Returns `key In [value]`.
    #[must_use]
    pub fn is_in(key: &str, value: &str) -> Self {
        Self {
            key: key.to_owned(),
            operator: "In".to_owned(),
            values: vec![value.to_owned()],
        }
    }
}

/// Resources that the Node must offer; `storage` is the size of its disk.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceRequests {
    /// Quantity by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Quantity>,
}

/// Reference to a cloud-specific template.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineTemplateRef {
    /// API version of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the template.
    pub name: String,
}
