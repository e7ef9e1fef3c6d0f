//! One Workspace as it is shown, for people and as JSON.

use jiff::Timestamp;
use kaito_api::conditions::{ClaimConditionType, ReasonText, Status};
use kaito_api::workspace_status::{ModelRevision, WorkspaceState};
use kaito_api::{Claim, Workspace, WorkspaceStatus};
use serde::Serialize;

use super::facts::WorkspaceFacts;
use super::phases::{self, PhaseLine};
use crate::money::{self, Bill};
use crate::output::printable;
use crate::pod_step::{self, PodStep};

/// Everything that is shown about one Workspace.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusView {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// One word: `New` before the first status.
    pub(crate) state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_nodes: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model_revision: Option<ModelRevision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) remedy: String,
    pub(crate) phases: Vec<PhaseLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weights_bytes: Option<i64>,
    pub(crate) claims: Vec<ClaimLine>,
    pub(crate) nodes: Vec<String>,
    pub(crate) pods: Vec<PodStep>,
    /// Last line of a running download.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) downloads: Vec<String>,
    pub(crate) cost: Bill,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// One claim of a Workspace.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimLine {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) instance_type: String,
    /// Capacity type and zone of the instance; empty before there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) capacity_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) zone: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usd_micros_per_hour: Option<u64>,
    /// Reason for which the first unfinished step is not done; empty if all are.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
}

impl StatusView {
    /// Decides what is shown.
    pub(crate) fn of(facts: &WorkspaceFacts, now: Timestamp) -> Self {
        let workspace = &facts.workspace;
        let none = WorkspaceStatus::default();
        let status = workspace.status.as_ref().unwrap_or(&none);
        let (message, text) = explained(status);
        let mut notes = facts.notes.clone();
        if workspace.status.is_none() {
            notes.push(
                "There is no status yet. Does workspace-controller run? `kubectl kaito doctor` looks."
                    .to_owned(),
            );
        } else if status.observed_generation < workspace.metadata.generation {
            notes.push("The controller has not processed the last edit yet.".to_owned());
        }
        let remedy = text.map_or("", |text| text.remedy);
        let claims = facts.claims.as_deref();
        Self {
            namespace: workspace.namespace().to_owned(),
            name: workspace.name().to_owned(),
            state: state_word(workspace),
            target_nodes: status.target_node_count,
            model: status.model.as_deref().map(printable),
            model_revision: status.model_revision.clone(),
            endpoint: status.endpoint.as_deref().map(printable),
            reason: status.reason.as_deref().map(printable),
            message,
            remedy: remedy.to_owned(),
            phases: phases::of(workspace, !remedy.is_empty(), now),
            weights_bytes: status.cold_start.as_ref().and_then(|start| start.weights_bytes),
            claims: claims.unwrap_or_default().iter().map(claim_line).collect(),
            nodes: status.worker_nodes.clone(),
            pods: facts.pods.iter().map(pod_step::of).collect(),
            downloads: facts.downloads.values().map(|line| printable(line)).collect(),
            cost: bill(workspace, claims, now),
            notes,
        }
    }

    /// Returns true if the Workspace serves, or its tuning is done.
    pub(crate) fn is_settled_well(&self) -> bool {
        ["Ready", "Succeeded"].contains(&self.state.as_str())
    }

    /// Returns true if nothing more happens by itself.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_settled_well() || self.state == "Failed"
    }
}

/// The state as one word.
pub(crate) fn state_word(workspace: &Workspace) -> String {
    if workspace.is_terminating() {
        return "Deleting".to_owned();
    }
    let state = workspace.status.as_ref().and_then(|status| status.state);
    state.map_or_else(|| "New".to_owned(), |state: WorkspaceState| format!("{state:?}"))
}

/// Bill of the claims, or of the status if they are unknown or there are none.
pub(crate) fn bill(workspace: &Workspace, claims: Option<&[Claim]>, now: Timestamp) -> Bill {
    match claims {
        Some(claims) if !claims.is_empty() => Bill::of_claims(claims, now),
        Some(_) => Bill {
            usd_micros_per_hour: 0,
            spent_usd_micros: 0,
            ..Bill::of_status(workspace, now)
        },
        None => Bill::of_status(workspace, now),
    }
}

/// Message of the reason for which a Workspace is not ready, and its remedy; both may be empty.
pub(crate) fn message_and_remedy(status: &WorkspaceStatus) -> (String, &'static str) {
    let (message, text) = explained(status);
    (message, text.map_or("", |text| text.remedy))
}

/// Message of the condition that the state names, and the text about its reason.
fn explained(status: &WorkspaceStatus) -> (String, Option<ReasonText>) {
    let mut conditions = status.conditions.iter();
    let reason = status.reason.as_deref().unwrap_or_default();
    let named = conditions.clone().find(|condition| condition.reason == reason);
    let overall = conditions.find(|condition| condition.type_ == "WorkspaceSucceeded");
    let message = named.or(overall).map(|condition| printable(&condition.message));
    (message.unwrap_or_default(), ReasonText::find(reason))
}

fn claim_line(claim: &Claim) -> ClaimLine {
    let instance_type = claim.instance_type().unwrap_or_default();
    let unfinished = ClaimConditionType::STEPS.into_iter().find_map(|step| {
        let condition = claim.condition(step)?;
        (condition.status != Status::True).then_some(condition)
    });
    let text = |text: Option<&str>| text.map(printable).unwrap_or_default();
    let is_launched = claim.is_true(ClaimConditionType::Launched);
    let bought = |text: Option<&str>| text.filter(|_| is_launched).map(printable).unwrap_or_default();
    ClaimLine {
        name: claim.name().to_owned(),
        instance_type: printable(instance_type),
        capacity_type: bought(claim.capacity_type()),
        zone: bought(claim.zone()),
        node: printable(claim.node_name()),
        usd_micros_per_hour: money::price_of(instance_type),
        reason: text(unfinished.map(|condition| condition.reason)),
        message: text(unfinished.map(|condition| condition.message)),
    }
}

#[cfg(test)]
mod tests;
