//! Quota and restrictions of the subscription, from the record that gpu-provisioner publishes, and the claims that they stop.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kaito_api::AllowedOfferings;
use kaito_api::conditions::{ClaimConditionType, ClaimReason};
use kaito_api::shortage::WaitingVcpus;

use super::diagnosis::{CheckLine, Diagnosis};
use super::facts::ClusterFacts;
use crate::output::{age, printable};

const REMEDY: &str = "Ask the owner of the subscription for more quota or for the right to use the type, or name other instance types.";

/// Describes what is known; `None` if the release does not read it.
pub(super) fn check(facts: &ClusterFacts, now: Timestamp) -> Option<CheckLine> {
    let record = facts.capacity.as_ref()?;
    let result = if record.is_current(now) {
        let seconds = record
            .read_at
            .as_ref()
            .map_or(0, |at| now.duration_since(at.0).as_secs());
        let all = record.instance_types.values();
        let shut = all.filter(|found| !found.restriction.is_empty()).count();
        format!(
            "{} instance types in {}, {shut} of them not for this subscription; read {} ago",
            record.instance_types.len(),
            printable(&record.region),
            age(seconds)
        )
    } else {
        "not known: the identity of gpu-provisioner needs the role Reader on the subscription; nodes are asked for without it"
            .to_owned()
    };
    Some(CheckLine {
        check: "quota",
        result,
    })
}

/// Finds the instance types that claims were refused for, and that quota or restrictions do not permit.
pub(super) fn examine(facts: &ClusterFacts, now: Timestamp) -> Vec<Diagnosis> {
    let Some(record) = facts.capacity.as_ref().filter(|record| record.is_current(now)) else {
        return Vec::new();
    };
    let mut refused: BTreeMap<(String, String), (u32, AllowedOfferings)> = BTreeMap::new();
    for claim in &facts.claims {
        let launched = claim.condition(ClaimConditionType::Launched);
        let reason = launched.and_then(|launched| ClaimReason::parse(launched.reason));
        let is_refused = matches!(
            reason,
            Some(ClaimReason::SubscriptionQuotaReached | ClaimReason::SkuNotAvailable)
        );
        if let Some(name) = claim.instance_type().filter(|_| is_refused) {
            let allowed = AllowedOfferings::of_claim(claim);
            let key = (name.to_owned(), format!("{allowed:?}"));
            refused.entry(key).or_insert((0, allowed)).0 += 1;
        }
    }
    let finding = |((name, _), (nodes, allowed)): ((String, String), (u32, AllowedOfferings))| {
        let found = record.shortage(&name, nodes, &allowed, &WaitingVcpus::default())?;
        let message = format!("{nodes} claims wait for it: {}.", printable(found.words()));
        let subject = format!("instance type {}", printable(&name));
        Some(Diagnosis::new("quota", subject, message, REMEDY))
    };
    refused.into_iter().filter_map(finding).collect()
}
