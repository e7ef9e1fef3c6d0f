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

/// Refusals, by the part of the status that they concern.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// The Workspace gets no nodes for it.
    pub(crate) nodes: Option<Problem>,
    /// The model cannot be served, or the Job cannot run, for it.
    pub(crate) workload: Option<Problem>,
    /// All others.
    pub(crate) notes: Vec<Problem>,
}

impl Refused {
    /// Sorts the refusals of this plan.
    pub(crate) fn of(context: &PlanContext<'_>) -> Self {
        let mut refused = Self::default();
        for refusal in &context.refusals {
            let place = match (refusal.verb, refusal.target.kind) {
                (Verb::EnsureFinalizer, _) => Some(&mut refused.nodes),
                (Verb::Apply, kind) if !exists(context, &refusal.target) => match kind {
                    Kind::Machine | Kind::NodeClaim => Some(&mut refused.nodes),
                    // A Job that exists needs nothing else to run.
                    _ if context.job().is_some() => None,
                    _ => Some(&mut refused.workload),
                },
                _ => None,
            };
            match place {
                Some(place) if place.is_none() => *place = Some(problem(refusal)),
                _ => refused.notes.push(problem(refusal)),
            }
        }
        refused
    }

    /// Returns the condition that reports a refusal of nodes, unless `resource` reports a problem itself.
    pub(crate) fn resource(&mut self, resource: ConditionUpdate) -> ConditionUpdate {
        match self.nodes.take() {
            Some(problem) if !resource.is_problem() => problem.condition(),
            other => {
                self.notes.extend(other);
                resource
            }
        }
    }
}

fn problem(refusal: &RefusedWrite) -> Problem {
    Problem::new(refusal.reason, refusal.cause())
}

fn exists(context: &PlanContext<'_>, target: &ObjectRef) -> bool {
    let is_claim = |(name, kind): &(&str, _)| *name == target.name && Kind::from(*kind) == target.kind;
    context.named.iter().any(|object| object.is(target)) || context.claims.keys().any(is_claim)
}

/// Returns the notes of all refusals for the message of a terminating Workspace.
pub(crate) fn notes(context: &PlanContext<'_>) -> String {
    context
        .refusals
        .iter()
        .map(|refusal| format!(" {}", refusal.note()))
        .collect()
}

/// Returns the refusal in the words that the stored status has already, if the new ones differ in numbers only. So a
/// message with a time or an identifier is not written at each attempt.
pub(crate) fn settled(context: &PlanContext<'_>, refusal: &RefusedWrite) -> RefusedWrite {
    // Their numbers are what people look for, and they change with the object or the limit alone.
    let is_exact = matches!(
        refusal.reason,
        RefusalReason::QuotaExceeded | RefusalReason::LimitRangeExceeded
    );
    let stored = context
        .conditions()
        .iter()
        .filter_map(|condition| stored_words(&condition.message, refusal))
        .find(|words| differ_in_numbers_only(words, &refusal.words));
    match stored {
        Some(words) if !is_exact => RefusedWrite {
            words: words.to_owned(),
            ..refusal.clone()
        },
        _ => refusal.clone(),
    }
}

fn stored_words<'a>(message: &'a str, refusal: &RefusedWrite) -> Option<&'a str> {
    let start = RefusedWrite {
        words: String::new(),
        ..refusal.clone()
    };
    let (_, rest) = message.split_once(&start.cause())?;
    let (words, _) = rest.split_once(refusal.reason.remedy())?;
    let words = words.trim_end();
    // The remedy follows a period, which the server's words may lack.
    Some(if refusal.words.ends_with('.') {
        words
    } else {
        words.trim_end_matches('.')
    })
}
