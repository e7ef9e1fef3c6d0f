//! Writes that the API server refused, as a note in the message of a claim's `Ready` condition.
//!
//! The stored status is kept otherwise: the one that the plan holds assumes that its writes took effect.

use jiff::Timestamp;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, MESSAGE_MAX, NewCondition, Status};
use kaito_api::{Claim, MachineStatus, NodeClaimStatus};
use plan::refusal::differ_in_numbers_only;
use plan::text::cut;
use plan::{Event, RefusedWrite, Report};

/// Start of the note.
const REFUSED: &str = "Refused: ";

/// Decides what the status of the claim says after the API server refused these writes. The note disappears with the next
/// status that a plan writes.
#[must_use]
pub fn report(now: Timestamp, claim: &Claim, refusals: &[RefusedWrite]) -> Report {
    // One is enough: a longer message would be cut.
    let others = refusals.len().saturating_sub(1);
    let notes = refusals
        .first()
        .map(|refusal| refusal.note(others))
        .unwrap_or_default();
    let status = match claim {
        Claim::Machine(machine) => {
            let mut status = machine.status.clone().unwrap_or_default();
            note_machine(&mut status, &notes, now).then(|| serde_json::to_value(status).ok())
        }
        Claim::NodeClaim(claim) => {
            let mut status = claim.status.clone().unwrap_or_default();
            let generation = claim.metadata.generation.unwrap_or_default();
            note_node_claim(&mut status, &notes, generation, now).then(|| serde_json::to_value(status).ok())
        }
    };
    let Some(status) = status else {
        return Report::default();
    };
    let event = |refusal: &RefusedWrite| Event::warning(refusal.reason.as_str(), refusal.note(0));
    Report {
        // Strings and numbers only, so this cannot fail.
        status,
        events: refusals.iter().map(event).collect(),
    }
}

/// Condition of a claim that has no status yet.
const UNKNOWN: NewCondition<'static> = NewCondition {
    type_: "Ready",
    status: Status::Unknown,
    reason: ClaimReason::AwaitingReconciliation.as_str(),
    message: "",
};

// Returns false if the status has the note already.
fn note_machine(status: &mut MachineStatus, notes: &str, now: Timestamp) -> bool {
    let is_ready = |type_: &str| type_ == ClaimConditionType::Ready.as_str(kaito_api::ClaimKind::Machine);
    if !status
        .conditions
        .iter()
        .any(|condition| is_ready(&condition.type_))
    {
        status.conditions.push(UNKNOWN.of_machine(&[], now));
    }
    let ready = status
        .conditions
        .iter_mut()
        .find(|condition| is_ready(&condition.type_));
    ready.is_some_and(|ready| note(&mut ready.message, notes))
}

fn note_node_claim(status: &mut NodeClaimStatus, notes: &str, generation: i64, now: Timestamp) -> bool {
    let is_ready = |type_: &str| type_ == ClaimConditionType::Ready.as_str(kaito_api::ClaimKind::NodeClaim);
    if !status
        .conditions
        .iter()
        .any(|condition| is_ready(&condition.type_))
    {
        status
            .conditions
            .push(UNKNOWN.of_node_claim(&[], generation, now, now));
    }
    let ready = status
        .conditions
        .iter_mut()
        .find(|condition| is_ready(&condition.type_));
    ready.is_some_and(|ready| note(&mut ready.message, notes))
}

fn note(message: &mut String, notes: &str) -> bool {
    let (base, _) = message.split_once(REFUSED).unwrap_or((message, ""));
    let base = base.trim_end();
    let gap = if base.is_empty() { "" } else { " " };
    let noted = cut(&format!("{base}{gap}{REFUSED}{notes}"), MESSAGE_MAX);
    if differ_in_numbers_only(message, &noted) {
        return false;
    }
    *message = noted;
    true
}

#[cfg(test)]
mod tests {
    use kaito_api::{Machine, MachineSpec};
    use plan::{Kind, ObjectRef, Verb};

    use super::*;

    fn refusal(words: &str) -> RefusedWrite {
        let target = ObjectRef {
            kind: Kind::Node,
            namespace: None,
            name: "n".to_owned(),
        };
        RefusedWrite::new(Verb::Patch, target, Some(403), words)
    }

    #[test]
    fn a_refusal_is_noted_once_and_replaced_by_another() {
        let now = Timestamp::UNIX_EPOCH;
        let mut machine = Machine::new("m", MachineSpec::default());
        let mut write = |words: &str| {
            let status = report(now, &Claim::from(machine.clone()), &[refusal(words)]).status?;
            let status: MachineStatus = serde_json::from_value(status).unwrap();
            let message = status.conditions[0].message.clone();
            machine.status = Some(status);
            Some(message)
        };
        let first = write("no patches at 10:00").unwrap();
        let start = "Refused: AdmissionDenied: Node n cannot be written: no patches at 10:00.";
        assert!(first.starts_with(start), "{first}");
        assert_eq!(write("no patches at 10:01"), None);
        let other = write("no writes").unwrap();
        assert!(
            other.contains("no writes") && !other.contains("no patches"),
            "{other}"
        );
    }
}
