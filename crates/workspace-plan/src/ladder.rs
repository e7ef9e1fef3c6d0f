//! The ladder: the instance types of `resource.instanceType`, in their order, and the one that is taken.
//!
//! All nodes of a Workspace are of one type, since its size depends on it. The claims record the type, which users cannot
//! write. While nothing runs and the provisioner refuses the type, the next one is taken. What runs stays on its type.

mod choice;
mod record;

use std::sync::Arc;
use std::time::Duration;

use instance_types::ladder::rungs;
use kaito_api::{Claim, Workspace};

use crate::claims;
use crate::context::PlanContext;
use crate::desired::Desired;
use crate::price;
use crate::problem::Problem;
use crate::unavailable::{Offer, UnavailableType};
use crate::validate;

pub(crate) use record::mark;

/// One instance type of the ladder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rung<'a> {
    /// Name in the Workspace; empty if it names none.
    pub(crate) asked: &'a str,
    /// Type of the claims that were made for it. It is another one if the named type is retired.
    pub(crate) recorded: Option<&'a str>,
}

/// Returns true if the Workspace names several instance types.
pub(crate) fn names_several(workspace: &Workspace) -> bool {
    text(workspace).contains(',')
}

/// Returns the desired state on the type that is taken.
///
/// # Errors
/// If the ladder cannot be read, if no type can be used, or if none can be had now.
pub(crate) fn desired<'a>(context: &PlanContext<'a>) -> Result<Desired<'a>, Problem> {
    let text = text(context.workspace());
    let on = |asked, recorded| validate::on_rung(context, Rung { asked, recorded });
    // Nodes of the user's own have the types that they have.
    if !context.creates_nodes() {
        return on(text, None);
    }
    let rungs = rungs(text).map_err(|error| Problem::invalid(format!("resource.instanceType {error}")))?;
    match rungs.as_slice() {
        [] => on("", None),
        [one] => on(one, claims::instance_type(context).map(|(name, _)| name)),
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

fn text(workspace: &Workspace) -> &str {
    let resource = workspace.spec.resource.as_ref();
    resource.map_or("", |resource| resource.instance_type.trim())
}

/// Claims of another type than the one that is taken, terminating ones too. None is created before these are gone.
pub(crate) fn of_other_type<'a>(
    context: &PlanContext<'a>,
    desired: &Desired<'_>,
) -> impl Iterator<Item = &'a Claim> {
    let taken = desired.hardware.instance_type.clone();
    let gives_way = desired.is_ladder && context.workload.is_none();
    let is_other = move |name: &str| !name.eq_ignore_ascii_case(&taken);
    claims::own(context).filter(move |claim| gives_way && price::instance_type(claim).is_some_and(&is_other))
}

/// The memory of this type, if it is left out now.
fn remembered<'a>(context: &PlanContext<'a>, instance_type: &str) -> Option<&'a UnavailableType> {
    let offer = offer(context, instance_type);
    let all = context.observed.unavailable.iter().map(Arc::as_ref);
    all.filter(|found| context.now < found.until)
        .find(|found| found.offer == offer)
}

/// What claims of this type ask for.
fn offer(context: &PlanContext<'_>, instance_type: &str) -> Offer {
    let options = &context.settings.node_claims;
    match context.settings.mode.claim_kind() {
        Some(kaito_api::ClaimKind::NodeClaim) => {
            Offer::new(instance_type, &options.capacity_types, &options.zones)
        }
        Some(kaito_api::ClaimKind::Machine) | None => Offer::new(instance_type, &[], &[]),
    }
}

/// Offers that are left out now and that are rungs of the Workspace by their spelling.
pub(crate) fn left_out<'a>(
    context: &PlanContext<'a>,
) -> impl Iterator<Item = (&'a str, &'a UnavailableType)> {
    let waits = context.workload.is_none() && context.creates_nodes();
    let text = text(context.workspace());
    let rungs = rungs(text).unwrap_or_default().into_iter();
    rungs
        .filter(move |_| waits && text.contains(','))
        .filter_map(|rung| Some((rung, remembered(context, rung)?)))
}

/// Time until the first type of the ladder is no longer left out; `None` if none is, or something runs.
pub(crate) fn next_look(context: &PlanContext<'_>) -> Option<Duration> {
    let first = left_out(context).map(|(_, found)| found.until).min()?;
    Duration::try_from(first.duration_since(context.now)).ok()
}
