//! Rules of what is bought, and in which order.
//!
//! Every request to the cloud and every new claim is judged when it is made. What stands before it in its order was refused not
//! long ago, and the status of the Workspace says so.

use std::collections::BTreeMap;

use cloudprovider::{ErrorClass, Offering};
use jiff::{SignedDuration, Timestamp};
use kaito_api::AllowedOfferings;
use kaito_api::labels::{CAPACITY_TYPES, ON_DEMAND, WORKSPACE_UID, ZONES};
use plan::{Kind, ObjectRef};
use serde_json::Value;

use super::World;
use super::bought::{Purchases, Skip, Tenant};
use crate::api_server::{is_deleting, key, shown};
use crate::cloud::Attempt;
use crate::controllers::Program;
use crate::json;
use crate::kubelet::karpenter;
use crate::kubelet::karpenter::offerings;

/// Time for which a lack of machines or of quota may count. A claim shows it until it asks again, and it is remembered from then.
const REFUSED: SignedDuration = SignedDuration::from_hours(2);
/// The same for a type that is not offered.
const RESTRICTED: SignedDuration = SignedDuration::from_hours(8);
/// Time within which an edit takes effect, and within which the status says what was left out.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

impl World {
    /// Judges what was bought and claimed since the last call. Claims are looked at only if some have changed.
    pub(super) fn check_purchases(&mut self, has_new_claims: bool) -> Result<(), String> {
        let mut purchases = std::mem::take(&mut self.ledger.purchases);
        let verdict = purchases.check(self, has_new_claims);
        self.ledger.purchases = purchases;
        verdict
    }

    /// Number of requests to the cloud for instances, of those that it refused, and of rungs that were left out.
    #[must_use]
    pub fn purchases(&self) -> [usize; 3] {
        let attempts = self.cloud.attempts();
        let refused = attempts.iter().filter(|attempt| attempt.is_refused()).count();
        [attempts.len(), refused, self.ledger.purchases.skips]
    }
}

impl Purchases {
    fn check(&mut self, world: &World, has_new_claims: bool) -> Result<(), String> {
        self.read_workspaces(world);
        self.read_requests(world)?;
        if has_new_claims {
            self.read_claims(world)?;
        }
        self.read_statuses(world)
    }

    fn read_workspaces(&mut self, world: &World) {
        let log = world.api.log().iter().skip(self.read_log);
        let mut edited: Vec<&ObjectRef> = log.map(|line| &line.key).collect();
        edited.retain(|key| key.kind == Kind::Workspace);
        for key in edited {
            let Some(workspace) = world.api.get(key) else {
                continue;
            };
            let uid = json::text(workspace, &["metadata", "uid"]).to_owned();
            let tenant = self.tenants.entry(uid).or_insert_with(|| Tenant {
                key: key.clone(),
                rungs: rungs(workspace),
                allowed: Vec::new(),
                served: None,
            });
            let allowed = allowed(world, workspace);
            if tenant.allowed.last().is_none_or(|(_, last)| *last != allowed) {
                tenant.allowed.push((world.now, allowed));
            }
        }
        self.read_log = world.api.log().len();
        for tenant in self.tenants.values_mut() {
            if has_workload(world, &tenant.key) {
                tenant.served = Some(world.now);
            }
        }
    }

    fn read_requests(&mut self, world: &World) -> Result<(), String> {
        for attempt in world.cloud.attempts().iter().skip(self.read_attempts) {
            self.judge_request(world, attempt)?;
            if let Some(class) = attempt.refusal {
                self.refused.insert(attempt.offering.clone(), (attempt.at, class));
            }
        }
        self.read_attempts = world.cloud.attempts().len();
        Ok(())
    }

    /// A request is for an offering that its claim allows, and those before it were refused. A Karpenter takes the cheapest.
    fn judge_request(&self, world: &World, attempt: &Attempt) -> Result<(), String> {
        let kinds = [Kind::Machine, Kind::NodeClaim];
        let claims = kinds.map(|kind| world.api.get(&key(kind, "", &attempt.name)));
        let Some(claim) = claims.into_iter().flatten().find(|claim| !is_deleting(claim)) else {
            return Ok(());
        };
        let order = offerings::of(claim);
        let Some(place) = order.iter().position(|one| *one == attempt.offering) else {
            return Err(format!(
                "{} is asked for outside of {order:?}",
                shown_attempt(attempt)
            ));
        };
        let before = order.into_iter().take(place);
        let mut unrefused = before.filter(|one| !self.was_refused(one, attempt.at));
        match unrefused.next() {
            Some(skipped) if !karpenter::is_its(claim) => Err(format!(
                "{} is asked for, and {skipped} was not refused",
                shown_attempt(attempt)
            )),
            _ => Ok(()),
        }
    }

    fn was_refused(&self, offering: &Offering, at: Timestamp) -> bool {
        self.refused.get(offering).is_some_and(|(last, class)| {
            let lasts = match class {
                ErrorClass::SkuUnavailable => RESTRICTED,
                _ => REFUSED,
            };
            at.duration_since(*last) <= lasts
        })
    }

    fn read_claims(&mut self, world: &World) -> Result<(), String> {
        one_type_each(world)?;
        let kinds = [Kind::Machine, Kind::NodeClaim].into_iter();
        for (target, claim) in kinds.flat_map(|kind| world.api.list(kind)) {
            let owner = json::text(claim, &["metadata", "labels", WORKSPACE_UID]);
            if self.tenants.contains_key(owner)
                && self
                    .claims
                    .insert(json::text(claim, &["metadata", "uid"]).to_owned())
            {
                self.judge_claim(world, target, claim)?;
            }
        }
        Ok(())
    }

    /// A new claim allows what its Workspace allows, and is of the first type that was not refused.
    fn judge_claim(&mut self, world: &World, target: &ObjectRef, claim: &Value) -> Result<(), String> {
        let owner = json::text(claim, &["metadata", "labels", WORKSPACE_UID]);
        let Some(tenant) = self.tenants.get(owner) else {
            return Ok(());
        };
        let wanted = offerings::of(claim);
        if !tenant.allows(&wanted, world.now) {
            return Err(format!(
                "{} allows {wanted:?}, and its Workspace {:?}",
                shown(target),
                tenant.allowed
            ));
        }
        let is_recent = |served: Timestamp| world.now.duration_since(served) <= PATIENCE;
        if tenant.served.is_some_and(is_recent) || has_sibling(world, target, owner) {
            return Ok(());
        }
        let taken = offerings::instance_type(claim);
        let better = tenant.rungs.iter().take_while(|rung| **rung != taken);
        for rung in better.cloned().collect::<Vec<_>>() {
            let of_rung = wanted.iter().map(|one| Offering {
                instance_type: rung.clone(),
                ..one.clone()
            });
            let is_refused = of_rung.into_iter().all(|one| self.was_refused(&one, world.now));
            self.skips += 1;
            self.unexplained.push(Skip {
                uid: owner.to_owned(),
                claim: json::text(claim, &["metadata", "uid"]).to_owned(),
                rung,
                is_refused,
                at: world.now,
                starts: world.starts(Program::Workspaces),
            });
        }
        Ok(())
    }

    /// The status says why a rung was left out.
    fn read_statuses(&mut self, world: &World) -> Result<(), String> {
        let mut open = std::mem::take(&mut self.unexplained);
        open.retain(|skip| {
            let tenant = self.tenants.get(&skip.uid);
            tenant.is_some_and(|tenant| !is_explained(world, tenant, skip))
        });
        let overdue = |skip: &&Skip| world.now.duration_since(skip.at) > PATIENCE;
        let verdict = match open.iter().find(overdue) {
            Some(skip) => Err(format!(
                "Workspace {} left {} out at {}; the cloud {}, and the status does not explain it",
                skip.uid,
                skip.rung,
                skip.at,
                if skip.is_refused {
                    "refused it"
                } else {
                    "did not refuse it"
                }
            )),
            None => Ok(()),
        };
        self.unexplained = open;
        verdict
    }
}

impl Tenant {
    /// Returns true if the Workspace allowed these offerings a short while ago.
    fn allows(&self, wanted: &[Offering], now: Timestamp) -> bool {
        let ends = self.allowed.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
        let recent = self
            .allowed
            .iter()
            .zip(ends)
            .filter(|(_, end)| end.is_none_or(|end| now.duration_since(end) <= PATIENCE));
        let mut recent = recent.filter_map(|((_, allowed), _)| allowed.as_ref());
        recent.any(|allowed| {
            let types = allowed.capacity_types_or_default();
            let zones = zones(allowed);
            let pairs = types
                .iter()
                .flat_map(|type_| zones.iter().map(move |zone| (*type_, *zone)));
            let pairs: Vec<(&str, Option<&str>)> = pairs.collect();
            let wanted = wanted
                .iter()
                .map(|one| (one.capacity_type.as_str(), one.zone.as_deref()));
            pairs == wanted.collect::<Vec<_>>()
        })
    }
}

/// The nodes of a Workspace are of one type. A claim that is being deleted may still have its node.
fn one_type_each(world: &World) -> Result<(), String> {
    let kinds = [Kind::Machine, Kind::NodeClaim].into_iter();
    let claims = kinds
        .flat_map(|kind| world.api.list(kind))
        .map(|(target, claim)| {
            let owner = json::text(claim, &["metadata", "labels", WORKSPACE_UID]);
            (owner, target.name.as_str(), offerings::instance_type(claim))
        });
    let instances = world.cloud.pools().map(|pool| {
        let owner = pool.labels.get(WORKSPACE_UID).map(String::as_str);
        (
            owner.unwrap_or_default(),
            pool.name.as_str(),
            pool.instance_type.clone().unwrap_or_default(),
        )
    });
    let mut types: BTreeMap<&str, (&str, String)> = BTreeMap::new();
    for (owner, name, instance_type) in claims.chain(instances).filter(|(owner, ..)| !owner.is_empty()) {
        let (first, other) = types.entry(owner).or_insert((name, instance_type.clone()));
        if !other.eq_ignore_ascii_case(&instance_type) {
            return Err(format!(
                "Workspace {owner} has two instance types: {first} of {other}, and {name} of {instance_type}"
            ));
        }
    }
    Ok(())
}

fn zones(allowed: &AllowedOfferings) -> Vec<Option<&str>> {
    match allowed.zones.as_slice() {
        [] => vec![None],
        some => some.iter().map(|zone| Some(zone.as_str())).collect(),
    }
}

fn rungs(workspace: &Value) -> Vec<String> {
    let text = json::text(workspace, &["resource", "instanceType"]);
    text.split(',').map(str::to_owned).collect()
}

/// Offerings that the annotations allow; `None` if one cannot be read.
fn allowed(world: &World, workspace: &Value) -> Option<AllowedOfferings> {
    let defaults = &world.setup.workspaces.offerings;
    let annotation =
        |name: &str| json::at(workspace, &["metadata", "annotations", name]).and_then(Value::as_str);
    let mut capacity_types = match annotation(CAPACITY_TYPES) {
        Some(text) => AllowedOfferings::parse_capacity_types(text)?,
        None => defaults.capacity_types.clone(),
    };
    if capacity_types.is_empty() {
        capacity_types.push(ON_DEMAND.to_owned());
    }
    let zones = match annotation(ZONES) {
        Some(text) => AllowedOfferings::parse_zones(text)?,
        None => defaults.zones.clone(),
    };
    Some(AllowedOfferings {
        capacity_types,
        zones,
    })
}

fn has_workload(world: &World, workspace: &ObjectRef) -> bool {
    let namespace = workspace.namespace.as_deref().unwrap_or_default();
    let kinds = [Kind::Deployment, Kind::StatefulSet, Kind::Job];
    let mut all = kinds
        .map(|kind| world.api.get(&key(kind, namespace, &workspace.name)))
        .into_iter();
    all.any(|workload| workload.is_some())
}

/// Returns true if another live claim of the Workspace exists: this one is of its type.
fn has_sibling(world: &World, target: &ObjectRef, owner: &str) -> bool {
    let kinds = [Kind::Machine, Kind::NodeClaim].into_iter();
    let mut others = kinds.flat_map(|kind| world.api.list(kind));
    others.any(|(other, claim)| {
        other.name != target.name
            && !is_deleting(claim)
            && json::text(claim, &["metadata", "labels", WORKSPACE_UID]) == owner
    })
}

/// Returns true if the status names the rung with a reason, or nothing has to be explained any more.
fn is_explained(world: &World, tenant: &Tenant, skip: &Skip) -> bool {
    let workspace = world.api.get(&tenant.key);
    let Some(workspace) = workspace.filter(|found| json::text(found, &["metadata", "uid"]) == skip.uid)
    else {
        return true;
    };
    let conditions = json::list(workspace, &["status", "conditions"]).iter();
    let says = |words: &str| {
        let text = format!("{} {words}", skip.rung);
        conditions
            .clone()
            .any(|one| json::text(one, &["message"]).contains(&text))
    };
    if says("is left out") || is_deleting(workspace) {
        return true;
    }
    let attempts = json::list(workspace, &["status", "attempts"]).iter();
    let mut attempts = attempts.map(|attempt| json::text(attempt, &["instanceType"]));
    let was_tried = attempts.any(|tried| tried.eq_ignore_ascii_case(&skip.rung));
    let is_forgotten = || skip.starts != world.starts(Program::Workspaces);
    let is_gone = || {
        let kinds = [Kind::Machine, Kind::NodeClaim].into_iter();
        let mut claims = kinds.flat_map(|kind| world.api.list(kind));
        !claims.any(|(_, claim)| json::text(claim, &["metadata", "uid"]) == skip.claim)
    };
    skip.is_refused && (says("cannot be had") || was_tried || is_forgotten() || is_gone())
}

fn shown_attempt(attempt: &Attempt) -> String {
    format!(
        "{} of {} for {}",
        attempt.offering, attempt.offering.instance_type, attempt.name
    )
}
