//! `explain`: the state of a Workspace, the reasons and the remedies.
//!
//! Reads one object. Reasons and remedies are the closed set of `kaito_api`.

use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kaito_api::conditions::ReasonText;
use kaito_api::workspace_status::{BoughtOffering, ColdStart, LaunchAttempt};
use kaito_api::{Workspace, WorkspaceStatus};

use crate::answer::Answer;
use crate::args::{ExplainArgs, Format};
use crate::explain_json;
use crate::output::{lasted, printable, serialized, table};

/// Reads the Workspace and describes its state. A reason with a remedy is a finding.
pub(crate) async fn run(args: &ExplainArgs) -> anyhow::Result<Answer> {
    let access = args.read.cluster.connect().await?;
    let workspace = access.workspace(&args.workspace).await?;
    let answer = explained(&access.namespace, &workspace);
    Ok(match args.read.output {
        Format::Table => answer,
        format => Answer {
            text: serialized(format, &explain_json::of(&workspace))?,
            ..answer
        },
    })
}

fn explained(namespace: &str, workspace: &Workspace) -> Answer {
    let name = workspace.metadata.name.as_deref().unwrap_or_default();
    let mut text = format!("Workspace {namespace}/{name}");
    // Writes to a String never fail.
    let Some(status) = &workspace.status else {
        text.push_str(": no status yet. Is workspace-controller running?\n");
        return Answer { text, findings: true };
    };
    let _ = writeln!(text, ": {}", headline(status));
    if status.observed_generation < workspace.metadata.generation {
        text.push_str("The controller has not processed the last edit yet.\n");
    }
    let lines = [
        ("Model", &status.model),
        ("Endpoint", &status.endpoint),
        ("Instance type", &status.instance_type),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            let _ = writeln!(text, "{name}: {}", printable(value));
        }
    }
    let bought = |found: &BoughtOffering| {
        let zone = Some(&found.zone).filter(|zone| !zone.is_empty());
        let zone = zone.map_or_else(String::new, |zone| format!(" in {zone}"));
        printable(&format!("{} {}{zone}", found.nodes, found.capacity_type))
    };
    if !status.offerings.is_empty() {
        let all: Vec<String> = status.offerings.iter().map(bought).collect();
        let _ = writeln!(text, "Bought: {}", all.join(", "));
    }
    if let Some(revision) = &status.model_revision {
        let commit = revision
            .commit
            .as_deref()
            .map_or_else(String::new, |commit| format!("{commit}, "));
        let _ = writeln!(
            text,
            "Commit: {}{}",
            printable(&commit),
            revision.source.describe()
        );
    }
    if !status.worker_nodes.is_empty() {
        let _ = writeln!(text, "Nodes: {}", printable(&status.worker_nodes.join(", ")));
    }
    let rows = status.conditions.iter().map(|condition| {
        vec![
            printable(&condition.type_),
            printable(&condition.status),
            printable(&condition.reason),
            printable(&condition.message),
        ]
    });
    let _ = write!(
        text,
        "\n{}",
        table(&["CONDITION", "STATUS", "REASON", "~MESSAGE"], rows)
    );
    text.push_str(&attempts(&status.attempts));
    if let Some(start) = &status.cold_start {
        text.push_str(&timeline(start));
    }
    let helps = remedies(&status.conditions);
    for ReasonText {
        reason,
        meaning,
        remedy,
    } in &helps
    {
        let _ = write!(text, "\n{reason}: {meaning} {remedy}\n");
    }
    Answer {
        text,
        findings: !helps.is_empty(),
    }
}

/// Describes the launches that were refused or left out; empty without any.
fn attempts(attempts: &[LaunchAttempt]) -> String {
    if attempts.is_empty() {
        return String::new();
    }
    let rows = attempts.iter().map(|attempt| {
        let claim = if attempt.claim.is_empty() {
            "left out"
        } else {
            &attempt.claim
        };
        let cells = [&attempt.instance_type, claim, &attempt.reason, &attempt.message];
        let cells = cells.map(printable);
        [attempt.time.0.to_string()].into_iter().chain(cells).collect()
    });
    let header = ["ATTEMPT", "INSTANCE TYPE", "CLAIM", "REASON", "~MESSAGE"];
    format!("\n{}", table(&header, rows))
}

/// Describes the first start: the time of its first step, then the time that each further one took.
fn timeline(start: &ColdStart) -> String {
    let mut text = String::from("\n");
    let mut before = None;
    let rows = start.steps().into_iter().filter_map(|(step, time)| {
        let time = time?.0;
        let shown = match before {
            None => time.to_string(),
            Some(before) => format!("+{}", lasted(time.duration_since(before).as_secs())),
        };
        before = Some(time);
        Some(vec![step.describe().to_owned(), shown])
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    text.push_str(&table(&["FIRST START", "TIME"], rows));
    if let Some(bytes) = start.weights_bytes {
        let gib = bytes as f64 / f64::from(1 << 30);
        let _ = writeln!(text, "The weights have {gib:.1} GiB on each node.");
    }
    if !start.usd_per_hour.is_empty() {
        let price = printable(&start.usd_per_hour);
        let _ = writeln!(text, "The nodes cost ${price} an hour (list price).");
    }
    text
}

fn headline(status: &WorkspaceStatus) -> String {
    let state = status
        .state
        .map_or_else(|| "no state yet".to_owned(), |state| format!("{state:?}"));
    match status.target_node_count {
        Some(count) => format!("{state}, on {count} node{}", if count == 1 { "" } else { "s" }),
        None => state,
    }
}

/// Lists each reason of an unhealthy condition once, if it has a remedy. `docs/reasons.md` has the same text.
fn remedies(conditions: &[Condition]) -> Vec<ReasonText> {
    let mut found: Vec<ReasonText> = Vec::new();
    for condition in conditions.iter().filter(|condition| condition.status != "True") {
        let text = ReasonText::find(&condition.reason).filter(|text| !text.remedy.is_empty());
        found.extend(text.filter(|text| !found.contains(text)));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workspace(status: &serde_json::Value) -> Workspace {
        let object = json!({
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
            "metadata": {"name": "w", "generation": 2}, "status": status
        });
        serde_json::from_value(object).unwrap()
    }

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> serde_json::Value {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"
        })
    }

    #[test]
    fn what_helps_is_said_once() {
        let status = json!({
            "state": "Pending", "targetNodeCount": 2, "observedGeneration": 2, "workerNodes": ["n1"],
            "modelRevision": {"commit": "abc", "source": "FirstUse"},
            "conditions": [
                condition("ResourceReady", "False", "SubscriptionQuotaReached", "no quota for 24 vCPUs"),
                condition("WorkspaceSucceeded", "False", "SubscriptionQuotaReached", "no quota for 24 vCPUs"),
            ]
        });
        let answer = explained("default", &workspace(&status));
        assert!(answer.findings);
        assert!(
            answer
                .text
                .starts_with("Workspace default/w: Pending, on 2 nodes\nCommit: abc, unpinned preset, fixed at the first use\nNodes: n1\n"),
            "{}",
            answer.text
        );
        assert_eq!(
            answer.text.matches("Ask for more quota").count(),
            1,
            "{}",
            answer.text
        );
    }

    #[test]
    fn the_first_start_is_a_timeline() {
        let status = json!({
            "state": "Ready", "targetNodeCount": 1, "observedGeneration": 2,
            "coldStart": {
                "claimed": "2026-01-01T10:00:00Z", "launched": "2026-01-01T10:03:10Z", "downloaded": "2026-01-01T10:03:30Z",
                "ready": "2026-01-01T10:03:50Z", "usdPerHour": "3.67", "weightsBytes": 16106127360_i64,
            },
            "conditions": [condition("WorkspaceSucceeded", "True", "workspaceSucceeded", "it answers")]
        });
        let answer = explained("default", &workspace(&status));
        let lines: Vec<String> = answer
            .text
            .lines()
            .skip_while(|line| !line.starts_with("FIRST START"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "FIRST START TIME",
                "claims created 2026-01-01T10:00:00Z",
                "instances launched +3 min 10 s",
                "weights downloaded +20 s",
                "model loaded, first answer +20 s",
                "The weights have 15.0 GiB on each node.",
                "The nodes cost $3.67 an hour (list price).",
            ]
        );
    }

    #[test]
    fn every_attempt_is_a_line() {
        let status = json!({
            "state": "Pending", "observedGeneration": 2, "instanceType": "B",
            "attempts": [
                {"time": "2026-01-01T10:00:00Z", "instanceType": "A", "claim": "ws1", "reason": "AllocationFailure",
                    "message": "no capacity"},
                {"time": "2026-01-01T10:01:00Z", "instanceType": "C", "reason": "SubscriptionQuotaReached"},
            ],
            "conditions": [],
        });
        let text = explained("default", &workspace(&status)).text;
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for expected in [
            "Instance type: B",
            "2026-01-01T10:00:00Z A ws1 AllocationFailure no capacity",
            "2026-01-01T10:01:00Z C left out SubscriptionQuotaReached",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{text}");
        }
    }

    #[test]
    fn all_is_well() {
        let status = json!({
            "state": "Ready", "targetNodeCount": 1, "observedGeneration": 1,
            "conditions": [condition("WorkspaceSucceeded", "True", "workspaceSucceeded", "it answers")]
        });
        let answer = explained("default", &workspace(&status));
        assert!(!answer.findings);
        assert!(
            answer
                .text
                .contains("The controller has not processed the last edit yet."),
            "{}",
            answer.text
        );
    }

    #[test]
    fn what_ails_a_node_claim_is_explained_too() {
        let status = json!({
            "state": "Pending", "observedGeneration": 2,
            "conditions": [condition("NodeClaimReady", "False", "InvalidNodeClaim", "zones cannot be chosen")]
        });
        let answer = explained("default", &workspace(&status));
        assert!(
            answer.findings && answer.text.contains("carried out. A NodeClaim cannot be changed"),
            "{}",
            answer.text
        );
    }

    #[test]
    fn nothing_is_known() {
        let answer = explained("default", &workspace(&serde_json::Value::Null));
        assert!(
            answer.findings && answer.text.contains("workspace-controller"),
            "{}",
            answer.text
        );
    }
}
