//! The cost of nodes, from the list prices of their types and the ages of their claims. The cloud's bill decides.

use std::sync::OnceLock;

use instance_types::{Catalog, Cloud, InstanceType, dollars};
use jiff::{SignedDuration, Timestamp};
use kaito_api::conditions::ClaimConditionType;
use kaito_api::labels::SPOT;
use kaito_api::{Claim, Workspace};
use serde::Serialize;

/// Micro-dollars of one dollar.
const MICROS: f64 = 1e6;

/// Nodes and their cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bill {
    /// Nodes that exist.
    pub(crate) nodes: u32,
    /// Nodes on spot capacity, among them. They count at the on-demand price, which is more than they cost.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) spot_nodes: u32,
    /// GPUs of nodes whose type is known.
    pub(crate) gpus: u32,
    /// List price of the nodes, in millionths of a US dollar an hour.
    pub(crate) usd_micros_per_hour: u64,
    /// Estimate of what they have cost since their launch.
    pub(crate) spent_usd_micros: u64,
    /// Nodes without a known price; they count as free.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) unpriced_nodes: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Bill {
    /// Adds another bill.
    pub(crate) fn add(&mut self, other: &Self) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.spot_nodes = self.spot_nodes.saturating_add(other.spot_nodes);
        self.gpus = self.gpus.saturating_add(other.gpus);
        self.usd_micros_per_hour = self.usd_micros_per_hour.saturating_add(other.usd_micros_per_hour);
        self.spent_usd_micros = self.spent_usd_micros.saturating_add(other.spent_usd_micros);
        self.unpriced_nodes = self.unpriced_nodes.saturating_add(other.unpriced_nodes);
    }

    /// Bill of claims: those that were launched cost from then on.
    pub(crate) fn of_claims<'a>(claims: impl IntoIterator<Item = &'a Claim>, now: Timestamp) -> Self {
        let mut bill = Self::default();
        for claim in claims {
            bill.add(&of_claim(claim, now));
        }
        bill
    }

    /// Bill of a Workspace whose claims are unknown: the price of its first start and the names of its nodes.
    pub(crate) fn of_status(workspace: &Workspace, now: Timestamp) -> Self {
        let Some(status) = &workspace.status else {
            return Self::default();
        };
        let nodes = u32::try_from(status.worker_nodes.len()).unwrap_or(u32::MAX);
        let start = status.cold_start.as_ref();
        let price = start.and_then(|start| micros(&start.usd_per_hour));
        let since = start.and_then(|start| start.launched.as_ref().or(start.claimed.as_ref()));
        let spot = status
            .offerings
            .iter()
            .filter(|found| found.capacity_type == SPOT);
        let spot_nodes = spot
            .filter_map(|found| u32::try_from(found.nodes).ok())
            .sum::<u32>();
        let spot_nodes = spot_nodes.min(nodes);
        let Some(price) = price.filter(|_| nodes > 0) else {
            return Self {
                nodes,
                spot_nodes,
                unpriced_nodes: nodes,
                ..Self::default()
            };
        };
        let named = workspace.spec.resource.as_ref();
        let gpus = named.and_then(|resource| instance_type(&resource.instance_type));
        Self {
            nodes,
            spot_nodes,
            gpus: gpus.map_or(0, |found| found.gpus.saturating_mul(nodes)),
            usd_micros_per_hour: price,
            spent_usd_micros: since.map_or(0, |since| cost(price, now.duration_since(since.0))),
            unpriced_nodes: 0,
        }
    }

    /// Price an hour for people, `?` if no node has a known one.
    pub(crate) fn price(&self) -> String {
        match (self.usd_micros_per_hour, self.unpriced_nodes) {
            (0, 1..) => "?".to_owned(),
            (price, _) => dollars(price),
        }
    }

    /// Estimated cost for people, `?` if no node has a known price.
    pub(crate) fn spent(&self) -> String {
        match (self.usd_micros_per_hour, self.unpriced_nodes) {
            (0, 1..) => "?".to_owned(),
            _ => dollars(self.spent_usd_micros),
        }
    }
}

fn of_claim(claim: &Claim, now: Timestamp) -> Bill {
    let Some(since) = launched(claim) else {
        return Bill::default();
    };
    let found = instance_type(claim.instance_type().unwrap_or_default());
    let price = found.and_then(|found| found.list_price.as_ref());
    let price = price.map(|price| price.usd_micros_per_hour);
    Bill {
        nodes: 1,
        spot_nodes: u32::from(claim.is_on_spot()),
        gpus: found.map_or(0, |found| found.gpus),
        usd_micros_per_hour: price.unwrap_or(0),
        spent_usd_micros: price.map_or(0, |price| cost(price, now.duration_since(since))),
        unpriced_nodes: u32::from(price.is_none()),
    }
}

/// Time of the launch; `None` if the claim has no instance.
fn launched(claim: &Claim) -> Option<Timestamp> {
    let condition = claim
        .condition(ClaimConditionType::Launched)
        .filter(|_| claim.is_true(ClaimConditionType::Launched))?;
    let created = claim.metadata().creation_timestamp.as_ref();
    condition.since.or(created.map(|time| time.0))
}

/// The instance types of this process, once they are read.
static TYPES: OnceLock<Catalog> = OnceLock::new();

/// Sets the instance types of this process. The first call counts.
pub(crate) fn use_types(types: Catalog) {
    let _ = TYPES.set(types);
}

/// Finds an instance type of any cloud.
pub(crate) fn instance_type(name: &str) -> Option<&'static InstanceType> {
    let known = TYPES.get().or_else(|| Catalog::embedded().ok())?;
    Cloud::ALL.into_iter().find_map(|cloud| known.lookup(cloud, name))
}

/// List price of a type in millionths of a US dollar an hour.
pub(crate) fn price_of(name: &str) -> Option<u64> {
    let price = instance_type(name)?.list_price.as_ref()?;
    Some(price.usd_micros_per_hour)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of less than 10^12 dollars"
)]
fn micros(decimal: &str) -> Option<u64> {
    let dollars: f64 = decimal.parse().ok()?;
    (0.0..1e12)
        .contains(&dollars)
        .then(|| (dollars * MICROS).round() as u64)
}

fn cost(price: u64, age: SignedDuration) -> u64 {
    let seconds = u128::from(u64::try_from(age.as_secs()).unwrap_or(0));
    u64::try_from(u128::from(price) * seconds / 3600).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
