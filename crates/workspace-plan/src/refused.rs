//! Writes that the API server refused, as conditions and notes of the status.
//!
//! A refused object that does not exist yet keeps the Workspace from its goal: a condition reports it. Every other
//! refusal, for example of an update or a deletion, is a note.

use kaito_api::conditions::RefusalReason;
use plan::refusal::differ_in_numbers_only;
use plan::{Kind, ObjectRef, RefusedWrite, Verb};

use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::problem::Problem;

/// Refusals, by the part of the status that they concern. One is shown in each, and says how many others there are: a
/// longer message would be cut.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// The Workspace gets no nodes for it.
    pub(crate) nodes: Option<Problem>,
    /// The model cannot be served, or the Job cannot run, for it.
    pub(crate) workload: Option<Problem>,
    /// Another one, if there is neither of these.
    pub(crate) note: Option<Problem>,
}

impl Refused {
    /// Sorts the refusals of this plan.
    pub(crate) fn of(context: &PlanContext<'_>) -> Self {
        let place = |refusal: &&RefusedWrite| place(context, refusal);
        let first = |wanted: RefusalPlace| context.refusals.iter().find(|refusal| place(refusal) == wanted);
        let (nodes, workload) = (first(RefusalPlace::Nodes), first(RefusalPlace::Workload));
        let note = context.refusals.first().filter(|_| nodes.or(workload).is_none());
        let problem = |refusal: &RefusedWrite| problem(context, refusal);
        Self {
            nodes: nodes.map(problem),
            workload: workload.map(problem),
            note: note.map(problem),
        }
    }

    /// Returns the condition that reports a refusal of nodes, unless `resource` reports a problem itself.
    pub(crate) fn resource(&mut self, resource: ConditionUpdate) -> ConditionUpdate {
        match self.nodes.take() {
            Some(problem) if !resource.is_problem() => problem.condition(),
            other => {
                self.note = self.note.take().or(other);
                resource
            }
        }
    }
}

/// The part of the status that shows a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RefusalPlace {
    Nodes,
    Workload,
    Note,
}

fn place(context: &PlanContext<'_>, refusal: &RefusedWrite) -> RefusalPlace {
    match (refusal.verb, refusal.target.kind) {
        // What runs needs no record.
        (_, Kind::ControllerRevision) => RefusalPlace::Note,
        (Verb::EnsureFinalizer, _) => RefusalPlace::Nodes,
        (Verb::Apply, _) if exists(context, &refusal.target) => RefusalPlace::Note,
        (Verb::Apply, Kind::Machine | Kind::NodeClaim) => RefusalPlace::Nodes,
        // A Job that exists needs nothing else to run.
        (Verb::Apply, _) if context.job().is_some() => RefusalPlace::Note,
        (Verb::Apply, _) => RefusalPlace::Workload,
        _ => RefusalPlace::Note,
    }
}

fn others(context: &PlanContext<'_>) -> usize {
    context.refusals.len().saturating_sub(1)
}

fn problem(context: &PlanContext<'_>, refusal: &RefusedWrite) -> Problem {
    Problem::new(refusal.reason, refusal.cause(others(context)))
}

fn exists(context: &PlanContext<'_>, target: &ObjectRef) -> bool {
    let is_claim = |(name, kind): &(&str, _)| *name == target.name && Kind::from(*kind) == target.kind;
    context.named.iter().any(|object| object.is(target)) || context.claims.keys().any(is_claim)
}

/// Returns the note for the message of a terminating Workspace; empty if nothing was refused.
pub(crate) fn note(context: &PlanContext<'_>) -> String {
    let first = context.refusals.first();
    first.map_or_else(String::new, |refusal| {
        format!("{} ", refusal.note(others(context)))
    })
}

/// Returns the refusal in the words that the stored status has already, if the new ones differ in numbers only. So a
/// message with a time or an identifier is not written at each attempt.
pub(crate) fn settled(context: &PlanContext<'_>, refusal: &RefusedWrite, others: usize) -> RefusedWrite {
    // Their numbers are what people look for, and they change with the object or the limit alone.
    let is_exact = matches!(
        refusal.reason,
        RefusalReason::QuotaExceeded | RefusalReason::LimitRangeExceeded
    );
    let stored = context
        .conditions()
        .iter()
        .filter_map(|condition| stored_words(&condition.message, refusal, others))
        .find(|words| differ_in_numbers_only(words, &refusal.words));
    match stored {
        Some(words) if !is_exact => RefusedWrite {
            words: words.to_owned(),
            ..refusal.clone()
        },
        _ => refusal.clone(),
    }
}

fn stored_words<'a>(message: &'a str, refusal: &RefusedWrite, others: usize) -> Option<&'a str> {
    let start = RefusedWrite {
        words: String::new(),
        ..refusal.clone()
    };
    let (_, rest) = message.split_once(&start.cause(others))?;
    let (words, _) = rest.split_once(refusal.reason.remedy())?;
    let words = words.trim_end();
    // The remedy follows a period, which the server's words may lack.
    Some(if refusal.words.ends_with('.') {
        words
    } else {
        words.trim_end_matches('.')
    })
}
