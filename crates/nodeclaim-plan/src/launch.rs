//! Launch: the instance of a claim that is wanted. Chooses the next step from the instance's state: one match arm each.

mod backoff;
mod choice;
pub(crate) mod class;
mod create;
pub(crate) mod decision;
pub(crate) mod error_reasons;
mod failure;
pub(crate) mod instance_type;
mod invalid;
pub mod offerings;
mod replace;
pub mod spec;
pub(crate) mod visibility;
mod wait;

use cloudprovider::{Instance, InstanceState};

use crate::context::PlanContext;
use crate::instance::InstanceView;
use crate::launch::decision::LaunchDecision;

/// Decides the next launch step of a claim that is wanted.
pub(crate) fn decide<'a>(context: &PlanContext<'a>) -> LaunchDecision<'a> {
    match context.instance {
        _ if context.has_name_conflict => wait::name_conflict(context),
        _ if context.cluster_conflict.is_some() => wait::other_cluster(context),
        InstanceView::Unknown => wait::unknown(context),
        InstanceView::Absent(reads) => create::decide(context, reads),
        InstanceView::Foreign(instance) => wait::foreign(context, instance),
        InstanceView::Owned(instance) if is_stopped(instance) => wait::stopped(instance),
        InstanceView::Owned(instance) => match instance.state {
            InstanceState::Creating | InstanceState::Changing(_) => wait::creating(context, instance),
            InstanceState::Succeeded => wait::succeeded(context, instance),
            InstanceState::Failed | InstanceState::Canceled => replace::failed(context, instance),
            InstanceState::Deleting => wait::deleting(context),
        },
    }
}

/// Returns true if an instance waits to be started. One that failed or is being deleted is handled as such.
pub(crate) fn is_stopped(instance: &Instance) -> bool {
    instance.stopped
        && matches!(
            instance.state,
            InstanceState::Succeeded | InstanceState::Changing(_)
        )
}
