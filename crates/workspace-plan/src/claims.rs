//! The claims of a Workspace, by ordinal.
//!
//! The claim of an ordinal has the same name whatever its kind, and a claim of either kind takes the ordinal. So when
//! the kind is switched, claims of the other kind stay as long as they live, and no node is requested twice.

use std::time::Duration;

use jiff::SignedDuration;
use kaito_api::conditions::{ClaimConditionType, WorkspaceReason};
use kaito_api::{Claim, ClaimKind, labels, names};

use crate::context::PlanContext;
use crate::launch_backoff::LaunchBackoff;
use crate::metadata::{annotation, is_live, label};
use crate::problem::Problem;
use crate::settings::NodeLimit;

/// Claims of this Workspace, terminating ones too.
pub(crate) fn own<'a>(context: &PlanContext<'a>) -> impl Iterator<Item = &'a Claim> {
    let uid = context.workspace().uid();
    let own = move |claim: &&Claim| owner_uid(claim).is_none_or(|owner| owner == uid);
    context.claims.values().copied().filter(own)
}

/// Live claims of this Workspace that upstream's controller created. They carry no UID and take the first ordinals.
pub(crate) fn legacy<'a>(context: &PlanContext<'a>) -> impl Iterator<Item = &'a Claim> {
    own(context).filter(|claim| is_legacy(claim) && is_live(claim.metadata()))
}

/// Returns true if upstream's controller created the claim.
pub(crate) fn is_legacy(claim: &Claim) -> bool {
    owner_uid(claim).is_none()
}

/// UID of the Workspace that the claim belongs to.
pub(crate) fn owner_uid(claim: &Claim) -> Option<&str> {
    label(claim.metadata(), labels::WORKSPACE_UID)
}

/// The number of nodes of the Workspace that the claim records; `None` on claims of upstream's controller.
pub(crate) fn recorded_nodes(claim: &Claim) -> Option<u32> {
    owner_uid(claim)?;
    let nodes = annotation(claim.metadata(), labels::NODE_COUNT)?.parse().ok();
    nodes.filter(|nodes| (1..=NodeLimit::MAX).contains(nodes))
}

/// Claims of this name, of both kinds.
pub(crate) fn of_name<'a>(context: &PlanContext<'a>, name: &str) -> impl Iterator<Item = &'a Claim> {
    let kinds = ClaimKind::ALL.into_iter();
    kinds.filter_map(move |kind| context.claims.get(&(name, kind)).copied())
}

/// The live claim of this name. Of two, a ready one is preferred, then one of the configured kind.
pub(crate) fn live<'a>(context: &PlanContext<'a>, name: &str) -> Option<&'a Claim> {
    let kind = context.settings.mode.claim_kind();
    of_name(context, name)
        .filter(|claim| is_live(claim.metadata()))
        .min_by_key(|claim| (!is_ready(claim), kind != Some(claim.claim_kind())))
}

/// Ordinals and names of the claims that a Workspace of this many nodes needs, besides legacy ones.
pub(crate) fn needed(context: &PlanContext<'_>, nodes: u32) -> Vec<(u32, String)> {
    let workspace = context.workspace();
    let legacy = u32::try_from(legacy(context).count()).unwrap_or(u32::MAX);
    let name = |ordinal| names::claim(workspace.namespace(), workspace.name(), workspace.uid(), ordinal);
    (0..nodes.min(NodeLimit::MAX).saturating_sub(legacy))
        .map(|ordinal| (ordinal, name(ordinal)))
        .collect()
}

/// Returns true if every claim that is needed records this many nodes, and no other live claim is left.
///
/// A workload is created only then. From then on the records say how many nodes it was made for.
pub(crate) fn are_settled(context: &PlanContext<'_>, nodes: u32) -> bool {
    let agrees = |claim: &Claim| recorded_nodes(claim).is_none_or(|recorded| recorded == nodes);
    let needed = needed(context, nodes);
    let mut current = needed.iter().filter_map(|(_, name)| live(context, name));
    current.all(agrees) && excess(context, nodes).next().is_none()
}

/// Live claims that no ordinal needs: those beyond the last ordinal, and the less preferred of two with one name.
///
/// A claim of the other kind cannot be written any more. So it is one of them if it records another number of nodes.
pub(crate) fn excess<'a>(context: &PlanContext<'a>, nodes: u32) -> impl Iterator<Item = &'a Claim> {
    let needed = needed(context, nodes).into_iter();
    let needed: Vec<&Claim> = needed
        .filter_map(|(_, name)| live(context, &name))
        .filter(|claim| !is_outdated(context, claim, nodes))
        .collect();
    own(context)
        .filter(|claim| is_live(claim.metadata()) && !is_legacy(claim))
        .filter(move |claim| !needed.iter().any(|needed| std::ptr::eq(*needed, *claim)))
}

fn is_outdated(context: &PlanContext<'_>, claim: &Claim, nodes: u32) -> bool {
    context.settings.mode.claim_kind() != Some(claim.claim_kind())
        && recorded_nodes(claim).is_some_and(|recorded| recorded != nodes)
}

/// Checks that no claim of a needed name belongs to another owner. Names are short digests, which may collide.
///
/// # Errors
/// With the first conflict.
pub(crate) fn check_names(context: &PlanContext<'_>, nodes: u32) -> Result<(), Problem> {
    if !context.creates_nodes() {
        return Ok(());
    }
    let is_foreign = |claim: &&Claim| owner_uid(claim) != Some(context.workspace().uid());
    let needed = needed(context, nodes);
    let mut all = needed.iter().flat_map(|(_, name)| {
        let other = context.observed.same_named.iter();
        of_name(context, name).chain(other.filter(move |claim| claim.name() == name))
    });
    all.find(is_foreign).map_or(Ok(()), |claim| {
        let owner = match owner(claim) {
            Some((namespace, workspace)) => format!("belongs to Workspace {namespace}/{workspace}"),
            None => "names no Workspace".to_owned(),
        };
        let cause = format!("{} {} {owner}", claim.claim_kind().as_str(), claim.name());
        Err(Problem::new(WorkspaceReason::NameConflict, cause))
    })
}

/// Namespace and name of the Workspace that the claim's labels name.
fn owner(claim: &Claim) -> Option<(&str, &str)> {
    let metadata = claim.metadata();
    label(metadata, labels::WORKSPACE_NAMESPACE).zip(label(metadata, labels::WORKSPACE))
}

/// Returns the failed launches of this claim while the pause after them lasts.
pub(crate) fn backing_off<'a>(context: &PlanContext<'a>, name: &str) -> Option<&'a LaunchBackoff> {
    let backoff = context.observed.launch_backoffs.get(name);
    backoff.filter(|backoff| backoff.remaining(context.now).is_some())
}

/// Instance type of the claims of the Workspace, and true if they live. Those that live, and the first ordinals, come first.
pub(crate) fn instance_type<'a>(context: &PlanContext<'a>) -> Option<(&'a str, bool)> {
    let all = own(context).filter_map(|claim| {
        let ordinal =
            label(claim.metadata(), labels::ORDINAL).and_then(|ordinal| ordinal.parse::<u32>().ok());
        let place = (!is_live(claim.metadata()), ordinal.unwrap_or(u32::MAX));
        Some((place, claim.instance_type()?))
    });
    let first = all.min_by_key(|(place, _)| *place);
    first.map(|((is_terminating, _), name)| (name, !is_terminating))
}

/// Returns the time for which the claims count as new, if there are any and no provisioner has reported about one yet.
pub(crate) fn unreported(context: &PlanContext<'_>, patience: SignedDuration) -> Option<Duration> {
    let is_reported = |claim: &Claim| {
        let mut steps = ClaimConditionType::STEPS.into_iter();
        steps.any(|step| claim.condition(step).is_some()) || !is_live(claim.metadata())
    };
    if own(context).any(is_reported) {
        return None;
    }
    let created = |claim: &Claim| Some(claim.metadata().creation_timestamp.as_ref()?.0);
    let last = own(context).filter_map(created).max()?;
    let age = context.now.duration_since(last);
    let left = patience.checked_sub(age)?;
    // Clocks differ.
    let is_new = left.is_positive() && left <= patience;
    Duration::try_from(left).ok().filter(|_| is_new)
}

/// Returns true if the claim's node is ready.
pub(crate) fn is_ready(claim: &Claim) -> bool {
    claim.is_true(ClaimConditionType::Ready)
}
