//! Replacing: an instance that failed is deleted, and another is created after a pause. Why it failed is read first,
//! because deleting it ends the chance to.

use cloudprovider::{CallKind, CloudCall, ErrorClass, Instance, InstanceState, ProviderError};
use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::ClaimReason;

use crate::claim_edit::ClaimEdit;
use crate::context::PlanContext;
use crate::launch::decision::{LaunchDecision, LaunchState};
use crate::launch::error_reasons::{self, Origin};
use crate::launch::{backoff, choice, failure};
use crate::launch_record::{DID_NOT_JOIN, LaunchFailure};
use crate::node::facts::{is_initialized, is_ready};
use crate::node::matching::{self, NodeMatch};
use crate::{instance_deletion, time};

/// Number of refused cancellations after which the instance is deleted instead.
const MAX_ABORTS: u32 = 3;

/// Decides for an instance whose last operation failed or was canceled.
pub(crate) fn failed<'a>(context: &PlanContext<'a>, instance: &Instance) -> LaunchDecision<'a> {
    // A later operation may have failed on an instance whose Node works: a running workload is worth more than a tidy
    // instance.
    match matching::find(context) {
        NodeMatch::One(node) if is_in_use(node) => return LaunchDecision::joined(context.claim, node),
        NodeMatch::Many(names) => return LaunchDecision::several_nodes(context.name, &names),
        NodeMatch::One(_) | NodeMatch::None(_) => {}
    }
    // The note on the claim outlives a restart, which the operation's document may not.
    if let Some(noted) = noted(context) {
        return replace(context, instance, &noted.error);
    }
    // The cloud's own note is as durable, and does not need another request.
    if let Some(error) = instance.failure.as_ref().or(context.failure) {
        return replace(context, instance, error);
    }
    match operation_url(context) {
        Some(url) => read_operation(context, instance, url),
        None => replace(context, instance, &unexplained(instance)),
    }
}

fn read_operation<'a>(context: &PlanContext<'a>, instance: &Instance, url: String) -> LaunchDecision<'a> {
    let cause = format!(
        "instance {} is in state {}",
        instance.name,
        instance.state.as_str()
    );
    LaunchDecision {
        cloud: Some(CloudCall::ReadOperation {
            name: instance.name.clone(),
            url,
        }),
        requeue: Some(context.poll),
        ..LaunchDecision::pending("reading_failure", ClaimReason::InstanceFailed, &cause)
    }
}

/// Decides for a complete instance whose Node did not join in time.
///
/// Once may be chance. A second time in a row, the offering counts as one that cannot be had.
pub(crate) fn never_joined<'a>(
    context: &PlanContext<'a>,
    instance: &Instance,
    cause: &str,
) -> LaunchDecision<'a> {
    let message = format!("{cause} in time");
    let offering = instance.offering();
    let last = context.record.failure.as_ref();
    let last =
        last.filter(|last| last.has_not_joined() && last.offering.is_some() && last.offering == offering);
    let error = match (noted(context), last) {
        (Some(noted), _) => noted.error.clone(),
        (None, Some(_)) => ProviderError::new(ErrorClass::NeverJoined, DID_NOT_JOIN, message)
            .with_retry_after(Some(context.settings.capacity_backoff.1)),
        (None, None) => own_error(DID_NOT_JOIN, message),
    };
    replace(context, instance, &error)
}

/// Returns true if an instance has been in creation for too long.
pub(crate) fn is_overdue(context: &PlanContext<'_>, instance: &Instance) -> bool {
    let Some(started) = failure::started(context) else {
        return false;
    };
    let deadline = time::after(started, context.settings.launch_timeout);
    instance.state == InstanceState::Creating && context.now >= deadline
}

/// Ends a creation that takes too long: cancels it, and where that is not possible, deletes the instance.
pub(crate) fn overdue<'a>(context: &PlanContext<'a>, instance: &Instance) -> LaunchDecision<'a> {
    let message = format!("instance {} was not created in time", instance.name);
    let error = own_error("LaunchTimedOut", message);
    let mut claim_edit = ClaimEdit::default();
    // The canceled operation will name no reason, so ours is noted first.
    if noted(context).is_none() {
        failure::note(context, context.now, &error, &mut claim_edit);
    }
    let (cloud, requeue) = match next_abort(context) {
        Abort::Send => (
            Some(CloudCall::Abort {
                name: instance.name.clone(),
            }),
            Some(context.poll),
        ),
        Abort::Wait(requeue) => (None, Some(requeue)),
        Abort::GiveUp => return replace(context, instance, &error),
    };
    let update = error_reasons::launched(&error, Origin::Operation);
    LaunchDecision {
        claim_edit,
        cloud,
        requeue,
        ..LaunchDecision::new("abort", LaunchState::NotLaunched(update))
    }
}

/// The next step of a cancellation.
enum Abort {
    /// Send the request.
    Send,
    /// Wait for the effect of a request, or for the pause after a refusal.
    Wait(std::time::Duration),
    /// Delete the instance instead.
    GiveUp,
}

fn next_abort(context: &PlanContext<'_>) -> Abort {
    if let Some(left) = context.deferred(CallKind::Abort) {
        return Abort::Wait(left);
    }
    let call = match context.last_call {
        Some(call) if call.kind == CallKind::Abort => call,
        Some(call) if call.kind == CallKind::Delete => return Abort::GiveUp,
        _ => return Abort::Send,
    };
    match &call.error {
        None if instance_deletion::is_fresh(call, context.now) => Abort::Wait(context.poll),
        None => Abort::GiveUp,
        Some(refusal) if is_lasting(refusal) || call.failures >= MAX_ABORTS => Abort::GiveUp,
        Some(_) => match crate::backoff::remaining(context, call) {
            None => Abort::Send,
            Some(left) => Abort::Wait(left),
        },
    }
}

fn replace<'a>(context: &PlanContext<'a>, instance: &Instance, error: &ProviderError) -> LaunchDecision<'a> {
    let mut claim_edit = ClaimEdit::default();
    let update = choice::after_failure(context, error, Origin::Operation);
    let wait = throttled(context, error);
    if noted(context).is_none() {
        failure::note(context, context.now, error, &mut claim_edit);
    }
    if let Some(requeue) = wait {
        return LaunchDecision {
            claim_edit,
            requeue: Some(requeue),
            ..LaunchDecision::new("replace_later", LaunchState::NotLaunched(update))
        };
    }
    let deletion = instance_deletion::next(context, instance);
    LaunchDecision {
        claim_edit,
        cloud: deletion.cloud,
        requeue: deletion.requeue,
        ..LaunchDecision::new("replace", LaunchState::NotLaunched(update))
    }
}

/// Returns the time left for which nothing is deleted, because that costs requests of the kind that the cloud limits.
fn throttled(context: &PlanContext<'_>, error: &ProviderError) -> Option<std::time::Duration> {
    if error.class != ErrorClass::Throttled {
        return None;
    }
    // Of an instance whose beginning is not known, any note counts, or it would never be replaced.
    let any = || {
        context
            .record
            .failure
            .as_ref()
            .filter(|_| failure::started(context).is_none())
    };
    match noted(context).or_else(any) {
        Some(noted) => time::remaining(backoff::until(noted, context), context.now),
        None => Some(context.poll),
    }
}

/// Returns the failure of the instance that exists, if it was noted in an earlier reconcile.
fn noted<'c>(context: &'c PlanContext<'_>) -> Option<&'c LaunchFailure> {
    let failure = context.record.failure.as_ref()?;
    let is_of_instance = match failure::started(context) {
        Some(started) => failure.at >= started,
        None => backoff::until(failure, context) > context.now,
    };
    is_of_instance.then_some(failure)
}

fn is_in_use(node: &Node) -> bool {
    is_ready(node) || is_initialized(node)
}

fn operation_url(context: &PlanContext<'_>) -> Option<String> {
    let noted = || context.record.operation_url.clone();
    context
        .accepted_create
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

fn unexplained(instance: &Instance) -> ProviderError {
    let state = instance.state.as_str();
    let message = format!(
        "instance {} is in state {state} for no known reason",
        instance.name
    );
    own_error(&format!("Instance{state}"), message)
}

fn own_error(code: &str, message: String) -> ProviderError {
    ProviderError::new(ErrorClass::Transient, code, message)
}
