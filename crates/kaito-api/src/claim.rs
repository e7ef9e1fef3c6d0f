//! A claim for one node, of whichever kind: `Machine` (`karpenter.sh/v1alpha5`) or `NodeClaim` (`karpenter.sh/v1`).
//!
//! Planners decide about claims of either kind. Only this file, and the code that renders claims or their conditions,
//! knows the difference.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

pub use crate::claim_kind::{ClaimConditionType, ClaimKind};
pub use crate::claim_requirement::ClaimRequirement;
use crate::conditions::Status;
use crate::labels;
use crate::machine::Machine;
use crate::node_claim::{NodeClaim, NodeClassRef, duration_seconds};
use crate::node_claim_status::TERMINATION_CONDITIONS;

/// A claim of either kind, as it was observed.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is the kind it is named after")]
pub enum Claim {
    Machine(Arc<Machine>),
    NodeClaim(Arc<NodeClaim>),
}

/// One condition of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimCondition<'a> {
    /// Status of the condition.
    pub status: Status,
    /// Reason, as one word.
    pub reason: &'a str,
    /// Message for people.
    pub message: &'a str,
    /// Time of the last change of the status.
    pub since: Option<Timestamp>,
}

/// Serializes the claim as the object that it is.
impl Serialize for Claim {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Machine(machine) => machine.serialize(serializer),
            Self::NodeClaim(claim) => claim.serialize(serializer),
        }
    }
}

impl From<Arc<Machine>> for Claim {
    fn from(machine: Arc<Machine>) -> Self {
        Self::Machine(machine)
    }
}

impl From<Arc<NodeClaim>> for Claim {
    fn from(claim: Arc<NodeClaim>) -> Self {
        Self::NodeClaim(claim)
    }
}

impl From<Machine> for Claim {
    fn from(machine: Machine) -> Self {
        Self::Machine(Arc::new(machine))
    }
}

impl From<NodeClaim> for Claim {
    fn from(claim: NodeClaim) -> Self {
        Self::NodeClaim(Arc::new(claim))
    }
}

impl Claim {
    /// Kind of the claim.
    #[must_use]
    pub fn claim_kind(&self) -> ClaimKind {
        match self {
            Self::Machine(_) => ClaimKind::Machine,
            Self::NodeClaim(_) => ClaimKind::NodeClaim,
        }
    }

    /// Metadata of the claim.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Machine(machine) => &machine.metadata,
            Self::NodeClaim(claim) => &claim.metadata,
        }
    }

    /// Name of the claim; empty before it has one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// UID of the claim; empty before the API server has set it.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    /// Taints of its Node.
    #[must_use]
    pub fn taints(&self) -> &[Taint] {
        match self {
            Self::Machine(machine) => &machine.spec.taints,
            Self::NodeClaim(claim) => &claim.spec.taints,
        }
    }

    /// Taints that an agent on its Node removes.
    #[must_use]
    pub fn startup_taints(&self) -> &[Taint] {
        match self {
            Self::Machine(machine) => &machine.spec.startup_taints,
            Self::NodeClaim(claim) => &claim.spec.startup_taints,
        }
    }

    /// Requirements on its Node.
    #[must_use]
    pub fn requirements(&self) -> Vec<ClaimRequirement<'_>> {
        match self {
            Self::Machine(machine) => {
                let all = machine.spec.requirements.iter();
                all.map(|r| ClaimRequirement::new(&r.key, &r.operator, &r.values, None))
                    .collect()
            }
            Self::NodeClaim(claim) => {
                let all = claim.spec.requirements.iter();
                all.map(|r| ClaimRequirement::new(&r.key, &r.operator, &r.values, r.min_values))
                    .collect()
            }
        }
    }

    /// Returns the instance type that the claim asks for first; `None` if no requirement names one.
    #[must_use]
    pub fn instance_type(&self) -> Option<&str> {
        let mut requirements = self.requirements().into_iter();
        let found = requirements.find(|requirement| requirement.key == labels::INSTANCE_TYPE)?;
        found.values.first().map(String::as_str)
    }

    /// Resources that its Node must offer.
    #[must_use]
    pub fn requests(&self) -> Option<&BTreeMap<String, Quantity>> {
        let resources = match self {
            Self::Machine(machine) => machine.spec.resources.as_ref(),
            Self::NodeClaim(claim) => claim.spec.resources.as_ref(),
        };
        resources.map(|resources| &resources.requests)
    }

    /// Node class; Machines have none.
    #[must_use]
    pub fn node_class(&self) -> Option<&NodeClassRef> {
        match self {
            Self::Machine(_) => None,
            Self::NodeClaim(claim) => Some(&claim.spec.node_class_ref),
        }
    }

    /// Time limit of its drain, in seconds, if it is set.
    #[must_use]
    pub fn termination_grace_period(&self) -> Option<i64> {
        match self {
            Self::Machine(_) => None,
            Self::NodeClaim(claim) => duration_seconds(claim.spec.termination_grace_period.as_deref()?),
        }
    }

    /// Name of its Node; empty before it has one.
    #[must_use]
    pub fn node_name(&self) -> &str {
        match self {
            Self::Machine(machine) => machine.status.as_ref().map(|status| status.node_name.as_str()),
            Self::NodeClaim(claim) => claim.status.as_ref().map(|status| status.node_name.as_str()),
        }
        .unwrap_or_default()
    }

    /// Provider id of its Node; empty before it has one.
    #[must_use]
    pub fn provider_id(&self) -> &str {
        match self {
            Self::Machine(machine) => machine.status.as_ref().map(|status| status.provider_id.as_str()),
            Self::NodeClaim(claim) => claim.status.as_ref().map(|status| status.provider_id.as_str()),
        }
        .unwrap_or_default()
    }

    /// Amount of a resource that its Node has, as the status reports it.
    #[must_use]
    pub fn capacity(&self, resource: &str) -> Option<&Quantity> {
        match self {
            Self::Machine(machine) => machine.status.as_ref()?.capacity.get(resource),
            Self::NodeClaim(claim) => claim.status.as_ref()?.capacity.get(resource),
        }
    }

    /// Returns the condition of this type.
    #[must_use]
    pub fn condition(&self, type_: ClaimConditionType) -> Option<ClaimCondition<'_>> {
        self.named_condition(type_.as_str(self.claim_kind()))
    }

    /// Returns true if the condition of this type is `True`.
    #[must_use]
    pub fn is_true(&self, type_: ClaimConditionType) -> bool {
        self.condition(type_)
            .is_some_and(|condition| condition.status == Status::True)
    }

    /// Returns the condition that delays the deletion of a terminating claim.
    #[must_use]
    pub fn termination_condition(&self) -> Option<ClaimCondition<'_>> {
        match self {
            Self::Machine(_) => self.condition(ClaimConditionType::Ready),
            Self::NodeClaim(_) => {
                let found = TERMINATION_CONDITIONS
                    .iter()
                    .filter_map(|type_| self.named_condition(type_));
                let mut found: Vec<ClaimCondition<'_>> = found.collect();
                let last = found.pop()?;
                let blocking = found
                    .into_iter()
                    .find(|condition| condition.status != Status::True);
                Some(blocking.unwrap_or(last))
            }
        }
    }

    fn named_condition(&self, type_: &str) -> Option<ClaimCondition<'_>> {
        match self {
            Self::Machine(machine) => {
                let all = &machine.status.as_ref()?.conditions;
                let found = all.iter().find(|condition| condition.type_ == type_)?;
                Some(ClaimCondition {
                    status: Status::parse(&found.status),
                    reason: &found.reason,
                    message: &found.message,
                    since: found.since(),
                })
            }
            Self::NodeClaim(claim) => {
                let found = claim.status.as_ref()?.condition(type_)?;
                Some(ClaimCondition {
                    status: Status::parse(&found.status),
                    reason: &found.reason,
                    message: &found.message,
                    since: Some(found.last_transition_time.0),
                })
            }
        }
    }
}

/// Lets code read the metadata as of any other object.
impl kube::Resource for Claim {
    type DynamicType = ClaimKind;
    type Scope = kube::core::ClusterResourceScope;

    fn kind(kind: &ClaimKind) -> Cow<'_, str> {
        kind.as_str().into()
    }

    fn group(_: &ClaimKind) -> Cow<'_, str> {
        "karpenter.sh".into()
    }

    fn version(kind: &ClaimKind) -> Cow<'_, str> {
        let (_, version) = kind.api_version().split_once('/').unwrap_or_default();
        version.into()
    }

    fn plural(kind: &ClaimKind) -> Cow<'_, str> {
        kind.plural().into()
    }

    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Machine(machine) => &mut Arc::make_mut(machine).metadata,
            Self::NodeClaim(claim) => &mut Arc::make_mut(claim).metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine_status::MachineStatus;

    fn of(kind: ClaimKind, conditions: &[(&str, &str)]) -> Claim {
        let conditions: Vec<serde_json::Value> = conditions
            .iter()
            .map(|(type_, status)| {
                serde_json::json!({"type": type_, "status": status, "reason": "R", "message": "m",
                    "lastTransitionTime": "2026-01-02T03:04:05Z"})
            })
            .collect();
        let status = serde_json::json!({"nodeName": "n", "providerID": "p", "conditions": conditions});
        match kind {
            ClaimKind::Machine => {
                let mut machine = Machine::new("c", Default::default());
                machine.status = serde_json::from_value::<MachineStatus>(status).ok();
                machine.into()
            }
            ClaimKind::NodeClaim => {
                let mut claim = NodeClaim::new("c", Default::default());
                claim.status = serde_json::from_value(status).ok();
                claim.into()
            }
        }
    }

    #[test]
    fn both_kinds_answer_alike() {
        for kind in ClaimKind::ALL {
            let launched = ClaimConditionType::Launched;
            let claim = of(kind, &[(launched.as_str(kind), "True"), ("Ready", "Unknown")]);
            assert_eq!((claim.claim_kind(), claim.name()), (kind, "c"));
            assert_eq!((claim.node_name(), claim.provider_id()), ("n", "p"));
            assert!(claim.is_true(launched));
            let ready = claim.condition(ClaimConditionType::Ready).unwrap();
            assert_eq!(
                (ready.status, ready.reason, ready.message),
                (Status::Unknown, "R", "m")
            );
            assert_eq!(ready.since, "2026-01-02T03:04:05Z".parse().ok());
            assert!(claim.condition(ClaimConditionType::Registered).is_none());
        }
    }

    #[test]
    fn the_first_unfinished_step_delays_the_deletion() {
        let kind = ClaimKind::NodeClaim;
        assert_eq!(of(kind, &[]).termination_condition(), None);
        let draining = of(kind, &[("Drained", "Unknown")]);
        assert_eq!(
            draining.termination_condition().map(|c| c.status),
            Some(Status::Unknown)
        );
        let detached = [
            ("Drained", "True"),
            ("VolumesDetached", "Unknown"),
            ("InstanceTerminating", "True"),
        ];
        assert_eq!(
            of(kind, &detached).termination_condition().map(|c| c.status),
            Some(Status::Unknown)
        );
        let terminating = [("Drained", "True"), ("InstanceTerminating", "True")];
        assert_eq!(
            of(kind, &terminating).termination_condition().map(|c| c.status),
            Some(Status::True)
        );
    }

    #[test]
    fn a_claim_serializes_as_the_object_it_is() {
        for kind in ClaimKind::ALL {
            let value = serde_json::to_value(of(kind, &[])).unwrap();
            assert_eq!(value["kind"], kind.as_str());
            assert_eq!(value["apiVersion"], kind.api_version());
        }
    }
}
