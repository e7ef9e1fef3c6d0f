//! The `NodeClaim` resource: a request for one node of a Karpenter-like provisioner.
//!
//! `karpenter.sh/v1`, as Karpenter core defines it; this project ships the definition for clusters without Karpenter.
//! Bounds and rules of its schema are in [`crate::node_claim_schema`].

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::ResourceRequests;
use crate::node_claim_status::NodeClaimStatus;

/// Requirements on the node. They are immutable.
#[derive(CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "karpenter.sh",
    version = "v1",
    kind = "NodeClaim",
    plural = "nodeclaims",
    singular = "nodeclaim",
    category = "karpenter",
    status = "NodeClaimStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "NodeClaim requests one node from the provisioner of its node class."
)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimSpec {
    /// Taints of the Node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// Taints that an agent on the Node removes once it is set up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub startup_taints: Vec<Taint>,
    /// Requirements on the Node: instance type, operating system, architecture, zone, capacity type.
    pub requirements: Vec<NodeClaimRequirement>,
    /// Resources that the Node must offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequests>,
    /// Node class, which selects the provisioner.
    pub node_class_ref: NodeClassRef,
    /// Time after which a drain deletes pods instead of evicting them, such as `30m`; absent leaves it to the provisioner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<String>,
    /// Age at which the claim is deleted, such as `720h`, or `Never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<String>,
}

/// One requirement on the Node's labels.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimRequirement {
    /// Label key.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt`, `Gte` or `Lte`.
    pub operator: String,
    /// Label values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Number of values that the provisioner must be able to choose from; KAITO does not set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_values: Option<i64>,
}

impl NodeClaimRequirement {
    /// Returns `key In [values]`.
    #[must_use]
    pub fn is_in(key: &str, values: &[&str]) -> Self {
        Self {
            key: key.to_owned(),
            operator: "In".to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
            min_values: None,
        }
    }
}

/// Reference to the node class: an object, or only a name by which a provisioner selects its claims.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeClassRef {
    /// API group of the class.
    pub group: String,
    /// Kind of the class.
    pub kind: String,
    /// Name of the class.
    pub name: String,
}

impl NodeClassRef {
    /// Group of the class of gpu-provisioners, ours and upstream's.
    pub const KAITO_GROUP: &'static str = "kaito.sh";
    /// Kind of that class. No object of it exists: it is a name for matching.
    pub const KAITO_KIND: &'static str = "KaitoNodeClass";

    /// Returns the class of gpu-provisioners.
    #[must_use]
    pub fn kaito() -> Self {
        Self {
            group: Self::KAITO_GROUP.to_owned(),
            kind: Self::KAITO_KIND.to_owned(),
            name: "default".to_owned(),
        }
    }

    /// Returns true if gpu-provisioners serve claims of this class.
    #[must_use]
    pub fn is_kaito(&self) -> bool {
        self.group == Self::KAITO_GROUP && self.kind == Self::KAITO_KIND
    }

    /// Label of Nodes of the class; its value is the class's name.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.group, self.kind.to_ascii_lowercase())
    }
}

/// Parses a duration of Karpenter, such as `1h30m`, in seconds. Returns `None` for `Never` and for other text.
#[must_use]
pub fn duration_seconds(text: &str) -> Option<i64> {
    let units = BTreeMap::from([('s', 1_i64), ('m', 60), ('h', 3600)]);
    let (mut total, mut number) = (0_i64, None::<i64>);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let so_far = number.unwrap_or_default();
            number = Some(so_far.checked_mul(10)?.checked_add(i64::from(digit))?);
        } else {
            total = total.checked_add(number.take()?.checked_mul(*units.get(&c)?)?)?;
        }
    }
    (number.is_none() && !text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_karpenter_writes_them() {
        let cases = [
            ("30s", Some(30)),
            ("1h30m", Some(5400)),
            ("720h", Some(2_592_000)),
            ("Never", None),
            ("", None),
            ("5", None),
            ("m", None),
            ("99999999999999999999h", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(duration_seconds(text), seconds, "{text}");
        }
    }

    #[test]
    fn the_class_of_gpu_provisioners_differs_from_others() {
        assert!(NodeClassRef::kaito().is_kaito());
        assert_eq!(NodeClassRef::kaito().label(), crate::labels::KAITO_NODE_CLASS);
        let other = NodeClassRef {
            group: "karpenter.azure.com".into(),
            kind: "AKSNodeClass".into(),
            name: "default".into(),
        };
        assert!(!other.is_kaito());
        assert_eq!(other.label(), "karpenter.azure.com/aksnodeclass");
    }
}
