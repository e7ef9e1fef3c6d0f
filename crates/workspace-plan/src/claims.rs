//! The claims of a Workspace: one a slot, of whichever kind, and what their provisioner says of them.
//!
//! A slot's claim has the same name whatever its kind, and a slot that a claim of either kind fills is filled: when the
//! kind is switched, claims of the other kind stay until they go, and nothing is asked for twice.

use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, Status, WorkspaceReason};
use kaito_api::{Claim, ClaimKind, labels, names};
use plan::drift::apply_if_needed;
use plan::{Delete, ObjectRef, Propagation, Write};
use render::{ClaimRequest, Hardware};

use crate::finding::ConditionUpdate;
use crate::subject::{Subject, is_live, label};
use crate::workloads;

/// The writes that leave exactly one claim a slot. A claim that is going is waited for, and claims are taken away only
/// while nothing runs on them.
pub(crate) fn writes(subject: &Subject<'_>, nodes: u32, hardware: &Hardware, disk_gib: u32) -> Vec<Write> {
    let Some(kind) = subject.settings.mode.claim_kind() else {
        return Vec::new();
    };
    let mut writes = orphans(subject);
    if workloads::current(subject).is_none() {
        writes.extend(surplus(subject, nodes).map(delete));
    }
    let image_family = subject
        .annotation(labels::NODE_IMAGE_FAMILY)
        .unwrap_or(&subject.settings.node_image_family);
    writes.extend(ordinals(subject, nodes).filter_map(|ordinal| {
        let request = ClaimRequest {
            workspace: subject.workspace(),
            ordinal,
            hardware,
            disk_gib,
            image_family,
        };
        fill(subject, kind, &request)
    }));
    writes
}

/// The write that fills a slot, or keeps the labels of the claim that does.
fn fill(subject: &Subject<'_>, kind: ClaimKind, request: &ClaimRequest<'_>) -> Option<Write> {
    let name = slot(subject, request.ordinal);
    let holder = holder(subject, &name);
    match (kind, holder) {
        // What is of the other kind stays as its time made it.
        (_, Some(held)) if held.claim_kind() != kind => None,
        // What is going has to be gone first: until then it may have a node.
        (_, None) if of_name(subject, &name).next().is_some() => None,
        (_, None) if is_backing_off(subject, &name) => None,
        (ClaimKind::Machine, held) => apply_if_needed(render::machine(request), held),
        (ClaimKind::NodeClaim, held) => {
            let mut wanted = render::node_claim(request, &subject.settings.node_claims);
            // Its spec cannot be changed, so only its labels and annotations are put right.
            if let Some(Claim::NodeClaim(stored)) = held {
                wanted.spec = stored.spec.clone();
            }
            apply_if_needed(wanted, held)
        }
    }
}

fn is_backing_off(subject: &Subject<'_>, name: &str) -> bool {
    let backoff = subject.observed.launch_backoffs.get(name);
    backoff.is_some_and(|backoff| backoff.remaining(subject.now).is_some())
}

/// Live claims that no slot needs: those beyond the last slot, and the lesser of two that fill one slot.
fn surplus<'a>(subject: &Subject<'a>, nodes: u32) -> impl Iterator<Item = &'a Claim> {
    let wanted = wanted_names(subject, nodes);
    let needed: Vec<&Claim> = wanted.iter().filter_map(|name| holder(subject, name)).collect();
    own(subject)
        .filter(|claim| is_live(claim.metadata()) && !is_legacy(claim))
        .filter(move |claim| !needed.iter().any(|needed| std::ptr::eq(*needed, *claim)))
}

/// The live claim of a slot: of two, the one that is ready, else the one of the kind that is asked for.
fn holder<'a>(subject: &Subject<'a>, name: &str) -> Option<&'a Claim> {
    let kind = subject.settings.mode.claim_kind();
    of_name(subject, name)
        .filter(|claim| is_live(claim.metadata()))
        .min_by_key(|claim| (!is_ready(claim), kind != Some(claim.claim_kind())))
}

fn of_name<'a>(subject: &Subject<'a>, name: &str) -> impl Iterator<Item = &'a Claim> {
    let kinds = ClaimKind::ALL.into_iter();
    kinds.filter_map(move |kind| subject.claims.get(&(name, kind)).copied())
}

/// Whether the writes make claims that are not there. Everything else of the Workspace then waits for the next pass,
/// which their appearance causes: nodes take longest, and a Service, whose address the API server gives out one at a
/// time, must not hold up the claims of other Workspaces.
pub(crate) fn is_claiming(subject: &Subject<'_>, writes: &[Write]) -> bool {
    writes.iter().any(|write| match write {
        Write::Apply(manifest) => of_name(subject, &manifest.target().name).next().is_none(),
        Write::Delete(_) | Write::Patch(_) | Write::Evict(_) => false,
    })
}

/// Claims of this Workspace, going ones too.
pub(crate) fn own<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a Claim> {
    let uid = subject.uid();
    let own = move |claim: &&Claim| owner_uid(claim).is_none_or(|owner| owner == uid);
    subject.claims.values().copied().filter(own)
}

/// The deletion of one claim.
pub(crate) fn delete(claim: &Claim) -> Write {
    Write::Delete(Delete {
        target: ObjectRef {
            kind: claim.claim_kind().into(),
            namespace: None,
            name: claim.name().to_owned(),
        },
        uid: claim.uid().to_owned(),
        propagation: Propagation::Background,
        grace_seconds: None,
    })
}

/// Deletions of claims that an earlier Workspace of this name left behind. Only what is older than the observed
/// Workspace can be such a one, however old the observation is.
pub(crate) fn orphans(subject: &Subject<'_>) -> Vec<Write> {
    let born = subject.metadata().creation_timestamp.as_ref();
    let is_orphan = |claim: &&&Claim| {
        let metadata = claim.metadata();
        let other = owner_uid(claim).is_some_and(|owner| owner != subject.uid());
        let older = metadata
            .creation_timestamp
            .as_ref()
            .zip(born)
            .is_some_and(|(own, born)| own.0 < born.0);
        other && older && is_live(metadata)
    };
    subject
        .claims
        .values()
        .filter(is_orphan)
        .map(|claim| delete(claim))
        .collect()
}

fn owner_uid(claim: &Claim) -> Option<&str> {
    label(claim.metadata(), labels::WORKSPACE_UID)
}

// Claims that upstream's controller made carry no UID. They fill the first slots.
fn is_legacy(claim: &Claim) -> bool {
    owner_uid(claim).is_none()
}

fn ordinals(subject: &Subject<'_>, nodes: u32) -> std::ops::Range<u32> {
    let legacy = own(subject)
        .filter(|claim| is_legacy(claim) && is_live(claim.metadata()))
        .count();
    0..nodes.saturating_sub(u32::try_from(legacy).unwrap_or(u32::MAX))
}

fn slot(subject: &Subject<'_>, ordinal: u32) -> String {
    names::claim(subject.namespace(), subject.name(), subject.uid(), ordinal)
}

fn wanted_names(subject: &Subject<'_>, nodes: u32) -> Vec<String> {
    ordinals(subject, nodes)
        .map(|ordinal| slot(subject, ordinal))
        .collect()
}

/// What has come of the claims.
#[derive(Debug)]
pub(crate) struct Served<'a> {
    /// Whether all of them are ready.
    pub(crate) finding: ConditionUpdate,
    /// Their nodes, by name.
    pub(crate) nodes: Vec<&'a Node>,
}

impl<'a> Served<'a> {
    /// Looks at the claims of `wanted` slots, where claims of `kind` are made.
    pub(crate) fn of(subject: &Subject<'a>, kind: ClaimKind, wanted: u32) -> Self {
        let slots = wanted_names(subject, wanted);
        let filling = slots
            .iter()
            .filter_map(|slot| holder(subject, slot))
            .filter(|claim| !is_legacy(claim));
        let legacy = own(subject).filter(|claim| is_legacy(claim) && is_live(claim.metadata()));
        let claims: Vec<&Claim> = legacy.chain(filling).collect();
        let paused = slots
            .iter()
            .find(|slot| of_name(subject, slot).next().is_none() && is_backing_off(subject, slot));
        Self {
            finding: finding(&claims, kind, wanted, paused),
            nodes: nodes_of(subject, &claims),
        }
    }
}

fn nodes_of<'a>(subject: &Subject<'a>, claims: &[&Claim]) -> Vec<&'a Node> {
    let node = |claim: &&Claim| subject.nodes.get(claim.node_name()).copied();
    let mut nodes: Vec<&Node> = claims.iter().filter_map(node).collect();
    nodes.sort_by_key(|node| node.metadata.name.clone());
    nodes
}

fn finding(claims: &[&Claim], kind: ClaimKind, wanted: u32, paused: Option<&String>) -> ConditionUpdate {
    let (all_ready, waiting) = match kind {
        ClaimKind::Machine => (WorkspaceReason::MachinesReady, WorkspaceReason::MachinesNotReady),
        ClaimKind::NodeClaim => (
            WorkspaceReason::NodeClaimsReady,
            WorkspaceReason::NodeClaimsNotReady,
        ),
    };
    let ready = claims.iter().filter(|claim| is_ready(claim)).count();
    let count = format!("{ready} of {wanted} {}s are ready", kind.as_str());
    if u32::try_from(ready).unwrap_or(u32::MAX) >= wanted {
        return ConditionUpdate::met(all_ready, format!("{count}."));
    }
    let stuck = claims
        .iter()
        .filter(|claim| !is_ready(claim))
        .filter_map(|claim| Some((*claim, standing(claim)?)));
    // A problem is told before a mere wait.
    let stuck = stuck.min_by_key(|(_, (reason, _))| reason.remedy().is_empty());
    match (stuck, paused) {
        (None, None) => ConditionUpdate::unmet(waiting, count),
        (None, Some(name)) => {
            let what =
                "was taken back by its provisioner before it had a node; it is asked for again after a pause";
            ConditionUpdate::unmet(
                WorkspaceReason::NodeClaimLost,
                format!("{count}; {} {name} {what}", kind.as_str()),
            )
        }
        (Some((claim, (reason, message))), _) => {
            let (kind, name) = (claim.claim_kind().as_str(), claim.name());
            ConditionUpdate::unmet(reason, format!("{count}; {kind} {name}: {message}"))
        }
    }
}

fn is_ready(claim: &Claim) -> bool {
    claim.is_true(ClaimConditionType::Ready)
}

/// What its provisioner says stands in the way of a claim. Other provisioners have words of their own, which go into
/// the message.
pub(crate) fn standing(claim: &Claim) -> Option<(ClaimReason, String)> {
    let mut steps = ClaimConditionType::STEPS
        .into_iter()
        .filter_map(|step| claim.condition(step));
    let blocking = steps.find(|condition| condition.status != Status::True);
    let blocking = blocking.or_else(|| claim.condition(ClaimConditionType::Ready))?;
    let message = blocking.message.trim();
    Some(match ClaimReason::parse(blocking.reason) {
        Some(reason) if message.is_empty() => (reason, reason.as_str().to_owned()),
        Some(reason) => (reason, message.to_owned()),
        None => (ClaimReason::AwaitingCloud, [blocking.reason, message].join(": ")),
    })
}
