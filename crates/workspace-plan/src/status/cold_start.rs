//! Times of the first start. Objects tell them, so a time is the same in every plan; a stored time stays.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::Claim;
use kaito_api::conditions::ClaimConditionType;
use kaito_api::workspace_status::ColdStart;

use crate::claims;
use crate::context::PlanContext;
use crate::pod_state;
use crate::price;
use crate::weights;
use crate::workload::Workload;

/// Returns the times of a Workspace that needs `wanted` nodes; `None` before the first step.
pub(super) fn of(context: &PlanContext<'_>, wanted: Option<u32>) -> Option<ColdStart> {
    let old = context.status().and_then(|status| status.cold_start.clone());
    let Some(wanted) = wanted.filter(|wanted| *wanted > 0) else {
        return old;
    };
    let old = old.unwrap_or_default();
    if old.ready.is_some() {
        return Some(old);
    }
    let claims = claims_of(context, wanted).unwrap_or_default();
    let mut last = None;
    // Clocks differ, and a step ends after those before it.
    let mut step = |old: Option<Time>, new: Option<Timestamp>| {
        let time = old.or_else(|| {
            let new = Timestamp::from_second(new?.as_second()).ok()?;
            Some(Time(last.map_or(new, |last| new.max(last))))
        });
        last = time.as_ref().map(|time| time.0).or(last);
        time
    };
    let condition = |type_| all(&claims, |claim| claim_condition(claim, type_));
    let new = ColdStart {
        claimed: step(old.claimed, all(&claims, created)),
        launched: step(old.launched, condition(ClaimConditionType::Launched)),
        registered: step(old.registered, condition(ClaimConditionType::Registered)),
        initialized: step(old.initialized, condition(ClaimConditionType::Initialized)),
        scheduled: step(old.scheduled, of_pods(context, scheduled)),
        downloaded: step(old.downloaded, of_pods(context, weights::downloaded)),
        weights_bytes: old.weights_bytes.or_else(|| weights::bytes(context)),
        started: step(old.started, of_pods(context, started)),
        ready: step(old.ready, ready(context)),
        usd_per_hour: match old.usd_per_hour.is_empty() {
            true if claims.is_empty() => String::new(),
            true => usd_per_hour(context, &claims).unwrap_or_default(),
            false => old.usd_per_hour,
        },
    };
    (new != ColdStart::default()).then_some(new)
}

/// Returns the live claims of all nodes; `None` while one is missing.
fn claims_of<'a>(context: &PlanContext<'a>, wanted: u32) -> Option<Vec<&'a Claim>> {
    let needed = claims::needed(context, wanted);
    let current = needed.iter().map(|(_, name)| claims::live(context, name));
    let legacy = claims::legacy(context).map(Some);
    legacy.chain(current).collect()
}

/// Returns the time at which the last of these has done a step; `None` before, and if there are none.
fn all<T: Copy>(items: &[T], done: impl Fn(T) -> Option<Timestamp>) -> Option<Timestamp> {
    let times: Option<Vec<Timestamp>> = items.iter().map(|item| done(*item)).collect();
    times?.into_iter().max()
}

fn created(claim: &Claim) -> Option<Timestamp> {
    Some(claim.metadata().creation_timestamp.as_ref()?.0)
}

fn claim_condition(claim: &Claim, type_: ClaimConditionType) -> Option<Timestamp> {
    if !claim.is_true(type_) {
        return None;
    }
    claim.condition(type_)?.since
}

/// Returns the time at which the last pod of the workload has done a step.
fn of_pods(context: &PlanContext<'_>, done: fn(&Pod) -> Option<Timestamp>) -> Option<Timestamp> {
    let wanted = match context.workload? {
        workload @ (Workload::Deployment(_) | Workload::StatefulSet(_)) => workload.replicas(),
        Workload::Job(_) => 1,
    };
    let pods: Vec<&Pod> = context.pods.values().copied().collect();
    if u32::try_from(pods.len()).unwrap_or(u32::MAX) < wanted {
        return None;
    }
    all(&pods, done)
}

fn scheduled(pod: &Pod) -> Option<Timestamp> {
    pod_condition(pod, "PodScheduled")
}

fn is_answering(pod: &Pod) -> Option<Timestamp> {
    pod_condition(pod, "Ready")
}

fn pod_condition(pod: &Pod, type_: &str) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let is = |condition: &&PodCondition| condition.type_ == type_ && condition.status == "True";
    let found = conditions.iter().find(is)?;
    found.last_transition_time.as_ref().map(|time| time.0)
}

/// Time at which the last container of the pod has started first.
fn started(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.as_ref()?.container_statuses.as_deref()?;
    let containers: Vec<_> = containers.iter().collect();
    all(&containers, |container| {
        let starts = pod_state::states(container).filter_map(|state| {
            let running = state.running.as_ref().and_then(|state| state.started_at.as_ref());
            let ended = state
                .terminated
                .as_ref()
                .and_then(|state| state.started_at.as_ref());
            running.or(ended).map(|time| time.0)
        });
        starts.min()
    })
}

fn ready(context: &PlanContext<'_>) -> Option<Timestamp> {
    context.workload.filter(|workload| workload.is_serving())?;
    of_pods(context, is_answering)
}

/// Returns the list price of all nodes; `None` if it is unknown.
fn usd_per_hour(context: &PlanContext<'_>, claims: &[&Claim]) -> Option<String> {
    let settings = context.settings;
    let resource = context.workspace().spec.resource.as_ref();
    let named = resource.and_then(|resource| price::of(settings, &resource.instance_type));
    let mut prices = claims
        .iter()
        .map(|claim| price::of_claim(settings, claim).or(named));
    let all = prices.try_fold(0_u64, |all, price| Some(all.saturating_add(price?)))?;
    Some(instance_types::dollars(all))
}
