//! The end of a claim: drain the Node, delete the pool, let the Node go, release the claim, in this order.
//! The finalizer stays until the pool is proven absent, however long that takes.

use std::time::Duration;

use cloudprovider::{AgentPool, CloudCall, ProviderError, ProvisioningState};
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::TERMINATION_FINALIZER;
use plan::{Finalizer, Plan, Write};

use crate::backoff;
use crate::claim_edit::ClaimEdit;
use crate::context::Ctx;
use crate::instance::removal;
use crate::launch::create;
use crate::launch::error_reasons::{self, Origin};
use crate::launch::failure::LAUNCH_STARTED;
use crate::node::drain::{self, Drain};
use crate::node::edit;
use crate::ownership::{self, View};
use crate::status;
use crate::status::conditions::{self, ConditionUpdate};

/// Decides for a claim that is being deleted and carries our finalizer.
pub(crate) fn plan(ctx: &Ctx<'_>) -> Plan<CloudCall> {
    match ctx.pool {
        View::Unknown => ask_again(ctx),
        View::Absent(reads) if reads < 2 || may_still_land(ctx) => ask_again(ctx),
        View::Absent(_) => let_go(ctx),
        View::Taken(pool) => leave(ctx, pool),
        View::Ours(pool) => remove(ctx, pool),
    }
}

/// A pool that we asked for may turn up after reads that missed it.
fn may_still_land(ctx: &Ctx<'_>) -> bool {
    create::may_land_until(ctx).is_some_and(|until| ctx.now < until)
}

/// Ignorance is not absence: read the pool.
fn ask_again(ctx: &Ctx<'_>) -> Plan<CloudCall> {
    let cause = format!("it is not certain yet that agent pool {} is gone", ctx.name());
    let mut plan = going(ctx, "proving_absence", ClaimReason::InstanceTerminating, &cause);
    plan.cloud = Some(CloudCall::Read { name: ctx.name() });
    plan.requeue = Some(backoff::wait(ctx.settings.poll));
    plan
}

/// The pool is proven absent: the Node goes first, then the claim.
fn let_go(ctx: &Ctx<'_>) -> Plan<CloudCall> {
    let writes: Vec<Write> = ctx
        .own_nodes()
        .filter(|node| ownership::has_finalizer(node))
        .flat_map(edit::dismiss)
        .collect();
    if writes.is_empty() {
        return release("pool_absent", &ctx.name());
    }
    let cause = format!("agent pool {} is gone; its Node is removed", ctx.name());
    let mut plan = going(ctx, "removing_node", ClaimReason::InstanceTerminating, &cause);
    plan.writes = writes;
    plan.requeue = Some(backoff::wait(ctx.settings.poll));
    plan
}

/// Nothing in the cloud is ours: the pool of this name is left as it is, and so are its Nodes.
fn leave(ctx: &Ctx<'_>, pool: &AgentPool) -> Plan<CloudCall> {
    let writes: Vec<Write> = ctx
        .own_nodes()
        .filter_map(|node| edit::abandon(node, ctx.claim))
        .collect();
    if writes.is_empty() {
        return release("pool_not_ours", &pool.name);
    }
    let mut plan = Plan {
        writes,
        requeue: Some(backoff::wait(ctx.settings.poll)),
        ..Plan::default()
    };
    plan.add_reason("abandoning_node", pool.name.clone());
    plan
}

fn release(code: &'static str, pool: &str) -> Plan<CloudCall> {
    let mut plan = Plan {
        finalizer: Finalizer::Release(TERMINATION_FINALIZER),
        ..Plan::default()
    };
    plan.add_reason(code, pool);
    plan
}

/// The pool is there, so the request for it has landed: stored, lest its absence later be doubted for nothing.
fn remove(ctx: &Ctx<'_>, pool: &AgentPool) -> Plan<CloudCall> {
    let mut edit = ClaimEdit::default();
    edit.set(ctx.claim, LAUNCH_STARTED, None);
    let mut plan = remove_pool(ctx, pool);
    plan.writes.extend(edit.into_write(ctx.claim));
    plan
}

fn remove_pool(ctx: &Ctx<'_>, pool: &AgentPool) -> Plan<CloudCall> {
    if pool.state == ProvisioningState::Deleting {
        let cause = format!("agent pool {} is being deleted", pool.name);
        let mut plan = going(ctx, "pool_deleting", ClaimReason::InstanceTerminating, &cause);
        plan.requeue = Some(backoff::wait(ctx.settings.poll));
        return plan;
    }
    match drain::drain(ctx) {
        Drain::Going {
            reason,
            cause,
            writes,
            requeue,
        } => draining(ctx, reason, &cause, writes, requeue),
        Drain::Done => delete(ctx, pool),
    }
}

fn draining(
    ctx: &Ctx<'_>,
    reason: ClaimReason,
    cause: &str,
    writes: Vec<Write>,
    requeue: Duration,
) -> Plan<CloudCall> {
    let mut plan = going(ctx, "draining", reason, cause);
    plan.writes = writes;
    plan.requeue = Some(requeue);
    plan
}

fn delete(ctx: &Ctx<'_>, pool: &AgentPool) -> Plan<CloudCall> {
    let removal = removal::delete(ctx, pool);
    let step = removal.refusal.map(hindrance).unwrap_or_else(|| {
        let cause = format!("agent pool {} is being deleted", pool.name);
        conditions::failed(ClaimReason::InstanceTerminating, &cause)
    });
    let mut plan = Plan::default();
    plan.add_reason("delete_pool", pool.name.clone());
    status::conclude_going(ctx, step, &mut plan);
    plan.cloud = removal.cloud;
    plan.requeue = removal.requeue;
    plan
}

/// Why the cloud keeps a pool that we want gone, where a person can help.
fn hindrance(error: &ProviderError) -> ConditionUpdate {
    let step = error_reasons::step(error, Origin::Refusal(0));
    let helps = [ClaimReason::AuthorizationFailed, ClaimReason::ClusterNotFound];
    match step.reason.filter(|reason| helps.contains(reason)) {
        Some(reason) => conditions::failed(reason, &error_reasons::cause(error)),
        None => {
            let cause = format!(
                "the agent pool is not deleted yet: {}",
                error_reasons::cause(error)
            );
            conditions::failed(ClaimReason::InstanceTerminating, &cause)
        }
    }
}

fn going(ctx: &Ctx<'_>, code: &'static str, reason: ClaimReason, cause: &str) -> Plan<CloudCall> {
    let mut plan = Plan::default();
    plan.add_reason(code, cause);
    status::conclude_going(ctx, conditions::failed(reason, cause), &mut plan);
    plan
}
