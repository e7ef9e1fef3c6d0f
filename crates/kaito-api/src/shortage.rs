//! The comparison of the nodes that are asked for with quota and restrictions: what the cloud would refuse.
//!
//! Unknown is allowed: an instance type, a family or a quota that the record does not have is never short.

use std::collections::BTreeMap;

use crate::allowed_offerings::AllowedOfferings;
use crate::capacity::{CapacityRecord, TypeCapacity, VcpuQuota};
use crate::claim::Claim;
use crate::labels::{RESERVED, SPOT};

/// A reason for which the cloud would refuse nodes of an instance type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The subscription may not create the type there. The words name the place.
    Restricted(String),
    /// The quota is too small. The words name what is asked and what is left.
    Quota(String),
}

impl Shortage {
    /// Words for people.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Restricted(words) | Self::Quota(words) => words,
        }
    }
}

/// Virtual processors of claims that the record does not count yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingVcpus {
    /// By family.
    families: BTreeMap<String, u64>,
    spot: u64,
}

/// Virtual processors that are left, and the words for what was asked and what is left.
struct Room {
    vcpus: u64,
    words: String,
}

impl CapacityRecord {
    /// Counts the claims that were made after the quotas were read. Older ones either count in them or were refused.
    #[must_use]
    pub fn waiting<'a>(&self, claims: impl IntoIterator<Item = &'a Claim>) -> WaitingVcpus {
        let mut waiting = WaitingVcpus::default();
        for claim in claims.into_iter().filter(|claim| self.is_younger(claim)) {
            let facts = claim.instance_type().and_then(|name| self.instance_type(name));
            let Some(facts) = facts else { continue };
            let allowed = AllowedOfferings::of_claim(claim);
            let first = claim.capacity_type();
            let first = first.or_else(|| allowed.capacity_types_or_default().first().copied());
            let counter = match first {
                Some(SPOT) => &mut waiting.spot,
                // The reservation counts in the quota already.
                Some(RESERVED) => continue,
                _ => waiting.families.entry(facts.family.clone()).or_default(),
            };
            *counter = counter.saturating_add(u64::from(facts.vcpus));
        }
        waiting
    }

    /// Returns true if the claim was made after the quotas were read.
    #[must_use]
    pub fn is_younger(&self, claim: &Claim) -> bool {
        let created = claim.metadata().creation_timestamp.as_ref();
        let read_at = self.read_at.as_ref();
        created
            .zip(read_at)
            .is_some_and(|(created, read_at)| created.0 > read_at.0)
    }

    /// Returns the reason for which the cloud would refuse some of these further nodes of the type.
    #[must_use]
    pub fn shortage(
        &self,
        instance_type: &str,
        nodes: u32,
        allowed: &AllowedOfferings,
        waiting: &WaitingVcpus,
    ) -> Option<Shortage> {
        let facts = self.instance_type(instance_type)?;
        // A reservation has its own machines and its own quota.
        if nodes == 0 || allowed.capacity_types_or_default().contains(&RESERVED) {
            return None;
        }
        if let Some(words) = self.restriction(facts, allowed) {
            return Some(Shortage::Restricted(words));
        }
        let rooms = self.rooms(facts, nodes, allowed, waiting)?;
        let fitting = rooms
            .iter()
            .filter_map(|room| room.vcpus.checked_div(facts.vcpus.into()));
        if fitting.fold(0, u64::saturating_add) >= u64::from(nodes) || facts.vcpus == 0 {
            return None;
        }
        let words: Vec<&str> = rooms.iter().map(|room| room.words.as_str()).collect();
        Some(Shortage::Quota(words.join("; ")))
    }

    /// Virtual processors that are left for nodes of the type with these capacity types; `None` if that is not known.
    #[must_use]
    pub fn vcpus_left(&self, instance_type: &str, allowed: &AllowedOfferings) -> Option<u64> {
        let rooms = self.rooms(
            self.instance_type(instance_type)?,
            0,
            allowed,
            &WaitingVcpus::default(),
        )?;
        Some(rooms.iter().map(|room| room.vcpus).fold(0, u64::saturating_add))
    }

    fn restriction(&self, facts: &TypeCapacity, allowed: &AllowedOfferings) -> Option<String> {
        let region = &self.region;
        if !facts.restriction.is_empty() {
            return Some(format!(
                "the subscription may not use it in {region} ({})",
                facts.restriction
            ));
        }
        let is_open = |zone: &String| {
            let long = zone
                .rsplit_once('-')
                .filter(|(place, _)| place.eq_ignore_ascii_case(region));
            let short = long.map_or(zone.as_str(), |(_, short)| short);
            facts.zones.iter().any(|open| open == short)
        };
        // Without a zone the cloud chooses one, or none.
        if allowed.zones.is_empty() || allowed.zones.iter().any(is_open) {
            return None;
        }
        let zones = allowed.zones.join(", ");
        Some(format!(
            "the subscription may not use it in zone {zones} of {region}"
        ))
    }

    /// The room for each capacity type; `None` if one is not known.
    fn rooms(
        &self,
        facts: &TypeCapacity,
        nodes: u32,
        allowed: &AllowedOfferings,
        waiting: &WaitingVcpus,
    ) -> Option<Vec<Room>> {
        let asked = u64::from(nodes).saturating_mul(facts.vcpus.into());
        let types = allowed.capacity_types_or_default().into_iter();
        types
            .map(|type_| match type_ {
                SPOT => self.room_on_spot(asked, waiting),
                RESERVED => None,
                _ => self.room_on_demand(facts, asked, waiting),
            })
            .collect()
    }

    fn room_on_spot(&self, asked: u64, waiting: &WaitingVcpus) -> Option<Room> {
        let vcpus = self.spot?.left().saturating_sub(waiting.spot);
        let words = format!("{asked} spot vCPUs asked, {vcpus} left in {}", self.region);
        Some(Room { vcpus, words })
    }

    fn room_on_demand(&self, facts: &TypeCapacity, asked: u64, waiting: &WaitingVcpus) -> Option<Room> {
        let (region, family) = (&self.region, &facts.family);
        let waiting_here = waiting.families.get(family).copied().unwrap_or_default();
        let of_family = self.families.get(family)?.left().saturating_sub(waiting_here);
        let waiting_all = waiting.families.values().copied().fold(0, u64::saturating_add);
        let of_all = self
            .on_demand
            .map_or(u64::MAX, VcpuQuota::left)
            .saturating_sub(waiting_all);
        Some(if of_all < of_family {
            Room {
                vcpus: of_all,
                words: format!("{asked} vCPUs asked, {of_all} of all families left in {region}"),
            }
        } else {
            Room {
                vcpus: of_family,
                words: format!("{asked} vCPUs of {family} asked, {of_family} left in {region}"),
            }
        })
    }
}

#[cfg(test)]
mod tests;
