//! Events about changes: a new claim, a new problem, or a Workspace that became ready.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kaito_api::conditions::WorkspaceConditionType;
use kaito_api::{ClaimKind, event_reasons};
use plan::condition::ConditionReason as _;
use plan::{Event, Kind, Write};

use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::problem::Problem;

/// Conditions whose problems become events; the other conditions repeat them.
const REPORTED: [WorkspaceConditionType; 3] = [
    WorkspaceConditionType::ResourceReady,
    WorkspaceConditionType::InferenceReady,
    WorkspaceConditionType::JobStarted,
];

/// Events about claims that are created or deleted.
pub(super) fn of_writes(
    context: &PlanContext<'_>,
    sizing_summary: Option<&str>,
    writes: &[Write],
) -> Vec<Event> {
    // Not all of these writes took effect. The ones that did show in the next observation.
    if !context.refusals.is_empty() {
        return Vec::new();
    }
    let events = writes
        .iter()
        .map(|write| of_write(context, sizing_summary, write));
    events.flatten().collect()
}

fn of_write(context: &PlanContext<'_>, sizing_summary: Option<&str>, write: &Write) -> Option<Event> {
    match write {
        Write::Apply(manifest) => {
            let (target, kind) = (manifest.target(), claim_kind(manifest.kind())?);
            let is_new = !context.claims.contains_key(&(target.name.as_str(), kind));
            let why = sizing_summary
                .map(|summary| format!(" {summary}"))
                .unwrap_or_default();
            let message = format!("Asked for a node by {} {}.{why}", kind.as_str(), target.name);
            is_new.then(|| Event::normal(event_reasons::claim_created(kind), message))
        }
        Write::Delete(delete) => {
            let kind = claim_kind(delete.target.kind)?;
            let name = &delete.target.name;
            let message = format!("{} {name} is not needed any more and is deleted.", kind.as_str());
            Some(Event::normal(event_reasons::claim_deleted(kind), message))
        }
        Write::Patch(_) | Write::Evict(_) => None,
    }
}

fn claim_kind(kind: Kind) -> Option<ClaimKind> {
    ClaimKind::ALL
        .into_iter()
        .find(|claim| Kind::from(*claim) == kind)
}

/// Events about conditions that became a problem, and about a Workspace that became ready.
pub(super) fn of_conditions(
    context: &PlanContext<'_>,
    updates: &[(WorkspaceConditionType, ConditionUpdate)],
) -> Vec<Event> {
    let events = updates
        .iter()
        .map(|(kind, update)| of_condition(context, *kind, update));
    events.flatten().collect()
}

fn of_condition(
    context: &PlanContext<'_>,
    kind: WorkspaceConditionType,
    update: &ConditionUpdate,
) -> Option<Event> {
    let old = old_condition(context, kind);
    if update.is_true() {
        let is_new =
            kind == WorkspaceConditionType::WorkspaceReady && old.is_none_or(|old| old.status != "True");
        return is_new.then(|| Event::normal(event_reasons::READY, update.message.clone()));
    }
    let is_new = old.is_none_or(|old| old.status == "True" || old.reason != update.reason_str());
    let is_reported = is_new && REPORTED.contains(&kind) && update.is_problem();
    is_reported.then(|| Event::warning(update.reason_str(), update.message.clone()))
}

/// Events about notes that the old status does not contain.
pub(super) fn of_notes(context: &PlanContext<'_>, notes: &[Problem]) -> Vec<Event> {
    let old = old_condition(context, WorkspaceConditionType::WorkspaceReady);
    let is_new = |note: &&Problem| old.is_none_or(|old| !old.message.contains(&note.note()));
    let event = |note: &Problem| Event::warning(note.reason.as_str(), note.condition().message);
    notes.iter().filter(is_new).map(event).collect()
}

fn old_condition<'a>(context: &PlanContext<'a>, kind: WorkspaceConditionType) -> Option<&'a Condition> {
    let mut conditions = context.conditions().iter();
    conditions.find(|condition| condition.type_ == kind.as_str())
}
