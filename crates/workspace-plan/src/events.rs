//! Events that follow from a change: a node is asked for, something became a problem, or the Workspace became
//! ready. What did not change is not told again.

use kaito_api::ClaimKind;
use kaito_api::conditions::WorkspaceConditionType;
use plan::{Event, Kind, Write};

use crate::finding::{ConditionUpdate, Problem};
use crate::status::Report;
use crate::subject::Subject;

/// Conditions whose problems are told; the others repeat them.
const TOLD: [WorkspaceConditionType; 3] = [
    WorkspaceConditionType::ResourceReady,
    WorkspaceConditionType::InferenceReady,
    WorkspaceConditionType::JobStarted,
];

/// What is to be told of one pass.
pub(crate) fn of(
    subject: &Subject<'_>,
    findings: &[(WorkspaceConditionType, ConditionUpdate)],
    report: &Report<'_>,
    writes: &[Write],
) -> Vec<Event> {
    let mut events: Vec<Event> = writes
        .iter()
        .filter_map(|write| of_write(subject, report.sum, write))
        .collect();
    events.extend(
        findings
            .iter()
            .filter_map(|(kind, finding)| of_finding(subject, *kind, finding)),
    );
    let is_new = |note: &&Problem| {
        !before(subject, WorkspaceConditionType::WorkspaceReady, |m| {
            m.contains(&note.note())
        })
    };
    events.extend(
        report
            .notes
            .iter()
            .filter(is_new)
            .map(|note| Event::warning(note.reason.as_str(), note.finding().message)),
    );
    events
}

fn of_write(subject: &Subject<'_>, sum: Option<&str>, write: &Write) -> Option<Event> {
    match write {
        Write::Apply(manifest) => {
            let (target, kind) = (manifest.target(), claim_kind(manifest.kind())?);
            let is_new = !subject.claims.contains_key(&(target.name.as_str(), kind));
            let why = sum.map(|sum| format!(" {sum}")).unwrap_or_default();
            let note = format!("Asked for a node by {} {}.{why}", kind.as_str(), target.name);
            let reason = match kind {
                ClaimKind::Machine => "MachineCreated",
                ClaimKind::NodeClaim => "NodeClaimCreated",
            };
            is_new.then(|| Event::normal(reason, note))
        }
        Write::Delete(delete) => {
            let kind = claim_kind(delete.target.kind)?;
            let name = &delete.target.name;
            let note = format!("{} {name} is not needed any more and is deleted.", kind.as_str());
            let reason = match kind {
                ClaimKind::Machine => "MachineDeleted",
                ClaimKind::NodeClaim => "NodeClaimDeleted",
            };
            Some(Event::normal(reason, note))
        }
        Write::Patch(_) | Write::Evict(_) => None,
    }
}

fn claim_kind(kind: Kind) -> Option<ClaimKind> {
    ClaimKind::ALL
        .into_iter()
        .find(|claim| Kind::from(*claim) == kind)
}

fn of_finding(
    subject: &Subject<'_>,
    kind: WorkspaceConditionType,
    finding: &ConditionUpdate,
) -> Option<Event> {
    let was = subject
        .conditions()
        .iter()
        .find(|condition| condition.type_ == kind.as_str());
    if finding.is_true() {
        let news =
            kind == WorkspaceConditionType::WorkspaceReady && was.is_none_or(|was| was.status != "True");
        return news.then(|| Event::normal("Ready", finding.message.clone()));
    }
    let news = was.is_none_or(|was| was.status == "True" || was.reason != finding.reason_str());
    let told = news && TOLD.contains(&kind) && finding.is_problem();
    told.then(|| Event::warning(finding.reason_str(), finding.message.clone()))
}

fn before(subject: &Subject<'_>, kind: WorkspaceConditionType, is: impl Fn(&str) -> bool) -> bool {
    subject
        .conditions()
        .iter()
        .any(|condition| condition.type_ == kind.as_str() && is(&condition.message))
}
