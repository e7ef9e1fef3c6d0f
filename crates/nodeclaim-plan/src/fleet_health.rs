//! The health of the whole fleet, which decides about the repair of one Node.

use cloudprovider::InstanceTracker;
use jiff::Timestamp;
use kaito_api::Claim;

use crate::context::PlanContext;
use crate::node::facts::is_ready;
use crate::observe::{self, Source};
use crate::repair::answer::MASS_FAILURE_HOLD;
use crate::repair::{self, symptom};
use crate::settings::Settings;
use crate::time;

/// The health of a fleet, as far as it concerns one of its claims.
pub(crate) struct FleetHealth {
    /// Number of unhealthy Nodes, with that of the claim.
    pub(crate) unhealthy: usize,
    /// Another Node is ready.
    pub(crate) has_ready_other: bool,
}

/// Looks at all claims of the fleet, for the claim with this UID.
pub(crate) fn of(
    (source, tracker): (&impl Source, &InstanceTracker),
    fleet: &[Claim],
    own_uid: &str,
    settings: &Settings,
    now: Timestamp,
) -> FleetHealth {
    let mut found = FleetHealth {
        unhealthy: 0,
        has_ready_other: false,
    };
    for claim in fleet {
        let observed = observe::observe_health(source, tracker, claim);
        let context = PlanContext::new(now, &observed, settings);
        found.unhealthy += usize::from(is_unhealthy(&context));
        found.has_ready_other |= claim.uid() != own_uid && is_healthy(&context);
    }
    found
}

/// Returns true if the Node counts as one of those that fail at the same time.
///
/// One that does not have its whole time yet counts, or the first Node of an outage would be replaced. One that starts does
/// not, because it was never healthy. One that may not be replaced stays unhealthy for ever, so it counts only at first.
fn is_unhealthy(context: &PlanContext<'_>) -> bool {
    let Some(unhealthy) = repair::assess(context) else {
        return false;
    };
    if unhealthy.is_starting() && !unhealthy.is_due(context.now) {
        return false;
    }
    let is_past = |due| time::after(due, MASS_FAILURE_HOLD) <= context.now;
    !(unhealthy.is_forbidden(context) && unhealthy.due().is_some_and(is_past))
}

fn is_healthy(context: &PlanContext<'_>) -> bool {
    let rules = &context.settings.repair_rules;
    let own = context.own_nodes.iter();
    own.into_iter()
        .any(|node| is_ready(node) && symptom::first(rules, node, context.claim).is_none())
}
