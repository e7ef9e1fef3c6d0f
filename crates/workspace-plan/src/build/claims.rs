//! Writes to the claims of a Workspace.

use kaito_api::{AllowedOfferings, Claim, ClaimKind, labels};
use plan::drift::apply_if_needed;
use plan::{Delete, ObjectRef, Propagation, Write};
use render::ClaimRequest;

use crate::allowed::{allowed, is_outdated};
use crate::claim_problem;
use crate::claims;
use crate::context::PlanContext;
use crate::desired::Desired;
use crate::ladder;
use crate::ledger::Grant;
use crate::metadata::is_live;
use crate::offer::Offer;

/// Plans exactly one claim for each ordinal.
///
/// A terminating claim delays its successor, and claims are deleted only while nothing runs on them.
pub(super) fn writes(context: &PlanContext<'_>, desired: &Desired<'_>) -> Vec<Write> {
    let Some(kind) = context.settings.mode.claim_kind() else {
        return Vec::new();
    };
    let mut writes = delete_orphans(context);
    if context.workload.is_none() {
        let excess = claims::excess(context, desired.nodes);
        let others = ladder::of_other_type(context, desired).filter(|claim| is_live(claim.metadata()));
        let others: Vec<&Claim> = others.collect();
        let excess = excess.filter(|claim| !others.iter().any(|other| std::ptr::eq(*other, *claim)));
        writes.extend(excess.chain(others.iter().copied()).map(delete_unless_changed));
    }
    // Nodes of one Workspace are of one type, and a terminating claim may still have a node.
    if ladder::of_other_type(context, desired).next().is_some() {
        return writes;
    }
    let Ok(wanted) = allowed(context) else {
        return writes;
    };
    let workspace = context.workspace();
    let image_family = workspace
        .annotation(labels::NODE_IMAGE_FAMILY)
        .unwrap_or(&context.settings.node_image_family);
    let needed = claims::needed(context, desired.nodes);
    writes.extend(needed.iter().filter_map(|(ordinal, name)| {
        let existing = claims::live(context, name);
        if let Some(outdated) = existing.filter(|claim| is_outdated(claim, &wanted)) {
            return Some(delete_unless_changed(outdated));
        }
        // What was bought stays as it was asked for.
        let bought = existing.map(AllowedOfferings::of_claim);
        let request = ClaimRequest {
            workspace,
            ordinal: *ordinal,
            nodes: desired.nodes,
            hardware: &desired.hardware,
            disk_gib: desired.disk_gib,
            image_family,
            offerings: bought.as_ref().unwrap_or(&wanted),
            taint: context.platform.isolation.taint,
        };
        ensure_claim(context, kind, name, &request)
    }));
    writes
}

/// Plans the write that creates a claim, restores the labels of an existing one, or withdraws one that cannot be launched.
fn ensure_claim(
    context: &PlanContext<'_>,
    kind: ClaimKind,
    name: &str,
    request: &ClaimRequest<'_>,
) -> Option<Write> {
    match (kind, claims::live(context, name)) {
        // A claim of the other kind stays as it is.
        (_, Some(claim)) if claim.claim_kind() != kind => None,
        (_, Some(claim)) if claim_problem::is_overdue(context, claim) => Some(delete(claim)),
        // A terminating claim may still have a node, so its successor waits.
        (_, None) if claims::of_name(context, name).next().is_some() => None,
        (_, None) if backs_off(context, name, request) => None,
        (_, None) if context.observed.grant != Grant::Granted => None,
        (ClaimKind::Machine, claim) => apply_if_needed(render::machine(request), claim),
        (ClaimKind::NodeClaim, claim) => {
            let mut desired = render::node_claim(request, &context.settings.node_claims);
            // The spec of a NodeClaim is immutable, so only labels and annotations are restored.
            if let Some(Claim::NodeClaim(stored)) = claim {
                desired.spec = stored.spec.clone();
            }
            apply_if_needed(desired, claim)
        }
    }
}

/// Returns true if a claim of this name and offer was lost shortly before.
fn backs_off(context: &PlanContext<'_>, name: &str, request: &ClaimRequest<'_>) -> bool {
    let wanted = Offer::new(&request.hardware.instance_type, request.offerings);
    claims::backing_off(context, name)
        .is_some_and(|backoff| backoff.offer.as_ref().is_none_or(|lost| *lost == wanted))
}

/// Returns true if the writes create claims.
pub(crate) fn creates_any(context: &PlanContext<'_>, writes: &[Write]) -> bool {
    writes.iter().any(|write| match write {
        Write::Apply(manifest) => claims::of_name(context, &manifest.target().name).next().is_none(),
        Write::Delete(_) | Write::Patch(_) | Write::Evict(_) => false,
    })
}

/// The deletion of one claim, whatever happens to it until the request arrives.
pub(crate) fn delete(claim: &Claim) -> Write {
    Write::Delete(deletion(claim))
}

/// The deletion of one claim that may be needed again.
fn delete_unless_changed(claim: &Claim) -> Write {
    Write::Delete(Delete {
        resource_version: claim.metadata().resource_version.clone(),
        ..deletion(claim)
    })
}

fn deletion(claim: &Claim) -> Delete {
    Delete {
        target: ObjectRef {
            kind: claim.claim_kind().into(),
            namespace: None,
            name: claim.name().to_owned(),
        },
        uid: claim.uid().to_owned(),
        resource_version: None,
        propagation: Propagation::Background,
        grace_seconds: None,
    }
}

/// Deletions of claims that an earlier Workspace of this name left.
///
/// Only claims older than the Workspace qualify, so a stale observation deletes nothing of a later Workspace.
pub(crate) fn delete_orphans(context: &PlanContext<'_>) -> Vec<Write> {
    let workspace = context.workspace();
    let created = workspace.metadata.creation_timestamp.as_ref();
    let is_orphan = |claim: &&&Claim| {
        let metadata = claim.metadata();
        let has_other_owner = claims::owner_uid(claim).is_some_and(|owner| owner != workspace.uid());
        let is_older = metadata
            .creation_timestamp
            .as_ref()
            .zip(created)
            .is_some_and(|(claim, workspace)| claim.0 < workspace.0);
        has_other_owner && is_older && is_live(metadata)
    };
    let orphans = context.claims.values().filter(is_orphan);
    orphans.map(|claim| delete(claim)).collect()
}
