//! A live claim: launch, registration and initialization in order, each looked at on every pass.

use cloudprovider::CloudCall;
use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::TERMINATION_FINALIZER;
use plan::{Finalizer, Plan, Write};

use crate::context::Ctx;
use crate::launch::{self, Join, Launch};
use crate::node::edit::NodeEdit;
use crate::node::initialization;
use crate::node::registration;
use crate::ownership::View;
use crate::status::conditions::{self, ConditionUpdate};
use crate::status::{self, NodeFacts, Report};

/// Decides for a claim that is wanted and does not carry our finalizer yet. Where a pool is to be asked for, the
/// finalizer is stored in the same write as the intent to ask: that write comes before the call, and fails if the claim
/// is not what was observed.
pub(crate) fn first(ctx: &Ctx<'_>) -> Plan<CloudCall> {
    let mut launch = launch::decide(ctx);
    if !matches!(launch.cloud, Some(CloudCall::Create(_))) {
        return Plan {
            finalizer: Finalizer::Ensure(TERMINATION_FINALIZER),
            ..Plan::default()
        };
    }
    launch.edit.protect(ctx.claim);
    carry(ctx, launch)
}

/// Decides for a claim that is wanted and carries our finalizer.
pub(crate) fn plan(ctx: &Ctx<'_>) -> Plan<CloudCall> {
    carry(ctx, launch::decide(ctx))
}

fn carry(ctx: &Ctx<'_>, launch: Launch<'_>) -> Plan<CloudCall> {
    let mut plan = Plan {
        cloud: launch.cloud,
        requeue: launch.requeue,
        ..Plan::default()
    };
    plan.add_reason(launch.code, describe(&launch.join));
    let (report, node_write) = report(ctx, launch.join);
    plan.writes = launch.writes;
    plan.writes.extend(launch.edit.into_write(ctx.claim));
    plan.writes.extend(node_write);
    status::conclude(ctx, report, &mut plan);
    plan
}

fn report<'a>(ctx: &Ctx<'a>, join: Join<'a>) -> (Report<'a>, Option<Write>) {
    let facts = || {
        if matches!(ctx.pool, View::Absent(_)) {
            NodeFacts::None
        } else {
            NodeFacts::AsBefore
        }
    };
    match join {
        Join::Node(node) => joined(ctx, node),
        Join::AsBefore => (
            Report {
                steps: status::steps_as_before(ctx),
                facts: NodeFacts::AsBefore,
            },
            None,
        ),
        Join::NotLaunched(launched) => {
            let later = status::not_launched(ctx.claim);
            (
                Report {
                    steps: [launched, later.clone(), later],
                    facts: facts(),
                },
                None,
            )
        }
        Join::NoNode(cause) => {
            let waiting = conditions::waiting(ClaimReason::NodeNotFound, &cause);
            let registered = conditions::failed(ClaimReason::NodeNotFound, &cause);
            (
                Report {
                    steps: [instance(ctx, &waiting), registered, waiting],
                    facts: facts(),
                },
                None,
            )
        }
        Join::Many(names) => {
            let cause = format!("agent pool {} has several Nodes: {names}", ctx.name());
            let registered = conditions::failed(ClaimReason::MultipleNodesFound, &cause);
            let waiting = conditions::waiting(ClaimReason::MultipleNodesFound, &cause);
            (
                Report {
                    steps: [instance(ctx, &waiting), registered, waiting],
                    facts: NodeFacts::AsBefore,
                },
                None,
            )
        }
    }
}

fn joined<'a>(ctx: &Ctx<'a>, node: &'a Node) -> (Report<'a>, Option<Write>) {
    let mut edit = NodeEdit::new(node);
    registration::register(ctx.claim, node, &mut edit);
    let initialized = initialization::initialize(ctx.claim, node, &mut edit);
    // The status is written after the Node, and only if that succeeded.
    let report = Report {
        steps: [ConditionUpdate::done(), ConditionUpdate::done(), initialized],
        facts: NodeFacts::Of(node),
    };
    (report, edit.into_write())
}

/// Whether the instance counts as launched while its Node is not to be told: a Machine's is launched with its Node.
fn instance(ctx: &Ctx<'_>, waiting: &ConditionUpdate) -> ConditionUpdate {
    match ctx.claim {
        Claim::Machine(_) => waiting.clone(),
        Claim::NodeClaim(_) => ConditionUpdate::done(),
    }
}

/// Decides for a claim whose name another one bears, which was there first: nothing is made, nothing is touched.
pub(crate) fn yielding(ctx: &Ctx<'_>) -> Plan<CloudCall> {
    let cause = format!(
        "a claim of the other kind is named {} and was there first",
        ctx.name()
    );
    let step = conditions::failed(ClaimReason::ClaimNameConflict, &cause);
    let launch = Launch::new("yielding", Join::NotLaunched(step)).requeue(launch::poll(ctx));
    carry(ctx, launch)
}

fn describe(join: &Join<'_>) -> String {
    match join {
        Join::Node(node) => node.metadata.name.clone().unwrap_or_default(),
        Join::NotLaunched(step) => step.message.clone(),
        Join::NoNode(cause) | Join::Many(cause) => cause.clone(),
        Join::AsBefore => String::new(),
    }
}
