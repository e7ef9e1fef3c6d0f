//! Launch: the instance of a claim that is wanted. Chooses the next step from the instance's state: one match arm each.

mod backoff;
mod create;
pub(crate) mod decision;
pub(crate) mod error_reasons;
mod failure;
mod replace;
pub mod spec;
pub(crate) mod visibility;
mod wait;

use cloudprovider::InstanceState;

use crate::context::PlanContext;
use crate::instance::InstanceView;
use crate::launch::decision::LaunchDecision;

/// Decides the next launch step of a claim that is wanted.
pub(crate) fn decide<'a>(context: &PlanContext<'a>) -> LaunchDecision<'a> {
    match context.instance {
        _ if context.has_name_conflict => wait::name_conflict(context),
        InstanceView::Unknown => wait::unknown(context),
        InstanceView::Absent(reads) => create::decide(context, reads),
        InstanceView::Foreign(pool) => wait::foreign(context, pool),
        InstanceView::Owned(pool) => match pool.state {
            InstanceState::Creating | InstanceState::Changing(_) => wait::creating(context, pool),
            InstanceState::Succeeded => wait::succeeded(context, pool),
            InstanceState::Failed | InstanceState::Canceled => replace::failed(context, pool),
            InstanceState::Deleting => wait::deleting(context),
        },
    }
}
