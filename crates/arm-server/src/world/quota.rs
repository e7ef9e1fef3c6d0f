//! Quota: vCPUs of a family of sizes, as the service counts them.

use instance_types::{Catalog, Cloud};

use super::World;
use super::offering::Offering;
use super::pool::Pool;

/// vCPUs of a size that the catalog does not know.
const UNKNOWN_VCPUS: u32 = 4;

impl World {
    /// Returns true if one more node of this size exceeds the quota of its family, or that of all spot pools.
    pub(super) fn quota_spent(&self, vm_size: &str, spot: bool) -> bool {
        if spot {
            return self.behavior.spot_quota.is_some_and(|limit| {
                let used = self.vcpus_of(is_spot);
                used + u64::from(vcpus(vm_size)) > u64::from(limit)
            });
        }
        let (used, limit) = self.quota_of(vm_size);
        limit.is_some_and(|limit| used + u64::from(vcpus(vm_size)) > u64::from(limit))
    }

    /// vCPUs in use of the family of a size, and its limit; `None` if it is unlimited.
    pub(super) fn quota_of(&self, vm_size: &str) -> (u64, Option<u32>) {
        let family = family(vm_size);
        let limit = self
            .behavior
            .quota
            .iter()
            .find(|(name, _)| self::family(name) == family);
        let used = self.vcpus_of(|pool| !is_spot(pool) && self::family(pool.vm_size()) == family);
        (used, limit.map(|(_, limit)| *limit))
    }

    pub(super) fn vcpus_of(&self, counts: impl Fn(&Pool) -> bool) -> u64 {
        let counted = self.pools.values().filter(|pool| counts(pool));
        counted
            .map(|pool| pool.count() * u64::from(vcpus(pool.vm_size())))
            .sum()
    }
}

fn is_spot(pool: &Pool) -> bool {
    Offering::of(&pool.properties).spot
}

/// Family of a size: its name without the number of vCPUs, so `Standard_NC24ads_A100_v4` and `Standard_NC48ads_A100_v4`
/// share a quota.
pub(super) fn family(vm_size: &str) -> String {
    let name = vm_size.to_ascii_lowercase();
    let name = name.strip_prefix("standard_").unwrap_or(&name);
    let letters = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let (letters, rest) = name.split_at(letters);
    format!(
        "{letters}{}",
        rest.trim_start_matches(|c: char| c.is_ascii_digit())
    )
}

/// The family as the list of sizes spells it.
pub(super) fn family_of_sku(vm_size: &str) -> String {
    format!("Standard{}Family", family(vm_size).replace('_', ""))
}

/// The family as the list of quotas spells it: the service uses other letter cases there.
pub(super) fn family_of_usage(vm_size: &str) -> String {
    format!(
        "standard{}Family",
        family(vm_size).replace('_', "").to_ascii_uppercase()
    )
}

pub(super) fn vcpus(vm_size: &str) -> u32 {
    let catalog = Catalog::embedded().ok();
    let known = catalog.and_then(|catalog| catalog.lookup(Cloud::Azure, vm_size));
    known.and_then(|size| size.vcpus).unwrap_or(UNKNOWN_VCPUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_family_share_its_quota() {
        assert_eq!(
            family("Standard_NC24ads_A100_v4"),
            family("standard_nc96ads_A100_v4")
        );
        assert_ne!(
            family("Standard_NC24ads_A100_v4"),
            family("Standard_NC40ads_H100_v5")
        );
        assert_eq!(vcpus("Standard_NC24ads_A100_v4"), 24);
        assert_eq!(vcpus("none"), UNKNOWN_VCPUS);
    }
}
