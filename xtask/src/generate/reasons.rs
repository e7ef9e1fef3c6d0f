//! `docs/reasons.md`: every reason of a condition, when it appears, and what helps.
//!
//! Only the tables are made here; the text is that of `kaito_api`, which conditions and `kubectl kaito explain` use too.

use std::fmt::Write as _;

use anyhow::Result;
use kaito_api::conditions::ReasonText;

use super::generated::Generated;

const INTRODUCTION: &str = "\
<!-- Made by `cargo xtask gen` from crates/kaito-api. Do not edit. -->
# Reasons

A condition that is not `True` has one of these reasons. `kubectl get workspace` shows the one for which a Workspace is not
ready; the message of the condition names the object and ends with the remedy. `kubectl kaito explain` shows all of them.
";

const WORKSPACES: &str = "
## Workspaces

Reasons of a Workspace's conditions. A Workspace also shows the reasons of its claims and of refused writes.
";

const REFUSALS: &str = "
## Refused writes

Parts of the API server that refuse an object of ours, or a pod that a controller of Kubernetes creates for it. Other objects
are written all the same. A refusal that may end by itself is shown after some failed attempts in a row.
";

const CLAIMS: &str = "
## Claims

Reasons of conditions of Machines and NodeClaims.
";

pub(super) fn files() -> Result<Vec<Generated>> {
    let parts = [
        INTRODUCTION.to_owned(),
        section(WORKSPACES, ReasonText::of_workspaces()),
        section(REFUSALS, ReasonText::of_refusals()),
        section(CLAIMS, ReasonText::of_claims()),
    ];
    Ok(vec![Generated {
        path: "docs/reasons.md".into(),
        contents: parts.concat(),
    }])
}

fn section(introduction: &str, reasons: impl Iterator<Item = ReasonText>) -> String {
    let mut text = format!("{introduction}\n| reason | when it appears | remedy |\n|---|---|---|\n");
    for ReasonText {
        reason,
        meaning,
        remedy,
    } in reasons
    {
        let remedy = if remedy.is_empty() { "–" } else { remedy };
        // Writes to a String never fail.
        let _ = writeln!(text, "| `{reason}` | {meaning} | {remedy} |");
    }
    text
}
