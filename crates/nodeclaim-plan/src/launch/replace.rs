//! A pool of ours that came to nothing: it is deleted, and made again after a pause. Why it failed is read
//! first, because deleting it ends the chance to.

use cloudprovider::{AgentPool, CallKind, CloudCall, ErrorClass, ProviderError, ProvisioningState};
use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::{INITIALIZED, OPERATION_URL};
use kube::ResourceExt as _;

use crate::backoff;
use crate::context::Ctx;
use crate::instance::removal;
use crate::launch::error_reasons::{self, Origin};
use crate::launch::failure::{self, LaunchFailure};
use crate::launch::{Join, Launch, joined, poll};
use crate::node::initialization::is_ready;
use crate::node::matching::{self, Found};

/// How many refused cancellations it takes to delete instead.
const ABORTS_TRIED: u32 = 3;

/// A pool whose last operation failed or was cancelled.
pub(crate) fn failed<'a>(ctx: &Ctx<'a>, pool: &'a AgentPool) -> Launch<'a> {
    // A later operation may have failed on a pool whose Node works: a running workload is worth more than a
    // tidy pool.
    match matching::find(ctx) {
        Found::One(node) if is_in_use(node) => return joined(ctx, node),
        Found::Many(names) => return Launch::new("many_nodes", Join::Many(names)),
        Found::One(_) | Found::None(_) => {}
    }
    // The record outlives a restart, which the operation's document may not.
    if let Some(counted) = counted(ctx) {
        return replace(ctx, pool, &counted.error);
    }
    if let Some(error) = ctx.failure {
        return replace(ctx, pool, error);
    }
    match operation_url(ctx) {
        Some(url) => {
            let cause = format!("agent pool {} is in state {}", pool.name, pool.state.as_str());
            let call = CloudCall::ReadOperation {
                name: pool.name.clone(),
                url,
            };
            let launch = Launch::waiting("reading_failure", ClaimReason::AgentPoolFailed, &cause);
            launch.cloud(Some(call)).requeue(poll(ctx))
        }
        None => replace(ctx, pool, &unexplained(pool)),
    }
}

/// A pool that is done, but whose Node did not join in time.
pub(crate) fn never_joined<'a>(ctx: &Ctx<'a>, pool: &'a AgentPool, cause: &str) -> Launch<'a> {
    replace(
        ctx,
        pool,
        &own_error("NodeDidNotJoin", format!("{cause} in time")),
    )
}

/// Whether a pool has been in the making for too long.
pub(crate) fn is_overdue(ctx: &Ctx<'_>, pool: &AgentPool) -> bool {
    let Some(started) = failure::started(ctx) else {
        return false;
    };
    let deadline = backoff::after(started, ctx.settings.launch_timeout);
    pool.state == ProvisioningState::Creating && ctx.now >= deadline
}

/// Ends a making that takes too long: cancel it, and where that is not possible, delete it.
pub(crate) fn overdue<'a>(ctx: &Ctx<'a>, pool: &'a AgentPool) -> Launch<'a> {
    let error = own_error(
        "LaunchTimedOut",
        format!("agent pool {} was not made in time", pool.name),
    );
    let abort = CloudCall::Abort {
        name: pool.name.clone(),
    };
    let launch = Launch::new(
        "abort",
        Join::NotLaunched(error_reasons::step(&error, Origin::Pool)),
    );
    match ctx.last_call {
        Some(call) if call.kind == CallKind::Delete => replace(ctx, pool, &error),
        Some(call) if call.kind == CallKind::Abort => match &call.error {
            None if removal::is_fresh(call, ctx) => launch.requeue(poll(ctx)),
            None => replace(ctx, pool, &error),
            Some(refusal) if is_lasting(refusal) || call.failures >= ABORTS_TRIED => {
                replace(ctx, pool, &error)
            }
            Some(_) => {
                match backoff::due(call, ctx.settings).and_then(|due| backoff::remaining(due, ctx.now)) {
                    None => launch.cloud(Some(abort)).requeue(poll(ctx)),
                    left => launch.requeue(left),
                }
            }
        },
        _ => launch.cloud(Some(abort)).requeue(poll(ctx)),
    }
}

fn replace<'a>(ctx: &Ctx<'a>, pool: &AgentPool, error: &ProviderError) -> Launch<'a> {
    let removal = removal::delete(ctx, pool);
    let mut launch = Launch::new(
        "replace",
        Join::NotLaunched(error_reasons::step(error, Origin::Pool)),
    );
    if counted(ctx).is_none() {
        failure::note(ctx, ctx.now, error, &mut launch.edit);
    }
    launch.cloud(removal.cloud).requeue(removal.requeue)
}

/// The failure of the pool that is there, if it was noted on an earlier pass.
fn counted(ctx: &Ctx<'_>) -> Option<LaunchFailure> {
    LaunchFailure::current(ctx).filter(|failure| match failure::started(ctx) {
        Some(started) => failure.at >= started,
        None => failure.due(ctx) > ctx.now,
    })
}

fn is_in_use(node: &Node) -> bool {
    is_ready(node)
        || node
            .labels()
            .get(INITIALIZED)
            .is_some_and(|value| value == "true")
}

fn operation_url(ctx: &Ctx<'_>) -> Option<String> {
    let noted = || ctx.claim.annotations().get(OPERATION_URL).cloned();
    failure::accepted(ctx)
        .and_then(|call| call.operation_url.clone())
        .or_else(noted)
        .filter(|url| !url.is_empty())
}

fn is_lasting(error: &ProviderError) -> bool {
    !matches!(
        error.class,
        ErrorClass::Busy | ErrorClass::LocallyLimited | ErrorClass::Throttled | ErrorClass::Transient
    )
}

fn unexplained(pool: &AgentPool) -> ProviderError {
    let message = format!(
        "agent pool {} is in state {} for no known reason",
        pool.name,
        pool.state.as_str()
    );
    own_error(&format!("AgentPool{}", pool.state.as_str()), message)
}

fn own_error(code: &str, message: String) -> ProviderError {
    ProviderError::new(ErrorClass::Transient, code, message)
}
