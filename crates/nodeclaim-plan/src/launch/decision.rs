//! The launch decision: the state of the instance, and the calls and writes that follow from it.

use std::time::Duration;

use cloudprovider::CloudCall;
use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::conditions::{ClaimConditionType, ClaimReason};
use kaito_api::labels::LAUNCH_FAILURE;
use plan::{Plan, Write};

use crate::claim_edit::ClaimEdit;
use crate::condition::{self, ConditionUpdate};
use crate::node::edit::NodeEdit;

/// The outcome of the launch stage in one reconcile.
pub(crate) struct LaunchDecision<'a> {
    /// Stable word for logs and metrics.
    pub(crate) code: &'static str,
    /// State of the instance and of its Node.
    pub(crate) state: LaunchState<'a>,
    /// Changes to the claim's metadata.
    pub(crate) claim_edit: ClaimEdit,
    /// Writes to leftover Nodes.
    pub(crate) writes: Vec<Write>,
    /// Call to the cloud, after all writes.
    pub(crate) cloud: Option<CloudCall>,
    /// Time until the next look, even if nothing changes.
    pub(crate) requeue: Option<Duration>,
}

/// State of the instance, as the later stages need it.
pub(crate) enum LaunchState<'a> {
    /// There is no instance yet; the update is that of `Launched`.
    NotLaunched(ConditionUpdate),
    /// The instance exists, but not exactly one Node of it.
    NoSingleNode { reason: ClaimReason, cause: String },
    /// The claim's Node exists, hence the instance does. Later stages add to the edit.
    Joined(NodeEdit<'a>),
    /// Nothing new is known: the stored conditions stay.
    Unchanged,
}

impl<'a> LaunchDecision<'a> {
    /// Returns a decision that asks for nothing.
    pub(crate) fn new(code: &'static str, state: LaunchState<'a>) -> Self {
        Self {
            code,
            state,
            claim_edit: ClaimEdit::default(),
            writes: Vec::new(),
            cloud: None,
            requeue: None,
        }
    }

    /// Returns a decision to wait for an instance.
    pub(crate) fn pending(code: &'static str, reason: ClaimReason, cause: &str) -> Self {
        Self::new(code, LaunchState::NotLaunched(condition::pending(reason, cause)))
    }

    /// Returns a decision to wait until an instance has one Node only.
    pub(crate) fn several_nodes(instance: &str, nodes: &str) -> Self {
        let state = LaunchState::NoSingleNode {
            reason: ClaimReason::MultipleNodesFound,
            cause: format!("instance {instance} has several Nodes: {nodes}"),
        };
        Self::new("several_nodes", state)
    }

    /// Returns a decision to take the Node, whatever its instance is doing. Earlier failures are forgotten.
    pub(crate) fn joined(claim: &Claim, node: &'a Node) -> Self {
        let mut decision = Self::new("joined", LaunchState::Joined(NodeEdit::new(node)));
        decision.claim_edit.set(claim, LAUNCH_FAILURE, None);
        decision
    }

    /// Returns the plan, still without status and events.
    pub(crate) fn into_plan(self, claim: &Claim) -> Plan<CloudCall> {
        let mut plan = Plan {
            cloud: self.cloud,
            requeue: self.requeue,
            writes: self.writes,
            ..Plan::default()
        };
        plan.add_reason(self.code, self.state.detail());
        plan.writes.extend(self.claim_edit.into_write(claim));
        if let LaunchState::Joined(edit) = self.state {
            plan.writes.extend(edit.into_write());
        }
        plan
    }
}

impl LaunchState<'_> {
    /// Returns the update of `Launched`.
    ///
    /// A Machine is launched once its Node exists, a NodeClaim once its instance does.
    pub(crate) fn launched(&self, claim: &Claim) -> ConditionUpdate {
        match self {
            Self::NotLaunched(update) => update.clone(),
            Self::NoSingleNode { reason, cause } => match claim {
                Claim::Machine(_) => condition::pending(*reason, cause),
                Claim::NodeClaim(_) => ConditionUpdate::done(),
            },
            Self::Joined(_) => ConditionUpdate::done(),
            Self::Unchanged => condition::stored(claim, ClaimConditionType::Launched),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NotLaunched(update) => update.message.clone(),
            Self::NoSingleNode { cause, .. } => cause.clone(),
            Self::Joined(edit) => edit.node().metadata.name.clone().unwrap_or_default(),
            Self::Unchanged => String::new(),
        }
    }
}
