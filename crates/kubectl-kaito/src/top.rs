//! `top`: nodes, GPUs and cost by Workspace, namespace or model.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kaito_api::{Claim, Workspace};
use serde::Serialize;

use crate::answer::Answer;
use crate::args::{Format, Group, TopArgs};
use crate::money::Bill;
use crate::output::{age, printable, serialized, table};
use crate::status::bill_among;

/// One row.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TopRow {
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    workspace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    model: String,
    workspaces: u32,
    cost: Bill,
    /// Age of the oldest Workspace.
    age_seconds: i64,
}

/// Counts the nodes and their cost.
pub(crate) async fn run(args: &TopArgs) -> anyhow::Result<Answer> {
    let access = args.read.cluster.connect().await?;
    let mut notes = Vec::new();
    let (workspaces, claims) = access.workspaces(args.all_namespaces, &mut notes).await?;
    let rows = rows(&workspaces, claims.as_deref(), args.by, Timestamp::now());
    let text = match args.read.output {
        Format::Table => shown(&rows, args.by, &notes),
        format => serialized(format, &serde_json::to_value(&rows)?)?,
    };
    Ok(Answer::fine(text))
}

fn rows(workspaces: &[Workspace], claims: Option<&[Claim]>, by: Group, now: Timestamp) -> Vec<TopRow> {
    let mut groups: BTreeMap<(String, String), TopRow> = BTreeMap::new();
    for workspace in workspaces {
        let namespace = workspace.namespace().to_owned();
        let model = printable(workspace.preset_name().unwrap_or("(template)"));
        let created = workspace.metadata.creation_timestamp.as_ref();
        let age = created.map_or(0, |time| now.duration_since(time.0).as_secs());
        let key = match by {
            Group::Namespace => (namespace.clone(), String::new()),
            Group::Workspace => (namespace.clone(), workspace.name().to_owned()),
            Group::Model => (model.clone(), String::new()),
        };
        let row = groups.entry(key).or_default();
        match by {
            Group::Namespace => row.namespace = namespace,
            Group::Model => row.model = model,
            Group::Workspace => {
                row.namespace = namespace;
                workspace.name().clone_into(&mut row.workspace);
                row.model = model;
            }
        }
        row.workspaces = row.workspaces.saturating_add(1);
        row.age_seconds = row.age_seconds.max(age);
        row.cost.add(&bill_among(workspace, claims, now));
    }
    let mut rows: Vec<TopRow> = groups.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.cost.usd_micros_per_hour));
    rows
}

fn shown(rows: &[TopRow], by: Group, notes: &[String]) -> String {
    if rows.is_empty() {
        return "There are no Workspaces.\n".to_owned();
    }
    let named = match by {
        Group::Namespace => vec!["NAMESPACE", ">WORKSPACES"],
        Group::Workspace => vec!["NAMESPACE", "WORKSPACE", "MODEL"],
        Group::Model => vec!["MODEL", ">WORKSPACES"],
    };
    let header = [
        &named[..],
        &[">NODES", ">SPOT", ">GPUS", ">$/HOUR", ">SPENT", ">AGE"],
    ]
    .concat();
    let names = |row: &TopRow| match by {
        Group::Namespace => vec![row.namespace.clone(), row.workspaces.to_string()],
        Group::Workspace => vec![row.namespace.clone(), row.workspace.clone(), row.model.clone()],
        Group::Model => vec![row.model.clone(), row.workspaces.to_string()],
    };
    let mut total = Bill::default();
    rows.iter().for_each(|row| total.add(&row.cost));
    let sums = |cost: &Bill| {
        let gpus = cost.gpus.to_string();
        let (nodes, spot) = (cost.nodes.to_string(), cost.spot_nodes.to_string());
        vec![nodes, spot, gpus, cost.price(), cost.spent()]
    };
    let lines = rows
        .iter()
        .map(|row| [names(row), sums(&row.cost), vec![age(row.age_seconds)]].concat());
    let blank = vec![String::new(); named.len() - 1];
    let last = [vec!["TOTAL".to_owned()], blank, sums(&total), vec![String::new()]].concat();
    let mut text = table(&header, lines.chain([last]));
    text.push_str(
        "\n$/HOUR is the list price. SPENT estimates from it and the ages of the nodes that exist now.\n",
    );
    if total.spot_nodes > 0 {
        text.push_str("Spot nodes count at the on-demand price. The cloud bills less for them.\n");
    }
    if total.unpriced_nodes > 0 {
        text.push_str(&format!(
            "Nodes without a known price count as free: {}.\n",
            total.unpriced_nodes
        ));
    }
    for note in notes {
        text.push_str(&format!("Note: {note}\n"));
    }
    text
}

#[cfg(test)]
mod tests;
