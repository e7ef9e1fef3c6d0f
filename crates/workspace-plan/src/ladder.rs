//! The ladder: the instance types of `resource.instanceType`, in their order, and the one that is taken.
//!
//! All nodes of a Workspace are of one type, since its size depends on it. The claims record the type, which users cannot
//! write. While nothing runs and the provisioner refuses the type, the next one is taken. What runs stays on its type.

mod choice;
mod record;

use instance_types::ladder::rungs;
use kaito_api::Claim;

use crate::allowed::allowed;
use crate::claims;
use crate::context::PlanContext;
use crate::desired::Desired;
use crate::model_commit;
use crate::problem::Problem;
use crate::rung::{Rung, text};
use crate::shortage;
use crate::validate;

pub(crate) use record::mark;

/// Returns the desired state on the type that is taken.
///
/// # Errors
/// If the ladder cannot be read, if no type can be used, or if none can be had now.
pub(crate) fn desired<'a>(context: &PlanContext<'a>) -> Result<Desired<'a>, Problem> {
    model_commit::check(context)?;
    let text = text(context.workspace());
    let on = |asked, recorded| validate::on_rung(context, Rung { asked, recorded });
    // Nodes of the user's own have the types that they have.
    if !context.creates_nodes() {
        return on(text, None);
    }
    allowed(context)?;
    let rungs = rungs(text).map_err(|error| Problem::invalid(format!("resource.instanceType {error}")))?;
    match rungs.as_slice() {
        [] => on("", None),
        [one] => {
            let desired = on(one, claims::instance_type(context).map(|(name, _)| name))?;
            Ok(with_note(context, desired))
        }
        several => {
            let desired = match record::running(context, several) {
                Some(rung) => validate::on_rung(context, rung)?,
                None => choice::of(context, several)?,
            };
            Ok(Desired {
                is_ladder: true,
                ..desired
            })
        }
    }
}

/// Adds a note if the cloud would refuse nodes of the type. They are asked for nevertheless: the cloud decides.
fn with_note<'a>(context: &PlanContext<'a>, desired: Desired<'a>) -> Desired<'a> {
    let note = shortage::note(context, &desired);
    Desired {
        notes: note.into_iter().chain(desired.notes).collect(),
        ..desired
    }
}

/// Claims of another type than the one that is taken, terminating ones too. None is created before these are gone.
pub(crate) fn of_other_type<'a>(
    context: &PlanContext<'a>,
    desired: &Desired<'_>,
) -> impl Iterator<Item = &'a Claim> {
    let taken = desired.hardware.instance_type.clone();
    let gives_way = desired.is_ladder && context.workload.is_none();
    let is_other = move |name: &str| !name.eq_ignore_ascii_case(&taken);
    claims::own(context).filter(move |claim| gives_way && claim.instance_type().is_some_and(&is_other))
}
