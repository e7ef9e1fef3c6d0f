//! Rules for every single plan.
//!
//! A plan is checked against its observation and, where that may be outdated, against the true state of the cloud and
//! the API server.

use std::fmt::Debug;

use cloudprovider::{CloudCall, InstanceState, Ownership};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kaito_api::Claim;
use kaito_api::labels::{DISRUPTED_TAINT, WORKSPACE, WORKSPACE_NAMESPACE, WORKSPACE_UID};
use plan::{Delete, Finalizer, Kind, Plan, Write};

use crate::api_server::{ApiServer, garbage, key, shown};
use crate::cloud::Cloud;
use crate::json;
use crate::kubelet::Kubelet;

type Verdict = Result<(), String>;

/// Rules for every plan.
///
/// # Errors
/// The first broken one.
pub fn common<C>(plan: &Plan<C>) -> Verdict {
    match plan_check::check(plan).first() {
        Some(violation) => Err(format!(
            "the plan is wrong: {}: {}",
            violation.place, violation.what
        )),
        None => Ok(()),
    }
}

fn same<C: PartialEq + Debug>(what: &str, plan: &Plan<C>, again: &Plan<C>) -> Verdict {
    if plan == again {
        Ok(())
    } else {
        Err(format!("{what} gives another plan:\n  {plan:?}\n  {again:?}"))
    }
}

/// Rules for plans about Workspaces.
///
/// # Errors
/// The first broken one.
pub fn workspace(
    now: Timestamp,
    observed: &workspace_plan::Observed,
    settings: &workspace_plan::Settings,
    plan: &Plan,
    api: &ApiServer,
) -> Verdict {
    common(plan)?;
    same(
        "planning again",
        plan,
        &workspace_plan::plan(now, observed, settings),
    )?;
    let mut other = observed.clone();
    other.claims.reverse();
    other.nodes.reverse();
    other.pods.reverse();
    same(
        "another order",
        plan,
        &workspace_plan::plan(now, &other, settings),
    )?;
    let uid = observed.workspace.metadata.uid.as_deref().unwrap_or_default();
    let namespace = observed.workspace.namespace();
    for write in &plan.writes {
        owned_by_workspace(write, uid, api)?;
        within_namespace(write, namespace, api)?;
    }
    if matches!(plan.finalizer, Finalizer::Release(_)) {
        nothing_left(uid, api)?;
    }
    Ok(())
}

fn owned_by_workspace(write: &Write, uid: &str, api: &ApiServer) -> Verdict {
    let Write::Delete(Delete {
        target, uid: meant, ..
    }) = write
    else {
        return Ok(());
    };
    let Some(value) = api
        .get(target)
        .filter(|value| json::text(value, &["metadata", "uid"]) == meant)
    else {
        return Ok(());
    };
    let labelled = json::text(value, &["metadata", "labels", WORKSPACE_UID]);
    let of_the_dead = !labelled.is_empty() && !is_living_workspace(labelled, api);
    if labelled == uid || of_the_dead || garbage::is_owned_by(value, uid) {
        return Ok(());
    }
    Err(format!(
        "{} is deleted and does not belong to the Workspace",
        shown(target)
    ))
}

/// A tenant's Workspace changes nothing of another tenant. Of claims, which have no namespace, a label names it.
fn within_namespace(write: &Write, namespace: &str, api: &ApiServer) -> Verdict {
    let target = write.target();
    let labelled = api
        .get(&target)
        .map(|value| json::text(value, &["metadata", "labels", WORKSPACE_NAMESPACE]))
        .filter(|labelled| !labelled.is_empty());
    let of = target.namespace.as_deref().or(labelled);
    if of.is_none_or(|of| of == namespace) {
        return Ok(());
    }
    Err(format!(
        "{} is written for a Workspace of namespace {namespace}",
        shown(&target)
    ))
}

fn is_living_workspace(uid: &str, api: &ApiServer) -> bool {
    api.list(Kind::Workspace)
        .any(|(_, value)| json::text(value, &["metadata", "uid"]) == uid)
}

/// Rules for plans about orphaned claims.
///
/// # Errors
/// The first broken one.
pub fn orphan(plan: &Plan, api: &ApiServer) -> Verdict {
    common(plan)?;
    for write in &plan.writes {
        let Write::Delete(delete) = write else {
            return Err("a collector only deletes".to_owned());
        };
        let claim = api.get(&delete.target);
        let owner = claim.map(|claim| json::text(claim, &["metadata", "labels", WORKSPACE_UID]));
        if owner.is_some_and(|owner| owner.is_empty() || is_living_workspace(owner, api)) {
            return Err(format!(
                "{} is deleted and has a Workspace",
                shown(&delete.target)
            ));
        }
    }
    Ok(())
}

fn nothing_left(uid: &str, api: &ApiServer) -> Verdict {
    let left = [Kind::Machine, Kind::NodeClaim]
        .into_iter()
        .flat_map(|kind| api.list(kind))
        .find(|(_, v)| json::text(v, &["metadata", "labels", WORKSPACE_UID]) == uid);
    match left {
        Some((claim, _)) => Err(format!("the Workspace is released and {} is there", shown(claim))),
        None => Ok(()),
    }
}

/// Rules for plans about claims.
///
/// # Errors
/// The first broken one.
pub fn claim(
    now: Timestamp,
    observed: &nodeclaim_plan::Observed,
    settings: &nodeclaim_plan::Settings,
    plan: &Plan<CloudCall>,
    cloud: &Cloud,
    kubelet: &Kubelet,
) -> Verdict {
    common(plan)?;
    same(
        "planning again",
        plan,
        &nodeclaim_plan::plan(now, observed, settings),
    )?;
    let mut other = observed.clone();
    other.nodes.reverse();
    other.pods.reverse();
    other.attachments.reverse();
    same(
        "another order",
        plan,
        &nodeclaim_plan::plan(now, &other, settings),
    )?;
    let name = observed.claim.name();
    if let Some(call) = &plan.cloud {
        only_own_pool(call, &observed.claim, cloud)?;
        drained_first(now, call, observed, settings, cloud)?;
    }
    if let Some(cause) = nodeclaim_plan::replacement(plan)
        && kubelet.is_healthy(name)
    {
        return Err(format!(
            "the healthy Node of instance {name} is replaced ({cause})"
        ));
    }
    let is_release = matches!(plan.finalizer, Finalizer::Release(_));
    if is_release && cloud.is_late(name) {
        return Err(format!(
            "the claim is released and instance {name} will still appear"
        ));
    }
    if is_release && has_instance(&observed.claim, cloud) {
        return Err(format!("the claim is released and its instance {name} is there"));
    }
    Ok(())
}

/// Returns true if an instance of the claim exists: made for it, or by upstream for the same Workspace.
fn has_instance(claim: &Claim, cloud: &Cloud) -> bool {
    let own = |key: &str| {
        claim
            .metadata()
            .labels
            .as_ref()
            .and_then(|labels| labels.get(key))
    };
    cloud
        .pool(claim.name())
        .is_some_and(|instance| match &instance.owner {
            Ownership::Ours { claim_uid } => claim_uid == claim.uid(),
            Ownership::Upstream => instance.labels.get(WORKSPACE) == own(WORKSPACE),
            Ownership::Foreign => false,
        })
}

fn only_own_pool(call: &CloudCall, claim: &Claim, cloud: &Cloud) -> Verdict {
    let name = claim.name();
    if call.instance() != name {
        return Err(format!(
            "a call about instance {}, which is not the claim's",
            call.instance()
        ));
    }
    let changes = matches!(call, CloudCall::Delete { .. } | CloudCall::Abort { .. });
    if changes && cloud.pool(name).is_some() && !has_instance(claim, cloud) {
        return Err(format!(
            "instance {name} is not this claim's and is deleted or canceled"
        ));
    }
    Ok(())
}

fn drained_first(
    now: Timestamp,
    call: &CloudCall,
    observed: &nodeclaim_plan::Observed,
    settings: &nodeclaim_plan::Settings,
    cloud: &Cloud,
) -> Verdict {
    let CloudCall::Delete { name, .. } = call else {
        return Ok(());
    };
    let Some(deleted) = &observed.claim.metadata().deletion_timestamp else {
        return Ok(());
    };
    let running = cloud
        .pool(name)
        .is_some_and(|pool| pool.state == InstanceState::Succeeded);
    let late = now
        >= deleted
            .0
            .saturating_add(settings.drain_timeout)
            .unwrap_or(Timestamp::MAX);
    if !running || late {
        return Ok(());
    }
    let ready: Vec<&str> = observed
        .nodes
        .iter()
        .filter(|node| is_ready(node))
        .filter_map(|n| n.metadata.name.as_deref())
        .collect();
    match observed.pods.iter().find(|pod| is_undrained(pod, &ready)) {
        Some(pod) => Err(format!(
            "instance {name} is deleted and pod {:?} still runs",
            pod.metadata.name
        )),
        None => Ok(()),
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_undrained(pod: &Pod, nodes: &[&str]) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default();
    let tolerates = spec.tolerations.iter().flatten().any(|toleration| {
        let key = toleration.key.as_deref();
        toleration.operator.as_deref() == Some("Exists") && key.is_none_or(|key| key == DISRUPTED_TAINT)
    });
    spec.node_name
        .as_deref()
        .is_some_and(|name| nodes.contains(&name))
        && pod.metadata.deletion_timestamp.is_none()
        && !["Succeeded", "Failed"].contains(&phase)
        && !tolerates
}

/// Rules for pools that were collected as garbage.
///
/// # Errors
/// If the pool is not ours, or its claim exists.
pub(crate) fn collected(name: &str, cloud: &Cloud, api: &ApiServer) -> Verdict {
    let Some(pool) = cloud.pool(name) else {
        return Ok(());
    };
    let Ownership::Ours { claim_uid } = &pool.owner else {
        return Err(format!("instance {name} is not ours and is collected"));
    };
    let is_claim = |kind: &Kind| {
        let claim = api.get(&key(*kind, "", name));
        claim.is_some_and(|claim| json::text(claim, &["metadata", "uid"]) == claim_uid)
    };
    if [Kind::Machine, Kind::NodeClaim].iter().any(is_claim) {
        return Err(format!("instance {name} is collected and its claim is there"));
    }
    Ok(())
}
