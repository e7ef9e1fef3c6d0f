//! A live claim without a pool: whether to ask for one now. The only place that asks for a pool.

use cloudprovider::{CallKind, CallOutcome, CloudCall, ErrorClass};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::OPERATION_URL;
use kube::ResourceExt as _;

use crate::backoff;
use crate::claim_edit::ClaimEdit;
use crate::context::Ctx;
use crate::launch::error_reasons;
use crate::launch::failure::{self, LAUNCH_STARTED, LAUNCH_UNANSWERED, Setback};
use crate::launch::spec::pool_spec;
use crate::launch::{Join, Launch, poll};
use crate::node::edit;
use crate::node::initialization::is_ready;
use crate::status::conditions::{self, ConditionUpdate};

/// Until when a request of ours may still make the pool turn up. The intent to ask is stored before it is asked,
/// and so is that an earlier request went unanswered: neither a crash nor a later answer hides such a request.
pub(crate) fn may_land_until(ctx: &Ctx<'_>) -> Option<Timestamp> {
    if ctx.last(CallKind::Create).is_some_and(is_settled) {
        return None;
    }
    let asked = ctx.last(CallKind::Create).map(|call| call.at);
    let latest = asked.max(failure::intended(ctx)).max(failure::unanswered(ctx))?;
    Some(backoff::after(latest, ctx.settings.landing))
}

/// Refused at the first try: this one made no pool, and no earlier one is open. With a refusal after other
/// failures an earlier one may be.
fn is_settled(call: &CallOutcome) -> bool {
    let refused = call
        .error
        .as_ref()
        .is_some_and(|error| error.class != ErrorClass::Transient);
    refused && call.failures <= 1
}

fn is_unanswered(call: &CallOutcome) -> bool {
    call.error
        .as_ref()
        .is_some_and(|error| error.class == ErrorClass::Transient)
}

/// Decides for a claim whose pool was missed by `reads` live reads.
pub(crate) fn decide<'a>(ctx: &Ctx<'a>, reads: u32) -> Launch<'a> {
    let spec = match pool_spec(ctx.claim, ctx.settings) {
        Ok(spec) => spec,
        Err(why) => {
            let reason = match ctx.claim {
                Claim::Machine(_) => ClaimReason::InvalidMachine,
                Claim::NodeClaim(_) => ClaimReason::InvalidNodeClaim,
            };
            let step = conditions::failed(reason, &why.to_string());
            return Launch::new("invalid", Join::NotLaunched(step));
        }
    };
    if let Some(launch) = leftovers(ctx, reads) {
        return launch;
    }
    if let Some(launch) = landing(ctx) {
        return launch;
    }
    let mut launch = Launch::new("create", Join::NotLaunched(verdict(ctx)));
    match failure::setback(ctx) {
        Some(setback) if backoff::remaining(setback.until, ctx.now).is_some() => {
            held_back(ctx, &setback, launch)
        }
        _ => {
            intend(ctx, &mut launch.edit);
            launch
                .cloud(Some(CloudCall::Create(Box::new(spec))))
                .requeue(poll(ctx))
        }
    }
}

/// What to say while there is no pool: the last failure, for as long as nothing newer is known.
pub(crate) fn verdict(ctx: &Ctx<'_>) -> ConditionUpdate {
    match failure::setback(ctx) {
        Some(setback) => error_reasons::step(&setback.error, setback.origin),
        None => {
            let cause = format!("agent pool {} was asked for", ctx.name());
            conditions::waiting(ClaimReason::AgentPoolCreating, &cause)
        }
    }
}

fn held_back<'a>(ctx: &Ctx<'a>, setback: &Setback, mut launch: Launch<'a>) -> Launch<'a> {
    launch.code = "backing_off";
    if let Some(at) = setback.unrecorded {
        failure::note(ctx, at, &setback.error, &mut launch.edit);
    }
    // Such an answer leaves open whether the pool is there: look before asking again.
    let unsure = matches!(
        setback.error.class,
        ErrorClass::Precondition | ErrorClass::Transient
    );
    let read = unsure.then(|| CloudCall::Read { name: ctx.name() });
    launch
        .cloud(read)
        .requeue(backoff::remaining(setback.until, ctx.now))
}

/// Stores that a pool is about to be asked for, and forgets the one before unless its request may still land.
fn intend(ctx: &Ctx<'_>, edit: &mut ClaimEdit) {
    let earlier = match ctx.last_call {
        None => failure::intended(ctx),
        Some(_) => ctx
            .last(CallKind::Create)
            .filter(|call| is_unanswered(call))
            .map(|call| call.at),
    };
    if let Some(at) = earlier {
        edit.set(ctx.claim, LAUNCH_UNANSWERED, Some(at.to_string()));
    }
    edit.set(ctx.claim, LAUNCH_STARTED, Some(ctx.now.to_string()));
    edit.set(ctx.claim, OPERATION_URL, None);
}

/// A request that was accepted and whose pool no read shows yet. One of which a restart left only the intent is
/// repeated: the same name and body make the same pool.
fn landing<'a>(ctx: &Ctx<'a>) -> Option<Launch<'a>> {
    failure::accepted(ctx)?;
    backoff::remaining(may_land_until(ctx)?, ctx.now)?;
    let cause = format!("agent pool {} was asked for", ctx.name());
    let launch = Launch::waiting("landing", ClaimReason::AgentPoolCreating, &cause);
    Some(
        launch
            .cloud(Some(CloudCall::Read { name: ctx.name() }))
            .requeue(poll(ctx)),
    )
}

/// Nodes of an instance that is gone go before a new pool is made, or there would be two Nodes.
fn leftovers<'a>(ctx: &Ctx<'a>, reads: u32) -> Option<Launch<'a>> {
    let nodes: Vec<&Node> = ctx.own_nodes().collect();
    let first = nodes.first()?;
    // A Ready Node contradicts an absent pool: perhaps we are looking at another cluster's pools.
    if reads < 2 || nodes.iter().any(|node| is_ready(node)) {
        let read = Some(CloudCall::Read { name: ctx.name() });
        return Some(
            Launch::new("pool_missing", Join::AsBefore)
                .cloud(read)
                .requeue(poll(ctx)),
        );
    }
    let cause = format!(
        "agent pool {} is gone; Node {} is removed",
        ctx.name(),
        first.name_any()
    );
    let mut launch = Launch::waiting("leftover_node", ClaimReason::AwaitingCloud, &cause);
    launch.writes = nodes.into_iter().flat_map(edit::dismiss).collect();
    Some(launch.requeue(poll(ctx)))
}
