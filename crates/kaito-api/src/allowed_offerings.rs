//! The offerings that the nodes of a Workspace may have: capacity types and zones, each in the order in which they are tried.
//!
//! Annotations of a Workspace and requirements of a claim say the same in two spellings, which are read here alone. The labels
//! of a claim say which of them was bought.

use crate::claim::{Claim, ClaimConditionType};
use crate::labels::{CAPACITY_TYPE, ON_DEMAND, RESERVED, SPOT, ZONE};

/// Words for what [`AllowedOfferings::parse_capacity_types`] reads.
pub const CAPACITY_TYPES_FORM: &str = "spot, on-demand or reserved, or several of them, each once, with commas between them, in the order in which they are tried";
/// Words for what [`AllowedOfferings::parse_zones`] reads.
pub const ZONES_FORM: &str = "up to 8 different zones such as 1 or eastus2-1, with commas between them, in the order in which they are tried";

/// Most zones of one Workspace.
const MAX_ZONES: usize = 8;
/// Longest value of a label.
const MAX_LABEL: usize = 63;

/// Capacity types and zones, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOfferings {
    /// `spot`, `on-demand` or `reserved`; empty for on-demand alone.
    pub capacity_types: Vec<String>,
    /// Zones; empty leaves the choice to the cloud.
    pub zones: Vec<String>,
}

impl AllowedOfferings {
    /// Reads capacity types, such as `spot,on-demand`; `None` if the text does not have [`CAPACITY_TYPES_FORM`].
    #[must_use]
    pub fn parse_capacity_types(text: &str) -> Option<Vec<String>> {
        let types = distinct(text)?;
        let is_known = |word: &String| [SPOT, ON_DEMAND, RESERVED].contains(&word.as_str());
        types.iter().all(is_known).then_some(types)
    }

    /// Reads zones, such as `1,2`; `None` if the text does not have [`ZONES_FORM`].
    #[must_use]
    pub fn parse_zones(text: &str) -> Option<Vec<String>> {
        let zones = distinct(text)?;
        let fits = zones.len() <= MAX_ZONES && zones.iter().all(|zone| is_label_value(zone));
        fits.then_some(zones)
    }

    /// The offerings that the requirements of a claim allow.
    #[must_use]
    pub fn of_claim(claim: &Claim) -> Self {
        let requirements = claim.requirements();
        let values = |key: &str| {
            let all = requirements.iter();
            let found = all
                .filter(|requirement| requirement.key == key && requirement.operator == "In")
                .find(|requirement| !requirement.values.is_empty());
            found.map_or_else(Vec::new, |requirement| requirement.values.to_vec())
        };
        Self {
            capacity_types: values(CAPACITY_TYPE),
            zones: values(ZONE),
        }
    }

    /// Capacity types, at least one.
    #[must_use]
    pub fn capacity_types_or_default(&self) -> Vec<&str> {
        match self.capacity_types.as_slice() {
            [] => vec![ON_DEMAND],
            some => some.iter().map(String::as_str).collect(),
        }
    }

    /// Returns true if both allow the same, in the same order.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.capacity_types_or_default() == other.capacity_types_or_default() && self.zones == other.zones
    }
}

impl Claim {
    /// Capacity type that was bought, or that was asked for last; `None` before.
    #[must_use]
    pub fn capacity_type(&self) -> Option<&str> {
        self.label(CAPACITY_TYPE)
    }

    /// Zone of the instance, or the one that was asked for last; `None` if the cloud chooses.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.label(ZONE)
    }

    /// Returns true if the claim has spot capacity.
    #[must_use]
    pub fn is_on_spot(&self) -> bool {
        self.is_true(ClaimConditionType::Launched) && self.capacity_type() == Some(SPOT)
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.metadata().labels.as_ref()?.get(key).map(String::as_str)
    }
}

/// Words between commas, without blanks; `None` if one is empty or repeated.
fn distinct(text: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(',').map(str::trim) {
        if word.is_empty() || words.iter().any(|known| known == word) {
            return None;
        }
        words.push(word.to_owned());
    }
    Some(words)
}

fn is_label_value(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let is_end = |c: char| c.is_ascii_alphanumeric();
    text.len() <= MAX_LABEL
        && text.starts_with(is_end)
        && text.ends_with(is_end)
        && text.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Machine, MachineSpec, Requirement};

    #[test]
    fn the_written_order_is_kept_and_faults_are_found() {
        let types = |text: &str| AllowedOfferings::parse_capacity_types(text).map(|types| types.join(" "));
        assert_eq!(types("spot,on-demand").as_deref(), Some("spot on-demand"));
        assert_eq!(types(" on-demand , spot ").as_deref(), Some("on-demand spot"));
        assert_eq!(
            types("reserved,spot,on-demand").as_deref(),
            Some("reserved spot on-demand")
        );
        for wrong in [
            "",
            ",",
            "spot,",
            "spot,spot",
            "Spot",
            "ondemand",
            "spot on-demand",
            "spot;on-demand",
        ] {
            assert_eq!(types(wrong), None, "{wrong}");
        }
        let zones = |text: &str| AllowedOfferings::parse_zones(text).map(|zones| zones.join(" "));
        assert_eq!(zones("2, 1").as_deref(), Some("2 1"));
        assert_eq!(zones("eastus2-1").as_deref(), Some("eastus2-1"));
        let long = "z".repeat(64);
        for wrong in ["", "1,,2", "1,1", "-1", "a/b", "a b", &long, "1,2,3,4,5,6,7,8,9"] {
            assert_eq!(zones(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_claim_says_what_it_allows() {
        let claim = |requirements: Vec<Requirement>| {
            let spec = MachineSpec {
                requirements,
                ..MachineSpec::default()
            };
            AllowedOfferings::of_claim(&Machine::new("c", spec).into())
        };
        let one = |key: &str, values: &[&str]| Requirement {
            values: values.iter().map(|&value| value.to_owned()).collect(),
            ..Requirement::is_in(key, "")
        };
        let none = claim(Vec::new());
        assert!(none.is_same(&claim(vec![one(CAPACITY_TYPE, &[ON_DEMAND])])));
        let both = claim(vec![
            one(CAPACITY_TYPE, &[SPOT, ON_DEMAND]),
            one(ZONE, &["2", "1"]),
        ]);
        assert_eq!(both.capacity_types, [SPOT, ON_DEMAND]);
        assert_eq!(both.zones, ["2", "1"]);
        assert!(!both.is_same(&none));
        let other = AllowedOfferings {
            capacity_types: vec![ON_DEMAND.to_owned(), SPOT.to_owned()],
            ..both.clone()
        };
        assert!(!both.is_same(&other));
    }
}
