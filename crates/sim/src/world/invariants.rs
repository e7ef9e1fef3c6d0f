//! Invariants of the whole world, checked after every event.

use std::collections::BTreeMap;

use cloudprovider::Ownership;
use instance_types::UsdPerHour;
use kaito_api::labels::{GPU_PROVISIONER, ORDINAL, WORKSPACE_CONTROLLER, WORKSPACE_NAMESPACE, WORKSPACE_UID};
use plan::{Kind, ObjectRef};

use super::World;
use super::goals::price_of;
use crate::api_server::{is_deleting, shown};
use crate::failure::Failure;
use crate::json;
use crate::kubelet::karpenter::{self, offerings};
use crate::kubelet::machines::KARPENTERS_PREFIX;

impl World {
    /// Checks all invariants.
    pub(super) fn check_invariants(&mut self) -> Result<(), Failure> {
        // What has not changed is as right as it was.
        let news = self.api.log().iter().skip(self.ledger.read_log);
        let has_new_claims = news
            .into_iter()
            .any(|line| matches!(line.key.kind, Kind::Machine | Kind::NodeClaim));
        let has_new_pools = self.cloud.changes() != self.ledger.read_pools;
        self.ledger.read_pools = self.cloud.changes();
        let unless = |is_same: bool, check: fn(&Self) -> Result<(), String>, world: &Self| {
            if is_same { Ok(()) } else { check(world) }
        };
        let found = self
            .read_news()
            .and_then(|()| one_provisioner_a_claim(self))
            .and_then(|()| unless(!has_new_pools, one_pool_a_slot, self))
            .and_then(|()| unless(!has_new_claims, one_claim_a_slot, self))
            .and_then(|()| unless(!has_new_claims, within_ceilings, self))
            .and_then(|()| self.check_purchases(has_new_claims))
            .and_then(|()| foreign_pools_stay(self));
        found.map_err(|what| self.failure(what))
    }

    fn read_news(&mut self) -> Result<(), String> {
        for line in self.api.log().iter().skip(self.ledger.read_log) {
            let ours = [WORKSPACE_CONTROLLER, GPU_PROVISIONER].contains(&line.actor);
            if ours && self.ledger.foreign.contains(&line.key) {
                return Err(format!(
                    "{} wrote {}, which is not its own",
                    line.actor,
                    shown(&line.key)
                ));
            }
            if line.actor == GPU_PROVISIONER && is_karpenters(self, &line.key) {
                return Err(format!(
                    "gpu-provisioner wrote {}, which is a Karpenter's",
                    shown(&line.key)
                ));
            }
            if ours {
                self.ledger.record_write(line.at, line.actor, &line.key);
            }
        }
        let news = self.api.log().iter().skip(self.ledger.read_log);
        let news: Vec<(&str, &ObjectRef)> = news.map(|line| (line.actor, &line.key)).collect();
        self.ledger
            .templates
            .record(&self.api, &self.setup.workspaces.upgrades, &news)?;
        for (at, what) in self.cloud.requests().iter().skip(self.ledger.read_requests) {
            self.ledger.record_request(*at, what);
        }
        self.ledger.read_log = self.api.log().len();
        self.ledger.read_requests = self.cloud.requests().len();
        self.ledger.excess.clone().map_or(Ok(()), Err)
    }
}

fn is_karpenters(world: &World, key: &ObjectRef) -> bool {
    let claim = || world.api.get(key).is_some_and(|claim| karpenter::is_its(claim));
    match key.kind {
        Kind::Node => key.name.starts_with(KARPENTERS_PREFIX),
        Kind::NodeClaim => claim(),
        _ => false,
    }
}

fn one_provisioner_a_claim(world: &World) -> Result<(), String> {
    let mut elsewhere = world.cloud.elsewhere();
    match elsewhere.find(|(name, _)| world.cloud.pool(name).is_some()) {
        Some((name, _)) => Err(format!("two provisioners have a machine for claim {name}")),
        None => Ok(()),
    }
}

fn one_pool_a_slot(world: &World) -> Result<(), String> {
    let mut claims: BTreeMap<&str, &str> = BTreeMap::new();
    let mut slots: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    // An instance that is being deleted is still paid.
    for pool in world.cloud.pools() {
        let Ownership::Ours { claim_uid } = &pool.owner else {
            continue;
        };
        if let Some(other) = claims.insert(claim_uid.as_str(), &pool.name) {
            return Err(format!("instances {other} and {} are of one claim", pool.name));
        }
        if let (Some(uid), Some(ordinal)) = (pool.labels.get(WORKSPACE_UID), pool.labels.get(ORDINAL))
            && let Some(other) = slots.insert((uid, ordinal), &pool.name)
        {
            return Err(format!("instances {other} and {} are of one slot", pool.name));
        }
    }
    Ok(())
}

fn one_claim_a_slot(world: &World) -> Result<(), String> {
    let mut slots: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    // Both kinds together: a Workspace pays for one node an ordinal, also while the kind is switched.
    let all = [Kind::Machine, Kind::NodeClaim]
        .into_iter()
        .flat_map(|kind| world.api.list(kind));
    for (key, claim) in all.filter(|(_, claim)| !is_deleting(claim)) {
        let uid = json::text(claim, &["metadata", "labels", WORKSPACE_UID]);
        let ordinal = json::text(claim, &["metadata", "labels", ORDINAL]);
        if uid.is_empty() {
            continue;
        }
        if let Some(other) = slots.insert((uid, ordinal), &key.name) {
            return Err(format!("claims {other} and {} are of one slot", key.name));
        }
        *counts.entry(uid).or_default() += 1;
    }
    for (uid, count) in counts {
        if world.ledger.slots.get(uid).is_some_and(|slots| count > *slots) {
            return Err(format!("Workspace {uid} has {count} claims"));
        }
    }
    Ok(())
}

fn within_ceilings(world: &World) -> Result<(), String> {
    let ceiling = world.setup.workspaces.ceilings.namespace;
    if ceiling == Default::default() {
        return Ok(());
    }
    let mut totals: BTreeMap<&str, (u32, u64)> = BTreeMap::new();
    let kinds = [Kind::Machine, Kind::NodeClaim].into_iter();
    for (_, claim) in kinds.flat_map(|kind| world.api.list(kind)) {
        let namespace = json::text(claim, &["metadata", "labels", WORKSPACE_NAMESPACE]);
        let (count, price) = totals.entry(namespace).or_default();
        *count += 1;
        *price += price_of(&offerings::instance_type(claim));
    }
    let price_limit = ceiling.usd_per_hour.map(UsdPerHour::micros);
    let exceeded = totals.into_iter().find(|(namespace, (count, price))| {
        let is_too_much = ceiling.nodes.is_some_and(|limit| *count > limit)
            || price_limit.is_some_and(|limit| *price > limit);
        !namespace.is_empty() && is_too_much
    });
    exceeded.map_or(Ok(()), |(namespace, (count, price))| {
        Err(format!(
            "namespace {namespace} has {count} claims for {price} millionths of a dollar, and its ceiling is {ceiling:?}"
        ))
    })
}

fn foreign_pools_stay(world: &World) -> Result<(), String> {
    for pool in &world.ledger.foreign_pools {
        let now = world.cloud.pool(&pool.name);
        if now != Some(pool) {
            return Err(format!("foreign instance {} was changed: {now:?}", pool.name));
        }
    }
    Ok(())
}
