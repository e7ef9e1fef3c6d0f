//! How far the instance is: one arm for each thing that the pool may be. Arms that need more than a few lines
//! have a file of their own.

pub(crate) mod create;
pub(crate) mod error_reasons;
pub(crate) mod failure;
mod replace;
pub mod spec;

use std::time::Duration;

use cloudprovider::{AgentPool, CallKind, CloudCall, Ownership, ProvisioningState};
use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, Status};
use kaito_api::labels::OPERATION_URL;
use plan::Write;

use crate::backoff;
use crate::claim_edit::ClaimEdit;
use crate::context::Ctx;
use crate::launch::failure::{LAUNCH_FAILURE, LAUNCH_STARTED};
use crate::node::matching::{self, Found};
use crate::ownership::{self, View};
use crate::status::conditions::{self, ConditionUpdate};

/// What launching comes to on this pass.
pub(crate) struct Launch<'a> {
    /// The instance, and its Node if there is one.
    pub(crate) join: Join<'a>,
    /// Changes to the claim's annotations.
    pub(crate) edit: ClaimEdit,
    /// Writes to leftover Nodes.
    pub(crate) writes: Vec<Write>,
    /// What to ask of the cloud.
    pub(crate) cloud: Option<CloudCall>,
    /// When to look again.
    pub(crate) requeue: Option<Duration>,
    /// One word for why.
    pub(crate) code: &'static str,
}

/// What there is to register.
pub(crate) enum Join<'a> {
    /// The claim's Node: launched.
    Node(&'a Node),
    /// No instance yet, and why.
    NotLaunched(ConditionUpdate),
    /// The pool is done and its Node is not there; why.
    NoNode(String),
    /// The pool has several Nodes.
    Many(String),
    /// Nothing can be said now: what was said before stands.
    AsBefore,
}

impl<'a> Launch<'a> {
    pub(crate) fn new(code: &'static str, join: Join<'a>) -> Self {
        let edit = ClaimEdit::default();
        Self {
            join,
            edit,
            writes: Vec::new(),
            cloud: None,
            requeue: None,
            code,
        }
    }

    pub(crate) fn waiting(code: &'static str, reason: ClaimReason, cause: &str) -> Self {
        Self::new(code, Join::NotLaunched(conditions::waiting(reason, cause)))
    }

    pub(crate) fn requeue(mut self, after: Option<Duration>) -> Self {
        self.requeue = after;
        self
    }

    pub(crate) fn cloud(mut self, call: Option<CloudCall>) -> Self {
        self.cloud = call;
        self
    }
}

/// Decides about the instance of a live claim.
pub(crate) fn decide<'a>(ctx: &Ctx<'a>) -> Launch<'a> {
    match ctx.pool {
        View::Unknown => unknown(ctx),
        View::Absent(reads) => create::decide(ctx, reads),
        View::Taken(pool) => taken(ctx, pool),
        View::Ours(pool) => match pool.state {
            ProvisioningState::Creating | ProvisioningState::Changing(_) => creating(ctx, pool),
            ProvisioningState::Succeeded => succeeded(ctx, pool),
            ProvisioningState::Failed | ProvisioningState::Canceled => replace::failed(ctx, pool),
            ProvisioningState::Deleting => deleting(ctx),
        },
    }
}

/// When to look at a pool again that no watch tells of.
pub(crate) fn poll(ctx: &Ctx<'_>) -> Option<Duration> {
    Some(backoff::wait(ctx.settings.poll))
}

/// The Node is there: the instance exists, whatever its pool is doing.
pub(crate) fn joined<'a>(ctx: &Ctx<'a>, node: &'a Node) -> Launch<'a> {
    let mut launch = Launch::new("joined", Join::Node(node));
    launch.edit.set(ctx.claim, LAUNCH_FAILURE, None);
    launch
}

fn unknown<'a>(ctx: &Ctx<'a>) -> Launch<'a> {
    // After a restart the Node that was accepted before stays accepted: nothing flaps, nothing is asked.
    if let Found::One(node) = matching::find(ctx)
        && ownership::is_recorded(node, ctx.claim)
    {
        return Launch::new("joined", Join::Node(node)).requeue(poll(ctx));
    }
    let asked = ctx
        .last(CallKind::Create)
        .map(|_| CloudCall::Read { name: ctx.name() });
    Launch::new("awaiting_listing", Join::AsBefore)
        .cloud(asked)
        .requeue(poll(ctx))
}

fn taken<'a>(ctx: &Ctx<'a>, pool: &AgentPool) -> Launch<'a> {
    let name = &pool.name;
    let earlier = matches!(pool.ownership(), Ownership::Ours { .. });
    if earlier && pool.state == ProvisioningState::Deleting {
        let cause = format!("agent pool {name} of an earlier claim is being deleted");
        return Launch::waiting("earlier_pool", ClaimReason::AgentPoolDeleting, &cause).requeue(poll(ctx));
    }
    let whose = if earlier {
        "was made for another claim".to_owned()
    } else {
        format!("was not made for this {}", ctx.kind())
    };
    let cause = format!("agent pool {name} exists and {whose}");
    let step = conditions::failed(ClaimReason::AgentPoolNameConflict, &cause);
    Launch::new("name_conflict", Join::NotLaunched(step)).requeue(poll(ctx))
}

fn creating<'a>(ctx: &Ctx<'a>, pool: &'a AgentPool) -> Launch<'a> {
    let mut launch = match matching::find(ctx) {
        Found::One(node) => return joined(ctx, node).requeue(poll(ctx)),
        _ if replace::is_overdue(ctx, pool) => return replace::overdue(ctx, pool),
        // Seconds into a scale-up or an image upgrade a Node may be missing; the pool will tell how it ends.
        _ if was_launched(ctx) => Launch::new("pool_changing", Join::AsBefore),
        _ => {
            let cause = format!("agent pool {} is being made ({})", pool.name, pool.state.as_str());
            Launch::waiting("pool_creating", ClaimReason::AgentPoolCreating, &cause)
        }
    };
    note_operation(ctx, &mut launch.edit);
    launch.requeue(poll(ctx))
}

fn was_launched(ctx: &Ctx<'_>) -> bool {
    ctx.claim.is_true(ClaimConditionType::Launched)
}

/// Keeps what a restart would lose: where the operation can be followed. A pool that was there before us begins
/// when it is first seen.
fn note_operation(ctx: &Ctx<'_>, edit: &mut ClaimEdit) {
    if let Some(call) = failure::accepted(ctx) {
        edit.set(ctx.claim, OPERATION_URL, call.operation_url.clone());
    }
    if failure::started(ctx).is_none() {
        edit.set(ctx.claim, LAUNCH_STARTED, Some(ctx.now.to_string()));
    }
}

fn succeeded<'a>(ctx: &Ctx<'a>, pool: &'a AgentPool) -> Launch<'a> {
    match matching::find(ctx) {
        Found::One(node) => joined(ctx, node),
        Found::Many(names) => Launch::new("many_nodes", Join::Many(names)),
        Found::None(cause) => match missing_since(ctx) {
            Some(since) => {
                let deadline = backoff::after(since, ctx.settings.registration_timeout);
                match backoff::remaining(deadline, ctx.now) {
                    None => replace::never_joined(ctx, pool, &cause),
                    left => Launch::new("awaiting_node", Join::NoNode(cause)).requeue(left),
                }
            }
            None => Launch::new("awaiting_node", Join::NoNode(cause))
                .requeue(Some(backoff::wait(ctx.settings.registration_timeout))),
        },
    }
}

/// Since when the pool is done without a Node: the transition time of the condition that says so. Without it,
/// the wait begins now.
fn missing_since(ctx: &Ctx<'_>) -> Option<jiff::Timestamp> {
    let registered = ctx.claim.condition(ClaimConditionType::Registered)?;
    let says_so =
        registered.status != Status::True && registered.reason == ClaimReason::NodeNotFound.as_str();
    let since = registered.since.filter(|_| says_so)?;
    match ctx.claim {
        Claim::Machine(_) => (registered.status == Status::False).then_some(since),
        // It is not registered from its beginning; when its pool was done, another condition tells.
        Claim::NodeClaim(_) => {
            let launched = ctx.claim.condition(ClaimConditionType::Launched)?;
            let done = launched.since.filter(|_| launched.status == Status::True)?;
            Some(since.max(done))
        }
    }
}

fn deleting<'a>(ctx: &Ctx<'a>) -> Launch<'a> {
    // We may have asked for it, because the pool failed: then that is what people need to know.
    let launch = match failure::LaunchFailure::current(ctx) {
        Some(_) => Launch::new("pool_deleting", Join::NotLaunched(create::verdict(ctx))),
        None => {
            let cause = format!("agent pool {} is being deleted", ctx.name());
            Launch::waiting("pool_deleting", ClaimReason::AgentPoolDeleting, &cause)
        }
    };
    launch.requeue(poll(ctx))
}
