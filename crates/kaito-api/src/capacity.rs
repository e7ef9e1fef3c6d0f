//! Quota and restrictions of a cloud's subscription in one region, as gpu-provisioner publishes them.
//!
//! They are hints: the cloud decides. Readers ignore them once they are old, and whatever they do not know is allowed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

/// Key of the ConfigMap that holds the record, as JSON. The other keys repeat it for the admission policy.
pub const CAPACITY_KEY: &str = "capacity.json";
/// End of the ConfigMap's name, after that of the release.
pub const CAPACITY_SUFFIX: &str = "-capacity";
/// Age at which a record is ignored. A record that still holds is written again sooner.
const OUTDATED: SignedDuration = SignedDuration::from_hours(2);

/// The nodes that the subscription may create in the region of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityRecord {
    /// Region of the cluster.
    pub region: String,
    /// Time at which the quotas were read; `None` while nothing is known.
    pub read_at: Option<Time>,
    /// Quota of all families together, without spot nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<VcpuQuota>,
    /// Quota of all spot nodes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot: Option<VcpuQuota>,
    /// Quotas by the name of the family, as `instance_types` spells it.
    pub families: BTreeMap<String, VcpuQuota>,
    /// Instance types by their name in lower case.
    pub instance_types: BTreeMap<String, TypeCapacity>,
}

/// A quota of virtual processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuQuota {
    /// Most that may exist.
    pub limit: u64,
    /// Number that exists.
    pub used: u64,
}

/// One instance type in the region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TypeCapacity {
    /// Family whose quota a node counts in.
    pub family: String,
    /// Virtual processors of a node.
    pub vcpus: u32,
    /// Zones in which the subscription may create nodes of the type, in the cloud's short form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// The cloud's word for the reason why the subscription may create none in the whole region; empty if it may.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restriction: String,
}

impl VcpuQuota {
    /// Virtual processors that may still be created.
    #[must_use]
    pub fn left(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl CapacityRecord {
    /// Reads the record from the data of its ConfigMap. Data without one is an empty record.
    ///
    /// # Errors
    /// If the text is not a record.
    pub fn parse(data: &BTreeMap<String, String>) -> Result<Self, serde_json::Error> {
        data.get(CAPACITY_KEY)
            .map_or_else(|| Ok(Self::default()), |text| serde_json::from_str(text))
    }

    /// Builds the data of the ConfigMap: the record, and what the admission policy reads.
    ///
    /// | key | value |
    /// |---|---|
    /// | `region`, `read-at` | the region, and the time of the record |
    /// | `instance-type.NAME` | processors of a node, those left on demand, those left for spot nodes, and the family, with bars between them; `-` if unknown |
    /// | `restricted.NAME` | the cloud's word for the restriction; absent without one |
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, String> {
        // A record has only strings as map keys, so this cannot fail.
        let text = serde_json::to_string(self).unwrap_or_default();
        let mut data = BTreeMap::from([(CAPACITY_KEY.to_owned(), text)]);
        let Some(read_at) = &self.read_at else {
            return data;
        };
        data.insert("region".to_owned(), self.region.clone());
        data.insert("read-at".to_owned(), read_at.0.to_string());
        let or_dash = |left: Option<u64>| left.map_or_else(|| "-".to_owned(), |left| left.to_string());
        for (name, facts) in &self.instance_types {
            let on_demand = or_dash(self.left_on_demand(facts));
            let spot = or_dash(self.spot.map(VcpuQuota::left));
            let line = format!("{}|{on_demand}|{spot}|{}", facts.vcpus, facts.family);
            data.insert(format!("instance-type.{name}"), line);
            if !facts.restriction.is_empty() {
                data.insert(format!("restricted.{name}"), facts.restriction.clone());
            }
        }
        data
    }

    /// Returns true if the record is recent enough to be used.
    #[must_use]
    pub fn is_current(&self, now: Timestamp) -> bool {
        let age = self.read_at.as_ref().map(|read_at| now.duration_since(read_at.0));
        age.is_some_and(|age| age < OUTDATED)
    }

    /// Returns true if both say the same, whenever they were read.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let undated = |record: &Self| Self {
            read_at: None,
            ..record.clone()
        };
        self.read_at.is_some() == other.read_at.is_some() && undated(self) == undated(other)
    }

    /// The facts about an instance type, whatever the case of its letters.
    #[must_use]
    pub fn instance_type(&self, name: &str) -> Option<&TypeCapacity> {
        self.instance_types.get(&name.to_lowercase())
    }

    /// Virtual processors left for nodes of the type that are not spot nodes; `None` if a quota is not known.
    fn left_on_demand(&self, facts: &TypeCapacity) -> Option<u64> {
        let family = self.families.get(&facts.family)?.left();
        Some(family.min(self.on_demand.map_or(u64::MAX, VcpuQuota::left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn record() -> CapacityRecord {
        let quota = |limit, used| VcpuQuota { limit, used };
        CapacityRecord {
            region: "eastus2".to_owned(),
            read_at: Some(Time(at(0))),
            on_demand: Some(quota(100, 97)),
            spot: None,
            families: [("Standard NC Family".to_owned(), quota(30, 24))].into(),
            instance_types: [(
                "standard_nc24".to_owned(),
                TypeCapacity {
                    family: "Standard NC Family".to_owned(),
                    vcpus: 24,
                    restriction: "QuotaId".to_owned(),
                    ..TypeCapacity::default()
                },
            )]
            .into(),
        }
    }

    #[test]
    fn the_data_is_read_again_and_has_lines_for_the_policy() {
        let data = record().data();
        assert_eq!(CapacityRecord::parse(&data).unwrap(), record());
        assert_eq!(data["instance-type.standard_nc24"], "24|3|-|Standard NC Family");
        assert_eq!(data["restricted.standard_nc24"], "QuotaId");
        assert_eq!(
            (data["region"].as_str(), data["read-at"].as_str()),
            ("eastus2", "1970-01-01T00:00:00Z")
        );
        let empty = CapacityRecord::default();
        assert_eq!(empty.data().len(), 1, "nothing for the policy");
        assert_eq!(CapacityRecord::parse(&empty.data()).unwrap(), empty);
        assert_eq!(CapacityRecord::parse(&BTreeMap::new()).unwrap(), empty);
        let garbage = BTreeMap::from([(CAPACITY_KEY.to_owned(), "no".to_owned())]);
        assert!(CapacityRecord::parse(&garbage).is_err());
    }

    #[test]
    fn a_record_is_current_for_two_hours() {
        assert!(record().is_current(at(0)) && record().is_current(at(119)) && record().is_current(at(-5)));
        assert!(!record().is_current(at(120)) && !CapacityRecord::default().is_current(at(0)));
    }

    #[test]
    fn the_time_alone_is_no_news() {
        let later = CapacityRecord {
            read_at: Some(Time(at(9))),
            ..record()
        };
        assert!(record().says_the_same(&later));
        let other = CapacityRecord {
            spot: Some(VcpuQuota::default()),
            ..later
        };
        assert!(!record().says_the_same(&other) && !record().says_the_same(&CapacityRecord::default()));
    }
}
