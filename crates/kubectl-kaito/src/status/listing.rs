//! All Workspaces as a table.

use jiff::Timestamp;
use kaito_api::{Claim, Workspace, labels};
use serde::Serialize;

use super::view::{bill, state_word};
use crate::money::Bill;
use crate::output::{age, printable, table as table_of};

/// One Workspace of the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkspaceRow {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    pub(crate) ready_nodes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_nodes: Option<i32>,
    pub(crate) cost: Bill,
    pub(crate) age_seconds: i64,
    #[serde(skip)]
    pub(crate) is_well: bool,
}

/// Describes each Workspace; `claims` are those of all Workspaces.
pub(crate) fn rows(workspaces: &[Workspace], claims: Option<&[Claim]>, now: Timestamp) -> Vec<WorkspaceRow> {
    let mut rows: Vec<WorkspaceRow> = workspaces
        .iter()
        .map(|workspace| row(workspace, claims, now))
        .collect();
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    rows
}

fn row(workspace: &Workspace, claims: Option<&[Claim]>, now: Timestamp) -> WorkspaceRow {
    let status = workspace.status.as_ref();
    let reason = status.and_then(|status| status.reason.as_deref());
    let state = state_word(workspace);
    let created = workspace.metadata.creation_timestamp.as_ref();
    WorkspaceRow {
        namespace: workspace.namespace().to_owned(),
        name: workspace.name().to_owned(),
        model: printable(workspace.preset_name().unwrap_or("(template)")),
        is_well: ["Ready", "Succeeded", "Running"].contains(&state.as_str()),
        state,
        reason: printable(reason.unwrap_or_default()),
        ready_nodes: status.map_or(0, |status| status.worker_nodes.len()),
        target_nodes: status.and_then(|status| status.target_node_count),
        cost: bill_among(workspace, claims, now),
        age_seconds: created.map_or(0, |time| now.duration_since(time.0).as_secs().max(0)),
    }
}

/// Bill of a Workspace whose claims are among these; `None` if claims are unknown.
pub(crate) fn bill_among(workspace: &Workspace, claims: Option<&[Claim]>, now: Timestamp) -> Bill {
    let own: Option<Vec<Claim>> = claims.map(|claims| {
        let own = claims.iter().filter(|claim| is_of(claim, workspace));
        own.cloned().collect()
    });
    bill(workspace, own.as_deref(), now)
}

/// Returns true if the claim belongs to the Workspace.
fn is_of(claim: &Claim, workspace: &Workspace) -> bool {
    let labels = claim.metadata().labels.as_ref();
    let has = |key: &str, value: &str| {
        labels.is_some_and(|labels| labels.get(key).is_some_and(|found| found == value))
    };
    has(labels::WORKSPACE, workspace.name()) && has(labels::WORKSPACE_NAMESPACE, workspace.namespace())
}

/// Draws the table.
pub(crate) fn table(rows: &[WorkspaceRow], all: bool, namespace: &str, notes: &[String]) -> String {
    let mut text = if rows.is_empty() {
        match all {
            true => "There are no Workspaces.\n".to_owned(),
            false => format!("There are no Workspaces in namespace {namespace}.\n"),
        }
    } else {
        let header = [
            "NAMESPACE",
            "NAME",
            "MODEL",
            "STATE",
            ">NODES",
            ">$/HOUR",
            ">SPENT",
            ">AGE",
            "~REASON",
        ];
        let skip = usize::from(!all);
        let cells = rows.iter().map(|row| cells(row).into_iter().skip(skip).collect());
        table_of(header.get(skip..).unwrap_or_default(), cells)
    };
    for note in notes {
        text.push_str(&format!("Note: {note}\n"));
    }
    text
}

/// Describes a Workspace in one line, which changes only if more than the time does.
pub(crate) fn line(row: &WorkspaceRow) -> String {
    let wanted = row
        .target_nodes
        .map_or_else(|| "?".to_owned(), |count| count.to_string());
    let line = format!(
        "{}/{} {} {}/{wanted} nodes, ${}/h {}",
        row.namespace,
        row.name,
        row.state,
        row.ready_nodes,
        row.cost.price(),
        row.reason
    );
    line.trim_end().to_owned()
}

/// Describes a Workspace as one line of JSON, without what changes with time alone.
pub(crate) fn change(row: &WorkspaceRow) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(row)?;
    if let Some(row) = value.as_object_mut() {
        row.remove("ageSeconds");
    }
    if let Some(cost) = value["cost"].as_object_mut() {
        cost.remove("spentUsdMicros");
    }
    Ok(value.to_string())
}

fn cells(row: &WorkspaceRow) -> Vec<String> {
    let wanted = row
        .target_nodes
        .map_or_else(|| "?".to_owned(), |count| count.to_string());
    vec![
        row.namespace.clone(),
        row.name.clone(),
        row.model.clone(),
        row.state.clone(),
        format!("{}/{wanted}", row.ready_nodes),
        row.cost.price(),
        row.cost.spent(),
        age(row.age_seconds),
        row.reason.clone(),
    ]
}
