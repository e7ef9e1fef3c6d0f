//! One rung of the ladder of instance types, and what is remembered of it.

use std::sync::Arc;
use std::time::Duration;

use instance_types::ladder::rungs;
use kaito_api::Workspace;

use crate::allowed::allowed;
use crate::context::PlanContext;
use crate::offer::Offer;
use crate::unavailable::UnavailableType;

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

/// The value of `resource.instanceType`.
pub(crate) fn text(workspace: &Workspace) -> &str {
    let resource = workspace.spec.resource.as_ref();
    resource.map_or("", |resource| resource.instance_type.trim())
}

/// The memory of this type, if it is left out now.
pub(crate) fn remembered<'a>(context: &PlanContext<'a>, instance_type: &str) -> Option<&'a UnavailableType> {
    let offer = offer(context, instance_type);
    let all = context.observed.unavailable.iter().map(Arc::as_ref);
    all.filter(|found| context.now < found.until)
        .find(|found| found.offer == offer)
}

/// The offer that claims of this type ask for.
pub(crate) fn offer(context: &PlanContext<'_>, instance_type: &str) -> Offer {
    Offer::new(instance_type, &allowed(context).unwrap_or_default())
}

/// Offers that are left out now and that are rungs of the Workspace by their spelling.
pub(crate) fn left_out<'a>(
    context: &PlanContext<'a>,
) -> impl Iterator<Item = (&'a str, &'a UnavailableType)> {
    let workspace = context.workspace();
    let waits = context.workload.is_none() && context.creates_nodes() && names_several(workspace);
    let rungs = rungs(text(workspace)).unwrap_or_default().into_iter();
    rungs
        .filter(move |_| waits)
        .filter_map(|rung| Some((rung, remembered(context, rung)?)))
}

/// Time until the first type of the ladder is no longer left out; `None` if none is, or something runs.
pub(crate) fn next_look(context: &PlanContext<'_>) -> Option<Duration> {
    let first = left_out(context).map(|(_, found)| found.until).min()?;
    Duration::try_from(first.duration_since(context.now)).ok()
}
