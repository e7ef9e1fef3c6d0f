//! All Workspaces as the page shows them.

use jiff::Timestamp;
use kaito_api::conditions::ReasonText;
use kaito_api::workspace_status::LaunchAttempt;
use kaito_api::{Workspace, WorkspaceStatus};
use serde::Serialize;

use crate::money::Bill;
use crate::output::printable;
use crate::status::{StatusView, Watching, WorkspaceFacts};

/// The whole page.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FleetView {
    scope: String,
    /// Milliseconds of the Unix epoch, to which all spans of time refer.
    now: i64,
    totals: Totals,
    /// Those that need a person first, then those that are not ready.
    workspaces: Vec<WorkspaceCard>,
    nodes: Vec<NodeRow>,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<WatchFailure>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    workspaces: usize,
    well: usize,
    /// Workspaces that wait for a person.
    attention: usize,
    cost: Bill,
}

/// Urgency of a Workspace, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
enum Urgency {
    Bad,
    Busy,
    Good,
}

/// One Workspace: what `status` shows, and what needs a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkspaceCard {
    #[serde(flatten)]
    status: StatusView,
    tone: Urgency,
    problems: Vec<Remediable>,
    attempts: Vec<LaunchAttempt>,
    age_seconds: i64,
}

/// A reason with its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Remediable {
    reason: String,
    message: String,
    remedy: &'static str,
}

/// One node, or the claim of one that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeRow {
    namespace: String,
    workspace: String,
    claim: String,
    node: String,
    instance_type: String,
    is_priced: bool,
    usd_micros_per_hour: u64,
    is_ready: bool,
    state: String,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct WatchFailure {
    /// Milliseconds of the Unix epoch.
    at: i64,
    message: String,
}

impl FleetView {
    /// Decides what is shown.
    pub(super) fn of(watching: &Watching, scope: &str, now: Timestamp) -> Self {
        let mut fleet = Self::of_facts(watching.facts(), scope, now);
        fleet.notes = watching.notes().to_vec();
        fleet.failure = watching.failure().map(|(at, message)| WatchFailure {
            at: at.as_millisecond(),
            message: printable(message),
        });
        fleet
    }

    fn of_facts(all: Vec<WorkspaceFacts>, scope: &str, now: Timestamp) -> Self {
        let mut workspaces: Vec<WorkspaceCard> = all.into_iter().map(|facts| card(facts, now)).collect();
        let mut totals = Totals {
            workspaces: workspaces.len(),
            ..Totals::default()
        };
        for card in &workspaces {
            totals.well += usize::from(card.tone == Urgency::Good);
            totals.attention += usize::from(card.tone == Urgency::Bad);
            totals.cost.add(&card.status.cost);
        }
        let nodes = workspaces.iter().flat_map(nodes).collect();
        // The sort is stable: names stay in their order.
        workspaces.sort_by_key(|card| card.tone);
        Self {
            scope: scope.to_owned(),
            now: now.as_millisecond(),
            totals,
            workspaces,
            nodes,
            notes: Vec::new(),
            failure: None,
        }
    }
}

fn card(mut facts: WorkspaceFacts, now: Timestamp) -> WorkspaceCard {
    // The page shows what concerns all Workspaces once.
    facts.notes.clear();
    let status = StatusView::of(&facts, now);
    let workspace = &facts.workspace;
    let created = workspace.metadata.creation_timestamp.as_ref();
    let problems = problems(workspace, &status);
    let tone = if status.is_settled_well() || (status.state == "Running" && problems.is_empty()) {
        Urgency::Good
    } else if status.state == "Failed" || !problems.is_empty() {
        Urgency::Bad
    } else {
        Urgency::Busy
    };
    let attempts = workspace.status.as_ref().map(|status| status.attempts.clone());
    WorkspaceCard {
        tone,
        problems,
        attempts: attempts.unwrap_or_default(),
        age_seconds: created.map_or(0, |time| now.duration_since(time.0).as_secs().max(0)),
        status,
    }
}

/// Reasons of unhealthy conditions that have a remedy, each once, and the reason of a failure.
fn problems(workspace: &Workspace, view: &StatusView) -> Vec<Remediable> {
    let none = WorkspaceStatus::default();
    let status = workspace.status.as_ref().unwrap_or(&none);
    let mut found: Vec<Remediable> = Vec::new();
    for condition in status
        .conditions
        .iter()
        .filter(|condition| condition.status != "True")
    {
        let text = ReasonText::find(&condition.reason).filter(|text| !text.remedy.is_empty());
        let Some(text) = text.filter(|_| found.iter().all(|one| one.reason != condition.reason)) else {
            continue;
        };
        found.push(Remediable {
            reason: printable(&condition.reason),
            // Most messages end with the remedy, which has a place of its own here.
            message: printable(condition.message.trim_end_matches(text.remedy).trim_end()),
            remedy: text.remedy,
        });
    }
    if found.is_empty() && view.state == "Failed" {
        found.extend(view.reason.clone().map(|reason| Remediable {
            reason,
            message: view.message.clone(),
            remedy: "",
        }));
    }
    found
}

/// The claims of a Workspace, and its nodes without a claim, which are the user's own.
fn nodes(card: &WorkspaceCard) -> Vec<NodeRow> {
    let row = |node: &str| NodeRow {
        namespace: card.status.namespace.clone(),
        workspace: card.status.name.clone(),
        claim: String::new(),
        node: node.to_owned(),
        instance_type: String::new(),
        is_priced: false,
        usd_micros_per_hour: 0,
        is_ready: true,
        state: "ready".to_owned(),
        message: String::new(),
    };
    let claims = &card.status.claims;
    let of_claims = claims.iter().map(|claim| {
        let is_ready = claim.reason.is_empty() && !claim.node.is_empty();
        let state = match (is_ready, claim.reason.as_str()) {
            (true, _) => "ready",
            (false, "") => "waiting",
            (false, reason) => reason,
        };
        NodeRow {
            claim: claim.name.clone(),
            instance_type: claim.instance_type.clone(),
            is_priced: claim.usd_micros_per_hour.is_some(),
            usd_micros_per_hour: claim.usd_micros_per_hour.unwrap_or(0),
            is_ready,
            state: state.to_owned(),
            message: claim.message.clone(),
            ..row(&claim.node)
        }
    });
    let is_claimed = |node: &String| claims.iter().any(|claim| &claim.node == node);
    let own = card.status.nodes.iter().filter(|node| !is_claimed(node));
    of_claims.chain(own.map(|node| row(node))).collect()
}

#[cfg(test)]
mod tests;
