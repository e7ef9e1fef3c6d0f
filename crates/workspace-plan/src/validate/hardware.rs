//! The hardware that each node of the Workspace has, or will have.

use instance_types::{InstanceType, did_you_mean};
use kaito_api::conditions::WorkspaceReason;
use render::Hardware;

use super::{node_labels, own_nodes};
use crate::context::PlanContext;
use crate::fits::{self, NodeWork};
use crate::problem::Problem;
use crate::replacement;
use crate::rung::Rung;
use crate::settings::ProvisionerMode;

/// Needs of a workload.
#[derive(Clone, Copy)]
pub(super) struct Needs {
    /// A GPU.
    pub(super) gpu: bool,
    /// An instance type whose memory is known.
    pub(super) known_type: bool,
}

impl Needs {
    /// Any node.
    pub(super) const NONE: Self = Self {
        gpu: false,
        known_type: false,
    };
}

/// Returns the hardware of each node on this rung, and a note if it is not that of the named type.
pub(super) fn of_nodes(
    context: &PlanContext<'_>,
    rung: Rung<'_>,
    work: NodeWork<'_>,
    needs: Needs,
) -> Result<(Hardware, Option<Problem>), Problem> {
    match context.settings.mode {
        ProvisionerMode::Machine | ProvisionerMode::NodeClaim => {
            node_labels::check(context)?;
            of_rung(context, rung, work, needs)
        }
        ProvisionerMode::Byo => Ok((own_nodes::hardware(context, rung.asked, needs.gpu)?, None)),
    }
}

fn of_rung(
    context: &PlanContext<'_>,
    rung: Rung<'_>,
    work: NodeWork<'_>,
    needs: Needs,
) -> Result<(Hardware, Option<Problem>), Problem> {
    let name = rung.asked;
    if name.is_empty() {
        return Err(Problem::invalid(
            "resource.instanceType must be set: nodes are made for this Workspace",
        ));
    }
    match context.instance_type(name) {
        Some(asked) if asked.unsupported.is_some() && !matches!(work, NodeWork::Template) => {
            Err(unsupported(context, asked, work))
        }
        Some(asked) if asked.retired.is_some() => {
            let bought = replacement::of(context, asked, rung.recorded, work)?;
            Ok((Hardware::from(bought), replacement::note(asked, bought)))
        }
        Some(asked) => Ok((Hardware::from(asked), None)),
        None if needs.known_type || names_gpus(context, name) => Err(unknown(context, name)),
        None => Ok((Hardware::cpu(name), None)),
    }
}

fn unsupported(context: &PlanContext<'_>, asked: &InstanceType, work: NodeWork<'_>) -> Problem {
    let why = asked.unsupported.as_deref().unwrap_or_default();
    let would_work = fits::would_work(context, work);
    let cause = format!("instance type {} is not supported: {why}{would_work}", asked.name);
    Problem::new(WorkspaceReason::InstanceTypeUnsupported, cause)
}

// An unlisted instance type with GPUs cannot be sized and would be expensive.
fn names_gpus(context: &PlanContext<'_>, name: &str) -> bool {
    let settings = context.settings;
    settings.instance_types.names_gpus(settings.cloud, name)
}

fn unknown(context: &PlanContext<'_>, name: &str) -> Problem {
    let cloud = context.settings.cloud;
    let near = context.settings.instance_types.near(cloud, name);
    let hint = did_you_mean::hint(&near);
    let cause = format!("instance type {name} is not known in cloud {cloud}{hint}");
    Problem::new(WorkspaceReason::InstanceTypeUnknown, cause)
}
