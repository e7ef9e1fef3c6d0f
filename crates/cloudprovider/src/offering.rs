//! Offerings: what a cloud sells, and the memory of those that it had none of.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{ErrorClass, ProviderError};

/// Time after which a refusal is forgotten whole, so that the next one counts as the first.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Most refusals that are remembered. Claims ask for few offerings, so only an attack reaches it.
const MOST: usize = 1024;
/// Time within which refusals count as one. Requests that were sent before the first was answered learn nothing new.
const ONE_WAVE: SignedDuration = SignedDuration::from_secs(10);

/// Way of paying for a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CapacityType {
    /// Stays until it is given back.
    #[default]
    OnDemand,
    /// Cheaper; the cloud takes it back when it needs it.
    Spot,
    /// Reserved in the cloud before.
    Reserved,
}

impl CapacityType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::OnDemand, Self::Spot, Self::Reserved];

    /// The word in labels and requirements.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
            Self::Reserved => "reserved",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|type_| type_.as_str() == word)
    }
}

/// One thing that a cloud sells: a machine of a type, in a zone, paid for in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offering {
    /// Instance type.
    pub instance_type: String,
    /// Way of paying.
    pub capacity_type: CapacityType,
    /// Zone in the cloud's own short form; `None` lets the cloud choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// Shows the choice within an instance type: `spot in zone 2`.
impl fmt::Display for Offering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{} in zone {zone}", self.capacity_type.as_str()),
            None => f.write_str(self.capacity_type.as_str()),
        }
    }
}

/// A cloud's refusal of an offering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferingRefusal {
    /// Time at which it was noticed.
    pub at: Timestamp,
    /// Refusals in a row, at least 1. Those of one wave count once.
    pub count: u32,
    /// Error of the cloud.
    pub error: ProviderError,
    /// A claim has asked again and shows whether the refusal still holds: its name, and the time. The others wait for it.
    pub probe: Option<(String, Timestamp)>,
}

/// Offerings that a cloud has refused, each with its last refusal. Which of them still count, a planner decides by its
/// settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedOfferings(BTreeMap<Offering, OfferingRefusal>);

impl RefusedOfferings {
    /// Records a refusal of a request that was sent at `sent`, if it is about the offering.
    pub fn refused(&mut self, offering: &Offering, sent: Timestamp, at: Timestamp, error: &ProviderError) {
        if !error.class.is_of_offering() {
            return;
        }
        self.0
            .retain(|_, refusal| at.duration_since(refusal.at) < FORGOTTEN_AFTER);
        let same_wave =
            |refusal: &OfferingRefusal| sent <= refusal.at || at.duration_since(refusal.at) < ONE_WAVE;
        match self.0.get_mut(offering) {
            Some(refusal) if at <= refusal.at => {}
            Some(refusal) => {
                let more = u32::from(!same_wave(refusal));
                *refusal = OfferingRefusal {
                    at,
                    count: refusal.count.saturating_add(more),
                    error: error.clone(),
                    probe: None,
                };
            }
            None => {
                self.make_room();
                let refusal = OfferingRefusal {
                    at,
                    count: 1,
                    error: error.clone(),
                    probe: None,
                };
                self.0.insert(offering.clone(), refusal);
            }
        }
    }

    /// Records that a claim has asked for an offering, which was accepted at `at`. The outcome is still to come.
    pub fn asked(&mut self, offering: &Offering, claim: &str, at: Timestamp) {
        if let Some(refusal) = self.0.get_mut(offering) {
            refusal.probe = Some((claim.to_owned(), at));
        }
    }

    /// Records that a claim is gone: the others need not wait for what it asked for.
    pub fn stopped_asking(&mut self, claim: &str) {
        for refusal in self.0.values_mut() {
            refusal.probe.take_if(|(asking, _)| asking == claim);
        }
    }

    /// Records that a cloud had the offering: its refusals are forgotten.
    pub fn supplied(&mut self, offering: &Offering) {
        self.0.remove(offering);
    }

    /// The last refusal of an offering.
    #[must_use]
    pub fn get(&self, offering: &Offering) -> Option<&OfferingRefusal> {
        self.0.get(offering)
    }

    /// Every offering with its last refusal.
    pub fn iter(&self) -> impl Iterator<Item = (&Offering, &OfferingRefusal)> {
        self.0.iter()
    }

    /// Those of one instance type.
    #[must_use]
    pub fn of_type(&self, instance_type: &str) -> Self {
        let of_type = self
            .0
            .iter()
            .filter(|(offering, _)| offering.instance_type == instance_type);
        Self(
            of_type
                .map(|(offering, refusal)| (offering.clone(), refusal.clone()))
                .collect(),
        )
    }

    /// The same by another clock, which is ahead by this.
    #[must_use]
    pub fn by_clock(mut self, ahead: SignedDuration) -> Self {
        let shift = |at: &mut Timestamp| *at = at.saturating_add(ahead).unwrap_or(*at);
        for refusal in self.0.values_mut() {
            shift(&mut refusal.at);
            if let Some((_, at)) = &mut refusal.probe {
                shift(at);
            }
        }
        self
    }

    fn make_room(&mut self) {
        if self.0.len() < MOST {
            return;
        }
        let oldest = self.0.iter().min_by_key(|(_, refusal)| refusal.at);
        if let Some(oldest) = oldest.map(|(offering, _)| offering.clone()) {
            self.0.remove(&oldest);
        }
    }
}

impl ErrorClass {
    /// Returns true if the error is about the offering: another one may well be there.
    #[must_use]
    pub fn is_of_offering(self) -> bool {
        matches!(
            self,
            Self::SkuUnavailable | Self::Quota | Self::Capacity | Self::NeverJoined
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn offering(zone: &str) -> Offering {
        Offering {
            instance_type: "t".into(),
            capacity_type: CapacityType::Spot,
            zone: Some(zone.into()),
        }
    }

    fn error(class: ErrorClass) -> ProviderError {
        ProviderError::new(class, "Code", "text")
    }

    #[test]
    fn one_wave_of_refusals_counts_once_and_a_later_one_more() {
        let mut all = RefusedOfferings::default();
        let capacity = error(ErrorClass::Capacity);
        let one = offering("1");
        for (sent, seen, count, noted) in [
            (0, 100, 1, 100),
            // Sent before the last refusal was known, or answered soon after it.
            (90, 300, 1, 300),
            (301, 309, 1, 309),
            (320, 330, 2, 330),
            // Seen once more.
            (320, 330, 2, 330),
        ] {
            all.refused(&one, at(sent), at(seen), &capacity);
            let refusal = all.get(&one).unwrap();
            assert_eq!((refusal.count, refusal.at), (count, at(noted)), "{sent} {seen}");
        }
        assert_eq!(all.get(&offering("2")), None);
        all.supplied(&one);
        assert_eq!(all.iter().count(), 0);
    }

    #[test]
    fn errors_that_say_nothing_about_the_offering_are_ignored() {
        let mut all = RefusedOfferings::default();
        for class in [
            ErrorClass::Busy,
            ErrorClass::Throttled,
            ErrorClass::Unauthorized,
            ErrorClass::Invalid,
            ErrorClass::ClusterFull,
        ] {
            all.refused(&offering("1"), at(0), at(1), &error(class));
        }
        assert_eq!(all, RefusedOfferings::default());
    }

    #[test]
    fn one_claim_asks_again_until_the_next_refusal() {
        let mut all = RefusedOfferings::default();
        all.asked(&offering("1"), "a", at(0));
        all.refused(&offering("1"), at(0), at(1), &error(ErrorClass::Quota));
        all.asked(&offering("1"), "b", at(70));
        assert_eq!(
            all.get(&offering("1")).unwrap().probe,
            Some(("b".to_owned(), at(70)))
        );
        all.refused(&offering("1"), at(70), at(200), &error(ErrorClass::Quota));
        assert_eq!(all.get(&offering("1")).unwrap().probe, None);
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_goes_first() {
        let mut all = RefusedOfferings::default();
        for number in 0..2 * i64::try_from(MOST).unwrap() {
            let zone = number.to_string();
            all.refused(
                &offering(&zone),
                at(number),
                at(number),
                &error(ErrorClass::Quota),
            );
        }
        assert_eq!(all.iter().count(), MOST);
        assert_eq!(all.get(&offering("0")), None);
        all.refused(
            &offering("x"),
            at(200_000),
            at(200_000),
            &error(ErrorClass::Quota),
        );
        assert_eq!(all.iter().count(), 1, "refusals of yesterday are forgotten");
    }
}
