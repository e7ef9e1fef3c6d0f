//! Automatic upgrades: who asks for a turn, how one is marked, and what the status says meanwhile.
//!
//! The mark is on the revision of the upgrade. It stays until the model serves, also if the model returns to an earlier
//! revision in between. What failed here would fail elsewhere, so the others wait for a person.

use jiff::{SignedDuration, Timestamp};
use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use plan::Manifest;

use super::choice::choose;
use super::situation::{Choice, Situation};
use crate::context::PlanContext;
use crate::desired::{Desired, DesiredWorkload};
use crate::problem::Problem;
use crate::upgrade_queue::{Turn, TurnRequest};
use crate::upgrades::{AutomaticUpgrades, Upgrades};

/// Pause before the queue is asked again whose answer should have changed.
const SOON: SignedDuration = SignedDuration::from_secs(1);

/// Returns the request for a turn, if the Workspace waits for its automatic upgrade.
///
/// Only a model that serves is upgraded, so that a failure is the upgrade's. One whose automatic upgrade failed may be
/// upgraded to something else.
pub(crate) fn request(
    context: &PlanContext<'_>,
    desired: &Desired<'_>,
    mut manifests: Vec<Manifest>,
) -> Option<TurnRequest> {
    let settings = settings(context)?;
    if is_opted_out(context) {
        return None;
    }
    let workload = manifests.pop_if(|_| !is_fixed(desired))?;
    let situation = Situation::new(context, desired, workload);
    let current = situation.current()?;
    let has_failed = ends_at(settings, current.mark.as_deref()).is_some_and(|end| end <= context.now);
    let waits = choose(&situation).0 == Choice::Recorded(current.name.clone());
    (waits && situation.may_follow() && (situation.is_serving() || has_failed)).then(|| TurnRequest {
        namespace: context.workspace().namespace().to_owned(),
        workspace: context.workspace().name().to_owned(),
        recorded: current.created,
    })
}

/// The mark of the revision with this digest: the time at which its automatic upgrade began.
pub(super) fn mark(situation: &Situation<'_>, digest: &str) -> Option<String> {
    match situation.current() {
        Some(current) if current.digest == digest => {
            let is_over = situation.is_serving() && situation.requests.rollback_to.is_none();
            current.mark.clone().filter(|_| !is_over)
        }
        // A changed Workspace may take the turn. Its model restarts all the same, so the others wait for it.
        _ if situation.context.observed.turn == Turn::Yours => Some(situation.context.now.to_string()),
        _ => {
            let mut kept = situation.kept.iter();
            kept.find(|revision| revision.digest == digest)?.mark.clone()
        }
    }
}

/// The notes about an upgrade that is available.
pub(super) fn announced(situation: &Situation<'_>, difference: &str) -> Vec<Problem> {
    let context = situation.context;
    let Some(settings) = settings(context) else {
        return vec![available(difference)];
    };
    let pinned = situation.requests.rollback_to.is_some();
    match &context.observed.turn {
        _ if is_opted_out(context) => vec![available(difference)],
        _ if pinned => vec![available(&format!(
            "{difference}; it waits until kaito.sh/rollback-to is removed"
        ))],
        Turn::Closed(_) => vec![available(&format!(
            "{difference}; automatic upgrades begin {}",
            settings.window
        ))],
        Turn::Waits(_) => vec![available(&format!(
            "{difference}; another model is upgraded first"
        ))],
        // Names of other namespaces are not for everyone.
        Turn::Stopped => vec![
            available(difference),
            Problem::new(
                WorkspaceReason::UpgradesStopped,
                "the automatic upgrade of another model failed",
            ),
        ],
        Turn::None | Turn::Yours => vec![available(difference)],
    }
}

/// The note about an automatic upgrade after which the model does not serve.
pub(super) fn failed(situation: &Situation<'_>, mark: Option<&str>) -> Option<Problem> {
    let (context, began) = (situation.context, mark?);
    let end = ends_at(settings(context)?, mark)?;
    let is_late = end <= context.now && !situation.is_serving();
    is_late.then(|| {
        let cause = format!("the model does not serve since its automatic upgrade, which began at {began}");
        Problem::new(WorkspaceReason::UpgradeFailed, cause)
    })
}

/// The time at which the answer of the queue, or the upgrade itself, may change by itself.
pub(super) fn changes_at(situation: &Situation<'_>, mark: Option<&str>) -> Option<Timestamp> {
    let context = situation.context;
    let end = settings(context).and_then(|settings| ends_at(settings, mark));
    let end = end.filter(|at| *at > context.now);
    // The queue may have been asked by another clock. An answer that should have changed is asked for again soon.
    let soon = context.now.checked_add(SOON).ok();
    let turn = context
        .observed
        .turn
        .changes_at()
        .map(|at| soon.map_or(at, |soon| at.max(soon)));
    turn.into_iter().chain(end).min()
}

fn ends_at(settings: &AutomaticUpgrades, mark: Option<&str>) -> Option<Timestamp> {
    let began: Timestamp = mark?.parse().ok()?;
    began.checked_add(settings.timeout).ok()
}

fn settings<'a>(context: &PlanContext<'a>) -> Option<&'a AutomaticUpgrades> {
    match &context.settings.upgrades {
        Upgrades::Manual => None,
        Upgrades::Automatic(settings) => Some(settings),
    }
}

fn is_opted_out(context: &PlanContext<'_>) -> bool {
    context
        .workspace()
        .annotation(labels::UPGRADES)
        .is_some_and(|mode| mode.trim() == "manual")
}

pub(super) fn available(difference: &str) -> Problem {
    Problem::new(WorkspaceReason::UpgradeAvailable, difference)
}

/// Returns true for workloads without revisions: Jobs never change, and a blocked update changes only the size.
pub(super) fn is_fixed(desired: &Desired<'_>) -> bool {
    matches!(desired.workload, DesiredWorkload::Tuning(_)) || desired.update_blocked.is_some()
}
